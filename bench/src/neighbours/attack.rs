//! The attackers: a process of its own, with a low priority, since what is measured is the server.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use mio::net::TcpStream as Socket;
use mio::{Events, Interest, Poll, Token};
use rustix::process::nice;
use serde_json::json;

use super::crowd::{Counts, Crowd, Output};
use super::stanzas;
use crate::wire::{connect_with, header_with};

/// Connections opened at once.
const WAVE: usize = 50;
/// Components of other scripts that a host lists.
const LISTED: usize = 1500;
/// Between two resets of all receivers.
const FILLING: Duration = Duration::from_millis(1500);

/// What the attackers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Nothing: the pair is alone
    Nothing,
    /// Send names among 240 prefixes, to nobody
    Lookups,
    /// Send sections, which are rewritten, to receivers that read
    Sections,
    /// Fill receivers' queues with large stanzas and reset all of them at once
    Ends,
    /// The same with small stanzas
    SmallEnds,
    /// Send all but the end of a large stanza
    Partial,
    /// Send to receivers that do not read
    Queues,
    /// Ask for a list of 1,500 components
    Items,
    /// Send headers for 1,000 hosts and authenticate never
    Headers,
    /// Have an access rule asked
    Rules,
    /// Send small stanzas that prefixes of the header make long
    Prefixes,
}

/// What the parent process says.
#[derive(Args)]
pub(crate) struct AttackOptions {
    #[arg(value_enum)]
    pub(super) kind: Kind,
    #[arg(long)]
    target: SocketAddr,
    #[arg(long)]
    secret: String,
    #[arg(long)]
    domain: String,
    #[arg(long)]
    count: usize,
    #[arg(long)]
    seconds: f64,
    #[arg(long)]
    nice: i32,
}

/// Attacks, and prints a line when it begins and one at the end.
pub(crate) fn attack(options: &AttackOptions) -> io::Result<()> {
    nice(options.nice)?;
    let mut attackers = Attackers { options, crowd: Crowd::new()?, until: Instant::now() };
    match options.kind {
        Kind::Nothing => attackers.rest()?,
        Kind::Lookups => attackers.flood_nobody(&stanzas::lookups(&attackers.name("nobody")))?,
        Kind::Sections => attackers.flood_receivers()?,
        Kind::Ends => attackers.end_receivers(|to| vec![stanzas::lookups(to)])?,
        Kind::SmallEnds => attackers.end_receivers(|to| vec![stanzas::bodies(to, 1); 16])?,
        Kind::Partial => attackers.begin_stanzas()?,
        Kind::Queues => attackers.fill_queues()?,
        Kind::Items => attackers.ask_for_items()?,
        Kind::Headers => attackers.send_headers()?,
        Kind::Rules => attackers.flood_own(|own| (String::new(), stanzas::judged(own, own)))?,
        Kind::Prefixes => attackers.flood_own(|own| (stanzas::declared(), stanzas::amplified(own)))?,
    }
    let Counts { sent, received, ended, said } = attackers.crowd.counts;
    println!("{}", json!({"sent": sent, "received": received, "ended": ended, "said": said}));
    Ok(())
}

struct Attackers<'a> {
    options: &'a AttackOptions,
    crowd: Crowd,
    until: Instant,
}

