//! A listener and two components in one thread, without a runtime, over real sockets: `one-thread`.
//!
//! Each turn gives every socket a chance and sleeps for a millisecond if nothing moved; `listener-poll` shows how to wait
//! for sockets instead.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant as Clock, SystemTime};

use enjamb_core::connection::{Budget, Connection, ConnectionEvent};
use enjamb_core::jid::Domain;
use enjamb_core::stream::{ClientEvent, ClientStream, Initiating, Initiator};
use enjamb_core::switch::{ListenerConfig, LocalSwitch, SwitchConfig};
use enjamb_core::{Instant, Limits, Now, Secret, StreamId};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The server's side of one connection.
struct Served {
    socket: TcpStream,
    input: Vec<u8>,
    connection: Connection<LocalSwitch>,
}

impl Served {
    /// Does what can be done at once; says whether anything moved, and `None` once the connection is over.
    fn turn(&mut self, switch: &LocalSwitch, now: Now) -> Option<bool> {
        let Self { socket, input, connection } = self;
        if connection.poll_timeout().is_some_and(|at| at <= now.monotonic) {
            connection.handle_timeout(switch, now);
        }
        let progress = connection.process(switch, now, input, &mut Budget::default());
        input.drain(..progress.consumed());
        let mut moved = progress.consumed() > 0;
        let pending = connection.poll_output(switch, now);
        if !pending.is_empty() {
            match unless_it_blocks(socket.write(pending)) {
                Ok(n) => connection.wrote(switch, now, n.unwrap_or(0)),
                Err(error) => connection.handle_error(switch, error.kind().to_string()),
            }
            moved = true;
        }
        let mut buffer = [0; 4096];
        let allowed = connection.read_budget(now).min(buffer.len());
        if allowed > 0 {
            match unless_it_blocks(socket.read(&mut buffer[..allowed])) {
                Ok(Some(0)) => connection.handle_eof(switch),
                Ok(Some(n)) => input.extend_from_slice(&buffer[..n]),
                Ok(None) => return self.events().then_some(moved),
                Err(error) => connection.handle_error(switch, error.kind().to_string()),
            }
            moved = true;
        }
        if self.connection.is_closed() && self.connection.poll_output(switch, now).is_empty() {
            self.connection.finish(switch, now);
        }
        self.events().then_some(moved)
    }

    /// Shows what happened; false once the connection is over.
    fn events(&mut self) -> bool {
        let mut lives = true;
        while let Some(event) = self.connection.poll_event() {
            println!("server: {event:?}");
            lives &= !matches!(event, ConnectionEvent::Closed { .. });
        }
        lives
    }
}

/// Bytes between a component and its socket.
struct Wire {
    socket: TcpStream,
    input: Vec<u8>,
    out: Vec<u8>,
}

impl Wire {
    /// Writes and reads what can be written and read at once; says whether that is anything.
    fn turn(&mut self) -> Result<bool> {
        let written = unless_it_blocks(self.socket.write(&self.out))?;
        self.out.drain(..written.unwrap_or(0));
        let mut buffer = [0; 4096];
        let read = unless_it_blocks(self.socket.read(&mut buffer))?;
        if read == Some(0) {
            return Err("the server has closed the connection".into());
        }
        self.input.extend_from_slice(&buffer[..read.unwrap_or(0)]);
        Ok(written.is_some_and(|n| n > 0) || read.is_some())
    }
}

/// A component's side.
struct Component {
    wire: Wire,
    phase: Phase,
}

enum Phase {
    Connecting(Option<Initiator>),
    Established(Box<ClientStream>),
}

impl Component {
    fn connect(server: &TcpListener, domain: &str, now: Now) -> Result<Self> {
        let socket = TcpStream::connect(server.local_addr()?)?;
        socket.set_nonblocking(true)?;
        let mut wire = Wire { socket, input: Vec::new(), out: Vec::new() };
        let (domain, limits) = (Domain::parse(domain)?, Arc::new(Limits::default()));
        let secret = Secret::new("s3cr3t");
        let initiator = Initiator::connect(domain, false, secret, limits, now.monotonic, &mut wire.out);
        Ok(Self { wire, phase: Phase::Connecting(Some(initiator)) })
    }

    /// Takes one event. `on_stanza` says what to send for a stanza.
    fn turn(&mut self, now: Now, greeting: &str, on_stanza: impl Fn(&str) -> String) -> Result<bool> {
        let Wire { input, out, .. } = &mut self.wire;
        let consumed = match &mut self.phase {
            Phase::Connecting(initiator) => {
                let initiator = initiator.take().ok_or("it failed before")?;
                let (consumed, next) = initiator.process(now.monotonic, input, out);
                match next {
                    Initiating::Reading(initiator) => self.phase = Phase::Connecting(Some(initiator)),
                    Initiating::Established(stream) => {
                        out.extend_from_slice(greeting.as_bytes());
                        self.phase = Phase::Established(stream);
                    }
                    Initiating::Failed(error) => return Err(error.into()),
                }
                consumed
            }
            Phase::Established(stream) => {
                let step = stream.process(now.monotonic, input, out)?;
                if let Some(ClientEvent::Stanza(stanza)) = step.event {
                    let from = stanza.from().map_or("nobody", |from| from.as_str());
                    println!(
                        "{}: from {from}: {}",
                        stream.domain(),
                        String::from_utf8_lossy(stanza.content())
                    );
                    out.extend_from_slice(on_stanza(from).as_bytes());
                }
                step.consumed
            }
        };
        input.drain(..consumed);
        Ok(self.wire.turn()? | (consumed > 0))
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
            socket.set_nonblocking(true)?;
            served.push(Served { socket, input: Vec::new(), connection });
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
            weather.turn(now(), "", |from| format!("<message to='{from}'><body>Yes. ☔</body></message>"))?;
        if bot.is_none() && matches!(weather.phase, Phase::Established(_)) {
            bot = Some(Component::connect(&socket, "bot.localhost", now())?);
        }
        if let Some(bot) = &mut bot {
            let question = "<message to='weather.localhost'><body>Will it rain in Bergen?</body></message>";
            moved |= bot.turn(now(), question, |_| {
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
