//! A component as a stream of stanzas and a sink for them, for programs that use the combinators of `futures`.

use std::pin::Pin;
use std::task::{Context, Poll};

use enjamb_core::OwnedStanza;
use enjamb_core::connection::CloseReason;
use futures_core::Stream;
use futures_sink::Sink;

use super::error::SendError;
use super::handle::Component;

impl Stream for Component {
    type Item = OwnedStanza;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<OwnedStanza>> {
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
            Some(CloseReason::ByUs) if state.outbox.is_empty() && !state.unwritten => Poll::Ready(Ok(())),
            Some(_) => Poll::Ready(Err(SendError::Ended)),
            None => state.wait(cx),
        }
    }
}
