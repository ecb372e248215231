//! Secrets that are looked up while the component waits, and binds that are decided later.

use alloc::sync::Arc;
use core::cell::Cell;
use core::time::Duration;

use super::{NOW, after, blocked, connected, handshake, header, listener, need_input, send, switch, written};
use crate::connection::{Budget, CloseReason, Connection, ConnectionEvent};
use crate::error::StreamCondition;
use crate::handshake::{Secret, StreamId};
use crate::queue::Queue;
use crate::router::{BindPolicy, BindingChange, Claim, PortId};
use crate::switch::{Bind, Directory, ListenerConfig, LocalSwitch, PortInfo, Switch, SwitchShared};
use crate::time::Now;

#[test]
fn secrets_are_asked_for_by_the_claim_and_any_of_them_is_proof() {
    for (attributes, claim) in [
        ("to='a.example'", Claim::Domain(super::domain("a.example"))),
        ("to='a' is_subdomain='true'", Claim::Prefix(super::domain("a"))),
    ] {
        for proof in ["old", "new", "other"] {
            let switch = switch();
            let mut connection = connected(&switch, ListenerConfig::with_lookup());
            let input = [header(attributes), handshake(proof)].concat();
            let consumed = header(attributes).len();
            assert_eq!(send(&switch, &mut connection, &input), (blocked(consumed), "".into()));
            let Some(ConnectionEvent::SecretsNeeded { claim: asked }) = connection.poll_event() else {
                panic!("it does not ask");
            };
            assert_eq!(asked, claim);
            assert_eq!(connection.read_budget(NOW), 0, "nothing is read while the secret is looked up");
            connection.secrets(&switch, NOW, [Secret::new("new"), Secret::new("old")]);
            let (_, said) = send(&switch, &mut connection, &input[consumed..]);
            assert_eq!(said.contains("<handshake/>"), proof != "other", "{said}");
            assert_eq!(said.contains("<not-authorized "), proof == "other", "{said}");
        }
    }
}

#[test]
fn name_without_a_secret_ends_as_a_wrong_secret_does() {
    let switch = switch();
    let mut connection = connected(&switch, ListenerConfig::with_lookup());
    send(&switch, &mut connection, &header("to='a.example'"));
    connection.secrets(&switch, NOW, []);
    let (_, said) = send(&switch, &mut connection, &handshake("s"));
    assert!(said.contains(" from='a.example' ") && said.contains("<not-authorized "), "{said}");
}

#[test]
fn secret_that_is_not_found_in_time_ends_the_stream() {
    let switch = switch();
    let mut connection = connected(&switch, ListenerConfig::with_lookup());
    send(&switch, &mut connection, &header("to='a.example'"));
    assert_eq!(connection.poll_timeout(), Some(after(5).monotonic));
    connection.handle_timeout(&switch, after(5));
    let said = written(&switch, &mut connection);
    assert!(said.contains("<internal-server-error "), "{said}");
    // It comes too late.
    connection.secrets(&switch, after(6), [Secret::new("s")]);
    assert!(connection.is_closed() && written(&switch, &mut connection).is_empty());
}

/// The driver need not have read the clock meanwhile.
#[test]
fn secrets_that_come_too_late_end_the_stream() {
    let switch = switch();
    let mut connection = connected(&switch, ListenerConfig::with_lookup());
    send(&switch, &mut connection, &header("to='a.example'"));
    connection.secrets(&switch, after(5), [Secret::new("s")]);
    let said = written(&switch, &mut connection);
    assert!(connection.is_closed() && said.contains("<internal-server-error "), "{said}");
}

/// A switch that asks elsewhere who holds a name, and gets the answer later.
struct Asking {
    local: LocalSwitch,
    decided: Cell<bool>,
}

impl Switch for Asking {
    type Port = Arc<PortInfo>;

    fn shared(&self) -> &SwitchShared {
        self.local.shared()
    }

    fn read<R>(&self, look: impl FnOnce(&Directory<Arc<PortInfo>>) -> R) -> R {
        self.local.read(look)
    }

    fn write<R>(&self, change: impl FnOnce(&mut Directory<Arc<PortInfo>>) -> R) -> R {
        self.local.write(change)
    }

    fn add_port(&self, info: PortInfo, queue: Queue) -> Arc<PortInfo> {
        self.local.add_port(info, queue)
    }

    fn remove_port(&self, port: &Arc<PortInfo>) {
        self.local.remove_port(port);
    }

