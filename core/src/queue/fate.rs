//! What becomes of a stanza whose receiver is not connected and will come back.

use crate::stanza::{Envelope, StanzaKind};
use crate::xml::child::children;

/// What becomes of a stanza for a domain with `hold_seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is held.
    Held(Kind),
    /// Its sender is told that the component is away.
    Bounced,
    /// It is of no use later, and needs no answer.
    Dropped,
}

/// Who is to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Towards {
    /// A component. Its rooms and its requests end with its connection.
    Component,
    /// The server of an uplink. Rooms and answers live as long as the component.
    Server,
}

/// Which held stanzas of the same pair of addresses it replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It replaces no other.
    Alone,
    /// Probes.
    Probe,
    /// Available and unavailable presence, but no presence that enters a room.
    Available,
    /// All presence of the pair but probes.
    Unavailable,
    /// The same; it enters a room (XEP-0045).
    Join,
}

impl Kind {
    /// Whether one of this kind makes an older one of the same pair useless.
    pub(crate) fn replaces(self, older: Self) -> bool {
        match self {
            Self::Alone => false,
            Self::Probe => older == Self::Probe,
            Self::Available => matches!(older, Self::Available | Self::Unavailable),
            Self::Unavailable | Self::Join => {
                matches!(older, Self::Available | Self::Unavailable | Self::Join)
            }
        }
    }
}

const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";
const HINTS: &str = "urn:xmpp:hints";
const MUC: &str = "http://jabber.org/protocol/muc";

/// Decides by what kind of stanza it is.
pub(crate) fn fate(envelope: &Envelope, stanza: &[u8], towards: Towards) -> Fate {
    let stanza_type = envelope.stanza_type(stanza);
    let is_to_server = towards == Towards::Server;
    match (envelope.kind(), stanza_type.as_deref().unwrap_or_default()) {
        (StanzaKind::Iq, "get" | "set") => Fate::Bounced,
        (StanzaKind::Iq, _) if is_to_server => Fate::Held(Kind::Alone),
        (StanzaKind::Message, "groupchat") if !is_to_server => Fate::Bounced,
        (StanzaKind::Iq, _) | (StanzaKind::Message, "headline") | (_, "error") => Fate::Dropped,
        (StanzaKind::Message, _) if is_passing(stanza) => Fate::Dropped,
        (StanzaKind::Message, _) => Fate::Held(Kind::Alone),
        (StanzaKind::Presence, "probe") => Fate::Held(Kind::Probe),
        (StanzaKind::Presence, "unavailable") => Fate::Held(Kind::Unavailable),
        (StanzaKind::Presence, "") if children(stanza).any(|child| child.is("x", MUC)) => {
            Fate::Held(Kind::Join)
        }
        (StanzaKind::Presence, "") => Fate::Held(Kind::Available),
        (StanzaKind::Presence, _) => Fate::Held(Kind::Alone),
    }
}

/// True for a message with `<no-store/>` (XEP-0334), and for one that has nothing but a chat state (XEP-0085).
fn is_passing(message: &[u8]) -> bool {
    let (mut chat_states, mut others) = (0, 0);
    for child in children(message) {
        if child.is("no-store", HINTS) {
            return true;
        }
        if child.is_in(CHAT_STATES) {
            chat_states += 1;
        } else if !(child.is_in(HINTS) || child.is_own("thread")) {
            others += 1;
        }
    }
    chat_states > 0 && others == 0
}
