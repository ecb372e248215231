//! An iq request of a component, and the one stanza that answers it (RFC 6120, 8.2.3).

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use enjamb_core::jid::Jid;
use enjamb_core::{OwnedStanza, push_attribute};

use super::error::{RequestError, SendError};
use super::handle::Component;
use super::requests::Answer;

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
    /// The answer is an error, or no answer came: see [`RequestError`].
    pub async fn request(&self, request: Request<'_>) -> Result<OwnedStanza, RequestError> {
        self.shared.check(request.payload.as_bytes())?;
        let timeout = request.timeout;
        let peer = request.to.as_str().to_owned();
        let (number, iq) = {
            let mut state = self.shared.lock();
            let number = state.requests.next_number();
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
        match state.requests.poll(number, cx.waker()) {
            Answer::Came(answer) if answer.as_stanza().stanza_type().as_deref() == Some("error") => {
                Poll::Ready(Err(RequestError::Refused(answer)))
            }
            Answer::Came(answer) => Poll::Ready(Ok(answer)),
            Answer::Late => Poll::Ready(Err(RequestError::Late(timeout))),
            Answer::Awaited if !has_ended => Poll::Pending,
            Answer::Awaited | Answer::Forgotten => Poll::Ready(Err(RequestError::Ended)),
        }
    }
}
