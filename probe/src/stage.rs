//! Plays a case against a server.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use regex::bytes::Regex;

use crate::case::Case;
use crate::cuts::Cut;
use crate::judge::Judge;
use crate::names::Names;
use crate::observed::Observed;
use crate::phase::Phase;
use crate::wire::{Wire, digest, has_handshake, has_header, header, pattern};

/// How often a log-in is tried while the domain is still held by the connection of the case before, and how long
/// between two times.
const LOG_INS: u32 = 40;
const BETWEEN: Duration = Duration::from_millis(50);

static QUESTION: LazyLock<Regex> = LazyLock::new(|| pattern("<message[^>]*PROBE[^>]*(?:/>|></message>)"));

/// How long is waited.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For an answer that must come. Only a server that doesn't give it costs this much time.
    pub answer: Duration,
    /// For nothing, before we believe that nothing comes.
    pub silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { answer: Duration::from_secs(3), silence: Duration::from_millis(150) }
    }
}

/// Why no case can be played, or none any more.
#[derive(Debug)]
pub enum Fault {
    /// No connection is accepted.
    Unreachable(SocketAddr, io::Error),
    /// This component can't log in; the server said this.
    Refused(String, String),
    /// This domain stays bound to another connection.
    Taken(String),
    /// The server's own domain does not answer a ping of this component.
    Silent {
        /// The server's own domain.
        host: String,
        /// The component that asked.
        component: String,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(addr, error) => write!(f, "{addr} does not accept a connection: {error}"),
            Self::Refused(domain, said) => {
                let said: String = said.chars().take(400).collect();
                write!(f, "{domain} can't log in. The server said: {said:?}")
            }
            Self::Taken(domain) => {
                write!(
                    f,
                    "{domain} is taken by another connection, or stays taken after its connection ended"
                )
            }
            Self::Silent { host, component } => {
                write!(
                    f,
                    "{host} does not answer an iq of {component}, so that it can't be told when a case is over"
                )
            }
        }
    }
}

impl std::error::Error for Fault {}

/// A server with the receiver logged in, ready for one case after the other.
#[derive(Debug)]
pub struct Stage {
    addr: SocketAddr,
    pub(crate) names: Names,
    pub(crate) patience: Patience,
    judge: Judge,
    pub(crate) receiver: Option<Wire>,
    questions: u64,
}

impl Stage {
    /// Connects the receiver to the server at `addr`, where `names` has one.
    ///
    /// # Errors
    /// One of the components can't log in, or the server's own domain doesn't answer it.
    pub fn new(addr: SocketAddr, names: Names, patience: Patience, judge: Judge) -> Result<Self, Fault> {
        let mut stage = Self { addr, names, patience, judge, receiver: None, questions: 0 };
        let component = stage.names.component.clone();
        let mut wire = stage.log_in(&component)?;
        stage.ask_first(&mut wire, component)?;
        wire.finish();
        if let Some(domain) = stage.names.receiver.clone() {
            let mut wire = stage.log_in(&domain)?;
            stage.ask_first(&mut wire, domain)?;
            stage.receiver = Some(wire);
        }
        Ok(stage)
    }

    /// Plays one case and says what the server did; `None` where a name that it needs is missing. With [`Cut::Whole`]
    /// its bytes are sent as the case says, which is mostly in one write.
    ///
    /// # Errors
    /// The server no longer accepts, or the receiver no longer gets in.
    pub fn play(&mut self, case: &Case, cut: &Cut) -> Result<Option<Observed>, Fault> {
        let (Some(header), Some(_)) = (case.header(&self.names), case.payload(&self.names, "")) else {
            return Ok(None);
        };
        if case.phase == Phase::Authed && self.receiver.is_none() {
            return Ok(None);
        }
        self.drain_receiver()?;
        let mut observed = Observed::default();
        let (mut wire, stream_id) = match case.phase {
            Phase::PreOpen => (self.connect()?, Ok(String::new())),
            Phase::PreAuth => {
                let mut wire = self.connect()?;
                let id = wire.open(&header);
                (wire, id)
            }
            Phase::Authed => self.try_log_in(&self.names.component, &header)?,
        };
        match stream_id {
            Ok(id) => self.play_on(&mut wire, case, cut, &id, &mut observed)?,
            Err(came) => observed.setup_failed = Some(came),
        }
        wire.finish();
        observed.check_own_stream(wire.received());
        Ok(Some(observed))
    }

    fn play_on(
        &mut self,
        wire: &mut Wire,
        case: &Case,
        cut: &Cut,
        stream_id: &str,
        observed: &mut Observed,
    ) -> Result<(), Fault> {
        wire.take();
        let payload = case.payload(&self.names, stream_id).unwrap_or_default();
        match (cut, case.split) {
            (Cut::Whole, Some(split)) => wire.send_pieces(&Cut::Every(split).pieces(&payload)),
            (cut, _) => wire.send_pieces(&cut.pieces(&payload)),
        }
        if case.half_close {
            wire.half_close();
        }
        let waited = self.await_answer(wire, case);
        if waited {
            observed.read(wire.received());
            observed.closed = wire.closed();
        }
        let before_question = wire.received().len();
        if !wire.closed() && !case.half_close {
            self.ask_whether_it_lives(wire, case, stream_id, observed);
        }
        if waited {
            let mut after = Observed::default();
            after.read(&wire.received()[before_question..]);
            observed.stanza_errors.append(&mut after.stanza_errors);
            observed.late_stream_error = !observed.closed && !after.stream_errors.is_empty();
        } else {
            observed.read(wire.received());
            observed.closed = wire.closed();
        }
        if case.phase == Phase::Authed {
            self.look_at_receiver(observed)?;
        }
        Ok(())
    }

