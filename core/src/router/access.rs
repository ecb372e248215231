//! Who may send to a component: the question. The embedder brings the rule that answers it.

use alloc::sync::Arc;
use core::fmt;

use crate::jid::Jid;

/// Who may send to a component.
#[derive(Clone, Default)]
pub enum Access {
    /// Every sender; none is looked at.
    #[default]
    Everyone,
    /// The senders that a rule allows.
    Rule(Arc<dyn AccessRule>),
}

/// Decides by the sender's address whether a stanza may be delivered.
///
/// A closure is a rule, too, if the types of its parameters are written out:
///
/// ```
/// use std::sync::Arc;
///
/// use enjamb_core::jid::Jid;
/// use enjamb_core::router::Access;
///
/// let no_spam = |sender: &Jid<'_>, _: bool| sender.domain() != "spam.example";
/// let access = Access::Rule(Arc::new(no_spam));
/// assert!(!access.allows(&Jid::parse("a@spam.example")?, false));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait AccessRule: Send + Sync {
    /// Whether `sender` may send; `sender_is_host` says whether its domain is a host of this server. It is asked for
    /// each stanza, so it should neither wait nor allocate.
    fn allows(&self, sender: &Jid<'_>, sender_is_host: bool) -> bool;

    /// What one such question costs beside the stanza's own share, in units of a
    /// [`Budget`](crate::connection::Budget), some 0.5 µs each. Others have their turn earlier by that.
    fn cost(&self, sender: &Jid<'_>) -> usize {
        let _ = sender;
        0
    }
}

impl<F: Fn(&Jid<'_>, bool) -> bool + Send + Sync> AccessRule for F {
    fn allows(&self, sender: &Jid<'_>, sender_is_host: bool) -> bool {
        self(sender, sender_is_host)
    }
}

impl Access {
    /// Whether every sender is allowed, so that none needs to be looked at.
    #[must_use]
    pub fn is_everyone(&self) -> bool {
        matches!(self, Self::Everyone)
    }

    /// Whether `sender` may send; `sender_is_host` says whether its domain is a host of this server.
    #[must_use]
    pub fn allows(&self, sender: &Jid<'_>, sender_is_host: bool) -> bool {
        match self {
            Self::Everyone => true,
            Self::Rule(rule) => rule.allows(sender, sender_is_host),
        }
    }
}

impl Access {
    /// What a question about `sender` costs, see [`AccessRule::cost`].
    pub(crate) fn cost(&self, sender: &Jid<'_>) -> usize {
        match self {
            Self::Everyone => 0,
            Self::Rule(rule) => rule.cost(sender),
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Everyone => "Everyone",
            Self::Rule(_) => "Rule(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn rule_sees_the_sender_and_whether_it_is_a_host() {
        let hosts =
            Access::Rule(Arc::new(|sender: &Jid<'_>, is_host: bool| is_host && sender.local().is_none()));
        for (access, sender, is_host, allowed) in [
            (&hosts, "a.example", true, true),
            (&hosts, "a.example", false, false),
            (&hosts, "user@a.example", true, false),
            (&Access::default(), "user@a.example", false, true),
        ] {
            assert_eq!(access.allows(&Jid::parse(sender).unwrap(), is_host), allowed, "{access:?}, {sender}");
        }
        assert!(Access::default().is_everyone() && !hosts.is_everyone());
        assert_eq!(format!("{hosts:?} {:?}", Access::Everyone), "Rule(..) Everyone");
    }
}
