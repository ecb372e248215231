//! The gate of `server_ops`: a local port that is the default route of all, and sends from any address.

use std::sync::Arc;

use enjamb_core::Now;
use enjamb_core::port::{LocalPort, PortConfig, PortState, Senders};
use enjamb_core::router::DefaultRoute;
use enjamb_runtime::SharedSwitch;

use crate::expected::{Expected, in_order, read};

/// The gate, what it got, and what it has to get.
#[derive(Default)]
pub(crate) struct Gate {
    pub(crate) port: Option<LocalPort<SharedSwitch>>,
    received: Vec<u8>,
    pub(crate) expected: Vec<Expected>,
}

impl Gate {
    /// Attaches it, or detaches it.
    pub(crate) fn set(&mut self, switch: &Arc<SharedSwitch>, now: Now, attach: bool) {
        if attach && self.port.is_none() {
            let mut config = PortConfig::new([]);
            (config.default_route, config.senders) = (DefaultRoute::All, Senders::Any);
            let attached = LocalPort::attach(&**switch, config, now);
            self.port = Some(attached.expect("it is the only default route").0);
        } else if !attach && let Some(port) = self.port.take() {
            let detached = port.detach(&**switch, now);
            assert_eq!((detached.unsent, detached.unrouted.len()), (0, 0));
        }
    }

    /// Takes what came.
    pub(crate) fn take(&mut self, switch: &Arc<SharedSwitch>, now: Now) {
        let Some(port) = &mut self.port else { return };
        loop {
            let received = &mut self.received;
            let visit = |stanza: &enjamb_core::port::Incoming<'_>, _: &mut Vec<u8>| {
                // What the envelope says is what is written.
                let (shown, owned) = (format!("{stanza:?}"), stanza.to_owned().expect("it is a stanza"));
                let read = owned.as_stanza();
                assert_eq!(
                    (stanza.from(), stanza.to()),
                    (read.from().cloned(), read.to().cloned()),
                    "{shown}"
                );
                assert_eq!(stanza.id(), read.id().map(Into::into), "{shown}");
                assert_eq!(stanza.expects_reply(), read.expects_reply(), "{shown}");
                received.extend_from_slice(stanza.as_bytes());
            };
            match port.poll(&**switch, now, visit).expect("it writes nothing") {
                PortState::More => {}
                PortState::Idle | PortState::Ended(_) => return,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Compares what came with what had to.
    pub(crate) fn check(&mut self) {
        let header = "<stream:stream xmlns='jabber:component:accept' \
            xmlns:stream='http://etherx.jabber.org/streams'>";
        let shown = String::from_utf8_lossy(&self.received).into_owned();
        let got = in_order(read(&[header.as_bytes(), &self.received].concat()));
        assert_eq!(got, in_order(std::mem::take(&mut self.expected)), "the gate: {shown}");
    }
}
