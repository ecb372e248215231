//! What may happen on a server: the script of `server_ops`, and the listeners that it has.

use std::num::NonZeroU64;
use std::sync::Arc;

use arbitrary::Arbitrary;
use enjamb_core::Secret;
use enjamb_core::jid::Domain;
use enjamb_core::router::{BindPolicy, ConflictBehaviour, DomainPattern};
use enjamb_core::switch::ListenerConfig;
use enjamb_server::access::{Clause, Condition, JidField, Matcher, Pattern, Rule, Scope, Verdict};

use crate::many::Many;

/// Hosts, names of components and prefixes: few, so that they meet.
pub(crate) const HOSTS: [&str; 3] = ["h", "g", "b.h"];
pub(crate) const NAMES: [&str; 10] = ["a", "b", "c", "a.h", "b.h", "a.g", "a.b.h", "h", "g", "c.listed"];
/// Known while nobody is there: the names that some listener lists.
pub(crate) const KNOWN: [&str; 2] = ["c", "*.listed"];
/// Bytes a second that the shaped listener takes.
pub(crate) const RATE: u64 = 1000;

/// What one listener grants.
pub(crate) struct Grant {
    pub(crate) kick_old: bool,
    pub(crate) hidden: bool,
    pub(crate) check_from: bool,
    pub(crate) access: Access,
    pub(crate) listed: Option<&'static [&'static str]>,
    pub(crate) shaped: bool,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Access {
    All,
    /// Senders of the domain `a`.
    OnlyA,
    /// Senders of a host of ours.
    Hosted,
}

const PLAIN: Grant = Grant {
    kick_old: false,
    hidden: false,
    check_from: true,
    access: Access::All,
    listed: None,
    shaped: false,
};
pub(crate) const GRANTS: [Grant; 7] = [
    PLAIN,
    Grant { kick_old: true, ..PLAIN },
    Grant { hidden: true, ..PLAIN },
    Grant { access: Access::OnlyA, ..PLAIN },
    Grant { check_from: false, kick_old: true, ..PLAIN },
    Grant { access: Access::Hosted, check_from: false, listed: Some(&KNOWN), ..PLAIN },
    Grant { shaped: true, ..PLAIN },
];

#[derive(Arbitrary, Debug)]
pub(crate) enum Op {
    Connect { slot: u8, name: u8, is_prefix: bool, grant: u8, secret: u8 },
    Send { slot: u8, stanzas: Many<Sent> },
    End { slot: u8, how: End },
    AddHost(u8),
    RemoveHost(u8),
    Wait(u8),
}

#[derive(Arbitrary, Debug)]
pub(crate) enum End {
    ClosingTag,
    Eof,
    Break,
    NoXml,
}

#[derive(Arbitrary, Debug)]
pub(crate) struct Sent {
    pub(crate) kind: u8,
    pub(crate) to: To,
    pub(crate) from: Option<From>,
    pub(crate) long: bool,
}

#[derive(Arbitrary, Debug)]
pub(crate) enum To {
    Nobody,
    Name(u8),
    User(u8),
    /// Somebody under the prefix of a slot, or with its name.
    Under(u8, u8),
}

#[derive(Arbitrary, Debug)]
pub(crate) enum From {
    Name(u8),
    /// The sender's own name, or one under its prefix.
    Own(u8),
}

#[derive(Arbitrary, Debug)]
pub(crate) struct Script {
    pub(crate) cuts: u64,
    pub(crate) list_hidden: bool,
    pub(crate) shut_down: bool,
    pub(crate) ops: Many<Op>,
}

/// Kinds of stanza: name, type, payload.
pub(crate) const KINDS: [(&str, &str, &str); 17] = [
    ("message", "", "<body/>"),
    ("message", "chat", "<body>x</body>"),
    ("message", "error", ""),
    ("presence", "", ""),
    ("presence", "unavailable", ""),
    ("presence", "probe", ""),
    ("iq", "get", "<ping xmlns='urn:xmpp:ping'/>"),
    ("iq", "get", "<query xmlns='http://jabber.org/protocol/disco#items'/>"),
    ("iq", "set", "<q xmlns='urn:q'/>"),
    ("iq", "result", "<r xmlns='urn:r'/>"),
    ("iq", "error", "<error/>"),
    ("iq", "get", ""),
    ("iq", "get", "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
    ("iq", "get", "<query xmlns='jabber:iq:version'/>"),
    ("iq", "get", "<time xmlns='urn:xmpp:time'/>"),
    ("iq", "get", "<query xmlns='http://jabber.org/protocol/disco#items' node='n'/>"),
    ("iq", "get", "<q xmlns='urn:q'/>"),
];

pub(crate) fn domain(name: &str) -> Domain {
    Domain::parse(name).expect("it is a domain")
}

pub(crate) fn of<T>(table: &[T], index: u8) -> &T {
    &table[usize::from(index) % table.len()]
}

impl Grant {
    pub(crate) fn listener(&self) -> Arc<ListenerConfig> {
        let pattern = |scope, conditions| Rule {
            clauses: vec![Clause { acl: vec![Pattern { scope, conditions }], verdict: Verdict::Allow }],
        };
        let access = match self.access {
            Access::All => Rule::everyone(),
            Access::OnlyA => {
                let matcher = Matcher::Equals("a".into());
                pattern(Scope::All, vec![Condition { field: JidField::Server, matcher }])
            }
            Access::Hosted => pattern(Scope::AnyHostedDomain, Vec::new()),
        };
        let mut listener = ListenerConfig::new(Secret::new("test"));
        listener.policy = Arc::new(BindPolicy {
            hidden: self.hidden,
            check_from: self.check_from,
            access: access.into(),
            conflict: if self.kick_old { ConflictBehaviour::KickOld } else { ConflictBehaviour::Disconnect },
            realm: self.realm(),
            later_hosts: true,
            domains: self.listed.map(|listed| patterns(listed).into_iter().collect()),
        });
        listener.rate = self.shaped.then(|| NonZeroU64::new(RATE).expect("it is not 0"));
        Arc::new(listener)
    }

    /// Those that are shaped are a realm, and all others.
    pub(crate) fn realm(&self) -> u32 {
        u32::from(self.shaped)
    }

    /// Whether a component may have this name.
    pub(crate) fn may_give(&self, name: &str) -> bool {
        self.listed.map_or(!is_listed(&KNOWN, name), |listed| is_listed(listed, name))
    }
}

pub(crate) fn patterns(listed: &[&str]) -> Vec<DomainPattern> {
    listed.iter().map(|pattern| DomainPattern::parse(pattern).expect("it is a pattern")).collect()
}

pub(crate) fn is_listed(listed: &[&str], name: &str) -> bool {
    listed.iter().any(|pattern| match pattern.strip_prefix('*') {
        Some(suffix) => name.ends_with(suffix),
        None => name == *pattern,
    })
}
