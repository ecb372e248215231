//! A listener for components on a poll loop written by hand: `listener-poll ADDRESS SECRET`.
//!
//! One thread, no runtime: mio says which sockets are ready, and the core's drive loop does the rest. The first half is
//! an adapter, as docs/adapters.md explains it; the second is the loop.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use enjamb_core::host::HostInfo;
use enjamb_core::jid::Domain;
use enjamb_core::rt::{Connection, Listener, Switch, Timer, Transport};
use enjamb_core::{Instant, Secret, StreamId};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Token};

/// A socket that never blocks. mio tells of each edge, so there is nothing to ask for after `WouldBlock`.
struct Socket(TcpStream);

impl Transport for Socket {
    fn poll_read(&mut self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        unless_it_blocks(|| self.0.read(buffer))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        unless_it_blocks(|| self.0.write(bytes))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.shutdown(Shutdown::Write))
    }
}

fn unless_it_blocks(mut attempt: impl FnMut() -> io::Result<usize>) -> Poll<io::Result<usize>> {
    loop {
        match attempt() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
            result => return Poll::Ready(result),
        }
    }
}

/// The clock, and an alarm that the loop looks at.
struct Alarm(Rc<Cell<Option<Instant>>>);

impl Timer for Alarm {
    fn now(&self) -> Instant {
        now()
    }

    fn poll_at(&mut self, _: &mut Context<'_>, at: Instant) -> Poll<()> {
        let is_due = at <= now();
        self.0.set(Some(at).filter(|_| !is_due));
        if is_due { Poll::Ready(()) } else { Poll::Pending }
    }
}

fn now() -> Instant {
    static ORIGIN: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);
    Instant::from_origin(ORIGIN.elapsed())
}

/// Connections to drive: their sockets are ready, or others have a stanza or room for them.
#[derive(Default)]
struct Due(Mutex<Vec<Token>>);

impl Due {
    fn push(&self, token: Token) {
        self.0.lock().expect("nobody panics while holding it").push(token);
    }

    fn take(&self) -> Vec<Token> {
        std::mem::take(&mut self.0.lock().expect("nobody panics while holding it"))
    }
}

/// Rings for one connection.
struct Bell(Token, Arc<Due>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.1.push(self.0);
    }
}

/// A connection, the time that it waits for, and what wakes it.
struct Driven {
    connection: Connection<Socket, Alarm>,
    alarm: Rc<Cell<Option<Instant>>>,
    waker: Waker,
}

const LISTENER: Token = Token(0);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [address, secret] = std::array::from_fn(|n| std::env::args().nth(n + 1).unwrap_or_default());
    let info = HostInfo::new("listener-poll", env!("CARGO_PKG_VERSION"));
    let utc = || humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    let switch = Arc::new(Switch::new([Domain::parse("localhost")?], info, utc, false));
    let listener = Arc::new(Listener::new(Secret::new(secret)));
    let mut socket = TcpListener::bind(address.parse()?)?;
    println!("{}", socket.local_addr()?);

    let mut poll = mio::Poll::new()?;
    poll.registry().register(&mut socket, LISTENER, Interest::READABLE)?;
    let (mut events, due) = (Events::with_capacity(1024), Arc::new(Due::default()));
    let mut connections: BTreeMap<Token, Driven> = BTreeMap::new();
    let mut last = LISTENER;
    loop {
        // Whom to drive: those that were woken, those whose socket is ready, those whose time has come.
        let mut turn = due.take();
        let next = connections.values().filter_map(|driven| driven.alarm.get()).min();
        let wait = if turn.is_empty() { next.map(|at| at.since(now())) } else { Some(Duration::ZERO) };
        poll.poll(&mut events, wait)?;
        turn.extend(events.iter().map(|event| event.token()));
        let late = |driven: &Driven| driven.alarm.get().is_some_and(|at| at <= now());
        turn.extend(connections.iter().filter(|(_, driven)| late(driven)).map(|(token, _)| *token));
        turn.sort_unstable();
        turn.dedup();

        for token in turn {
            if token == LISTENER {
                while let Ok((mut stream, _)) = socket.accept() {
                    last = Token(last.0 + 1);
                    let both = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut stream, last, both)?;
                    let driven = take_over(stream, last, &switch, &listener, &due)?;
                    connections.insert(last, driven);
                    due.push(last);
                }
            } else if connections.get_mut(&token).is_some_and(is_over) {
                connections.remove(&token);
            }
        }
    }
}

fn take_over(
    stream: TcpStream,
    token: Token,
    switch: &Arc<Switch>,
    listener: &Arc<Listener>,
    due: &Arc<Due>,
) -> io::Result<Driven> {
    stream.set_nodelay(true)?;
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let id = StreamId::from_random(u128::from_ne_bytes(random));
    let alarm = Rc::default();
    let (switch, listener) = (Arc::clone(switch), Arc::clone(listener));
    let connection = Connection::new(switch, listener, id, Socket(stream), Alarm(Rc::clone(&alarm)));
    Ok(Driven { connection, alarm, waker: Arc::new(Bell(token, Arc::clone(due))).into() })
}

/// Drives a connection as far as it goes; true once it has ended.
fn is_over(driven: &mut Driven) -> bool {
    driven.alarm.set(None);
    let mut cx = Context::from_waker(&driven.waker);
    loop {
        match driven.connection.poll_notice(&mut cx) {
            Poll::Ready(Some(notice)) => eprintln!("{notice:?}"),
            Poll::Ready(None) => return true,
            Poll::Pending => return false,
        }
    }
}
