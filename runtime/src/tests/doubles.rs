//! A socket in memory and a clock that stands still.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use enjamb_core::Instant;

use crate::{Timer, Transport};

/// Proves the secret `test` on the stream 3BF96D32 (XEP-0114, section 3).
pub(super) const PROOF: &str = "aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e";

/// A socket that takes all that is written, and has all of the input at once, but for one cut.
pub(super) struct Socket {
    pub(super) input: Vec<u8>,
    pub(super) read: usize,
    /// Where a read ends.
    pub(super) cut: usize,
    pub(super) written: Written,
}

/// Each write by itself.
pub(super) type Written = Rc<RefCell<Vec<Vec<u8>>>>;

pub(super) fn all(written: &Written) -> String {
    String::from_utf8(written.borrow().concat()).unwrap()
}

impl Transport for Socket {
    fn poll_read(&mut self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let end = if self.read < self.cut { self.cut } else { self.input.len() };
        let n = buffer.len().min(end - self.read);
        buffer[..n].copy_from_slice(&self.input[self.read..self.read + n]);
        self.read += n;
        if n == 0 { Poll::Pending } else { Poll::Ready(Ok(n)) }
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written.borrow_mut().push(bytes.to_vec());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A clock that stands still.
pub(super) struct Still;

impl Timer for Still {
    fn now(&self) -> Instant {
        Instant::ORIGIN
    }

    fn poll_at(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<()> {
        Poll::Pending
    }
}
