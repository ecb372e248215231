//! The users of `embed-server` and `embed-poll`: a map, as a server of your own has its own.

use std::collections::BTreeMap;

use enjamb_core::port::Incoming;
use enjamb_core::switch::Switch;
use enjamb_core::{ErrorType, Now, StanzaCondition, StanzaError, StanzaKind, push_attribute};

/// What each user says to a message.
pub struct Users(BTreeMap<&'static str, &'static str>);

impl Default for Users {
    fn default() -> Self {
        Self(BTreeMap::from([("juliet", "O Romeo, Romeo!"), ("nurse", "Anon, anon!")]))
    }
}

impl Users {
    /// Handles a stanza for the host: a message for a user is answered by that user, one for a user that is not there by an
    /// error. The switch answers what is for the host itself, such as service discovery. Answers go to `out`.
    pub fn handle<S: Switch>(&self, stanza: &Incoming<'_>, switch: &S, now: Now, out: &mut Vec<u8>) {
        let (Some(to), Some(from)) = (stanza.to(), stanza.from()) else { return };
        let Some(name) = to.local() else {
            stanza.answer_as_host(switch, now, out);
            return;
        };
        match self.0.get(name) {
            Some(words) if stanza.kind() == StanzaKind::Message && stanza.expects_reply() => {
                out.extend_from_slice(b"<message type='chat'");
                push_attribute(out, "from", to.as_str());
                push_attribute(out, "to", from.as_str());
                out.extend_from_slice(format!("><body>{words}</body></message>").as_bytes());
            }
            Some(_) => {}
            None => {
                let text = "this server has no such user";
                let error = StanzaError::new(StanzaCondition::ItemNotFound, ErrorType::Cancel, text);
                stanza.refuse(&error, out);
            }
        }
    }
}
