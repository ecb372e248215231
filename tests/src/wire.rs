//! A component's connection byte by byte, for what no library would send.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use regex::bytes::Regex;
use rustix::io::Errno;
use sha1::{Digest, Sha1};
use socket2::{Domain, Protocol, Socket, Type};

use crate::server::SECRET;

/// How long the server may take for a step of the negotiation.
const STEP: Duration = Duration::from_secs(5);
/// How often a connection that has nothing to do looks again.
const NAP: Duration = Duration::from_micros(500);

static HEADER: LazyLock<Regex> = LazyLock::new(|| pattern(r"<(?:\w+:)?stream\s[^>]*>"));
static STREAM_ID: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"<(?:\w+:)?stream(?:\s[^>]*?)?\sid=(?:'([^']*)'|"([^"]*)")"#));
static HANDSHAKE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"<handshake(?: xmlns=(?:'[^']*'|"[^"]*"))?\s*(?:/>|></handshake>)"#));

/// A pattern over bytes, in which `\w` and `.` mean ASCII and bytes.
pub(crate) fn pattern(text: &str) -> Regex {
    Regex::new(&format!("(?s-u){text}")).expect("patterns are literals of this crate")
}

/// The stream header that a component of `domain` sends.
#[must_use]
pub fn header(domain: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
         xmlns:stream='http://etherx.jabber.org/streams' to='{domain}'>"
    )
}

/// XEP-0114 section 3: the handshake's text for a stream id, in lower-case hex.
#[must_use]
pub fn digest(stream_id: &str) -> String {
    digest_of(stream_id, SECRET)
}

/// The handshake's text for a stream id and a secret.
#[must_use]
pub fn digest_of(stream_id: &str, secret: &str) -> String {
    Sha1::digest(format!("{stream_id}{secret}")).iter().map(|b| format!("{b:02x}")).collect()
}

/// Is the server's stream header in these bytes?
#[must_use]
pub fn has_header(bytes: &[u8]) -> bool {
    HEADER.is_match(bytes)
}

/// Is the server's consent to the handshake in these bytes?
#[must_use]
pub fn has_handshake(bytes: &[u8]) -> bool {
    HANDSHAKE.is_match(bytes)
}

/// Where the server's consent to the handshake ends in these bytes.
#[must_use]
pub fn handshake_end(bytes: &[u8]) -> Option<usize> {
    HANDSHAKE.find(bytes).map(|found| found.end())
}

/// A TCP connection from an address of this machine's own.
///
/// # Errors
/// When it can't be made.
pub fn connect_from(source: IpAddr, addr: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    socket.connect(&addr.into())?;
    Ok(socket.into())
}

/// A connection that may still be on its way: the system goes on with it.
///
/// # Errors
/// When there is no socket for it.
pub fn begin_to_connect(source: IpAddr, addr: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    match socket.connect(&addr.into()) {
        Err(error) if Errno::from_io_error(&error) != Some(Errno::INPROGRESS) => Err(error),
        _ => Ok(socket.into()),
    }
}

/// A connection and all that came over it.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    received: Vec<u8>,
    closed: bool,
}

