//! An echo component without any async: `echo-threads ADDRESS DOMAIN SECRET`.
//!
//! One blocking socket, and the core's state machines driven by hand. Where a program has other work to do, this is
//! the body of a thread.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use enjamb_core::jid::Domain;
use enjamb_core::stream::{ClientEvent, Initiating, Initiator};
use enjamb_core::{Instant, Limits, Secret};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A socket, what came and is not consumed, and what is to be sent.
struct Wire {
    socket: TcpStream,
    begun: std::time::Instant,
    input: Vec<u8>,
    out: Vec<u8>,
}

impl Wire {
    fn now(&self) -> Instant {
        Instant::from_origin(self.begun.elapsed())
    }

    /// Writes what is to be sent, then reads until something comes or `at` has come; false at the end.
    fn turn(&mut self, at: Option<Instant>) -> io::Result<bool> {
        self.socket.write_all(&self.out)?;
        self.out.clear();
        let shortest = Duration::from_millis(1);
        let wait = at.map(|at| at.since(self.now()).max(shortest));
        self.socket.set_read_timeout(wait)?;
        let mut buffer = [0; 16 * 1024];
        match self.socket.read(&mut buffer) {
            Ok(n) => {
                self.input.extend_from_slice(&buffer[..n]);
                Ok(n > 0)
            }
            // No bytes in time: the caller sees to what is due.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

fn main() -> Outcome<()> {
    let [address, domain, secret] = std::array::from_fn(|n| std::env::args().nth(n + 1).unwrap_or_default());
    let socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let begun = std::time::Instant::now();
    let mut wire = Wire { socket, begun, input: Vec::new(), out: Vec::new() };

    let (domain, secret, limits) =
        (Domain::parse(&domain)?, Secret::new(secret), Arc::new(Limits::default()));
    let mut initiator = Initiator::connect(domain, false, secret, limits, wire.now(), &mut wire.out);
    let mut stream = loop {
        let (consumed, next) = initiator.process(wire.now(), &wire.input, &mut wire.out);
        wire.input.drain(..consumed);
        initiator = match next {
            Initiating::Reading(initiator) => initiator,
            Initiating::Established(stream) => break stream,
            Initiating::Failed(error) => return Err(error.into()),
        };
        if !wire.turn(Some(initiator.poll_timeout()))? {
            return Err("the server closed the connection".into());
        }
        initiator.handle_timeout(wire.now(), &mut wire.out)?;
    };

    loop {
        let mut consumed = 0;
        loop {
            let step = stream.process(wire.now(), &wire.input[consumed..], &mut wire.out)?;
            consumed += step.consumed;
            match step.event {
                Some(ClientEvent::Stanza(stanza)) => {
                    if let Some(back) = stanza.turned_back() {
                        back.append_to(&mut wire.out);
                    }
                }
                Some(_) => {}
                None => break,
            }
        }
        wire.input.drain(..consumed);
        if stream.is_closed() || !wire.turn(stream.poll_timeout())? {
            return Ok(wire.socket.write_all(&wire.out)?);
        }
        if let Err(error) = stream.handle_timeout(wire.now(), &mut wire.out) {
            wire.socket.write_all(&wire.out)?;
            return Err(error.into());
        }
    }
}
