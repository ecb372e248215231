//! What may happen while components come and go: the script of `outage`, and the stanzas that it sends.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use enjamb_core::Secret;
use enjamb_core::jid::Domain;
use enjamb_core::router::{BindPolicy, ConflictBehaviour, DomainPattern};
use enjamb_core::switch::{DomainConfig, ListenerConfig};

/// The hosts. The first one stamps.
pub(crate) const HOSTS: [&str; 2] = ["host.example", "other.example"];
/// What each slot claims. The prefix and the last one want the same name.
pub(crate) const CLAIMS: [(&str, bool); 5] = [
    ("a.example", false),
    ("b.example", false),
    ("c.example", false),
    ("p", true),
    ("p.host.example", false),
];
/// The names that stanzas are for.
pub(crate) const NAMES: [&str; 5] =
    ["a.example", "b.example", "c.example", "p.host.example", "p.other.example"];

/// What the switch has for each of [`NAMES`].
pub(crate) struct Settings(pub(crate) [DomainConfig; 5]);

const SHORT: Duration = Duration::from_secs(3);
const LONG: Duration = Duration::from_secs(8);
/// Bytes of a hold that fills up.
pub(crate) const SMALL_HOLD: usize = 1500;

impl Settings {
    fn new(bits: u8) -> Self {
        let mut usual = DomainConfig::default();
        usual.iq_timeout = SHORT;
        let mut held = usual.clone();
        held.hold = LONG;
        held.max_pending_iqs = if bits & 1 == 0 { 1 } else { 10_000 };
        let (mut b, mut c, mut unknown) = (held.clone(), held.clone(), DomainConfig::default());
        b.iq_timeout = if bits & 4 == 0 { SHORT } else { LONG };
        c.hold = SHORT;
        c.hold_bytes = if bits & 2 == 0 { SMALL_HOLD } else { 1 << 20 };
        unknown.hold = Duration::ZERO;
        Self([usual, b, c, held, unknown])
    }

    /// As they are configured: of the last two names one by a wildcard, the other not at all.
    pub(crate) fn patterns(&self) -> Vec<(DomainPattern, DomainConfig)> {
        let patterns = ["a.example", "b.example", "c.example", "*.host.example"];
        let parse = |text: &str| DomainPattern::parse(text).expect("it is one");
        patterns.into_iter().map(parse).zip(self.0.iter().cloned()).collect()
    }
}

/// A listener: it may replace, and it may have little patience.
pub(crate) const LISTENERS: usize = 4;
/// Those from this one on have full queues, and what the switch has to say to them may be lost.
pub(crate) const FIRST_SMALL: usize = 2;
/// This one ends a connection whose socket takes nothing.
pub(crate) const IMPATIENT: usize = 3;

pub(crate) fn listener(number: usize) -> Arc<ListenerConfig> {
    let mut listener = ListenerConfig::new(Secret::new("test"));
    listener.hibernate_after = Duration::MAX / 4;
    if number > 0 {
        let conflict = ConflictBehaviour::KickOld;
        listener.policy = Arc::new(BindPolicy { conflict, ..BindPolicy::default() });
    }
    if number == 2 {
        listener.queue_mark = 600;
    }
    if number == IMPATIENT {
        listener.max_queue = NonZeroUsize::new(5);
    }
    Arc::new(listener)
}

pub(crate) fn domain(name: &str) -> Domain {
    Domain::parse(name).expect("it is a domain")
}

/// What becomes of a stanza whose receiver is away, if stanzas are held for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Held,
    Answered,
    Dropped,
}

/// Presence of which only the newest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Other,
    Probe,
    Available,
    Unavailable,
    Join,
}

impl Presence {
    /// Whether an older one of the same two addresses is of no use any more.
    pub(crate) fn replaces(self, older: Self) -> bool {
        use Presence::{Available, Join, Other, Probe, Unavailable};
        match (self, older) {
            (Probe, Probe) => true,
            (Other | Probe, _) | (_, Other | Probe) => false,
            (Available, Join) => false,
            (Available | Unavailable | Join, Available | Unavailable | Join) => true,
        }
    }
}

/// A kind of stanza.
#[derive(Debug)]
pub(crate) struct Kind {
    /// Its name and type.
    pub(crate) head: &'static str,
    pub(crate) content: &'static str,
    pub(crate) class: Class,
    pub(crate) presence: Presence,
    /// An error may answer it.
    pub(crate) is_answerable: bool,
}

impl Kind {
    pub(crate) fn name(&self) -> &'static str {
        self.head.split(' ').next().unwrap_or_default()
    }

    pub(crate) fn is_request(&self) -> bool {
        matches!(self.head, "iq type='get'" | "iq type='set'")
    }

    pub(crate) fn is_answer(&self) -> bool {
        matches!(self.head, "iq type='result'" | "iq type='error'")
    }
}

const fn kind(
    head: &'static str,
    content: &'static str,
    class: Class,
    presence: Presence,
    is_answerable: bool,
) -> Kind {
    Kind { head, content, class, presence, is_answerable }
}

use Class::{Answered, Dropped, Held};
use Presence::{Available, Join, Other, Probe, Unavailable};

