//! A component as a stream of stanzas and a sink for them, for whoever builds with the combinators of `futures`.

use core::pin::Pin;
use core::task::{Context, Poll};

use futures_core::Stream;
use futures_sink::Sink;

use super::component::{Component, Received, SendError};
use super::session::End;

impl Stream for Component {
    type Item = Received;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        Self::poll_next(&self, cx)
    }
}

/// Ready while the outbox is under its mark; flushed once everything is written to the connection; closed once the
/// stream has ended in good order.
impl<B: AsRef<[u8]>> Sink<B> for Component {
    type Error = SendError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.poll_room(cx)
    }

    fn start_send(self: Pin<&mut Self>, stanza: B) -> Result<(), SendError> {
        self.shared.check(stanza.as_ref())?;
        self.put(stanza.as_ref())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.poll_flushed(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.close();
        let mut state = self.shared.lock();
        match &state.ended {
            Some(End::ByUs) if state.outbox.is_empty() && !state.unwritten => Poll::Ready(Ok(())),
            Some(_) => Poll::Ready(Err(SendError::Ended)),
            None => state.wait(cx),
        }
    }
}
