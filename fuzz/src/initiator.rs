//! Whatever a server says to a component of ours, and whenever: one well-formed document comes back.

use std::sync::Arc;
use std::time::Duration;

use enjamb_core::jid::{Domain, Jid};
use enjamb_core::stream::{ClientEvent, ClientStream, Initiating, Initiator};
use enjamb_core::{Instant, Secret, Stanza};

use crate::connection::{RECEIVING, TRAILER, limits};
use crate::expat;
use crate::tree::{Event, Tree};

/// A component's side of one connection.
struct Component {
    stage: Stage,
    input: Vec<u8>,
    out: Vec<u8>,
    now: Instant,
    put_backs: usize,
    /// The length of `out` when the stream ended.
    ended: Option<usize>,
}

enum Stage {
    Initiating(Initiator),
    Open(Box<ClientStream>),
    Ended,
}

/// Plays `data` as what a server sends. Bytes that no XML may hold stand for what else happens: 1 ends a read, 2 to 4 let
/// 1, 4 and 40 seconds pass, 5 puts the next stanza back, 6 closes the stream, 7 ends the input, 8 is a server's header
/// and 14 its `<handshake/>`.
///
/// # Panics
/// The output is no beginning of a document, or no whole one after the end, or goes on behind it; a timer fires early or
/// stays due; or a stanza turned back is another.
pub fn component_says_one_document(data: &[u8]) {
    let mut out = Vec::new();
    let domain = Domain::parse("component.example").expect("it is a domain");
    let limits = Arc::new(limits());
    let initiator = Initiator::connect(domain, false, Secret::new("test"), limits, Instant::ORIGIN, &mut out);
    let stage = Stage::Initiating(initiator);
    let mut component =
        Component { stage, input: Vec::new(), out, now: Instant::ORIGIN, put_backs: 0, ended: None };
    for piece in data.chunk_by(|&before, &byte| !is_act(before) && !is_act(byte)) {
        match piece {
            [1] => {}
            [2] => component.wait(Duration::from_secs(1)),
            [3] => component.wait(Duration::from_secs(4)),
            [4] => component.wait(Duration::from_secs(40)),
            [5] => component.put_backs += 1,
            [6] => component.close(),
            [7] => component.eof(),
            [8] => component.feed(RECEIVING),
            [14] => component.feed(b"<handshake/>"),
            piece => component.feed(piece),
        }
        let (length, shown) = (component.out.len(), String::from_utf8_lossy(&component.out));
        assert!(component.ended.is_none_or(|ended| ended == length), "it says more after its end: {shown}");
    }
    let shown = String::from_utf8_lossy(&component.out);
    let (read, error) = expat::read(&component.out, component.ended.is_some());
    assert_eq!(error, None, "{shown}");
    let errors = read.tree.elements().iter().filter(|element| is_stream_error(element)).count();
    assert!(errors <= usize::from(component.ended.is_some()), "{errors} errors: {shown}");
}

fn is_act(byte: u8) -> bool {
    matches!(byte, 1..=8 | 14)
}

fn is_stream_error(element: &Tree) -> bool {
    matches!(element.0.first(), Some(Event::Start(top)) if top.name.0 == "http://etherx.jabber.org/streams")
}

impl Component {
    fn feed(&mut self, piece: &[u8]) {
        self.input.extend_from_slice(piece);
        loop {
            let (consumed, goes_on) = match std::mem::replace(&mut self.stage, Stage::Ended) {
                Stage::Initiating(initiator) => self.initiate(initiator),
                Stage::Open(stream) => self.take(stream),
                Stage::Ended => (self.input.len(), false),
            };
            self.input.drain(..consumed);
            if !goes_on {
                return;
            }
        }
    }

    fn initiate(&mut self, initiator: Initiator) -> (usize, bool) {
        let (consumed, next) = initiator.process(self.now, &self.input, &mut self.out);
        match next {
            Initiating::Reading(initiator) => self.stage = Stage::Initiating(initiator),
            Initiating::Established(stream) => {
                self.stage = Stage::Open(stream);
                return (consumed, true);
            }
            Initiating::Failed(_) => self.ended = Some(self.out.len()),
        }
        (consumed, false)
    }

    fn take(&mut self, mut stream: Box<ClientStream>) -> (usize, bool) {
        let step = match stream.process(self.now, &self.input, &mut self.out) {
            Ok(step) => step,
            Err(error) => {
                let again = stream.process(self.now, &self.input, &mut self.out);
                assert_eq!(again.err(), Some(error), "another error at the second call");
                self.ended.get_or_insert(self.out.len());
                self.stage = Stage::Open(stream);
                return (self.input.len(), false);
            }
        };
        assert!(step.consumed <= self.input.len());
        let mut consumed = step.consumed;
        let goes_on = match step.event {
            None => false,
            Some(ClientEvent::Stanza(stanza)) => {
                check_stanza(&stanza);
                if self.put_backs > 0 {
                    self.put_backs -= 1;
                    consumed -= stream.put_back();
                }
                true
            }
            Some(ClientEvent::Closed) => {
                self.ended = Some(self.out.len());
                false
            }
            Some(_) => true,
        };
        self.stage = Stage::Open(stream);
        (consumed, goes_on)
    }

    fn wait(&mut self, span: Duration) {
        self.now += span;
        let (due, failed) = match &mut self.stage {
            Stage::Initiating(initiator) => {
                let due = Some(initiator.poll_timeout());
                (due, initiator.handle_timeout(self.now, &mut self.out).is_err())
            }
            Stage::Open(stream) => {
                let due = stream.poll_timeout();
                let failed = stream.handle_timeout(self.now, &mut self.out).is_err();
                let next = stream.poll_timeout();
                assert!(failed || next.is_none_or(|next| next > self.now), "a timer stays due");
                (due, failed)
            }
            Stage::Ended => return,
        };
        if failed && self.ended.is_none() {
            assert!(due.is_some_and(|due| due <= self.now), "a timer fires early");
            self.ended = Some(self.out.len());
        }
    }

    fn close(&mut self) {
        if let Stage::Open(stream) = &mut self.stage {
            stream.close(&mut self.out);
            assert!(stream.is_closed());
            self.ended.get_or_insert(self.out.len());
        }
    }

    /// As the drive loop does it.
    fn eof(&mut self) {
        self.close();
        if let Stage::Open(stream) = &mut self.stage {
            stream.handle_eof();
        }
    }
}

/// A stanza is what others read in it, and so is its way back.
fn check_stanza(stanza: &Stanza<'_>) {
    let read = |bytes: &[u8]| {
        let read = expat::tree(&[RECEIVING, bytes, TRAILER].concat());
        read.unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(bytes)))
    };
    let tree = read(&stanza.to_vec());
    assert_eq!(tree.attribute("to"), stanza.to().map(Jid::as_str));
    assert_eq!(tree.attribute("from"), stanza.from().map(Jid::as_str));
    assert_eq!(tree.attribute("id"), stanza.id().as_deref());
    assert_eq!(tree.attribute("type"), stanza.stanza_type().as_deref());
    let Some(back) = stanza.turned_back() else { return };
    let back = read(&back.to_vec());
    assert_eq!(back.attribute("from"), tree.attribute("to"));
    assert_eq!(back.attribute("to"), tree.attribute("from"));
    // Apart from the two addresses it says the same.
    assert_eq!(back.0[1..], tree.0[1..]);
}