pub(crate) const KINDS: [Kind; 22] = [
    kind("message", "<body>x</body>", Held, Other, true),
    kind("message type='chat'", "<body>x</body>", Held, Other, true),
    kind("message type='chat'", "<body>y</body>", Held, Other, true),
    kind("message", "", Held, Other, true),
    kind("message", "<delay xmlns='urn:xmpp:delay' stamp='2020-01-01T00:00:00Z'/>", Held, Other, true),
    kind("message type='groupchat'", "<body>x</body>", Answered, Other, true),
    kind("message type='headline'", "<body>x</body>", Dropped, Other, true),
    kind("message type='error'", "<error type='cancel'/>", Dropped, Other, false),
    kind("message", "<body>x</body><no-store xmlns='urn:xmpp:hints'/>", Dropped, Other, true),
    kind("message", "<composing xmlns='http://jabber.org/protocol/chatstates'/>", Dropped, Other, true),
    kind("presence", "", Held, Available, true),
    kind("presence", "<show>away</show>", Held, Available, true),
    kind("presence", "<x xmlns='http://jabber.org/protocol/muc'/>", Held, Join, true),
    kind("presence type='unavailable'", "", Held, Unavailable, false),
    kind("presence type='subscribe'", "", Held, Other, true),
    kind("presence type='unsubscribed'", "", Held, Other, false),
    kind("presence type='probe'", "", Held, Probe, true),
    kind("presence type='error'", "<error type='cancel'/>", Dropped, Other, false),
    kind("iq type='get'", "<q xmlns='q'/>", Answered, Other, true),
    kind("iq type='set'", "<q xmlns='q'/>", Answered, Other, true),
    kind("iq type='result'", "", Dropped, Other, false),
    kind("iq type='error'", "<error type='cancel'/>", Dropped, Other, false),
];

/// The addresses of a stanza: a name with something before and behind it.
pub(crate) fn address(name: &str, byte: u8) -> String {
    match byte % 6 {
        0 | 1 => name.into(),
        2 => format!("u@{name}"),
        3 => format!("u@{name}/r"),
        4 => format!("u@{name}/s"),
        _ => format!("{name}/r"),
    }
}

/// A step of the script.
#[derive(Debug)]
pub(crate) enum Op {
    Connect {
        slot: u8,
        listener: u8,
        reads_always: bool,
    },
    /// Stanzas of one sender, in one piece.
    Send {
        slot: u8,
        stanzas: Vec<[u8; 4]>,
    },
    /// A component answers one of the requests that it got.
    Answer {
        slot: u8,
        which: u8,
        how: u8,
    },
    Read(u8),
    ReadSome {
        slot: u8,
        bytes: u8,
        is_full: bool,
    },
    /// A closing tag; the rest is read, or not.
    Close {
        slot: u8,
        reads: bool,
    },
    Break(u8),
    /// Quarters of a second.
    Wait(u8),
    EndHolding,
}

impl<'a> Arbitrary<'a> for Op {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match u.arbitrary::<u8>()? % 64 {
            0..=8 => {
                let [slot, how] = u.arbitrary()?;
                Self::Connect { slot, listener: how >> 1, reads_always: how & 1 == 0 }
            }
            9..=33 => {
                let slot: u8 = u.arbitrary()?;
                let stanzas = (0..=slot >> 6).map(|_| u.arbitrary()).collect::<Result<_>>()?;
                Self::Send { slot, stanzas }
            }
            34..=39 => {
                let [slot, which, how] = u.arbitrary()?;
                Self::Answer { slot, which, how }
            }
            40..=45 => Self::Read(u.arbitrary()?),
            46..=50 => {
                let [slot, bytes] = u.arbitrary()?;
                Self::ReadSome { slot, bytes, is_full: slot & 64 == 0 }
            }
            51..=52 => {
                let slot = u.arbitrary()?;
                Self::Close { slot, reads: slot & 64 == 0 }
            }
            53..=55 => Self::Break(u.arbitrary()?),
            56..=62 => Self::Wait(u.arbitrary()?),
            _ if u.arbitrary::<u8>()? < 32 => Self::EndHolding,
            _ => Self::Wait(1),
        })
    }
}

/// A whole script.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) settings: Settings,
    /// Which slots are taken at first.
    pub(crate) connected: u8,
    /// At the end everybody comes back before the switch stops.
    pub(crate) comes_back: bool,
    pub(crate) ops: Vec<Op>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

/// Steps of one script.
const MAX_OPS: usize = 150;

impl<'a> Arbitrary<'a> for Script {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let [bits, connected]: [u8; 2] = u.arbitrary()?;
        let mut ops = Vec::new();
        while !u.is_empty() && ops.len() < MAX_OPS {
            ops.push(u.arbitrary()?);
        }
        Ok(Self { settings: Settings::new(bits), connected, comes_back: bits & 8 == 0, ops })
    }
}

/// Where the first element ends, if it is whole.
pub(crate) fn first_end(text: &str) -> Option<usize> {
    if text.starts_with("<stream:error") {
        return text.find("</stream:stream>").map(|at| at + "</stream:stream>".len());
    }
    let tag = text.find('>')? + 1;
    if text.starts_with("</") || text[..tag].ends_with("/>") {
        return Some(tag);
    }
    let name = text[1..tag - 1].split(' ').next().unwrap_or_default();
    let end = format!("</{name}>");
    text.find(&end).map(|at| at + end.len())
}
