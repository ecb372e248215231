//! The closed loop: so many stanzas outstanding for each sender, the next one sent for each that arrives.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use memchr::memmem;
use mio::net::TcpStream as Socket;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};

use crate::process::cpu_seconds;
use crate::wire::{Conn, attribute, connect, message_end};

/// What is sent, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Senders, each with a receiver of its own.
    pub(crate) pairs: usize,
    /// Stanzas outstanding for each.
    pub(crate) window: usize,
    /// Bytes of body.
    pub(crate) body: usize,
    /// All send to one receiver.
    pub(crate) fan_in: bool,
    /// Seconds measured, after a fifth of it to warm up.
    pub(crate) seconds: f64,
}

struct Sender {
    conn: usize,
    to: String,
    /// Stanzas sent and received.
    sent: u64,
    received: u64,
    /// When the last was composed; a latency only with one outstanding.
    composed: Instant,
}

struct Load {
    shape: Shape,
    conns: Vec<Conn>,
    senders: Vec<Sender>,
    body: Vec<u8>,
    dirty: Vec<usize>,
    latency: Histogram<u64>,
}

fn wrong(what: &str, bytes: &[u8]) -> io::Error {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]);
    io::Error::other(format!("{what}: {shown}"))
}

/// Runs the closed loop and gives what it cost.
pub(crate) fn run(server: SocketAddr, secret: &str, pid: u32, shape: Shape) -> io::Result<Value> {
    let receivers = if shape.fan_in { 1 } else { shape.pairs };
    let name = |kind: &str, index: usize| format!("{kind}{index}.localhost");
    let mut domains: Vec<_> = (0..shape.pairs).map(|index| name("a", index)).collect();
    domains.extend((0..receivers).map(|index| name("b", index)));
    let mut poll = Poll::new()?;
    let mut conns = Vec::new();
    for (index, socket) in connect(server, secret, &domains)?.into_iter().enumerate() {
        socket.set_nonblocking(true)?;
        let mut socket = Socket::from_std(socket);
        poll.registry().register(&mut socket, Token(index), Interest::READABLE | Interest::WRITABLE)?;
        conns.push(Conn::new(socket));
    }
    let senders = (0..shape.pairs).map(|conn| Sender {
        conn,
        to: name("b", if shape.fan_in { 0 } else { conn }),
        sent: 0,
        received: 0,
        composed: Instant::now(),
    });
    let latency = Histogram::new(3).map_err(io::Error::other)?;
    let mut load = Load {
        shape,
        conns,
        senders: senders.collect(),
        body: vec![b'x'; shape.body],
        dirty: Vec::new(),
        latency,
    };
    for index in 0..shape.pairs {
        for _ in 0..shape.window {
            load.send(index)?;
        }
        load.conns[index].flush()?;
    }
    load.go_on_for(&mut poll, Duration::from_secs_f64(shape.seconds / 5.0))?;
    let me = std::process::id();
    load.latency.clear();
    let (received, cpu, own) = (load.received(), cpu_seconds(pid)?, cpu_seconds(me)?);
    let begun = Instant::now();
    load.go_on_for(&mut poll, Duration::from_secs_f64(shape.seconds))?;
    let elapsed = begun.elapsed().as_secs_f64();
    let stanzas = (load.received() - received) as f64;
    let (cpu, own) = (cpu_seconds(pid)? - cpu, cpu_seconds(me)? - own);
    let micros = |quantile| load.latency.value_at_quantile(quantile) as f64 / 1000.0;
    Ok(json!({
        "per_cpu_second": stanzas / cpu.max(0.01),
        "per_second": stanzas / elapsed,
        "server_share": cpu / elapsed,
        "generator_share": own / elapsed,
        "p50_us": micros(0.5),
        "p99_us": micros(0.99),
    }))
}

impl Load {
    fn received(&self) -> u64 {
        self.senders.iter().map(|sender| sender.received).sum()
    }

    fn send(&mut self, index: usize) -> io::Result<()> {
        let sender = &mut self.senders[index];
        if self.shape.window == 1 {
            sender.composed = Instant::now();
        }
        let out = &mut self.conns[sender.conn].out;
        if out.is_empty() {
            self.dirty.push(sender.conn);
        }
        write!(
            out,
            "<message from='a{index}.localhost' to='{}' id='{index:04x}{:012x}' type='chat'><body>",
            sender.to, sender.sent
        )?;
        out.extend_from_slice(&self.body);
        out.extend_from_slice(b"</body></message>");
        sender.sent += 1;
        Ok(())
    }

    fn go_on_for(&mut self, poll: &mut Poll, time: Duration) -> io::Result<()> {
        let (mut events, mut scratch) = (Events::with_capacity(256), vec![0; 64 * 1024]);
        let (end, mut heard) = (Instant::now() + time, Instant::now());
        while Instant::now() < end {
            poll.poll(&mut events, Some(Duration::from_millis(100)))?;
            if !events.is_empty() {
                heard = Instant::now();
            } else if heard.elapsed() > Duration::from_secs(5) {
                return Err(io::Error::other("no stanza came for 5 s: one is lost"));
            }
            for event in &events {
                let index = event.token().0;
                if event.is_writable() {
                    self.conns[index].flush()?;
                }
                while event.is_readable() {
                    let Some(n) = self.conns[index].read(&mut scratch)? else { break };
                    if n == 0 {
                        return Err(io::Error::other("the server closed a connection"));
                    }
                    self.take(index, &scratch[..n])?;
                    if n < scratch.len() && !event.is_read_closed() {
                        break;
                    }
                }
            }
            while let Some(index) = self.dirty.pop() {
                self.conns[index].flush()?;
            }
        }
        Ok(())
    }

    fn take(&mut self, index: usize, read: &[u8]) -> io::Result<()> {
        let mut kept = std::mem::take(&mut self.conns[index].input);
        let bytes = if kept.is_empty() {
            read
        } else {
            kept.extend_from_slice(read);
            &kept
        };
        let mut used = 0;
        while let Some(length) = message_end(&bytes[used..]) {
            self.arrived(&bytes[used..used + length])?;
            used += length;
        }
        if bytes.len() > used && !b"<message".starts_with(&bytes[used..bytes.len().min(used + 8)]) {
            return Err(wrong("something that is no message", &bytes[used..]));
        }
        self.conns[index].input = bytes[used..].to_vec();
        Ok(())
    }

    fn arrived(&mut self, stanza: &[u8]) -> io::Result<()> {
        let tag = &stanza[..memchr::memchr(b'>', stanza).unwrap_or(stanza.len())];
        if !tag.starts_with(b"<message") || memmem::find(tag, b"error").is_some() {
            return Err(wrong("a bounce, or no message", stanza));
        }
        let id = attribute(stanza, b" id=").and_then(|id| std::str::from_utf8(id).ok()).unwrap_or_default();
        let parse = |digits: Option<&str>| digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let (Some(index), Some(number)) = (parse(id.get(..4)), parse(id.get(4..))) else {
            return Err(wrong("an unknown id", stanza));
        };
        let index = index as usize;
        match self.senders.get_mut(index) {
            Some(sender) if sender.received == number && number < sender.sent => {
                sender.received += 1;
                if self.shape.window == 1 {
                    let nanos = sender.composed.elapsed().as_nanos() as u64;
                    self.latency.record(nanos).map_err(io::Error::other)?;
                }
            }
            _ => return Err(wrong("an id that is unknown or out of order", stanza)),
        }
        self.send(index)
    }
}
