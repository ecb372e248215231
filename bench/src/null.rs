//! The null servers: what any router costs at the least, and what the machine allows.

use std::collections::HashMap;
use std::io;

use memchr::memmem;
use mio::event::Event;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

use crate::cut::Cut;
use crate::wire::{Conn, attribute};

const LISTENER: Token = Token(usize::MAX);

/// What a null server does with a component's bytes.
#[derive(Clone, Copy)]
pub(crate) enum Null {
    /// Cuts stanzas so, looks up `to`, copies; checks nothing.
    Route(Cut),
    /// Copies bytes unread between `a<i>` and `b<i>`.
    Relay,
}

struct Server {
    null: Null,
    poll: Poll,
    conns: Vec<Option<Peer>>,
    free: Vec<usize>,
    names: HashMap<Vec<u8>, usize>,
    dirty: Vec<usize>,
}

struct Peer {
    conn: Conn,
    name: Vec<u8>,
    bound: bool,
}

/// Serves on loopback until the process is ended.
pub(crate) fn run(null: Null) -> io::Result<()> {
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    println!("{}", listener.local_addr()?.port());
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut server =
        Server { null, poll, conns: Vec::new(), free: Vec::new(), names: HashMap::new(), dirty: Vec::new() };
    let (mut events, mut scratch) = (Events::with_capacity(1024), vec![0; 64 * 1024]);
    loop {
        server.poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                server.accept(&listener)?;
            } else {
                server.event(event, &mut scratch);
            }
        }
        for index in std::mem::take(&mut server.dirty) {
            if server.conns[index].as_mut().is_some_and(|peer| peer.conn.flush().is_err()) {
                server.close(index);
            }
        }
    }
}

impl Server {
    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        loop {
            let mut socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            socket.set_nodelay(true)?;
            let index = self.free.pop().unwrap_or(self.conns.len());
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, Token(index), interest)?;
            let peer = Peer { conn: Conn::new(socket), name: Vec::new(), bound: false };
            if index == self.conns.len() {
                self.conns.push(Some(peer));
            } else {
                self.conns[index] = Some(peer);
            }
        }
    }

    fn close(&mut self, index: usize) {
        if let Some(peer) = self.conns[index].take() {
            self.names.remove(&peer.name);
            self.free.push(index);
        }
    }

    fn event(&mut self, event: &Event, scratch: &mut [u8]) {
        let index = event.token().0;
        if event.is_writable() {
            self.dirty.push(index);
        }
        if !event.is_readable() {
            return;
        }
        loop {
            let Some(peer) = &mut self.conns[index] else { return };
            let Ok(read) = peer.conn.read(scratch) else { return self.close(index) };
            match read {
                None => return,
                Some(0) => return self.close(index),
                Some(n) => {
                    self.take(index, &scratch[..n]);
                    // A short read has emptied the socket; what comes later is a new event.
                    if n < scratch.len() && !event.is_read_closed() {
                        return;
                    }
                }
            }
        }
    }

    fn take(&mut self, index: usize, read: &[u8]) {
        let Some(peer) = &mut self.conns[index] else { return };
        let mut kept = std::mem::take(&mut peer.conn.input);
        let bound = peer.bound;
        let bytes = if kept.is_empty() {
            read
        } else {
            kept.extend_from_slice(read);
            &kept
        };
        let used = match (bound, self.null) {
            (false, _) => self.negotiate(index, bytes),
            (true, Null::Relay) => self.relay(index, bytes),
            (true, Null::Route(cut)) => self.route(bytes, cut),
        };
        let rest = bytes[used..].to_vec();
        if let Some(peer) = &mut self.conns[index] {
            peer.conn.input = rest;
        }
    }

    fn negotiate(&mut self, index: usize, bytes: &[u8]) -> usize {
        let Some(peer) = &mut self.conns[index] else { return bytes.len() };
        if peer.name.is_empty() {
            // An XML declaration may come before it.
            let Some(start) = memmem::find(bytes, b"<stream:stream") else { return 0 };
            let Some(name) = attribute(&bytes[start..], b" to=") else { return 0 };
            peer.name = name.to_vec();
            self.names.insert(peer.name.clone(), index);
            peer.conn.out.extend_from_slice(b"<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' id='null'>");
            self.dirty.push(index);
            return memchr::memchr(b'>', &bytes[start..]).map_or(0, |at| start + at + 1);
        }
        let end = b"</handshake>";
        let Some(at) = memmem::find(bytes, end) else { return 0 };
        peer.bound = true;
        peer.conn.out.extend_from_slice(b"<handshake/>");
        self.dirty.push(index);
        at + end.len()
    }

    fn send(&mut self, to: Option<usize>, bytes: &[u8]) {
        let Some((to, peer)) = to.and_then(|to| Some((to, self.conns[to].as_mut()?))) else { return };
        if peer.conn.out.is_empty() {
            self.dirty.push(to);
        }
        peer.conn.out.extend_from_slice(bytes);
    }

    fn relay(&mut self, index: usize, bytes: &[u8]) -> usize {
        let Some(peer) = &self.conns[index] else { return bytes.len() };
        let mut name = peer.name.clone();
        name[0] = if name[0] == b'a' { b'b' } else { b'a' };
        self.send(self.names.get(&name).copied(), bytes);
        bytes.len()
    }

    fn route(&mut self, bytes: &[u8], cut: Cut) -> usize {
        let mut used = 0;
        while let Some(length) = cut(&bytes[used..]) {
            let stanza = &bytes[used..used + length];
            let to = attribute(stanza, b" to=").and_then(|to| self.names.get(to).copied());
            self.send(to, stanza);
            used += length;
        }
        used
    }
}