impl Wire {
    /// Connects.
    ///
    /// # Panics
    /// When the listener doesn't accept.
    #[must_use]
    pub fn connect(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).expect("the server accepts"))
    }

    /// Connects from an address of this machine's own, such as another one of 127.0.0.0/8.
    ///
    /// # Panics
    /// When the listener doesn't accept.
    #[must_use]
    pub fn connect_from(source: IpAddr, addr: SocketAddr) -> Self {
        Self::over(connect_from(source, addr).expect("the server accepts"))
    }

    /// Connects with a receive buffer so small that what is not read waits in the server.
    ///
    /// # Panics
    /// When the listener doesn't accept.
    #[must_use]
    pub fn connect_with_little_room(addr: SocketAddr) -> Self {
        let connect = || {
            let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
            socket.set_recv_buffer_size(4096)?;
            socket.connect(&addr.into())?;
            io::Result::Ok(socket.into())
        };
        Self::over(connect().expect("the server accepts"))
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("TCP has nodelay");
        stream.set_nonblocking(true).expect("sockets can be non-blocking");
        Self { stream, received: Vec::new(), closed: false }
    }

    /// Everything received since [`Self::take`].
    #[must_use]
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// Gives what was received and forgets it.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.received)
    }

    /// Has the server ended the connection, in good order or by a reset?
    #[must_use]
    pub fn closed(&self) -> bool {
        self.closed
    }

    /// Sends the header and waits for the server's. Gives the stream id.
    ///
    /// # Errors
    /// What came instead.
    pub fn open(&mut self, header: &[u8]) -> Result<String, String> {
        self.send(header, None);
        self.wait(STEP, has_header);
        let found = STREAM_ID.captures(&self.received);
        let id = found.and_then(|c| c.get(1).or(c.get(2)).map(|m| m.as_bytes().to_vec()));
        match id {
            Some(id) if !self.closed => Ok(String::from_utf8_lossy(&id).into_owned()),
            _ => Err(self.text()),
        }
    }

    /// Sends the header and the right handshake, and waits for the server's consent.
    ///
    /// # Errors
    /// What came instead.
    pub fn log_in(&mut self, header: &[u8]) -> Result<String, String> {
        let id = self.open(header)?;
        self.send(format!("<handshake>{}</handshake>", digest(&id)).as_bytes(), None);
        self.wait(STEP, |b| has_handshake(b) || b.ends_with(b"</stream:stream>"));
        if has_handshake(&self.received) { Ok(id) } else { Err(self.text()) }
    }

    /// Sends these bytes, at most `split` of them a write, and reads meanwhile. Stops when the server closes or takes
    /// nothing for too long; gives how many were sent.
    pub fn send(&mut self, bytes: &[u8], split: Option<usize>) -> usize {
        let step = split.unwrap_or(1 << 16);
        let mut sent = 0;
        let deadline = Instant::now() + Duration::from_secs(20);
        while sent < bytes.len() && !self.closed && Instant::now() < deadline {
            let end = bytes.len().min(sent + step);
            match self.stream.write(&bytes[sent..end]) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    if !self.read_some() {
                        thread::sleep(NAP);
                    }
                }
                // The server may have closed while an error of its own is still unread.
                Err(_) => {
                    self.wait(Duration::from_secs(1), |_| false);
                    self.closed = true;
                }
            }
        }
        sent
    }

    /// Sends these bytes and reads nothing meanwhile. Stops when the other side takes nothing for as long as `limit`,
    /// or has closed; gives how many were sent.
    pub fn push(&mut self, bytes: &[u8], limit: Duration) -> usize {
        let (mut sent, mut since) = (0, Instant::now());
        while sent < bytes.len() && since.elapsed() < limit {
            match self.stream.write(&bytes[sent..]) {
                Ok(n) => (sent, since) = (sent + n, Instant::now()),
                Err(e) if e.kind() == ErrorKind::WouldBlock => thread::sleep(NAP),
                Err(_) => break,
            }
        }
        sent
    }

    /// Ends our sending side of the connection, without a trailer.
    pub fn half_close(&mut self) {
        // The server may have closed first; the test sees that in what it reads.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads until `enough` holds of all that was received, the connection ends, or `limit` is over. Gives whether
    /// `enough` holds.
    pub fn wait(&mut self, limit: Duration, enough: impl Fn(&[u8]) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        let mut news = true;
        loop {
            if news && enough(&self.received) {
                return true;
            }
            if self.closed || Instant::now() >= deadline {
                return false;
            }
            news = self.read_some();
            if !news {
                thread::sleep(NAP);
            }
        }
    }

    /// Reads until these bytes are in all that was received, each looked at once.
    pub fn wait_for(&mut self, limit: Duration, what: &str) -> bool {
        let seen = Cell::new(0_usize);
        self.wait(limit, |bytes| {
            let from = seen.replace(bytes.len()).saturating_sub(what.len());
            bytes[from..].windows(what.len()).any(|window| window == what.as_bytes())
        })
    }

    /// Ends our side and waits until the server ended its own, so that its domain is free again.
    pub fn finish(&mut self) {
        self.half_close();
        self.wait(Duration::from_secs(3), |_| false);
    }

    /// What was received, as text for messages.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }

    /// Reads what there is. Gives whether anything changed.
    fn read_some(&mut self) -> bool {
        let mut chunk = [0; 1 << 16];
        match self.stream.read(&mut chunk) {
            Ok(n @ 1..) => self.received.extend_from_slice(&chunk[..n]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return false,
            Ok(0) | Err(_) => self.closed = true,
        }
        true
    }
}
