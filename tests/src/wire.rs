//! A component's connection byte by byte, for what no library would send: `enjamb-probe`'s, with the tests' secret.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::ops::{Deref, DerefMut};

use enjamb_probe::wire;
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use crate::server::SECRET;

pub use enjamb_probe::wire::{digest as digest_of, handshake_end, has_handshake, has_header, header};

/// XEP-0114 section 3: the handshake's text for a stream id, in lower-case hex.
#[must_use]
pub fn digest(stream_id: &str) -> String {
    digest_of(stream_id, SECRET)
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
pub struct Wire(wire::Wire);

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
        Self(wire::Wire::over(stream).expect("TCP has nodelay, and sockets can be non-blocking"))
    }

    /// Sends the header and the right handshake, and waits for the server's consent.
    ///
    /// # Errors
    /// What came instead.
    pub fn log_in(&mut self, header: &[u8]) -> Result<String, String> {
        self.0.log_in(header, SECRET)
    }

    /// Sends these bytes, at most `split` of them a write, and reads meanwhile. Stops when the server closes or takes
    /// nothing for too long; gives how many were sent.
    pub fn send(&mut self, bytes: &[u8], split: Option<usize>) -> usize {
        let mut sent = 0;
        for piece in bytes.chunks(split.unwrap_or(usize::MAX)) {
            let taken = self.0.send(piece);
            sent += taken;
            if taken < piece.len() {
                break;
            }
        }
        sent
    }
}

impl Deref for Wire {
    type Target = wire::Wire;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Wire {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}
