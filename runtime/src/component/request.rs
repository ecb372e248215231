//! An iq request of a component, and the one stanza that answers it (RFC 6120, 8.2.3).

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use enjamb_core::jid::Jid;
use enjamb_core::{Instant, Kind, OwnedStanza, Stanza, push_attribute};

use super::{Component, SendError, State};

/// What is asked, of whom, and for how long an answer is waited for.
///
/// ```
/// # use enjamb_core::jid::Jid;
/// # use enjamb_runtime::{Component, Request, RequestError};
/// # async fn f(component: &Component) -> Result<(), Box<dyn std::error::Error>> {
/// let host = Jid::parse("localhost")?;
/// match component.request(Request::get(&host, "<ping xmlns='urn:xmpp:ping'/>")).await {
///     Ok(_pong) => {}
///     // Its content says why, as an <error/> element.
///     Err(RequestError::Refused(answer)) => assert!(!answer.as_stanza().content().is_empty()),
///     Err(other) => return Err(other.into()),
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Request<'a> {
    type_: &'static str,
    from: Option<&'a Jid<'a>>,
    to: &'a Jid<'a>,
    payload: &'a str,
    timeout: Duration,
}

impl<'a> Request<'a> {
    /// Asks for something: an iq of type `get`. The payload is exactly one element, with its own namespace.
    #[must_use]
    pub fn get(to: &'a Jid<'a>, payload: &'a str) -> Self {
        Self { type_: "get", from: None, to, payload, timeout: Duration::from_secs(30) }
    }

    /// Asks for something to be done: an iq of type `set`.
    #[must_use]
    pub fn set(to: &'a Jid<'a>, payload: &'a str) -> Self {
        Self { type_: "set", ..Self::get(to, payload) }
    }

    /// Asks from this address instead of the component's own domain. A component that is bound by a prefix has to.
    #[must_use]
    pub fn from(self, from: &'a Jid<'a>) -> Self {
        Self { from: Some(from), ..self }
    }

    /// Waits so long for the answer instead of 30 s, the wait for room to send the request included.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    fn to_iq(&self, id: &str, own: Option<&str>) -> Result<Vec<u8>, SendError> {
        let from = self.from.map(Jid::as_str).or(own).ok_or(SendError::NoSender)?;
        let mut iq = b"<iq".to_vec();
        for (name, value) in [("type", self.type_), ("id", id), ("from", from), ("to", self.to.as_str())] {
            push_attribute(&mut iq, name, value);
        }
        iq.push(b'>');
        iq.extend_from_slice(self.payload.as_bytes());
        iq.extend_from_slice(b"</iq>");
        Ok(iq)
    }
}

/// Why a request has no result.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request was not sent: its payload is not one well-formed element or too long, or the stream has ended.
    #[error(transparent)]
    NotSent(#[from] SendError),
    /// The answer is an error.
    #[error("the request was answered with an error")]
    Refused(OwnedStanza),
    /// No answer came within this time.
    #[error("no answer came within {0:?}")]
    Late(Duration),
    /// The stream ended before the answer came.
    #[error("the stream ended before the answer came")]
    Ended,
}

/// Requests that wait for their answers. Each has a waker of its own, so that an answer wakes one of them and not all.
#[derive(Default)]
pub(crate) struct Requests {
    last: u64,
    by_number: BTreeMap<u64, Pending>,
    /// Those whose time has not begun: the connection knows the time.
    new: Vec<u64>,
    /// Those that wait, by when they are late.
    deadlines: BTreeSet<(Instant, u64)>,
}

struct Pending {
    /// Whom only the answer may come from.
    peer: String,
    timeout: Duration,
    deadline: Option<Instant>,
    answer: Option<OwnedStanza>,
    is_late: bool,
    waker: Option<Waker>,
}

impl Requests {
    fn insert(&mut self, number: u64, peer: String, timeout: Duration) {
        let pending = Pending { peer, timeout, deadline: None, answer: None, is_late: false, waker: None };
        self.by_number.insert(number, pending);
        self.new.push(number);
    }

    fn remove(&mut self, number: u64) {
        if let Some(Pending { deadline: Some(deadline), .. }) = self.by_number.remove(&number) {
            self.deadlines.remove(&(deadline, number));
        }
    }

    /// The wakers of all, since the stream has ended.
    pub(crate) fn wakers(&mut self) -> impl Iterator<Item = Waker> {
        self.by_number.values_mut().filter_map(|pending| pending.waker.take())
    }
}

