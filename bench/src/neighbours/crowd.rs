//! Many connections that write what was made before and throw away what they read, in one thread.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use memchr::memmem;
use mio::net::TcpStream as Socket;
use mio::{Events, Interest, Poll, Token};

/// Bytes written to one connection before the next has its turn.
const TURN: usize = 128 * 1024;

/// What a connection writes.
#[derive(Clone, Default)]
pub(super) struct Output {
    pub(super) pieces: Vec<Arc<[u8]>>,
    /// From the beginning again after the last piece.
    pub(super) again: bool,
}

impl Output {
    /// One piece, again and again.
    pub(super) fn flood(piece: Arc<[u8]>) -> Self {
        Self { pieces: vec![piece], again: true }
    }

    /// These pieces, once.
    pub(super) fn once(pieces: Vec<Arc<[u8]>>) -> Self {
        Self { pieces, again: false }
    }
}

struct Client {
    socket: Socket,
    output: Output,
    piece: usize,
    written: usize,
    reads: bool,
    readable: bool,
    writable: bool,
    waits: bool,
}

/// What the attackers did.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Streams that the server ended.
    pub(super) ended: u64,
    /// What it said to one of them.
    pub(super) said: String,
}

/// The connections.
pub(super) struct Crowd {
    poll: Poll,
    clients: Vec<Option<Client>>,
    ready: VecDeque<usize>,
    scratch: Vec<u8>,
    /// Those that the server ended since this was taken.
    pub(super) lost: Vec<usize>,
    pub(super) counts: Counts,
}

impl Crowd {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            clients: Vec::new(),
            ready: VecDeque::new(),
            scratch: vec![0; 64 * 1024],
            lost: Vec::new(),
            counts: Counts::default(),
        })
    }

    /// Adds a connection that is bound; the number is its place.
    pub(super) fn add(&mut self, socket: TcpStream, output: Output, reads: bool) -> io::Result<usize> {
        let index = self.clients.len();
        self.clients.push(None);
        self.replace(index, socket, output, reads)?;
        Ok(index)
    }

    /// Puts a connection in the place of one that is over.
    pub(super) fn replace(
        &mut self,
        index: usize,
        socket: TcpStream,
        output: Output,
        reads: bool,
    ) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let mut socket = Socket::from_std(socket);
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut socket, Token(index), interest)?;
        let client = Client {
            socket,
            output,
            piece: 0,
            written: 0,
            reads,
            readable: false,
            writable: false,
            waits: false,
        };
        self.clients[index] = Some(client);
        Ok(())
    }

    /// Closes a connection. If it has not read all, the server sees a reset.
    pub(super) fn close(&mut self, index: usize) {
        self.clients[index] = None;
    }

    /// Gives a connection something else to write, after what it has written.
    pub(super) fn write(&mut self, index: usize, output: Output) {
        if let Some(client) = &mut self.clients[index] {
            (client.output, client.piece, client.written) = (output, 0, 0);
            self.wake(index);
        }
    }

    fn wake(&mut self, index: usize) {
        if let Some(client) = &mut self.clients[index]
            && !client.waits
        {
            client.waits = true;
            self.ready.push_back(index);
        }
    }

    /// Reads and writes until then.
    pub(super) fn run(&mut self, until: Instant) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let pause = if self.ready.is_empty() { left } else { Duration::ZERO };
            self.poll.poll(&mut events, Some(pause))?;
            for event in &events {
                let index = event.token().0;
                if let Some(client) = &mut self.clients[index] {
                    client.readable |= event.is_readable();
                    client.writable |= event.is_writable();
                    self.wake(index);
                }
            }
            for _ in 0..self.ready.len() {
                let Some(index) = self.ready.pop_front() else { break };
                match self.turn(index) {
                    Ok(false) => {}
                    Ok(true) => self.wake(index),
                    Err(_) => {
                        self.counts.ended += 1;
                        self.clients[index] = None;
                        self.lost.push(index);
                    }
                }
            }
        }
    }

    /// One connection's turn. True: it has more to do.
    fn turn(&mut self, index: usize) -> io::Result<bool> {
        let Some(client) = &mut self.clients[index] else { return Ok(false) };
        client.waits = false;
        if client.readable && client.reads {
            match client.socket.read(&mut self.scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    self.counts.received += n as u64;
                    if n < 2048 && memmem::find(&self.scratch[..n], b"<stream:error").is_some() {
                        self.counts.said = String::from_utf8_lossy(&self.scratch[..n]).into();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => client.readable = false,
                Err(error) => return Err(error),
            }
        }
        let mut turn = 0;
        while client.writable && turn < TURN {
            let Some(piece) = client.output.pieces.get(client.piece) else { break };
            match client.socket.write(&piece[client.written..]) {
                Ok(n) => {
                    turn += n;
                    client.written += n;
                    if client.written == piece.len() {
                        (client.piece, client.written) = (client.piece + 1, 0);
                    }
                    if client.piece == client.output.pieces.len() && client.output.again {
                        client.piece = 0;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => client.writable = false,
                Err(error) => return Err(error),
            }
        }
        self.counts.sent += turn as u64;
        let writes = client.writable && client.piece < client.output.pieces.len();
        Ok(writes || (client.readable && client.reads))
    }
}