    fn ask_whether_it_lives(
        &mut self,
        wire: &mut Wire,
        case: &Case,
        stream_id: &str,
        observed: &mut Observed,
    ) {
        match case.phase {
            Phase::PreOpen => {}
            Phase::PreAuth => {
                if !has_handshake(wire.received()) {
                    let proof = digest(stream_id, &self.names.secret);
                    wire.send(format!("<handshake>{proof}</handshake>").as_bytes());
                    observed.dead = !wire.wait(self.patience.answer, has_handshake);
                }
            }
            Phase::Authed => {
                let Names { component, receiver, .. } = &self.names;
                let receiver = receiver.as_deref().unwrap_or(component);
                wire.send(format!("<message from='{component}' to='{receiver}' id='PROBE'/>").as_bytes());
                let (component, id) = (component.clone(), self.next_question());
                self.ask(wire, &component, &id, self.patience.answer);
            }
        }
    }

    /// Everything that the server routed before is at the receiver when this has its answer.
    fn look_at_receiver(&mut self, observed: &mut Observed) -> Result<(), Fault> {
        let got = self.drain_receiver()?;
        observed.receiver_closed = got.is_none();
        let got = got.unwrap_or_default();
        observed.dead |= !observed.closed && !QUESTION.is_match(&got);
        observed.receiver_poisoned = self.judge.check(&got).err();
        let rest = QUESTION.replace_all(&got, &b""[..]);
        let rest = String::from_utf8_lossy(rest.trim_ascii()).into_owned();
        observed.delivered = Some(rest).filter(|r| !r.is_empty());
        Ok(())
    }

    /// What the receiver got since the last call, or `None` when its stream was ended; then it logs in again.
    pub(crate) fn drain_receiver(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let (Some(mut wire), Some(domain)) = (self.receiver.take(), self.names.receiver.clone()) else {
            return Ok(Some(Vec::new()));
        };
        let id = self.next_question();
        let answered = self.ask(&mut wire, &domain, &id, self.patience.answer);
        let got = wire.take();
        if answered && !wire.closed() {
            self.receiver = Some(wire);
            let answer = pattern(&format!("<iq[^>]*['\"]{id}['\"][^>]*?(?:/>|>.*?</iq>)"));
            return Ok(Some(answer.replace_all(&got, &b""[..]).into_owned()));
        }
        wire.finish();
        self.receiver = Some(self.log_in(&domain)?);
        Ok(None)
    }

    pub(crate) fn next_question(&mut self) -> String {
        self.questions += 1;
        format!("QUESTION-{}", self.questions)
    }

    fn ask_first(&mut self, wire: &mut Wire, component: String) -> Result<(), Fault> {
        let id = self.next_question();
        if self.ask(wire, &component, &id, self.patience.answer) {
            wire.take();
            return Ok(());
        }
        Err(Fault::Silent { host: self.names.host.clone(), component })
    }

    /// Pings the host and waits for the answer, which comes after all answers to what was sent before.
    pub(crate) fn ask(&self, wire: &mut Wire, from: &str, id: &str, limit: Duration) -> bool {
        let host = &self.names.host;
        let ping =
            format!("<iq type='get' from='{from}' to='{host}' id='{id}'><ping xmlns='urn:xmpp:ping'/></iq>");
        wire.send(ping.as_bytes());
        wire.wait(limit, |b| b.ends_with(b">") && b.windows(id.len()).any(|w| w == id.as_bytes()))
    }

    /// Waits until the best outcome of the case is decided, or it is plain that it doesn't come. Gives false where the
    /// question that follows decides it: then no time is lost in waiting for silence.
    fn await_answer(&self, wire: &mut Wire, case: &Case) -> bool {
        let Patience { answer, silence } = self.patience;
        let errors = |bytes: &[u8]| {
            let mut seen = Observed::default();
            seen.read(bytes);
            !seen.stanza_errors.is_empty()
        };
        match (case.phase, case.best.as_str()) {
            (Phase::Authed, "ok" | "deliver") => return false,
            (Phase::PreAuth, "ok") if !case.has_digest() => return false,
            (Phase::PreAuth, "ok") => {
                wire.wait(answer, has_handshake);
            }
            (Phase::PreOpen, "ok") => {
                wire.wait(answer, has_header);
                wire.wait(silence, |_| false);
            }
            (_, "ignore") => {
                wire.wait(silence, |_| false);
            }
            _ => {
                wire.wait(answer, errors);
            }
        }
        true
    }

    pub(crate) fn connect(&self) -> Result<Wire, Fault> {
        Wire::connect(self.addr).map_err(|error| Fault::Unreachable(self.addr, error))
    }

    /// Logs this domain in, in the usual way.
    pub(crate) fn log_in(&self, domain: &str) -> Result<Wire, Fault> {
        let (mut wire, id) = self.try_log_in(domain, header(domain).as_bytes())?;
        match id {
            Ok(_) => {
                wire.take();
                Ok(wire)
            }
            Err(said) => Err(Fault::Refused(domain.into(), said)),
        }
    }

    /// Logs in; while the domain is still held by the connection of the case before, tries again.
    fn try_log_in(&self, domain: &str, header: &[u8]) -> Result<(Wire, Result<String, String>), Fault> {
        for _ in 0..LOG_INS {
            let mut wire = self.connect()?;
            let id = wire.log_in(header, &self.names.secret);
            match &id {
                Err(came) if came.contains("<conflict") => {
                    wire.finish();
                    thread::sleep(BETWEEN);
                }
                _ => return Ok((wire, id)),
            }
        }
        Err(Fault::Taken(domain.into()))
    }
}
