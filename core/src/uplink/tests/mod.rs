//! An uplink of a switch for one thread, with a server that is played by the tests.

mod away;
mod life;
mod paths;
mod play;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Uplink, UplinkConfig, UplinkEvent, UplinkState};
use crate::connection::tests::{Local, NOW, domain, handshake, header, listener};
use crate::connection::{Budget, Next};
use crate::handshake::{Secret, StreamId};
use crate::router::DomainPattern;
use crate::switch::{DomainConfig, ListenerConfig, LocalSwitch, Metric, Switch, SwitchConfig};
use crate::time::Now;

pub(crate) const HEADER: &str = "<stream:stream xmlns='jabber:component:accept' \
    xmlns:stream='http://etherx.jabber.org/streams' from='irc.example' id='5'>";

fn at(seconds: f64) -> Now {
    let span = Duration::from_secs_f64(seconds);
    Now { monotonic: NOW.monotonic + span, unix: NOW.unix + span }
}

/// A switch with an uplink of `irc.example`.
struct Near {
    switch: LocalSwitch,
    uplink: Uplink<LocalSwitch>,
}

impl Near {
    fn new(config: UplinkConfig, domains: DomainConfig) -> Self {
        let mut settings = SwitchConfig::new([]);
        settings.domains = Vec::from([(DomainPattern::parse("irc.example").unwrap(), domains)]);
        let switch = LocalSwitch::new(settings);
        let uplink = Uplink::attach(&switch, config, 7, NOW).unwrap();
        Self { switch, uplink }
    }

    /// With defaults, and a component that is bound.
    fn usual() -> (Self, Local) {
        let near = Self::new(config(), DomainConfig::default());
        let component = near.component(NOW);
        (near, component)
    }

    fn component(&self, now: Now) -> Local {
        self.component_as("irc.example", now)
    }

    fn component_as(&self, name: &str, now: Now) -> Local {
        self.component_of(listener(), name, now)
    }

    /// A component that is bound. What it is told is not written yet.
    fn component_of(&self, listener: ListenerConfig, name: &str, now: Now) -> Local {
        let id = StreamId::from_text("1").unwrap();
        let mut component = Local::new(&self.switch, Arc::new(listener), id, now);
        self.component_says(&mut component, now, &header(&format!("to='{name}'")));
        let handshake = handshake("s");
        let progress = component.process(&self.switch, now, handshake.as_bytes(), &mut Budget::default());
        assert_eq!(progress.consumed, handshake.len());
        self.settle(now);
        component
    }

    /// Does what is due without a connection.
    fn settle(&self, now: Now) {
        while self.switch.poll_timeout().is_some_and(|due| due <= now.monotonic) {
            self.switch.handle_timeout(now);
        }
    }

    /// Has the server accept a connection and the handshake; returns what was said by then.
    fn establish(&mut self, now: Now) -> String {
        assert_eq!(self.uplink.poll(&self.switch, now), UplinkState::Connect);
        self.uplink.connected(now);
        let mut said = self.hear(now);
        said += &self.say(now, HEADER);
        said += &self.say(now, "<handshake/>");
        assert_eq!(self.uplink.poll_event(), Some(UplinkEvent::Established));
        said
    }

    /// The server says something; returns what the uplink says then.
    fn say(&mut self, now: Now, bytes: &str) -> String {
        assert_eq!(self.feed(now, bytes), "", "all of it is taken");
        self.hear(now)
    }

    /// The server says something; returns what is not taken.
    fn feed<'a>(&mut self, now: Now, bytes: &'a str) -> &'a str {
        let mut rest = bytes;
        loop {
            let progress = self.uplink.process(&self.switch, now, rest.as_bytes(), &mut Budget::default());
            rest = &rest[progress.consumed..];
            if progress.next != Next::More {
                return rest;
            }
        }
    }

    /// What the uplink says.
    fn hear(&mut self, now: Now) -> String {
        self.settle(now);
        let mut said = Vec::new();
        self.uplink.write_to(&self.switch, now, &mut said);
        String::from_utf8(said).unwrap()
    }

    /// What the component says, and what it hears then.
    fn component_says(&self, component: &mut Local, now: Now, bytes: &str) -> String {
        let mut rest = bytes.as_bytes();
        loop {
            let progress = component.process(&self.switch, now, rest, &mut Budget::default());
            rest = &rest[progress.consumed..];
            if progress.next != Next::More {
                break;
            }
        }
        self.component_hears(component, now)
    }

    fn component_hears(&self, component: &mut Local, now: Now) -> String {
        self.settle(now);
        let mut said = Vec::new();
        component.write_to(&self.switch, now, &mut said);
        String::from_utf8(said).unwrap()
    }

    /// Takes who is woken, and says whether the uplink is.
    fn woken(&self) -> bool {
        let woken: Vec<_> = core::iter::from_fn(|| self.switch.poll_wake()).collect();
        woken.contains(&self.uplink.id())
    }

    fn count(&self, metric: Metric) -> u64 {
        self.switch.metrics().get(metric)
    }

    fn events(&mut self) -> Vec<UplinkEvent> {
        core::iter::from_fn(|| self.uplink.poll_event()).collect()
    }
}

fn config() -> UplinkConfig {
    UplinkConfig::new(domain("irc.example"), Secret::new("up"))
}

fn held(seconds: u64) -> DomainConfig {
    DomainConfig { hold: Duration::from_secs(seconds), ..DomainConfig::default() }
}

/// A message from a user of the component's to a user of the server's.
fn up(number: u32) -> String {
    format!("<message from='a@irc.example' to='u@s.example' id='{number}'><body/></message>")
}

fn down(number: u32) -> String {
    format!("<message from='u@s.example' to='a@irc.example' id='{number}'><body/></message>")
}
