//! A switch that asks elsewhere before it binds, on a runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use enjamb_core::connection::ConnectionEvent;
use enjamb_core::jid::Domain;

use enjamb_core::router::Claim;
use enjamb_core::switch::{
    Bind, Directory, ListenerConfig, PortInfo, Queue, Switch, SwitchConfig, SwitchShared,
};
use enjamb_core::{Now, Secret, StreamId};

use super::doubles::{PROOF, Socket, Still, Written};
use crate::{ServerConnection, SharedPort, SharedSwitch};

struct Asking {
    switch: SharedSwitch,
    decided: AtomicBool,
}

impl Switch for Asking {
    type Port = SharedPort;

    fn shared(&self) -> &SwitchShared {
        self.switch.shared()
    }

    fn read<R>(&self, look: impl FnOnce(&Directory<SharedPort>) -> R) -> R {
        self.switch.read(look)
    }

    fn write<R>(&self, change: impl FnOnce(&mut Directory<SharedPort>) -> R) -> R {
        self.switch.write(change)
    }

    fn add_port(&self, info: PortInfo, queue: Queue) -> SharedPort {
        self.switch.add_port(info, queue)
    }

    fn remove_port(&self, port: &SharedPort) {
        self.switch.remove_port(port);
    }

    fn queue<R>(&self, port: &SharedPort, use_it: impl FnOnce(&mut Queue) -> R) -> R {
        self.switch.queue(port, use_it)
    }

    fn wake(&self, port: &SharedPort) {
        self.switch.wake(port);
    }

    fn bind(&self, port: &SharedPort, claim: &Claim, now: Now) -> Bind {
        if self.decided.load(Ordering::Relaxed) {
            self.switch.bind(port, claim, now)
        } else {
            Bind::Pending { until: now.monotonic + Duration::from_secs(1) }
        }
    }
}

/// Once it is decided and the port is woken, one poll is enough for the answer and the next alarm.
#[test]
fn pending_bind_goes_on_when_its_port_is_woken() {
    let hosts = [Domain::parse("host.example").unwrap()];
    let switch =
        Asking { switch: SharedSwitch::new(SwitchConfig::new(hosts)), decided: AtomicBool::new(false) };
    let switch = Arc::new(switch);
    let said = format!(
        "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' \
         to='a.example'><handshake>{PROOF}</handshake>"
    );
    let transport = Socket { cut: said.len(), input: said.into(), read: 0, written: Written::default() };
    let id = StreamId::from_text("3BF96D32").unwrap();
    let listener = Arc::new(ListenerConfig::new(Secret::new("test")));
    let mut connection = ServerConnection::new(Arc::clone(&switch), listener, id, transport, Still);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        assert!(connection.poll_event(&mut cx).is_pending());
    }
    assert_eq!(switch.bound(), 0);
    switch.decided.store(true, Ordering::Relaxed);
    let Poll::Ready(Some(ConnectionEvent::Bound { domain, .. })) = connection.poll_event(&mut cx) else {
        panic!("it is not bound");
    };
    assert_eq!(domain.as_str(), "a.example");
    assert_eq!(switch.bound(), 1);
}
