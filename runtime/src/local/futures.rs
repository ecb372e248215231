//! A local port as a stream of batches and a sink for stanzas, for programs that use the combinators of `futures`.

use std::pin::Pin;
use std::task::{Context, Poll};

use enjamb_core::port::{Batch, SendError};
use futures_core::Stream;
use futures_sink::Sink;

use super::{LocalPort, RoomWait, Unsent, lock};

impl Stream for LocalPort {
    type Item = Batch;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Batch>> {
        self.poll_recv(cx)
    }
}

/// Ready while no stanza waits for room; flushed once it was sent; closed once it is detached after that.
impl<B: AsRef<[u8]>> Sink<B> for LocalPort {
    type Error = SendError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.poll_unsent(cx)
    }

    fn start_send(self: Pin<&mut Self>, stanza: B) -> Result<(), SendError> {
        match self.try_send(&stanza) {
            Err(SendError::Full { .. }) => {
                let wait = RoomWait { waiter: self.waiters.enter(), alarm: None };
                *lock(&self.unsent) = Some(Unsent { stanza: stanza.as_ref().to_vec(), wait });
                Ok(())
            }
            result => result,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.poll_unsent(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let result = self.poll_unsent(cx);
        if result.is_ready() {
            self.detach();
        }
        result
    }
}

impl LocalPort {
    fn poll_unsent(&self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let mut slot = lock(&self.unsent);
        let Some(Unsent { stanza, wait }) = &mut *slot else { return Poll::Ready(Ok(())) };
        let result = self.poll_send(cx, wait, || self.try_send(&stanza));
        if result.is_ready() {
            *slot = None;
        }
        result
    }
}
