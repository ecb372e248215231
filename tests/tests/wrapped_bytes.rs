//! What the drive loop asks of bytes that are wrapped, as TLS wraps them: what was taken is brought out, and an end
//! without a farewell is an end.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use enjamb_core::connection::{CloseReason, ConnectionEvent};
use enjamb_core::router::PortId;
use enjamb_core::switch::ListenerConfig;
use enjamb_core::{Instant, Secret, StreamId};
use enjamb_runtime::{ServerConnection, Timer, Transport};
use enjamb_tests::sim::{SECRET, handshake, header, switch};

/// Keeps what it takes until it is flushed, which it may not be yet.
#[derive(Default)]
struct Keeping {
    input: Vec<u8>,
    ended: bool,
    kept: Vec<u8>,
    blocked: bool,
    output: Vec<u8>,
    fault: Option<Fault>,
}

/// What goes wrong with the connection below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Read,
    Write,
    TakesNothing,
    Flush,
}

impl Keeping {
    fn check(&self, fault: Fault) -> io::Result<()> {
        if self.fault == Some(fault) { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

struct Shared(Arc<std::sync::Mutex<Keeping>>);

impl Transport for Shared {
    fn poll_read(&mut self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut keeping = self.0.lock().expect("nobody panics while holding it");
        keeping.check(Fault::Read)?;
        let n = buffer.len().min(keeping.input.len());
        match keeping.ended {
            true if n == 0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            false if n == 0 => return Poll::Pending,
            _ => buffer[..n].copy_from_slice(&keeping.input[..n]),
        }
        keeping.input.drain(..n);
        Poll::Ready(Ok(n))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut keeping = self.0.lock().expect("nobody panics while holding it");
        keeping.check(Fault::Write)?;
        if keeping.fault == Some(Fault::TakesNothing) {
            return Poll::Ready(Ok(0));
        }
        keeping.kept.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut keeping = self.0.lock().expect("nobody panics while holding it");
        keeping.check(Fault::Flush)?;
        if keeping.blocked {
            return Poll::Pending;
        }
        let kept = std::mem::take(&mut keeping.kept);
        keeping.output.extend(kept);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

fn connection(wire: &Arc<std::sync::Mutex<Keeping>>) -> ServerConnection<Shared, Still> {
    let listener = Arc::new(ListenerConfig::new(Secret::new(SECRET)));
    let id = StreamId::from_text("stream1").expect("letters and digits");
    ServerConnection::new(switch(&["host.example"]), listener, id, Shared(Arc::clone(wire)), Still)
}

struct Still;

impl Timer for Still {
    fn now(&self) -> Instant {
        Instant::ORIGIN
    }

    fn unix(&self) -> Duration {
        Duration::ZERO
    }

    fn poll_at(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<()> {
        Poll::Pending
    }
}

/// Found when TLS came: with a full socket, its last records stayed in its buffer until something else was written.
#[test]
fn what_was_taken_is_brought_out_once_that_goes_on() {
    let wire = Arc::new(std::sync::Mutex::new(Keeping::default()));
    let at = |wire: &Arc<std::sync::Mutex<Keeping>>| {
        let keeping = wire.lock().expect("nobody panics while holding it");
        String::from_utf8_lossy(&keeping.output).into_owned()
    };
    let set = |change: &dyn Fn(&mut Keeping)| change(&mut wire.lock().expect("nobody panics"));
    let mut connection = connection(&wire);
    let mut cx = Context::from_waker(Waker::noop());

    set(&|wire| {
        wire.input.extend_from_slice(header("comp.example", "").as_bytes());
        wire.blocked = true;
    });
    assert!(connection.poll_event(&mut cx).is_pending());
    assert_eq!(at(&wire), "", "it is blocked");
    set(&|wire| wire.blocked = false);
    assert!(connection.poll_event(&mut cx).is_pending());
    assert!(at(&wire).contains("id='stream1'"), "{}", at(&wire));

    set(&|wire| wire.input.extend_from_slice(handshake("stream1").as_bytes()));
    let Poll::Ready(Some(ConnectionEvent::Bound { .. })) = connection.poll_event(&mut cx) else {
        panic!("not bound")
    };
    assert!(connection.poll_event(&mut cx).is_pending());
    assert!(at(&wire).ends_with("<handshake/>"), "{}", at(&wire));

    set(&|wire| wire.ended = true);
    let Poll::Ready(Some(ConnectionEvent::Closed { reason: end, .. })) = connection.poll_event(&mut cx)
    else {
        panic!("no end")
    };
    assert!(matches!(end, CloseReason::ByPeer), "{end}");
    assert!(at(&wire).ends_with("</stream:stream>"), "{}", at(&wire));
}

#[test]
fn a_connection_that_breaks_is_unbound_and_says_how_it_broke() {
    for (fault, kind) in [
        (Fault::Read, io::ErrorKind::ConnectionReset),
        (Fault::Write, io::ErrorKind::ConnectionReset),
        (Fault::TakesNothing, io::ErrorKind::WriteZero),
        (Fault::Flush, io::ErrorKind::ConnectionReset),
    ] {
        let wire = Arc::new(std::sync::Mutex::new(Keeping::default()));
        let set = |change: &dyn Fn(&mut Keeping)| change(&mut wire.lock().expect("nobody panics"));
        let mut connection = connection(&wire);
        assert_eq!(connection.id(), PortId(0), "it is the first of its switch");
        let mut cx = Context::from_waker(Waker::noop());
        set(&|wire| {
            wire.input.extend_from_slice(header("comp.example", "").as_bytes());
            wire.input.extend_from_slice(handshake("stream1").as_bytes());
        });
        let Poll::Ready(Some(ConnectionEvent::Bound { .. })) = connection.poll_event(&mut cx) else {
            panic!("not bound")
        };
        assert!(connection.poll_event(&mut cx).is_pending());

        // There is something to say, and something to read.
        set(&|wire| {
            wire.input.extend_from_slice(b"<message id='1'/>");
            wire.fault = Some(fault);
        });
        let end = loop {
            match connection.poll_event(&mut cx) {
                Poll::Ready(Some(ConnectionEvent::Closed { reason: end, .. })) => break end,
                Poll::Ready(Some(ConnectionEvent::Rejected(_))) => {}
                other => panic!("{fault:?}: {other:?}"),
            }
        };
        assert!(
            matches!(&end, CloseReason::Broken(broken) if *broken == kind.to_string()),
            "{fault:?}: {end}"
        );
        assert!(matches!(connection.poll_event(&mut cx), Poll::Ready(None)), "{fault:?}: it goes on");
    }
}
