//! A component's connection byte by byte, for what no library would send.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use regex::bytes::Regex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sha1::{Digest, Sha1};

/// How long the server may take for a step of the negotiation, and until it accepts.
const STEP: Duration = Duration::from_secs(5);
/// How long it may take to take what is sent, and what is sent in small pieces.
const SEND: Duration = Duration::from_secs(20);
const SEND_PIECES: Duration = Duration::from_secs(60);
/// How long it may take to end the connection once we have ended our side.
const CLOSE: Duration = Duration::from_secs(3);

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

/// XEP-0114 section 3: the handshake's text for a stream id and a secret, in lower-case hex.
#[must_use]
pub fn digest(stream_id: &str, secret: &str) -> String {
    Sha1::digest([stream_id, secret].concat()).iter().map(|b| format!("{b:02x}")).collect()
}

/// Where the server's stream header is in these bytes.
pub(crate) fn header_in(bytes: &[u8]) -> Option<Range<usize>> {
    HEADER.find(bytes).map(|found| found.range())
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
    /// # Errors
    /// The server does not accept within 5 s.
    pub fn connect(addr: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect_timeout(&addr, STEP)?)
    }

    /// Goes on with a connection that is made already.
    ///
    /// # Errors
    /// The socket can't be what it has to be.
    pub fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, received: Vec::new(), closed: false })
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
        self.send(header);
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
    pub fn log_in(&mut self, header: &[u8], secret: &str) -> Result<String, String> {
        let id = self.open(header)?;
        self.send(format!("<handshake>{}</handshake>", digest(&id, secret)).as_bytes());
        self.wait(STEP, |b| has_handshake(b) || b.ends_with(b"</stream:stream>"));
        if has_handshake(&self.received) { Ok(id) } else { Err(self.text()) }
    }

    /// Sends these bytes, and reads meanwhile. Stops when the server closes, or after 20 s; gives how many were sent.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        self.send_until(bytes, Instant::now() + SEND)
    }

    /// Sends these pieces, each in a write of its own, and reads meanwhile. Stops when the server closes, or after 60 s.
    pub fn send_pieces(&mut self, pieces: &[&[u8]]) {
        let deadline = Instant::now() + SEND_PIECES;
        for piece in pieces {
            if self.send_until(piece, deadline) < piece.len() {
                break;
            }
        }
    }

    fn send_until(&mut self, bytes: &[u8], deadline: Instant) -> usize {
        let mut sent = 0;
        while sent < bytes.len() && !self.closed && Instant::now() < deadline {
            match self.stream.write(&bytes[sent..]) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    if !self.read_some() {
                        self.ready(
                            PollFlags::IN | PollFlags::OUT,
                            deadline.saturating_duration_since(Instant::now()),
                        );
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
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.ready(PollFlags::OUT, limit.saturating_sub(since.elapsed()));
                }
                Err(_) => break,
            }
        }
        sent
    }

    /// Ends our sending side of the connection, without a trailer.
    pub fn half_close(&mut self) {
        // The server may have closed first; that shows in what is read.
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
            let left = deadline.saturating_duration_since(Instant::now());
            if self.closed || left.is_zero() {
                return false;
            }
            news = self.read_some();
            if !news {
                self.ready(PollFlags::IN, left);
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
        self.wait(CLOSE, |_| false);
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
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return false,
            Ok(0) | Err(_) => self.closed = true,
        }
        true
    }

    /// Sleeps until the socket is ready for one of these, or `limit` is over.
    fn ready(&self, what: PollFlags, limit: Duration) {
        let limit = Timespec::try_from(limit).ok();
        // A signal or a lack of memory: the caller looks again, and has a deadline of its own.
        let _ = poll(&mut [PollFd::new(&self.stream, what)], limit.as_ref());
    }
}