impl State {
    /// Gives a stanza to the request that it answers, if it is the answer to one.
    pub(crate) fn answer(&mut self, stanza: &Stanza<'_>, id_prefix: &str) -> bool {
        if self.requests.by_number.is_empty() || stanza.kind() != Kind::Iq {
            return false;
        }
        let (Some(id), Some(from)) = (stanza.id(), stanza.from()) else { return false };
        let Some(number) = id.strip_prefix(id_prefix).and_then(|number| number.parse().ok()) else {
            return false;
        };
        let Some(pending) = self.requests.by_number.get_mut(&number) else { return false };
        let is_answer = matches!(stanza.type_().as_deref(), Some("result" | "error"));
        let is_waiting = pending.answer.is_none() && !pending.is_late;
        if !is_answer || !is_waiting || pending.peer != from.as_str() {
            return false;
        }
        pending.answer = Some(OwnedStanza::new(stanza));
        let (deadline, waker) = (pending.deadline, pending.waker.take());
        if let Some(deadline) = deadline {
            self.requests.deadlines.remove(&(deadline, number));
        }
        self.to_wake.extend(waker);
        true
    }

    /// Starts the time of requests that are new.
    pub(crate) fn start_requests(&mut self, now: Instant) {
        let Requests { by_number, new, deadlines, .. } = &mut self.requests;
        for number in new.drain(..) {
            if let Some(pending) = by_number.get_mut(&number) {
                let deadline = now + pending.timeout;
                pending.deadline = Some(deadline);
                deadlines.insert((deadline, number));
            }
        }
    }

    /// When the next request is late.
    pub(crate) fn request_timeout(&self) -> Option<Instant> {
        self.requests.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Gives up on requests that are late.
    pub(crate) fn expire_requests(&mut self, now: Instant) {
        let Requests { by_number, deadlines, .. } = &mut self.requests;
        while let Some(&(deadline, number)) = deadlines.first()
            && deadline <= now
        {
            deadlines.pop_first();
            if let Some(pending) = by_number.get_mut(&number) {
                pending.is_late = true;
                self.to_wake.extend(pending.waker.take());
            }
        }
    }
}

/// Forgets a request whose future is dropped or done.
struct Forget<'a>(&'a Component, u64);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.shared.lock().requests.remove(self.1);
    }
}

impl Component {
    /// Sends an iq and waits for its answer: an iq with the same id from exactly the address that was asked. Others,
    /// and answers that come too late, are taken with [`next`](Self::next). The id is
    /// [`ComponentSettings::id_prefix`](super::ComponentSettings::id_prefix) with a number. Somebody has to take the other
    /// stanzas meanwhile: where more wait than may, nothing is read.
    ///
    /// # Errors
    /// The answer is an error, or there is none: see [`RequestError`].
    pub async fn request(&self, request: Request<'_>) -> Result<OwnedStanza, RequestError> {
        self.shared.check(request.payload.as_bytes())?;
        let timeout = request.timeout;
        let peer = request.to.as_str().to_owned();
        let (number, iq) = {
            let mut state = self.shared.lock();
            state.requests.last += 1;
            let number = state.requests.last;
            let own = self.shared.own.as_ref().map(|own| own.as_str());
            let iq = request.to_iq(&format!("{}{number}", self.shared.id_prefix), own)?;
            state.requests.insert(number, peer, timeout);
            // Its time begins now, be there room to send it or not.
            state.wake_driver();
            (number, iq)
        };
        let _forget = Forget(self, number);
        self.shared.check(&iq)?;
        let mut unsent = Some(iq);
        poll_fn(|cx| {
            if let Some(iq) = &unsent
                && let Poll::Ready(room) = self.poll_room(cx)
            {
                room?;
                self.put(iq)?;
                unsent = None;
            }
            self.poll_answer(cx, number, timeout)
        })
        .await
    }

    fn poll_answer(
        &self,
        cx: &Context<'_>,
        number: u64,
        timeout: Duration,
    ) -> Poll<Result<OwnedStanza, RequestError>> {
        let mut state = self.shared.lock();
        let has_ended = state.ended.is_some();
        let Some(pending) = state.requests.by_number.get_mut(&number) else {
            return Poll::Ready(Err(RequestError::Ended));
        };
        match pending.answer.take() {
            Some(answer) if answer.as_stanza().type_().as_deref() == Some("error") => {
                Poll::Ready(Err(RequestError::Refused(answer)))
            }
            Some(answer) => Poll::Ready(Ok(answer)),
            None if pending.is_late => Poll::Ready(Err(RequestError::Late(timeout))),
            None if has_ended => Poll::Ready(Err(RequestError::Ended)),
            None => {
                pending.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
