//! What the server behind an uplink has announced to a component, for the connections that come later (XEP-0355, XEP-0356).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use crate::jid::{Domain, Jid};
use crate::stanza::{Stanza, StanzaKind};
use crate::xml::child::children;

/// Announcements that are kept for one name, and the bytes of each.
const MAX_KEPT: usize = 16;
const MAX_BYTES: usize = 16 * 1024;

/// A kind of announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The component may act for others (XEP-0356).
    Privilege,
    /// It gets what is for the server (XEP-0355).
    Delegation,
}

impl Kind {
    /// Whether a stanza is an announcement: a message from a host, with one of these elements.
    pub(crate) fn of(stanza: &Stanza<'_>) -> Option<Self> {
        let is_host = |from: &Jid<'_>| from.as_str() == from.domain();
        // An error comes with what the component sent, which may be such an element.
        if stanza.kind() != StanzaKind::Message || !stanza.from().is_some_and(is_host) {
            return None;
        }
        // Most messages of hosts are none, and this is the fastest way to see it.
        if stanza.content().starts_with(b"<body") || stanza.known_type() == Some("error") {
            return None;
        }
        children(stanza.raw()).find_map(|child| {
            let is = |name, first, second| child.is(name, first) || child.is(name, second);
            if is("privilege", "urn:xmpp:privilege:2", "urn:xmpp:privilege:1") {
                Some(Self::Privilege)
            } else if is("delegation", "urn:xmpp:delegation:2", "urn:xmpp:delegation:1") {
                Some(Self::Delegation)
            } else {
                None
            }
        })
    }
}

/// The last announcement of each kind and sending host. Delegations that differ are all kept: ejabberd announces each
/// namespace by itself.
#[derive(Debug, Default)]
pub(crate) struct Announced(BTreeMap<Key, Box<[u8]>>);

/// Of a delegation, its content as well.
type Key = (Kind, Domain, Box<[u8]>);

impl Announced {
    /// Keeps an announcement in place of an older one of its kind from the same host. False: it is too long, or too many are
    /// kept.
    pub(super) fn keep(&mut self, kind: Kind, from: Domain, stanza: &Stanza<'_>) -> bool {
        if stanza.raw().len() > MAX_BYTES {
            return false;
        }
        let content = if kind == Kind::Delegation { stanza.content() } else { &[] };
        let key = (kind, from, content.into());
        let has_room = self.0.len() < MAX_KEPT || self.0.contains_key(&key);
        if !has_room {
            return false;
        }
        self.0.insert(key, stanza.to_vec().into());
        true
    }

    /// What is kept.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.values().map(|stanza| &**stanza)
    }
}
