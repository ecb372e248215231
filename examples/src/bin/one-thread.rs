//! A listener and two components in one thread, without a runtime, over real sockets: `one-thread`.
//!
//! Each turn gives every socket a chance and sleeps for a millisecond if nothing moved; `listener-poll` shows how to wait
//! for sockets instead.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant as Clock, SystemTime};

use enjamb_core::connection::{
    Budget, ClientConnection, ClientConnectionEvent, Connection, Next, Transmit, Written,
};
use enjamb_core::jid::Domain;
use enjamb_core::switch::{ListenerConfig, LocalSwitch, SwitchConfig};
use enjamb_core::{Instant, Limits, Now, Secret, StreamId};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A socket, and what came on it and is not consumed yet.
struct Wire {
    socket: TcpStream,
    input: Vec<u8>,
}

impl Wire {
    fn new(socket: TcpStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket, input: Vec::new() })
    }

    /// Does with the write side what the connection says; `None`: the socket takes nothing at the moment, or there is
    /// nothing to do.
    fn write(&mut self, what: Transmit<'_>) -> io::Result<Option<Written>> {
        match what {
            Transmit::Bytes(bytes) => {
                Ok(Some(unless_it_blocks(self.socket.write(bytes))?.map_or(Written::Full, Written::Bytes)))
            }
            Transmit::Shutdown => self.socket.shutdown(Shutdown::Write).map(|()| Some(Written::Shut)),
            Transmit::Nothing | Transmit::Done => Ok(None),
        }
    }

    /// Reads what may be read; `None`: there is nothing at the moment. 0 is the end of the input.
    fn read(&mut self, allowed: usize) -> io::Result<Option<usize>> {
        let mut buffer = [0; 4096];
        let allowed = allowed.min(buffer.len());
        if allowed == 0 {
            return Ok(None);
        }
        let read = unless_it_blocks(self.socket.read(&mut buffer[..allowed]))?;
        self.input.extend_from_slice(&buffer[..read.unwrap_or(0)]);
        Ok(read)
    }
}

/// The server's side of one connection.
struct Served {
    wire: Wire,
    connection: Connection<LocalSwitch>,
}

impl Served {
    /// Does what can be done at once; says whether anything moved, and `None` once the connection is over.
    fn turn(&mut self, switch: &LocalSwitch, now: Now) -> Option<bool> {
        let moved = self.move_bytes(switch, now).unwrap_or_else(|error| {
            self.connection.handle_error(switch, now, error.kind().to_string());
            true
        });
        while let Some(event) = self.connection.poll_event() {
            println!("server: {event:?}");
        }
        (self.connection.poll_output(switch, now) != Transmit::Done).then_some(moved)
    }

    fn move_bytes(&mut self, switch: &LocalSwitch, now: Now) -> io::Result<bool> {
        let Self { wire, connection } = self;
        if connection.poll_timeout().is_some_and(|at| at <= now.monotonic) {
            connection.handle_timeout(switch, now);
        }
        let progress = connection.process(switch, now, &wire.input, &mut Budget::default());
        wire.input.drain(..progress.consumed);
        let written = wire.write(connection.poll_output(switch, now))?;
        if let Some(written) = written {
            connection.wrote(switch, now, written);
        }
        let read = wire.read(connection.read_budget(now))?;
        if read == Some(0) {
            connection.handle_eof(switch, now);
        }
        Ok(progress.consumed > 0 || progress.next == Next::More || written.is_some() || read.is_some())
    }
}

/// A component's side.
struct Component {
    domain: Domain,
    wire: Wire,
    connection: ClientConnection,
    /// Stanzas to be sent.
    outbox: Vec<u8>,
    established: bool,
}

impl Component {
    fn connect(server: &TcpListener, domain: &str, now: Now) -> Result<Self> {
        let wire = Wire::new(TcpStream::connect(server.local_addr()?)?)?;
        let (domain, limits) = (Domain::parse(domain)?, Arc::new(Limits::default()));
        let connection = ClientConnection::new(domain.clone(), false, Secret::new("s3cr3t"), limits, now);
        Ok(Self { domain, wire, connection, outbox: Vec::new(), established: false })
    }

    /// Does what can be done at once; says whether anything moved. `on_stanza` says what to send for a stanza.
    fn turn(&mut self, now: Now, on_stanza: impl Fn(&str) -> String) -> Result<bool> {
        let Self { domain, wire, connection, outbox, .. } = self;
        if connection.poll_timeout().is_some_and(|at| at <= now.monotonic) {
            connection.handle_timeout(now);
        }
        let progress = connection.process(now, &wire.input, &mut Budget::default(), |stanza| {
            let from = stanza.from().map_or("nobody", |from| from.as_str());
            println!("{domain}: from {from}: {}", String::from_utf8_lossy(stanza.content()));
            outbox.extend_from_slice(on_stanza(from).as_bytes());
            true
        });
        wire.input.drain(..progress.consumed);
        match connection.poll_event() {
            Some(ClientConnectionEvent::Established) => self.established = true,
            Some(event) => return Err(format!("{domain}: {event:?}").into()),
            None => {}
        }
        connection.send(outbox);
        let written = wire.write(connection.poll_output())?;
        if let Some(written) = written {
            connection.wrote(now, written);
        }
        let read = wire.read(connection.read_budget(now))?;
        if read == Some(0) {
            connection.handle_eof(now);
        }
        Ok(progress.consumed > 0 || progress.next == Next::More || written.is_some() || read.is_some())
    }
}

fn main() -> Result<()> {
    let origin = Clock::now();
    let now = || Now {
        monotonic: Instant::from_origin(origin.elapsed()),
        unix: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
    };
    let switch = LocalSwitch::new(SwitchConfig::new([Domain::parse("localhost")?]));
    let listener = Arc::new(ListenerConfig::new(Secret::new("s3cr3t")));
    let socket = TcpListener::bind("127.0.0.1:0")?;
    socket.set_nonblocking(true)?;

    let mut weather = Component::connect(&socket, "weather.localhost", now())?;
    // It connects once the other one is there.
    let mut bot: Option<Component> = None;
    let mut served: Vec<Served> = Vec::new();
    let answered = std::cell::Cell::new(false);
    while !answered.get() {
        let mut moved = false;
        if let Some((socket, _)) = unless_it_blocks(socket.accept())? {
            let mut random = [0; 16];
            getrandom::fill(&mut random)?;
            let id = StreamId::from_random(u128::from_ne_bytes(random));
            let connection = Connection::new(&switch, Arc::clone(&listener), id, now());
            served.push(Served { wire: Wire::new(socket)?, connection });
            moved = true;
        }
        served.retain_mut(|one| {
            let turn = one.turn(&switch, now());
            moved |= turn.unwrap_or(true);
            turn.is_some()
        });
        // Each connection had its turn, so nobody has to be looked for.
        while switch.poll_wake().is_some() {
            moved = true;
        }
        moved |=
            weather.turn(now(), |from| format!("<message to='{from}'><body>Yes. ☔</body></message>"))?;
        if bot.is_none() && weather.established {
            let newcomer = bot.insert(Component::connect(&socket, "bot.localhost", now())?);
            let question = "<message to='weather.localhost'><body>Will it rain in Bergen?</body></message>";
            newcomer.outbox.extend_from_slice(question.as_bytes());
        }
        if let Some(bot) = &mut bot {
            moved |= bot.turn(now(), |_| {
                answered.set(true);
                String::new()
            })?;
        }
        if !moved {
            sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

fn unless_it_blocks<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        result => result.map(Some),
    }
}
