//! An iq request of a component, and the one stanza that answers it (RFC 6120, 8.2.3).

use core::task::{Context, Poll};
use core::time::Duration;
use std::borrow::ToOwned;
use std::string::String;

use super::component::{Component, Received, SendError, State};
use crate::jid::Jid;
use crate::stanza::{Kind, Stanza, StanzaBuf};
use crate::time::Instant;
use crate::xml::escape::push_attribute;

/// Why a request has no result.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request was not sent: its payload is not well-formed or too long, or the stream has ended.
    #[error(transparent)]
    NotSent(#[from] SendError),
    /// The answer is an error.
    #[error("the request was answered with an error")]
    Refused(Received),
    /// No answer came within this time.
    #[error("no answer came within {0:?}")]
    Late(Duration),
    /// The stream ended before the answer came.
    #[error("the stream ended before the answer came")]
    Ended,
}

/// A request that waits for its answer.
pub(super) struct Pending {
    id: String,
    /// Whom only the answer may come from.
    peer: String,
    timeout: Duration,
    /// Set by the connection, which knows the time.
    deadline: Option<Instant>,
    answer: Option<StanzaBuf>,
    is_late: bool,
}

impl State {
    /// Gives a stanza to the request that it answers, if it is the answer to one.
    pub(super) fn answer(&mut self, stanza: &Stanza<'_>) -> bool {
        let is_answer =
            stanza.kind() == Kind::Iq && matches!(stanza.type_().as_deref(), Some("result" | "error"));
        let (Some(id), Some(from), true) = (stanza.id(), stanza.from(), is_answer) else { return false };
        let mut waiting =
            self.requests.values_mut().filter(|pending| pending.answer.is_none() && !pending.is_late);
        let Some(pending) = waiting.find(|pending| pending.id == id && pending.peer == from.as_str()) else {
            return false;
        };
        pending.answer = Some(StanzaBuf::new(stanza));
        self.wake_waiting();
        true
    }

    /// Starts the time of requests that are new.
    pub(super) fn start_requests(&mut self, now: Instant) {
        for pending in self.requests.values_mut() {
            pending.deadline.get_or_insert(now + pending.timeout);
        }
    }

    /// When the next request is late.
    pub(super) fn request_timeout(&self) -> Option<Instant> {
        let waiting = self.requests.values().filter(|pending| pending.answer.is_none() && !pending.is_late);
        waiting.filter_map(|pending| pending.deadline).min()
    }

    /// Gives up on requests that are late.
    pub(super) fn expire_requests(&mut self, now: Instant) {
        for pending in self.requests.values_mut() {
            pending.is_late |= pending.deadline.is_some_and(|deadline| deadline <= now);
        }
        self.wake_waiting();
    }
}

/// Forgets a request whose future is dropped or done.
struct Forget<'a>(&'a Component, u64);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.shared.lock().requests.remove(&self.1);
    }
}

impl Component {
    /// Sends an iq of `type_` (`get` or `set`) with this payload, one element, and waits for its answer: an iq
    /// with the same id from exactly the address that was asked. Others, and answers that come too late, are
    /// taken with [`next`](Self::next). The id is [`ComponentSettings::id_prefix`](super::ComponentSettings) with
    /// a number. Somebody has to take the other stanzas meanwhile: where more wait than may, nothing is read.
    ///
    /// # Errors
    /// The answer is an error, or there is none: see [`RequestError`].
    pub async fn request(
        &self,
        type_: &str,
        from: &Jid<'_>,
        to: &Jid<'_>,
        payload: &str,
        timeout: Duration,
    ) -> Result<Received, RequestError> {
        let (number, id) = {
            let mut state = self.shared.lock();
            state.last_request += 1;
            (state.last_request, format!("{}{}", self.shared.id_prefix, state.last_request))
        };
        let mut iq = b"<iq".to_vec();
        for (name, value) in [("type", type_), ("id", &id), ("from", from.as_str()), ("to", to.as_str())] {
            push_attribute(&mut iq, name, value);
        }
        iq.push(b'>');
        iq.extend_from_slice(payload.as_bytes());
        iq.extend_from_slice(b"</iq>");
        let peer = to.as_str().to_owned();
        let pending = Pending { id, peer, timeout, deadline: None, answer: None, is_late: false };
        self.shared.lock().requests.insert(number, pending);
        let _forget = Forget(self, number);
        self.send(iq).await?;
        core::future::poll_fn(|cx| self.poll_answer(cx, number, timeout)).await
    }

    fn poll_answer(
        &self,
        cx: &Context<'_>,
        number: u64,
        timeout: Duration,
    ) -> Poll<Result<Received, RequestError>> {
        let mut state = self.shared.lock();
        let has_ended = state.ended.is_some();
        let Some(pending) = state.requests.get_mut(&number) else {
            return Poll::Ready(Err(RequestError::Ended));
        };
        match pending.answer.take() {
            Some(answer) if answer.as_stanza().type_().as_deref() == Some("error") => {
                Poll::Ready(Err(RequestError::Refused(answer)))
            }
            Some(answer) => Poll::Ready(Ok(answer)),
            None if pending.is_late => Poll::Ready(Err(RequestError::Late(timeout))),
            None if has_ended => Poll::Ready(Err(RequestError::Ended)),
            None => state.wait(cx),
        }
    }
}
