//! An echo component without any async: `echo-threads ADDRESS DOMAIN SECRET`.
//!
//! One blocking socket, and the core's machine driven by hand. If a program has other work to do, this is the body of a
//! thread.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant as Clock, SystemTime};

use enjamb_core::connection::{
    Budget, ClientConnection, ClientConnectionEvent, CloseReason, Next, Transmit, Written,
};
use enjamb_core::jid::Domain;
use enjamb_core::{Instant, Limits, Now, Secret};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let [address, domain, secret] = std::array::from_fn(|n| std::env::args().nth(n + 1).unwrap_or_default());
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let begun = Clock::now();
    let now = || Now {
        monotonic: Instant::from_origin(begun.elapsed()),
        unix: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
    };
    let (domain, limits) = (Domain::parse(&domain)?, Arc::new(Limits::default()));
    let mut echo = ClientConnection::new(domain, false, Secret::new(secret), limits, now());
    let (mut input, mut outbox) = (Vec::new(), Vec::new());
    let mut reason = None;
    loop {
        let progress = echo.process(now(), &input, &mut Budget::default(), |stanza| {
            if let Some(back) = stanza.turned_back() {
                back.append_to(&mut outbox);
            }
            true
        });
        input.drain(..progress.consumed);
        while let Some(event) = echo.poll_event() {
            if let ClientConnectionEvent::Closed(why) = event {
                reason = Some(why);
            }
        }
        echo.send(&mut outbox);
        match echo.poll_output() {
            Transmit::Bytes(bytes) => {
                let n = socket.write(bytes)?;
                echo.wrote(now(), Written::Bytes(n));
            }
            Transmit::Shutdown => {
                socket.shutdown(Shutdown::Write)?;
                echo.wrote(now(), Written::Shut);
            }
            Transmit::Nothing if progress.next == Next::More => {}
            Transmit::Nothing => read(&mut socket, &mut echo, &mut input, now())?,
            Transmit::Done => break,
        }
        if echo.poll_timeout().is_some_and(|at| at <= now().monotonic) {
            echo.handle_timeout(now());
        }
    }
    match reason {
        Some(CloseReason::Error(error)) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Reads until something comes, or the connection's time has come.
fn read(
    socket: &mut TcpStream,
    echo: &mut ClientConnection,
    input: &mut Vec<u8>,
    now: Now,
) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    let allowed = echo.read_budget(now).min(buffer.len());
    let wait = echo.poll_timeout().map(|at| at.since(now.monotonic).max(Duration::from_millis(1)));
    socket.set_read_timeout(wait)?;
    match socket.read(&mut buffer[..allowed]) {
        Ok(0) => echo.handle_eof(now),
        Ok(n) => input.extend_from_slice(&buffer[..n]),
        // No bytes in time.
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}