    fn queue<R>(&self, port: &Arc<PortInfo>, use_it: impl FnOnce(&mut Queue) -> R) -> R {
        self.local.queue(port, use_it)
    }

    fn wake(&self, port: &Arc<PortInfo>) {
        self.local.wake(port);
    }

    fn bind(&self, port: &Arc<PortInfo>, claim: &Claim, now: Now) -> Bind {
        if self.decided.get() {
            self.local.bind(port, claim, now)
        } else {
            Bind::Pending { until: now.monotonic + Duration::from_secs(1) }
        }
    }
}

fn pending(switch: &Asking) -> Connection<Asking> {
    let id = StreamId::from_text("1").unwrap();
    let mut connection = Connection::new(switch, Arc::new(listener()), id, NOW);
    let input = [header("to='a.example'"), handshake("s")].concat();
    let progress = connection.process(switch, NOW, input.as_bytes(), &mut Budget::default());
    assert_eq!(progress, blocked(input.len()));
    assert_eq!(connection.poll_timeout(), Some(after(1).monotonic));
    assert_eq!(connection.read_budget(NOW), 0);
    connection
}

#[test]
fn pending_bind_is_asked_for_again_and_answered_then() {
    let switch = Asking { local: switch(), decided: Cell::new(false) };
    let mut connection = pending(&switch);
    assert_eq!(connection.id(), PortId(0));
    let again = connection.process(&switch, after(1), b"", &mut Budget::default());
    assert_eq!(again, blocked(0));
    switch.decided.set(true);
    let bound = connection.process(&switch, after(2), b"", &mut Budget::default());
    assert_eq!(bound, need_input(0));
    assert!(connection.poll_output(&switch, after(2)).bytes().ends_with(b"<handshake/>"));
    assert!(matches!(connection.poll_event(), Some(ConnectionEvent::Bound { .. })));
}

#[test]
fn pending_bind_ends_with_the_time_for_the_handshake() {
    let switch = Asking { local: switch(), decided: Cell::new(false) };
    let mut connection = pending(&switch);
    connection.handle_timeout(&switch, after(5));
    // The decision comes after all: too late.
    switch.decided.set(true);
    assert_eq!(connection.process(&switch, after(5), b"", &mut Budget::default()), need_input(0));
    assert!(connection.poll_output(&switch, after(5)).bytes().ends_with(b"</stream:stream>"));
    assert_eq!((switch.bound(), switch.connections()), (0, 0));
    connection.handle_error(&switch, after(5), "reset".into());
    let Some(ConnectionEvent::Closed { reason: CloseReason::Error(error), .. }) = connection.poll_event()
    else {
        panic!("it goes on");
    };
    assert_eq!(error.condition, StreamCondition::InternalServerError);
}

/// Each name of a prefix must be provable by the secret given, also when a host is added later.
#[test]
fn p8_prefix_gets_no_name_that_its_secret_was_not_asked_for() {
    let policy = BindPolicy { later_hosts: false, ..BindPolicy::default() };
    let lookup = ListenerConfig { secret: None, ..super::with(policy) };
    let switch = switch();
    let ask = |switch: &LocalSwitch| {
        let mut connection = connected(switch, lookup.clone());
        send(switch, &mut connection, &header("to='p' is_subdomain='true'"));
        let Some(ConnectionEvent::SecretsNeeded { claim }) = connection.poll_event() else {
            panic!("it asks")
        };
        assert_eq!(switch.names_of(&claim).len(), switch.read(|directory| directory.router.hosts().count()));
        connection.secrets(switch, NOW, [Secret::new("s")]);
        connection
    };
    let mut early = ask(&switch);
    let said = send(&switch, &mut early, &handshake("s")).1;
    assert!(said.ends_with("<handshake/>"), "{said}");
    let mut meanwhile = ask(&switch);
    let changes = switch.add_host(super::domain("second.example")).unwrap();
    assert!(
        matches!(&changes[..], [BindingChange::Denied { name, .. }] if name.as_str() == "p.second.example")
    );
    assert_eq!(switch.holder(&Claim::Domain(super::domain("p.second.example"))), None);
    early.handle_error(&switch, NOW, "gone".into());
    let said = send(&switch, &mut meanwhile, &handshake("s")).1;
    assert!(said.contains("<reset ") && said.contains("connect again"), "{said}");
    let mut again = ask(&switch);
    let said = send(&switch, &mut again, &handshake("s")).1;
    assert!(said.ends_with("<handshake/>"), "{said}");
    assert_eq!(switch.holder(&Claim::Domain(super::domain("p.second.example"))), Some(again.id()));
}
