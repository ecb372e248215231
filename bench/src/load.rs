//! Sends, receives and measures, in one thread.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use memchr::memmem;
use mio::net::TcpStream as Socket;
use mio::{Events, Interest, Poll, Token};

use crate::outcome::{GroupOutcome, Outcome};
use crate::pace::{Pace, Timetable};
use crate::payload::{Payload, parse_id};
use crate::process::cpu_seconds;
use crate::shape::Work;
use crate::wire::{Conn, attribute, connect};

/// A stanza that does not come for so long is lost.
const LOST: Duration = Duration::from_secs(5);
/// An open loop gives up when this many stanzas are outstanding.
const MOST_BACKLOG: u64 = 1 << 20;

/// The server that is loaded.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) secret: String,
    /// What the components' names are under.
    pub(crate) domain: String,
    /// Where those whose names begin with `b` connect instead: a server behind that one.
    pub(crate) behind: Option<SocketAddr>,
    /// Its process, where that is known.
    pub(crate) pid: Option<u32>,
}

impl Target {
    /// The domains of components of these names.
    pub(crate) fn domains(&self, names: &[String]) -> Vec<String> {
        names.iter().map(|name| format!("{name}.{}", self.domain)).collect()
    }

    /// The server's CPU seconds so far, where its process is known.
    pub(crate) fn cpu_seconds(&self) -> io::Result<Option<f64>> {
        self.pid.map(cpu_seconds).transpose()
    }
}

struct Load {
    conns: Vec<Conn>,
    flows: Vec<Flow>,
    groups: Vec<Running>,
    payload: Payload,
    dirty: Vec<usize>,
    /// Connections that may have something to read, those of timetables first.
    ready: Vec<Ready>,
    /// Stanzas sent and not received.
    outstanding: u64,
    /// No further ones are sent.
    ending: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ready {
    /// `false` comes first.
    closed_loop: bool,
    conn: usize,
    /// The other side has shut its own, so a short read has not emptied the socket.
    ending: bool,
}

struct Flow {
    group: usize,
    from: usize,
    to: usize,
    addresses: Vec<u8>,
    sent: u64,
    received: u64,
    /// Since when each that is outstanding counts.
    since: VecDeque<Instant>,
}

struct Running {
    name: &'static str,
    flows: Range<usize>,
    pace: Pace,
    /// Whose turn it is, where they take turns.
    next: usize,
    table: Option<Timetable>,
    latency: Histogram<u64>,
    lateness: Histogram<u64>,
    received: u64,
}

fn wrong(what: &str, bytes: &[u8]) -> io::Error {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
    io::Error::other(format!("{what}: {shown}"))
}

fn nanos(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_nanos()).unwrap_or(u64::MAX)
}

/// Does the work; `tick` is told now and then what part of it is done.
pub(crate) fn run(target: &Target, work: &Work, tick: &dyn Fn(f64)) -> io::Result<Outcome> {
    work.check()?;
    let domains = target.domains(&work.names);
    let mut poll = Poll::new()?;
    let mut conns = Vec::new();
    let is_behind = |name: &&String| target.behind.is_some() && name.starts_with('b');
    // Those behind come last in all that have any.
    let (behind, before): (Vec<_>, Vec<_>) = domains.iter().partition(is_behind);
    let at = |address, names: Vec<&String>| {
        connect(address, &target.secret, &names.into_iter().cloned().collect::<Vec<_>>())
    };
    let mut sockets = at(target.address, before)?;
    sockets.extend(at(target.behind.unwrap_or(target.address), behind)?);
    for (index, socket) in sockets.into_iter().enumerate() {
        socket.set_nonblocking(true)?;
        let mut socket = Socket::from_std(socket);
        poll.registry().register(&mut socket, Token(index), Interest::READABLE | Interest::WRITABLE)?;
        conns.push(Conn::new(socket));
    }
    let mut load = Load::new(conns, work, &domains)?;
    let warm = Duration::from_secs_f64(work.seconds / 5.0);
    let measured = Duration::from_secs_f64(work.seconds);
    let all = (warm + measured).as_secs_f64();
    let start = Instant::now();
    load.begin(start)?;
    let told = |now: Instant| tick((now - start).as_secs_f64() / all);
    load.go_on(&mut poll, start + warm, &told)?;
    load.forget();
    let me = std::process::id();
    let (cpu, own, begun) = (target.cpu_seconds()?, cpu_seconds(me)?, Instant::now());
    load.go_on(&mut poll, begun + measured, &told)?;
    let seconds = begun.elapsed().as_secs_f64();
    let server_cpu = target.cpu_seconds()?.zip(cpu).map(|(after, before)| after - before);
    let own_cpu = cpu_seconds(me)? - own;
    let received: Vec<u64> = load.groups.iter().map(|group| group.received).collect();
    load.drain(&mut poll)?;
    let groups = load.groups.into_iter().zip(received).map(|(group, received)| GroupOutcome {
        name: group.name,
        received,
        latency: group.latency,
        lateness: group.table.map(|_| group.lateness),
    });
    Ok(Outcome { seconds, server_cpu, own_cpu, groups: groups.collect() })
}

