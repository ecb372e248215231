//! Whole connections on a switch for one thread.

mod ends;
mod negotiation;
mod routes;
mod shares;
mod work;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::time::Duration;

use super::{Budget, Connection, Next, Progress};
use crate::handshake::{Secret, StreamId};
use crate::jid::Domain;
use crate::router::BindPolicy;
use crate::switch::{ListenerConfig, LocalSwitch, SwitchConfig};
use crate::time::{Instant, Now};

pub(crate) type Local = Connection<LocalSwitch>;

pub(crate) const NOW: Now = Now { monotonic: Instant::ORIGIN, unix: Duration::from_secs(1_795_370_400) };

pub(crate) fn after(seconds: u64) -> Now {
    let span = Duration::from_secs(seconds);
    Now { monotonic: NOW.monotonic + span, unix: NOW.unix + span }
}

pub(crate) fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

pub(crate) fn switch() -> LocalSwitch {
    LocalSwitch::new(SwitchConfig::new([domain("host.example")]))
}

pub(crate) fn listener() -> ListenerConfig {
    // No time to give memory back among those that are tested.
    ListenerConfig { hibernate_after: Duration::MAX / 4, ..ListenerConfig::new(Secret::new("s")) }
}

pub(crate) fn with(policy: BindPolicy) -> ListenerConfig {
    ListenerConfig { policy: Arc::new(policy), ..listener() }
}

pub(crate) fn connected(switch: &LocalSwitch, listener: ListenerConfig) -> Local {
    Connection::new(switch, Arc::new(listener), StreamId::from_text("1").unwrap(), NOW)
}

/// A connection whose header has these attributes, up to the end of its handshake.
pub(crate) fn bound(switch: &LocalSwitch, listener: ListenerConfig, attributes: &str) -> Local {
    let mut connection = connected(switch, listener);
    send(switch, &mut connection, &header(attributes));
    let said = send(switch, &mut connection, &handshake("s"));
    assert!(said.1.ends_with("<handshake/>"), "{said:?}");
    connection
}

pub(crate) fn header(attributes: &str) -> String {
    format!(
        "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' {attributes}>"
    )
}

pub(crate) fn handshake(secret: &str) -> String {
    let proof = Secret::new(secret).handshake("1");
    format!("<handshake>{}</handshake>", core::str::from_utf8(&proof).unwrap())
}

/// Gives bytes to a connection; returns what it made of them and all that it has to write then.
pub(crate) fn send(switch: &LocalSwitch, connection: &mut Local, bytes: &str) -> (Progress, String) {
    let progress = connection.process(switch, NOW, bytes.as_bytes(), &mut Budget::default());
    (progress, written(switch, connection))
}

/// Takes all that a connection has to write, to the end of its write side.
pub(crate) fn written(switch: &LocalSwitch, connection: &mut Local) -> String {
    let mut written = alloc::vec::Vec::new();
    connection.write_to(switch, NOW, &mut written);
    String::from_utf8(written).unwrap()
}

const fn need_input(consumed: usize) -> Progress {
    Progress { consumed, next: Next::Input }
}

const fn blocked(consumed: usize) -> Progress {
    Progress { consumed, next: Next::Room }
}
