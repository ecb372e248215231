//! Asks the other side by XEP-0199 whether it is still there, after some silence.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use crate::error::{StreamError, StreamErrorCause};
use crate::jid::Jid;
use crate::limits::Limits;
use crate::stanza::{Stanza, StanzaKind};
use crate::time::Instant;
use crate::xml::escape::push_attribute;

/// What the ids of pings begin with.
pub(super) const ID: &str = "enjamb-alive-";

/// Listens for signs of life. Any byte is one, the keepalive of a server included.
///
/// A component asks itself ([`OwnPing`](super::own_ping::OwnPing)). A server asks the component; silence ends the stream
/// only if the component has answered such a question before, since not every library does.
#[derive(Debug)]
pub(super) struct Alive {
    /// Silence after which we ask.
    silence: Duration,
    /// How long the sign of life may take then.
    answer: Duration,
    /// Runs from the last sign of life, or from our question; stopped while nothing is read.
    deadline: Option<Instant>,
    asked: bool,
    pings: u64,
    /// Silence after a ping ends the stream.
    answers: bool,
}

impl Alive {
    /// `None` where the limits say that nobody asks.
    pub(super) fn of_component(limits: &Limits, now: Instant) -> Option<Self> {
        Some(Self::of_server(limits.ping?, limits, now))
    }

    /// For a server, which asks a component after that silence.
    pub(super) fn of_server(silence: Duration, limits: &Limits, now: Instant) -> Self {
        let deadline = Some(now + silence);
        Self { silence, answer: limits.ping_answer, deadline, asked: false, pings: 0, answers: false }
    }

    /// The other side has answered a ping.
    pub(super) fn answered(&mut self) {
        self.answers = true;
    }

    /// Whether silence after a ping ends the stream, as far as is known now.
    pub(super) fn set_answers(&mut self, answers: bool) {
        self.answers = answers;
    }

    /// How many pings were sent.
    pub(super) fn pings(&self) -> u64 {
        self.pings
    }

    /// Bytes came.
    pub(super) fn heard(&mut self, now: Instant) {
        self.asked = false;
        self.deadline = Some(now + self.silence);
    }

    /// While nothing is read, nothing can be heard.
    pub(super) fn set_reading(&mut self, now: Instant, reading: bool) {
        if reading {
            self.heard(now);
        } else {
            self.deadline = None;
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// Asks, or gives up. The ids of the questions are `ids` and their number.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        ids: &str,
        (from, to): (&str, &str),
        out: &mut Vec<u8>,
    ) -> Result<(), StreamError> {
        if self.deadline.is_none_or(|at| now < at) {
            return Ok(());
        }
        if self.asked && !self.answers {
            self.heard(now);
            return Ok(());
        }
        if self.asked {
            self.deadline = None;
            return Err(StreamErrorCause::Silence { within: self.silence + self.answer }.into());
        }
        self.pings += 1;
        out.extend_from_slice(b"<iq type='get'");
        push_attribute(out, "id", &format!("{ids}{}", self.pings));
        push_attribute(out, "from", from);
        push_attribute(out, "to", to);
        out.extend_from_slice(b"><ping xmlns='urn:xmpp:ping'/></iq>");
        self.asked = true;
        self.deadline = Some(now + self.answer);
        Ok(())
    }

    /// Is it the answer to a question that had these addresses?
    pub(super) fn is_answer(stanza: &Stanza<'_>, from: &str, to: &str) -> bool {
        let is = |address: Option<&Jid<'_>>, name: &str| address.is_some_and(|jid| jid.as_str() == name);
        stanza.kind() == StanzaKind::Iq
            && matches!(stanza.known_type(), Some("result" | "error"))
            && is(stanza.from(), to)
            && is(stanza.to(), from)
            && stanza.id().is_some_and(|id| id.starts_with(ID))
    }
}