impl Load {
    fn new(conns: Vec<Conn>, work: &Work, domains: &[String]) -> io::Result<Self> {
        let (mut flows, mut groups) = (Vec::new(), Vec::new());
        for (index, group) in work.groups.iter().enumerate() {
            let first = flows.len();
            flows.extend(group.flows.iter().map(|&(from, to)| Flow {
                group: index,
                from,
                to,
                addresses: format!(" from='{}' to='{}'", domains[from], domains[to]).into_bytes(),
                sent: 0,
                received: 0,
                since: VecDeque::new(),
            }));
            let empty = Histogram::new(3).map_err(io::Error::other)?;
            groups.push(Running {
                name: group.name,
                flows: first..flows.len(),
                pace: group.pace,
                next: 0,
                table: None,
                latency: empty.clone(),
                lateness: empty,
                received: 0,
            });
        }
        let payload = work.payload.clone();
        Ok(Self {
            conns,
            flows,
            groups,
            payload,
            dirty: Vec::new(),
            ready: Vec::new(),
            outstanding: 0,
            ending: false,
        })
    }

    fn begin(&mut self, now: Instant) -> io::Result<()> {
        for index in 0..self.groups.len() {
            match self.groups[index].pace {
                Pace::Open { rate } => self.groups[index].table = Some(Timetable::new(now, rate)),
                Pace::Closed { window } => {
                    for flow in self.groups[index].flows.clone() {
                        for _ in 0..window {
                            self.send(flow, now)?;
                        }
                    }
                }
                Pace::InTurn { outstanding } => {
                    for _ in 0..outstanding {
                        self.send_in_turn(index, now)?;
                    }
                }
            }
        }
        self.flush()
    }

    /// What was measured up to now was the warming up.
    fn forget(&mut self) {
        for group in &mut self.groups {
            group.latency.clear();
            group.lateness.clear();
            group.received = 0;
        }
    }

    /// Composes a stanza whose latency counts from `since`.
    fn send(&mut self, index: usize, since: Instant) -> io::Result<()> {
        let flow = &mut self.flows[index];
        let out = &mut self.conns[flow.from].out;
        if out.is_empty() {
            self.dirty.push(flow.from);
        }
        self.payload.write(out, index, flow.sent, &flow.addresses)?;
        flow.since.push_back(since);
        flow.sent += 1;
        self.outstanding += 1;
        Ok(())
    }

    /// The same by the group's next flow.
    fn send_in_turn(&mut self, group: usize, since: Instant) -> io::Result<()> {
        let group = &mut self.groups[group];
        let flow = group.flows.start + group.next;
        group.next = (group.next + 1) % group.flows.len();
        self.send(flow, since)
    }

