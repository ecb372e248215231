//! Plays a case against a server.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use regex::bytes::Regex;

use super::{Case, HOST, Observed, Phase, RECEIVER, SENDER};
use crate::expat::{Expat, STREAM};
use crate::wire::{Wire, digest, has_handshake, has_header, header, pattern};

/// How long an answer that must come may take. Only a server that doesn't give it costs so much time.
const ANSWER: Duration = Duration::from_secs(3);
/// How long nothing has to come before we believe that nothing comes.
const SILENCE: Duration = Duration::from_millis(150);

static PROBE: LazyLock<Regex> = LazyLock::new(|| pattern("<message[^>]*PROBE[^>]*(?:/>|></message>)"));

/// A server with the receiver logged in, ready for one case after the other.
#[derive(Debug)]
pub struct Stage<'a> {
    addr: SocketAddr,
    expat: &'a Expat,
    receiver: Wire,
    pings: u64,
}

impl<'a> Stage<'a> {
    /// Connects the receiver to the server at `addr`, which has the test setting.
    ///
    /// # Panics
    /// When the receiver can't log in.
    #[must_use]
    pub fn new(addr: SocketAddr, expat: &'a Expat) -> Self {
        Self { addr, expat, receiver: log_in(addr, RECEIVER, header(RECEIVER).as_bytes()).0, pings: 0 }
    }

    /// Plays one case and says what the server did.
    pub fn play(&mut self, case: &Case) -> Observed {
        self.drain_receiver();
        let mut observed = Observed::default();
        let (mut wire, stream_id) = match case.phase {
            Phase::PreOpen => (Wire::connect(self.addr), Ok(String::new())),
            Phase::PreAuth => {
                let mut wire = Wire::connect(self.addr);
                let id = wire.open(&case.header());
                (wire, id)
            }
            Phase::Authed => log_in(self.addr, SENDER, &case.header()),
        };
        match stream_id {
            Ok(id) => self.play_on(&mut wire, case, &id, &mut observed),
            Err(came) => observed.setup_failed = Some(came),
        }
        wire.finish();
        observed
    }

    fn play_on(&mut self, wire: &mut Wire, case: &Case, stream_id: &str, observed: &mut Observed) {
        wire.take();
        wire.send(&case.payload(stream_id), case.split);
        if case.half_close {
            wire.half_close();
        }
        let waited = await_answer(wire, case);
        if waited {
            observed.read(wire.received());
            observed.closed = wire.closed();
        }
        let before_probe = wire.received().len();
        if !wire.closed() && !case.half_close {
            match case.phase {
                Phase::PreOpen => {}
                Phase::PreAuth => {
                    if !has_handshake(wire.received()) {
                        wire.send(format!("<handshake>{}</handshake>", digest(stream_id)).as_bytes(), None);
                        observed.dead = !wire.wait(ANSWER, has_handshake);
                    }
                }
                Phase::Authed => {
                    wire.send(
                        format!("<message from='{SENDER}' to='{RECEIVER}' id='PROBE'/>").as_bytes(),
                        None,
                    );
                    ping(wire, SENDER, &self.next_ping(), Duration::from_millis(1500));
                }
            }
        }
        if waited {
            let mut after = Observed::default();
            after.read(&wire.received()[before_probe..]);
            observed.stanza_errors.append(&mut after.stanza_errors);
            observed.late_stream_error = !observed.closed && !after.stream_errors.is_empty();
        } else {
            observed.read(wire.received());
            observed.closed = wire.closed();
        }
        if case.phase == Phase::Authed {
            self.look_at_receiver(observed);
        }
    }

    /// Everything that the server routed before is at the receiver when this has its answer.
    fn look_at_receiver(&mut self, observed: &mut Observed) {
        let got = self.drain_receiver();
        observed.receiver_closed = got.is_none();
        let got = got.unwrap_or_default();
        observed.dead |= !observed.closed && !PROBE.is_match(&got);
        observed.receiver_poisoned = self.expat.check(&[STREAM.as_bytes(), &got].concat()).err();
        let rest = PROBE.replace_all(&got, &b""[..]);
        let rest = String::from_utf8_lossy(rest.trim_ascii()).into_owned();
        observed.delivered = Some(rest).filter(|r| !r.is_empty());
    }

    /// What the receiver got since the last call, or `None` when its stream was ended; then it logs in again.
    fn drain_receiver(&mut self) -> Option<Vec<u8>> {
        let id = self.next_ping();
        let answered = ping(&mut self.receiver, RECEIVER, &id, ANSWER);
        let got = self.receiver.take();
        if answered && !self.receiver.closed() {
            let answer = pattern(&format!("<iq[^>]*['\"]{id}['\"][^>]*(?:/>|></iq>)"));
            return Some(answer.replace_all(&got, &b""[..]).into_owned());
        }
        self.receiver.finish();
        self.receiver = log_in(self.addr, RECEIVER, header(RECEIVER).as_bytes()).0;
        None
    }

    fn next_ping(&mut self) -> String {
        self.pings += 1;
        format!("PING-{}", self.pings)
    }
}

/// Pings the host and waits for the answer, which comes after all answers to what was sent before.
fn ping(wire: &mut Wire, from: &str, id: &str, limit: Duration) -> bool {
    let ping =
        format!("<iq type='get' from='{from}' to='{HOST}' id='{id}'><ping xmlns='urn:xmpp:ping'/></iq>");
    wire.send(ping.as_bytes(), None);
    wire.wait(limit, |b| b.ends_with(b">") && b.windows(id.len()).any(|w| w == id.as_bytes()))
}

/// Waits until the best outcome of the case is decided, or it is plain that it doesn't come. Gives false where the
/// probe that follows decides it: then no time is lost in waiting for silence.
fn await_answer(wire: &mut Wire, case: &Case) -> bool {
    let errors = |bytes: &[u8]| {
        let mut seen = Observed::default();
        seen.read(bytes);
        !seen.stanza_errors.is_empty()
    };
    match (case.phase, case.best.as_str()) {
        (Phase::Authed, "ok" | "deliver") => return false,
        (Phase::PreAuth, "ok") if !case.has_digest() => return false,
        (Phase::PreAuth, "ok") => {
            wire.wait(ANSWER, has_handshake);
        }
        (Phase::PreOpen, "ok") => {
            wire.wait(ANSWER, has_header);
            wire.wait(SILENCE, |_| false);
        }
        (_, "ignore") => {
            wire.wait(SILENCE, |_| false);
        }
        _ => {
            wire.wait(ANSWER, errors);
        }
    }
    true
}

/// Logs in; while the domain is still held by the connection of the case before, tries again.
fn log_in(addr: SocketAddr, domain: &str, header: &[u8]) -> (Wire, Result<String, String>) {
    for _ in 0..40 {
        let mut wire = Wire::connect(addr);
        let id = wire.log_in(header);
        match &id {
            Err(came) if came.contains("<conflict") => {
                wire.finish();
                thread::sleep(Duration::from_millis(50));
            }
            _ => return (wire, id),
        }
    }
    panic!("{domain} stays taken for 2 s after its connection was closed");
}
