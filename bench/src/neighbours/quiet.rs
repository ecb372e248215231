//! The components that are attacked: a pair that exchanges one message at a time, another that exchanges large ones now
//! and then, and newcomers.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use memchr::memmem;

use crate::load::Target;
use crate::wire::connect;

/// Between two messages of the pair.
const INTERVAL: Duration = Duration::from_millis(10);
/// Between two large stanzas, and two newcomers.
const PAUSE: Duration = Duration::from_millis(300);
/// Bytes of a large stanza's body.
const LARGE: usize = 200_000;
/// A stanza that does not come for so long is lost.
const LOST: Duration = Duration::from_secs(30);

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn empty() -> io::Result<Histogram<u64>> {
    Histogram::new(3).map_err(io::Error::other)
}

/// Two components of these names.
fn two(target: &Target, names: [&str; 2]) -> io::Result<[TcpStream; 2]> {
    let sockets = connect(target.address, &target.secret, &target.domains(&names.map(String::from)))?;
    for socket in &sockets {
        socket.set_read_timeout(Some(LOST))?;
    }
    sockets.try_into().map_err(|_| io::Error::other("not two connections"))
}

/// Reads one stanza with this id; all else is a fault.
fn receive(socket: &mut TcpStream, id: &str) -> io::Result<()> {
    let (mut read, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        let n = match socket.read(&mut buffer) {
            Ok(0) => return Err(io::Error::other("the server closed a connection of the quiet ones")),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::Error::other(format!("no stanza came for {LOST:?}: one is lost")));
            }
            Err(error) => return Err(error),
        };
        read.extend_from_slice(&buffer[..n]);
        let start = read.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let stanza = &read[start..];
        if stanza.is_empty() {
            read.clear();
            continue;
        }
        if stanza.starts_with(b"<stream:") || memmem::find(stanza, b"type='error'").is_some() {
            let shown = String::from_utf8_lossy(&stanza[..stanza.len().min(300)]);
            return Err(io::Error::other(format!("the quiet ones got {shown}")));
        }
        if stanza.ends_with(b"</message>") {
            let right = memmem::find(stanza, format!("id='{id}'").as_bytes()).is_some();
            return if right { Ok(()) } else { Err(io::Error::other(format!("not the message {id}"))) };
        }
    }
}

/// Each message from when it is written to when it is read whole, one at a time, each way in turn. A message that holds
/// up those after it counts for them as well.
pub(super) fn pair(target: &Target, until: Instant) -> io::Result<Histogram<u64>> {
    let mut sockets = two(target, ["quiet0", "quiet1"])?;
    let mut latency = empty()?;
    let mut due = Instant::now();
    let mut number = 0;
    while due < until {
        sleep(due.saturating_duration_since(Instant::now()));
        let from = number % 2;
        let to = format!("quiet{}.{}", 1 - from, target.domain);
        let text = format!("<message to='{to}' id='{number}'><body>How are you?</body></message>");
        let begun = Instant::now();
        sockets[from].write_all(text.as_bytes())?;
        receive_bounce_or(&mut sockets, 1 - from, &number.to_string())?;
        latency.record_correct(nanos(begun.elapsed()), nanos(INTERVAL)).map_err(io::Error::other)?;
        due = (due + INTERVAL).max(Instant::now());
        number += 1;
    }
    Ok(latency)
}

/// Receives; if nothing came, says what the sender was told.
fn receive_bounce_or(sockets: &mut [TcpStream; 2], to: usize, id: &str) -> io::Result<()> {
    let Err(error) = receive(&mut sockets[to], id) else { return Ok(()) };
    sockets[1 - to].set_read_timeout(Some(Duration::from_millis(100)))?;
    match receive(&mut sockets[1 - to], id) {
        Err(told) => Err(io::Error::other(format!("{error}; the sender: {told}"))),
        Ok(()) => Err(error),
    }
}

/// Large stanzas that arrive in two pieces, to a receiver for which nothing else waits.
pub(super) fn large(target: &Target, until: Instant) -> io::Result<Histogram<u64>> {
    let mut sockets = two(target, ["large0", "large1"])?;
    let mut latency = empty()?;
    let body = "x".repeat(LARGE);
    let mut number = 0;
    while Instant::now() < until {
        let id = number.to_string();
        let text = format!("<message to='large1.{}' id='{id}'><body>{body}</body></message>", target.domain);
        let (first, second) = text.as_bytes().split_at(text.len() / 2);
        sockets[0].write_all(first)?;
        sleep(Duration::from_millis(50));
        let begun = Instant::now();
        sockets[0].write_all(second)?;
        receive_bounce_or(&mut sockets, 1, &id)?;
        latency.record(nanos(begun.elapsed())).map_err(io::Error::other)?;
        number += 1;
        sleep(PAUSE);
    }
    Ok(latency)
}

/// Components that connect, one after the other, until they are bound.
pub(super) fn newcomers(target: &Target, until: Instant) -> io::Result<Histogram<u64>> {
    let mut latency = empty()?;
    let mut number = 0;
    while Instant::now() < until {
        let begun = Instant::now();
        let bound = connect(target.address, &target.secret, &[format!("new{number}.{}", target.domain)])?;
        latency.record(nanos(begun.elapsed())).map_err(io::Error::other)?;
        drop(bound);
        number += 1;
        sleep(PAUSE);
    }
    Ok(latency)
}