    fn send_what_is_due(&mut self, now: Instant) -> io::Result<()> {
        for index in 0..self.groups.len() {
            while let Some((number, at)) = self.groups[index].table.as_mut().and_then(|table| table.due(now))
            {
                let group = &mut self.groups[index];
                group.lateness.record(nanos(at, now)).map_err(io::Error::other)?;
                let flow = group.flows.start + number as usize % group.flows.len();
                self.send(flow, at)?;
            }
        }
        if self.outstanding > MOST_BACKLOG && self.timetables().next().is_some() {
            let text = format!(
                "{} stanzas are outstanding: the server does not keep up with the rate",
                self.outstanding
            );
            return Err(io::Error::other(text));
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        while let Some(index) = self.dirty.pop() {
            self.conns[index].flush()?;
        }
        Ok(())
    }

    /// How long nothing is to be sent. The kernel counts in whole milliseconds and comes late, so the last two are
    /// spent awake.
    fn rest(&self, now: Instant, end: Instant) -> Duration {
        if !self.ready.is_empty() {
            return Duration::ZERO;
        }
        let tables = self.groups.iter().filter(|_| !self.ending).filter_map(|group| group.table.as_ref());
        let Some(next) = tables.map(Timetable::next_at).min() else {
            return (end.saturating_duration_since(now)).min(Duration::from_millis(100));
        };
        let millis = next.min(end).saturating_duration_since(now).as_millis().saturating_sub(2);
        Duration::from_millis(millis.min(100) as u64)
    }

    fn go_on(&mut self, poll: &mut Poll, end: Instant, told: &dyn Fn(Instant)) -> io::Result<()> {
        // Small pieces, so that what goes by a timetable never waits for long behind a flood in this process.
        let piece = if self.timetables().next().is_some() { 8 } else { 64 };
        let (mut events, mut scratch) = (Events::with_capacity(256), vec![0; piece * 1024]);
        let mut heard = Instant::now();
        let mut tell = heard;
        loop {
            let now = Instant::now();
            if now >= end || (self.ending && self.outstanding == 0) {
                return Ok(());
            }
            if now >= tell {
                told(now);
                tell = now + Duration::from_millis(100);
            }
            if !self.ending {
                self.send_what_is_due(now)?;
            }
            self.flush()?;
            poll.poll(&mut events, Some(self.rest(now, end)))?;
            if !events.is_empty() || !self.ready.is_empty() || self.outstanding == 0 {
                heard = now;
            } else if now - heard > LOST {
                return Err(io::Error::other(format!("no stanza came for {LOST:?}: one is lost")));
            }
            for event in &events {
                let conn = event.token().0;
                if event.is_writable() {
                    self.conns[conn].flush()?;
                }
                if event.is_readable() {
                    self.ready.retain(|ready| ready.conn != conn);
                    let closed_loop = self.is_of_closed_loops(conn);
                    self.ready.push(Ready { closed_loop, conn, ending: event.is_read_closed() });
                }
            }
            self.read_a_piece_of_each(&mut scratch)?;
        }
    }

    /// Does this connection receive nothing that goes by a timetable?
    fn is_of_closed_loops(&self, conn: usize) -> bool {
        self.timetables().all(|group| !self.flows[group.flows.clone()].iter().any(|flow| flow.to == conn))
    }

    fn timetables(&self) -> impl Iterator<Item = &Running> {
        self.groups.iter().filter(|group| group.table.is_some())
    }

    fn read_a_piece_of_each(&mut self, scratch: &mut [u8]) -> io::Result<()> {
        self.ready.sort_unstable();
        for ready in std::mem::take(&mut self.ready) {
            if self.read(ready, scratch)? {
                self.ready.push(ready);
            }
        }
        Ok(())
    }

    /// Reads once, and says whether there may be more.
    fn read(&mut self, Ready { conn, ending, .. }: Ready, scratch: &mut [u8]) -> io::Result<bool> {
        let Some(n) = self.conns[conn].read(scratch)? else { return Ok(false) };
        if n == 0 {
            return Err(io::Error::other("the server closed a connection"));
        }
        self.take(conn, &scratch[..n])?;
        Ok(ending || n == scratch.len())
    }

    /// Waits for what an open loop has sent: those that come last are those that took longest.
    fn drain(&mut self, poll: &mut Poll) -> io::Result<()> {
        self.ending = true;
        if self.timetables().next().is_none() {
            return Ok(());
        }
        self.go_on(poll, Instant::now() + 2 * LOST, &|_| ())?;
        match self.outstanding {
            0 => Ok(()),
            left => Err(io::Error::other(format!("{left} stanzas did not come within {:?}", 2 * LOST))),
        }
    }

    fn take(&mut self, index: usize, read: &[u8]) -> io::Result<()> {
        let now = Instant::now();
        let mut kept = std::mem::take(&mut self.conns[index].input);
        let bytes = if kept.is_empty() {
            read
        } else {
            kept.extend_from_slice(read);
            &kept
        };
        let mut used = 0;
        loop {
            // Blanks keep connections alive.
            used += bytes[used..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let Some(length) = (self.payload.cut)(&bytes[used..]) else { break };
            let stanza = &bytes[used..used + length];
            // A server asks a component behind an uplink whether it is there.
            if memmem::find(stanza, b"'enjamb-loop-").is_none() {
                self.arrived(index, stanza, now)?;
            }
            used += length;
        }
        let rest = &bytes[used..];
        if rest.starts_with(b"<stream:") || rest.starts_with(b"</stream:") {
            return Err(wrong("the server ends the stream", rest));
        }
        self.conns[index].input = rest.to_vec();
        Ok(())
    }

    fn arrived(&mut self, conn: usize, stanza: &[u8], now: Instant) -> io::Result<()> {
        if attribute(stanza, b" type=").is_some_and(|kind| kind == b"error") {
            return Err(wrong("a bounce", stanza));
        }
        let Some((index, number)) = attribute(stanza, b" id=").and_then(parse_id) else {
            return Err(wrong("an unknown id", stanza));
        };
        let flow = self.flows.get_mut(index).filter(|flow| flow.to == conn && flow.received == number);
        let Some((flow, since)) = flow.and_then(|flow| flow.since.pop_front().map(|since| (flow, since)))
        else {
            return Err(wrong("an id that is unknown, out of order or at the wrong receiver", stanza));
        };
        flow.received += 1;
        self.outstanding -= 1;
        let at = flow.group;
        let group = &mut self.groups[at];
        group.received += 1;
        group.latency.record(nanos(since, now)).map_err(io::Error::other)?;
        match group.pace {
            _ if self.ending => Ok(()),
            Pace::Closed { .. } => self.send(index, now),
            Pace::InTurn { .. } => self.send_in_turn(at, now),
            Pace::Open { .. } => Ok(()),
        }
    }
}
