//! Connections, and what is negotiated on them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use memchr::memmem;
use mio::net::TcpStream as Socket;
use sha1::{Digest, Sha1};

/// A server that says nothing for so long while a stream is negotiated has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that neither reading nor writing blocks.
pub(crate) struct Conn {
    pub(crate) socket: Socket,
    /// The beginning of a stanza whose rest is not there yet.
    pub(crate) input: Vec<u8>,
    pub(crate) out: Vec<u8>,
    sent: usize,
}

impl Conn {
    pub(crate) fn new(socket: Socket) -> Self {
        Self { socket, input: Vec::new(), out: Vec::new(), sent: 0 }
    }

    /// Reads once; `None` where nothing is there, 0 at the end.
    pub(crate) fn read(&mut self, scratch: &mut [u8]) -> io::Result<Option<usize>> {
        match self.socket.read(scratch) {
            Ok(n) => Ok(Some(n)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes what the socket takes.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.out.len() {
            match self.socket.write(&self.out[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }
}

/// An attribute's value in the tag that `bytes` begins with; `name` as in `b" to="`.
pub(crate) fn attribute<'a>(bytes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let tag = &bytes[..memchr::memchr(b'>', bytes)?];
    let start = memmem::find(tag, name)? + name.len() + 1;
    let length = memchr::memchr(*tag.get(start - 1)?, &tag[start..])?;
    Some(&tag[start..start + length])
}

/// A stream header as components send it.
pub(crate) fn header(domain: &str) -> String {
    header_with(domain, "")
}

/// The same with more attributes.
pub(crate) fn header_with(domain: &str, more: &str) -> String {
    format!(
        "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'{more} to='{domain}'>"
    )
}

/// What proves the secret on the stream `id` (XEP-0114, section 3).
pub(crate) fn proof(id: &[u8], secret: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(id);
    hash.update(secret.as_bytes());
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads until `done` finds in it what it waits for.
fn read_until<T>(socket: &mut TcpStream, done: impl Fn(&[u8]) -> Option<T>) -> io::Result<T> {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let n = socket.read(&mut buffer)?;
        if n == 0 {
            return Err(io::Error::other("the server closed a stream that was being negotiated"));
        }
        read.extend_from_slice(&buffer[..n]);
        if memmem::find(&read, b"<stream:error").is_some() {
            return Err(io::Error::other(format!("the server refuses: {}", String::from_utf8_lossy(&read))));
        }
        if let Some(found) = done(&read) {
            return Ok(found);
        }
    }
}

/// Connects components, all of them one step further at a time.
pub(crate) fn connect(server: SocketAddr, secret: &str, domains: &[String]) -> io::Result<Vec<TcpStream>> {
    connect_with(server, secret, domains.iter().map(|domain| header(domain)))
}

/// The same with headers of their own.
pub(crate) fn connect_with(
    server: SocketAddr,
    secret: &str,
    headers: impl IntoIterator<Item = String>,
) -> io::Result<Vec<TcpStream>> {
    let mut sockets = Vec::new();
    for header in headers {
        let mut socket = TcpStream::connect(server)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.write_all(header.as_bytes())?;
        sockets.push(socket);
    }
    for socket in &mut sockets {
        let id = read_until(socket, |read| {
            let tag = &read[memmem::find(read, b"<stream:stream")?..];
            attribute(tag, b" id=").map(<[u8]>::to_vec)
        })?;
        let proof = proof(&id, secret);
        socket.write_all(format!("<handshake>{proof}</handshake>").as_bytes())?;
    }
    for socket in &mut sockets {
        read_until(socket, |read| {
            (memmem::find(read, b"<handshake/>").or_else(|| memmem::find(read, b"</handshake>"))).map(|_| ())
        })?;
    }
    Ok(sockets)
}
