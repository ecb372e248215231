//! A local port: it takes what waits or not, as it is told, and sends as there is room.

use std::collections::VecDeque;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;

use enjamb_core::Now;
use enjamb_core::port::{Incoming, LocalPort, PortConfig, PortState, SendError};
use enjamb_core::router::{AttachError, Claim};
use enjamb_runtime::{SharedSwitch, Timer, WakePort};

use super::clock::{Clock, SimTimer};
use super::received::Element;
use super::worker::{Work, Worker};

struct State {
    switch: Arc<SharedSwitch>,
    /// `None` once it is detached.
    port: Option<LocalPort<SharedSwitch>>,
    /// It visits what waits, and writes while it does; else it takes batches and sends.
    visits: bool,
    taking: bool,
    outgoing: VecDeque<String>,
    accepted: u64,
    /// How often a receiver had no room.
    waits: u64,
    taken: Vec<Element>,
    alarm: SimTimer,
}

/// The handle that a test holds.
pub struct Port {
    state: Worker<State>,
}

impl Port {
    /// The handle, and the task that moves stanzas.
    pub(super) fn attach(
        switch: &Arc<SharedSwitch>,
        config: PortConfig,
        visits: bool,
        clock: &Rc<Clock>,
    ) -> Result<(Self, impl Future<Output = ()> + use<>), AttachError> {
        let alarm = SimTimer::new(clock, std::time::Duration::ZERO);
        let (port, _) = LocalPort::attach(&**switch, config, now(&alarm))?;
        let state = State {
            switch: Arc::clone(switch),
            port: Some(port),
            visits,
            taking: true,
            outgoing: VecDeque::new(),
            accepted: 0,
            waits: 0,
            taken: Vec::new(),
            alarm,
        };
        let (state, task) = Worker::new(state, clock);
        Ok((Self { state }, task))
    }

    /// Sends this stanza behind those that wait.
    pub fn send(&self, stanza: String) {
        self.state.change(|state| state.outgoing.push_back(stanza));
    }

    /// Takes what waits from now on, or not. A port that visits sends nothing while it does not.
    pub fn set_taking(&self, taking: bool) {
        self.state.change(|state| state.taking = taking);
    }

    /// Holds one name more.
    ///
    /// # Errors
    /// Another port holds it, or this one has ended.
    pub fn add(&self, claim: Claim) -> Result<(), AttachError> {
        self.state.change(|state| {
            let State { switch, port, .. } = state;
            let port = port.as_mut().ok_or(AttachError::Ended)?;
            port.add(&**switch, claim).map(drop)
        })
    }

    /// Lets go of a claim.
    pub fn remove(&self, claim: &Claim) {
        self.state.change(|state| {
            let now = now(&state.alarm);
            if let Some(port) = &mut state.port {
                port.remove(&*state.switch, now, claim);
            }
        });
    }

    /// What it got since it was asked last.
    #[must_use]
    pub fn taken(&self) -> Vec<Element> {
        std::mem::take(&mut self.state.borrow_mut().taken)
    }

    /// How many stanzas the switch took from it.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.state.borrow().accepted
    }

    /// How often it had to wait for room.
    #[must_use]
    pub fn waits(&self) -> u64 {
        self.state.borrow().waits
    }

    /// Ends it, as code that dies; gives the stanzas that the switch did not take.
    #[must_use]
    pub fn detach(&self) -> Vec<String> {
        self.state.change(|state| {
            let now = now(&state.alarm);
            let mut left: Vec<String> = state.outgoing.drain(..).collect();
            if let Some(port) = state.port.take() {
                let unrouted = port.detach(&*state.switch, now).unrouted;
                let unrouted = String::from_utf8(unrouted).expect("it is what was sent");
                let unrouted: Vec<_> = unrouted.split_inclusive("</message>").map(str::to_owned).collect();
                state.accepted -= unrouted.len() as u64;
                left.extend(unrouted);
            }
            left
        })
    }
}

fn now(clock: &SimTimer) -> Now {
    Now { monotonic: clock.now(), unix: clock.unix() }
}

impl Work for State {
    fn work(&mut self, cx: &mut Context<'_>, clock: &Clock) {
        let Self { switch, port, outgoing, taken, accepted, waits, alarm, .. } = self;
        let Some(port) = port else { return };
        port.port().register(cx.waker());
        let (now, mut until) = (now(alarm), None);
        if self.visits {
            if !self.taking {
                return;
            }
            let visited = port.poll(&**switch, now, |stanza, out| {
                clock.cause();
                taken.push(element(stanza));
                if let Some(stanza) = outgoing.pop_front() {
                    *accepted += 1;
                    out.extend_from_slice(stanza.as_bytes());
                }
            });
            match visited.expect("it writes what it may send") {
                PortState::More => cx.waker().wake_by_ref(),
                PortState::Blocked { until: time } => until = Some(time),
                _ => {}
            }
        } else if self.taking {
            while let Some(batch) = port.take(&**switch, now) {
                clock.cause();
                taken.extend(batch.iter().map(|stanza| element(&stanza)));
            }
        }
        while let Some(stanza) = outgoing.front() {
            match port.send(&**switch, now, stanza.as_bytes()) {
                Ok(()) => {}
                Err(SendError::Full { until: time }) => {
                    until = Some(time);
                    break;
                }
                Err(error) => panic!("{stanza} is not sent: {error}"),
            }
            clock.cause();
            *accepted += 1;
            outgoing.pop_front();
        }
        *waits += u64::from(until.is_some());
        if until.is_some_and(|until| alarm.poll_at(cx, until).is_ready()) {
            cx.waker().wake_by_ref();
        }
    }
}

fn element(stanza: &Incoming<'_>) -> Element {
    let owned = stanza.to_owned().expect("what waits for a port can be read");
    let text = |address: Option<enjamb_core::jid::Jid<'_>>| {
        address.map(|address| address.as_str().to_owned()).unwrap_or_default()
    };
    assert_eq!(text(stanza.to()), text(owned.as_stanza().to().cloned()), "the note and the stanza differ");
    Element {
        to: text(stanza.to()),
        from: text(stanza.from()),
        id: stanza.id().unwrap_or_default(),
        type_: stanza.stanza_type().unwrap_or_default(),
        ..Element::default()
    }
}