impl Attackers<'_> {
    fn name(&self, name: &str) -> String {
        format!("{name}.{}", self.options.domain)
    }

    /// Components of these names.
    fn connect(&self, names: impl IntoIterator<Item = String>) -> io::Result<Vec<TcpStream>> {
        self.connect_with(names.into_iter().map(|name| header_with(&self.name(&name), "")))
    }

    fn connect_with(&self, headers: impl Iterator<Item = String>) -> io::Result<Vec<TcpStream>> {
        let headers: Vec<_> = headers.collect();
        let mut sockets = Vec::new();
        for wave in headers.chunks(WAVE) {
            sockets.extend(connect_with(self.options.target, &self.options.secret, wave.iter().cloned())?);
        }
        Ok(sockets)
    }

    /// All that is needed is there: the parent begins to measure.
    fn begin(&mut self) -> io::Result<()> {
        println!("begins");
        self.until = Instant::now() + Duration::from_secs_f64(self.options.seconds);
        Ok(())
    }

    fn rest(&mut self) -> io::Result<()> {
        self.begin()?;
        self.crowd.run(self.until)
    }

    fn flood_nobody(&mut self, piece: &Arc<[u8]>) -> io::Result<()> {
        for socket in self.connect(names("a", self.options.count))? {
            self.crowd.add(socket, Output::flood(Arc::clone(piece)), true)?;
        }
        self.rest()
    }

    /// Sixteen receivers that read, so that few buffers are needed.
    fn flood_receivers(&mut self) -> io::Result<()> {
        let to: Vec<_> = names("r", 16).collect();
        for socket in self.connect(to.iter().cloned())? {
            self.crowd.add(socket, Output::default(), true)?;
        }
        let pieces: Vec<_> = to.iter().map(|name| stanzas::sections(&self.name(name))).collect();
        for (index, socket) in self.connect(names("a", self.options.count))?.into_iter().enumerate() {
            self.crowd.add(socket, Output::flood(Arc::clone(&pieces[index % pieces.len()])), true)?;
        }
        self.rest()
    }

    /// Each floods itself, with more in its header.
    fn flood_own(&mut self, of: impl Fn(&str) -> (String, Arc<[u8]>)) -> io::Result<()> {
        let own = names("a", self.options.count).map(|name| self.name(&name));
        let all: Vec<_> = own.map(|own| (own.clone(), of(&own))).collect();
        let headers = all.iter().map(|(own, (more, _))| header_with(own, more));
        for (socket, (_, (_, piece))) in self.connect_with(headers)?.into_iter().zip(&all) {
            self.crowd.add(socket, Output::flood(Arc::clone(piece)), true)?;
        }
        self.rest()
    }

    /// Two in five are receivers. Under new names each time: the server may not have noticed yet that the old are gone.
    fn end_receivers(&mut self, queued: impl Fn(&str) -> Vec<Arc<[u8]>>) -> io::Result<()> {
        let receivers = (self.options.count * 2 / 5).max(1);
        let mut senders = Vec::new();
        for socket in self.connect(names("a", receivers))? {
            senders.push(self.crowd.add(socket, Output::default(), true)?);
        }
        self.begin()?;
        let mut round = 0;
        while Instant::now() < self.until {
            let to: Vec<_> = names(&format!("r{round}-"), receivers).collect();
            let mut places = Vec::new();
            for socket in self.connect(to.iter().cloned())? {
                places.push(self.crowd.add(socket, Output::default(), false)?);
            }
            for (sender, name) in senders.iter().zip(&to) {
                self.crowd.write(*sender, Output::once(queued(&self.name(name))));
            }
            self.crowd.run(Instant::now() + FILLING)?;
            for place in places {
                self.crowd.close(place);
            }
            self.crowd.run(Instant::now() + FILLING)?;
            round += 1;
        }
        Ok(())
    }

    /// Those whose streams end begin again.
    fn begin_stanzas(&mut self) -> io::Result<()> {
        let piece = stanzas::begun(&self.name("nobody"));
        // The server has room for 256 such stanzas.
        let count = self.options.count + 30;
        for socket in self.connect(names("a", count))? {
            self.crowd.add(socket, Output::once(vec![Arc::clone(&piece)]), true)?;
        }
        self.begin()?;
        let mut number = count;
        while Instant::now() < self.until {
            self.crowd.run((Instant::now() + Duration::from_millis(50)).min(self.until))?;
            for place in std::mem::take(&mut self.crowd.lost) {
                for socket in self.connect([format!("a{number}")])? {
                    self.crowd.replace(place, socket, Output::once(vec![Arc::clone(&piece)]), true)?;
                }
                number += 1;
            }
        }
        Ok(())
    }

    fn fill_queues(&mut self) -> io::Result<()> {
        let to: Vec<_> = names("r", self.options.count).collect();
        for socket in self.connect(to.iter().cloned())? {
            self.crowd.add(socket, Output::default(), false)?;
        }
        for (socket, to) in self.connect(names("a", self.options.count))?.into_iter().zip(to) {
            self.crowd.add(socket, Output::flood(stanzas::bodies(&self.name(&to), 60_000)), true)?;
        }
        self.rest()
    }

    fn ask_for_items(&mut self) -> io::Result<()> {
        let more = " is_subdomain='true'";
        let listed = self.connect_with((0..LISTED).map(|number| {
            header_with(&format!("компонент-с-длинным-именем-{number}.пример-{number}"), more)
        }))?;
        for socket in listed {
            self.crowd.add(socket, Output::default(), true)?;
        }
        self.flood_nobody(&stanzas::items(&self.options.domain))
    }

    /// A connection that has an answer is closed before it is read, which resets it and leaves no port behind.
    fn send_headers(&mut self) -> io::Result<()> {
        let header = header_with("компонент-с-длинным-именем.пример", " is_subdomain='true'");
        let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
        let open = |poll: &Poll, index| {
            let mut socket = Socket::connect(self.options.target)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut socket, Token(index), interest)?;
            io::Result::Ok((socket, false))
        };
        let mut clients =
            (0..self.options.count).map(|index| open(&poll, index)).collect::<io::Result<Vec<_>>>()?;
        println!("begins");
        let until = Instant::now() + Duration::from_secs_f64(self.options.seconds);
        while Instant::now() < until {
            poll.poll(&mut events, Some(Duration::from_millis(100)))?;
            for event in &events {
                let index = event.token().0;
                let (socket, is_sent) = &mut clients[index];
                if event.is_writable() && !*is_sent {
                    io::Write::write_all(socket, header.as_bytes())?;
                    *is_sent = true;
                    self.crowd.counts.sent += header.len() as u64;
                }
                if event.is_readable() {
                    self.crowd.counts.ended += 1;
                    clients[index] = open(&poll, index)?;
                }
            }
        }
        Ok(())
    }
}

/// Names of components.
fn names(prefix: &str, count: usize) -> impl Iterator<Item = String> {
    let prefix = prefix.to_owned();
    (0..count).map(move |number| format!("{prefix}{number}"))
}
