//! What the drive loop asks of bytes that are wrapped, as TLS wraps them: what was taken is brought out, and an end
//! without a farewell is an end.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use enjamb_core::rt::{Connection, End, Listener, Notice, Timer, Transport};
use enjamb_core::{Instant, Secret, StreamId};
use enjamb_tests::sim::{SECRET, handshake, header, switch};

/// Keeps what it takes until it is flushed, which it may not be yet.
#[derive(Default)]
struct Keeping {
    input: Vec<u8>,
    ended: bool,
    kept: Vec<u8>,
    blocked: bool,
    output: Vec<u8>,
}

struct Shared(Arc<std::sync::Mutex<Keeping>>);

impl Transport for Shared {
    fn poll_read(&mut self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut keeping = self.0.lock().expect("nobody panics while holding it");
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
        self.0.lock().expect("nobody panics while holding it").kept.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut keeping = self.0.lock().expect("nobody panics while holding it");
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

struct Still;

impl Timer for Still {
    fn now(&self) -> Instant {
        Instant::ORIGIN
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
    let listener = Arc::new(Listener::new(Secret::new(SECRET)));
    let id = StreamId::from_text("stream1").expect("letters and digits");
    let mut connection =
        Connection::new(switch(&["host.example"]), listener, id, Shared(Arc::clone(&wire)), Still);
    let mut cx = Context::from_waker(Waker::noop());

    set(&|wire| {
        wire.input.extend_from_slice(header("comp.example", "").as_bytes());
        wire.blocked = true;
    });
    assert!(connection.poll_notice(&mut cx).is_pending());
    assert_eq!(at(&wire), "", "it is blocked");
    set(&|wire| wire.blocked = false);
    assert!(connection.poll_notice(&mut cx).is_pending());
    assert!(at(&wire).contains("id='stream1'"), "{}", at(&wire));

    set(&|wire| wire.input.extend_from_slice(handshake("stream1").as_bytes()));
    let Poll::Ready(Some(Notice::Bound { .. })) = connection.poll_notice(&mut cx) else {
        panic!("not bound")
    };
    assert!(connection.poll_notice(&mut cx).is_pending());
    assert!(at(&wire).ends_with("<handshake/>"), "{}", at(&wire));

    set(&|wire| wire.ended = true);
    let Poll::Ready(Some(Notice::Ended { end, .. })) = connection.poll_notice(&mut cx) else {
        panic!("no end")
    };
    assert!(matches!(end, End::ByPeer), "{end}");
    assert!(at(&wire).ends_with("</stream:stream>"), "{}", at(&wire));
}
