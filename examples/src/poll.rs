//! The poll loop of `listener-poll` and `embed-poll`: one thread, no runtime. mio says which sockets are ready, and the
//! core's `Connection` does the rest on a switch that the loop owns.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant as Clock, SystemTime};

use enjamb_core::connection::{Budget, Connection, Next, Transmit, Written};
use enjamb_core::router::PortId;
use enjamb_core::switch::{ListenerConfig, LocalSwitch, Switch};
use enjamb_core::{Instant, Now, StreamId};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX);

/// A component's connection, its socket, and the input that is not consumed yet.
struct Link {
    connection: Connection<LocalSwitch>,
    socket: TcpStream,
    input: Vec<u8>,
}

/// Accepts components on `address` for ever, and prints that address. `also` has a turn whenever the loop has one, for local
/// ports of the switch; it returns when it wants the next at the latest.
///
/// # Errors
/// The address or the poller can't be used.
pub fn serve(
    address: &str,
    switch: &LocalSwitch,
    listener: &Arc<ListenerConfig>,
    mut also: impl FnMut(Now) -> Option<Instant>,
) -> Result<(), Box<dyn Error>> {
    let mut socket = TcpListener::bind(address.parse()?)?;
    println!("{}", socket.local_addr()?);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut socket, LISTENER, Interest::READABLE)?;
    let (mut events, origin) = (Events::with_capacity(1024), Clock::now());
    let mut links: BTreeMap<PortId, Link> = BTreeMap::new();
    let mut turn: VecDeque<PortId> = VecDeque::new();
    let mut also_at = None;
    loop {
        let due = links.values().filter_map(|link| link.connection.poll_timeout());
        let due = due.chain(also_at).chain(switch.poll_timeout()).min();
        let due = due.map(|at| at.since(now(origin).monotonic));
        let wait = if turn.is_empty() { due } else { Some(Duration::ZERO) };
        match poll.poll(&mut events, wait) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        let now = now(origin);

        // Those whose socket is ready, and those whose time has come.
        for event in &events {
            if event.token() != LISTENER {
                turn.push_back(PortId(event.token().0 as u64));
                continue;
            }
            while let Some((mut socket, _)) = unless_it_blocks(|| socket.accept())? {
                let connection = Connection::new(switch, Arc::clone(listener), stream_id()?, now);
                let (id, both) = (connection.id(), Interest::READABLE | Interest::WRITABLE);
                poll.registry().register(&mut socket, Token(id.0 as usize), both)?;
                // Without it stanzas wait for acknowledgements; that is no reason to refuse the connection.
                let _ = socket.set_nodelay(true);
                links.insert(id, Link { connection, socket, input: Vec::new() });
                turn.push_back(id);
            }
        }
        for (id, link) in &mut links {
            if link.connection.poll_timeout().is_some_and(|at| at <= now.monotonic) {
                link.connection.handle_timeout(switch, now);
                turn.push_back(*id);
            }
        }
        if switch.poll_timeout().is_some_and(|at| at <= now.monotonic) {
            switch.handle_timeout(now);
        }
        // Each has one turn. Those that have more to do, and those that others left something for, have the next.
        for id in std::mem::take(&mut turn) {
            match links.get_mut(&id).map(|link| link.take_turn(switch, now)) {
                Some(Turn::MoreToDo) => turn.push_back(id),
                Some(Turn::Over) => drop(links.remove(&id)),
                Some(Turn::Waits) | None => {}
            }
        }
        also_at = also(now);
        turn.extend(std::iter::from_fn(|| switch.poll_wake()));
    }
}

/// What a connection's turn left.
enum Turn {
    MoreToDo,
    Waits,
    Over,
}

impl Link {
    /// Takes events within one budget, writes, and reads once.
    fn take_turn(&mut self, switch: &LocalSwitch, now: Now) -> Turn {
        let progress = self.connection.process(switch, now, &self.input, &mut Budget::default());
        self.input.drain(..progress.consumed);
        let moved = self.write(switch, now).and_then(|wrote| Ok(wrote | self.read(switch, now)?));
        if let Err(error) = &moved {
            self.connection.handle_error(switch, now, error.kind().to_string());
        }
        while let Some(event) = self.connection.poll_event() {
            eprintln!("{event:?}");
        }
        if self.connection.poll_output(switch, now) == Transmit::Done {
            Turn::Over
        } else if progress.next == Next::More || moved.unwrap_or(false) {
            Turn::MoreToDo
        } else {
            Turn::Waits
        }
    }

    /// Writes until there is nothing to write or the socket takes no more; says whether it wrote anything.
    fn write(&mut self, switch: &LocalSwitch, now: Now) -> io::Result<bool> {
        let mut wrote = false;
        loop {
            let written = match self.connection.poll_output(switch, now) {
                Transmit::Bytes(bytes) => match unless_it_blocks(|| self.socket.write(bytes))? {
                    Some(n) => Written::Bytes(n),
                    None => Written::Full,
                },
                Transmit::Shutdown => {
                    self.socket.shutdown(Shutdown::Write)?;
                    Written::Shut
                }
                Transmit::Nothing | Transmit::Done => return Ok(wrote),
            };
            self.connection.wrote(switch, now, written);
            if written == Written::Full {
                return Ok(wrote);
            }
            wrote = true;
        }
    }

    /// Reads once, as much as may be read; says whether there was anything.
    fn read(&mut self, switch: &LocalSwitch, now: Now) -> io::Result<bool> {
        let mut buffer = [0; 16 * 1024];
        let allowed = self.connection.read_budget(now).min(buffer.len());
        if allowed == 0 {
            return Ok(false);
        }
        let n = unless_it_blocks(|| self.socket.read(&mut buffer[..allowed]))?;
        match n {
            Some(0) => self.connection.handle_eof(switch, now),
            Some(n) => self.input.extend_from_slice(&buffer[..n]),
            None => {}
        }
        Ok(n.is_some())
    }
}

/// `None`: nothing can be done without waiting. mio tells of each edge, so nothing is to be asked for then.
fn unless_it_blocks<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<Option<T>> {
    loop {
        match attempt() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            result => return result.map(Some),
        }
    }
}

/// The time since `origin`, and on the wall.
#[must_use]
pub fn now(origin: Clock) -> Now {
    let unix = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Now { monotonic: Instant::from_origin(origin.elapsed()), unix }
}

fn stream_id() -> io::Result<StreamId> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(StreamId::from_random(u128::from_ne_bytes(random)))
}
