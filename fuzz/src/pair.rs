//! Two components of ours, and our server between them, over wires that cut.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use enjamb_core::connection::{CloseReason, ConnectionEvent};
use enjamb_core::jid::Domain;
use enjamb_core::switch::{ListenerConfig, Switch, SwitchConfig};
use enjamb_core::{Secret, StreamErrorCause, StreamId};
use enjamb_runtime::{Component, ComponentSettings, ServerConnection, SharedSwitch};

use crate::connection::TRAILER;
use crate::expat;
use crate::many::{Bytes, Many};
use crate::net::{Alarm, Cuts, Tasks, connection};
use crate::spelling::{COMPONENT, Node, Scope, Speller, Written};
use crate::tree::Tree;

/// The third is a host of the server's, which nobody may be.
const DOMAINS: [&str; 4] = ["a.example", "b.example", "h", "b\u{fc}cher.example"];
/// Long enough for everything that is not stuck.
const ENOUGH: Duration = Duration::from_secs(120);

#[derive(Arbitrary, Debug)]
struct Script<'a> {
    cuts: u64,
    room: u8,
    mark: u8,
    logins: [Login; 2],
    /// The first one's wire breaks after this many bytes of its own.
    breaks_after: Option<u16>,
    choices: Bytes<'a>,
    /// Who says what, in order.
    words: Many<Word>,
}

#[derive(Arbitrary, Debug)]
struct Login {
    domain: u8,
    secret: u8,
}

impl Login {
    fn domain(&self) -> &'static str {
        DOMAINS[usize::from(self.domain) % DOMAINS.len()]
    }

    fn has_right_secret(&self) -> bool {
        self.secret <= 240
    }
}

#[derive(Arbitrary, Debug)]
struct Word {
    second: bool,
    content: Many<Node>,
}

/// One component, and what was seen of it.
struct Side {
    domain: &'static str,
    component: Component,
    /// What it says: as sent, and as its receiver is to read it.
    words: Vec<(String, Tree)>,
    seen: Rc<RefCell<Seen>>,
    established: bool,
}

#[derive(Default)]
struct Seen {
    /// How the log-in ended, as the component saw it, and as its server did.
    login: Option<Result<(), CloseReason>>,
    served: Option<Result<(), CloseReason>>,
    sent: usize,
    received: Vec<Vec<u8>>,
}

/// Plays a script.
///
/// # Panics
/// One side of a connection is established and the other is not, or they failed for different reasons; a stanza is lost,
/// doubled, changed or overtaken, and its receiver was there; or something is stuck.
pub fn pair_says_all_in_order(data: &[u8]) {
    let Ok(script) = Script::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let is_whole = script.breaks_after.is_none();
    let mut tasks = Tasks::default();
    let host = Domain::parse("h").expect("it is a domain");
    let switch = SharedSwitch::new(SwitchConfig::new([host]));
    let switch = Arc::new(switch);
    // One after the other, so that it is clear who comes first.
    let sides = [0, 1].map(|number| log_in(&mut tasks, &switch, &script, number));
    if is_whole {
        let [first, second] = script.logins.each_ref().map(|login| {
            let may = login.has_right_secret() && login.domain() != "h";
            may.then(|| login.domain())
        });
        let want = [first.is_some(), second.is_some() && second != first];
        assert_eq!(sides.each_ref().map(|side| side.established), want, "of {:?}", script.logins);
    }

    for side in sides.iter().filter(|side| side.established) {
        talk(&mut tasks, side);
    }
    let has_all = |side: &Side, other: &Side| {
        let (seen, theirs) = (side.seen.borrow(), other.seen.borrow());
        let expected = if other.established { theirs.sent } else { side.words.len() };
        seen.sent == side.words.len() && seen.received.len() >= expected
    };
    let is_enough = || {
        let [first, second] = &sides;
        (!first.established || has_all(first, second)) && (!second.established || has_all(second, first))
    };
    let end = tasks.clock.now() + ENOUGH;
    tasks.run_until(end, is_enough);
    assert!(!is_whole || is_enough(), "something is stuck");

    sides.iter().for_each(|side| side.component.close());
    let end = tasks.clock.now() + ENOUGH;
    tasks.run_until(end, || switch.connections() == 0);
    assert_eq!(switch.connections(), 0, "a connection does not end");
    for (side, other) in [(&sides[0], &sides[1]), (&sides[1], &sides[0])] {
        if side.established {
            check_received(side, other, is_whole);
        }
    }
}

/// Connects a component, and waits until both sides know what came of it.
fn log_in(tasks: &mut Tasks, switch: &Arc<SharedSwitch>, script: &Script<'_>, number: usize) -> Side {
    let login = &script.logins[number];
    let mark = 64 + 16 * usize::from(script.mark);
    let mut listener = ListenerConfig::new(Secret::new("test"));
    listener.queue_mark = mark;
    let cuts = Cuts(script.cuts.rotate_left(number as u32));
    let (theirs, ours) = connection(1 + usize::from(script.room), cuts);
    let theirs = match script.breaks_after {
        Some(bytes) if number == 0 => theirs.breaks_after(bytes.into()),
        _ => theirs,
    };
    let seen = Rc::new(RefCell::new(Seen::default()));

    let id = StreamId::from_random(number as u128);
    let alarm = Alarm::new(&tasks.clock);
    let mut served = ServerConnection::new(Arc::clone(switch), Arc::new(listener), id, ours, alarm);
    let notes = Rc::clone(&seen);
    tasks.spawn(move |cx| {
        loop {
            let outcome = match served.poll_event(cx) {
                Poll::Ready(Some(ConnectionEvent::Bound { .. })) => Ok(()),
                Poll::Ready(Some(ConnectionEvent::Closed { reason: end, .. })) => Err(end),
                Poll::Ready(Some(_)) => continue,
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            };
            notes.borrow_mut().served.get_or_insert(outcome);
        }
    });

    let name = Domain::parse(login.domain()).expect("it is a domain");
    let secret = Secret::new(if login.has_right_secret() { "test" } else { "guess" });
    let mut settings = ComponentSettings::new(name, secret);
    settings.mark = mark;
    let (component, mut running) = Component::connect(settings, theirs, Alarm::new(&tasks.clock));
    tasks.spawn(move |cx| running.poll(cx));
    let (waiting, notes) = (component.clone(), Rc::clone(&seen));
    tasks.spawn_future(async move {
        let outcome = waiting.established().await;
        notes.borrow_mut().login = Some(outcome);
    });

    let end = tasks.clock.now() + ENOUGH;
    tasks.run_until(end, || seen.borrow().login.is_some() && seen.borrow().served.is_some());
    let established = check_login(&seen.borrow(), script.breaks_after.is_none() || number == 1);
    let said = script.words.iter().filter(|word| usize::from(word.second) == number).take(20);
    let other = script.logins[1 - number].domain();
    let words = said.enumerate().map(|(id, word)| spelled(word, id, login.domain(), other, script.choices.0));
    Side { domain: login.domain(), component, words: words.collect(), seen, established }
}

/// Whether the component is established; both sides say the same.
fn check_login(seen: &Seen, is_whole: bool) -> bool {
    let login = seen.login.as_ref().expect("a log-in ends, one way or the other");
    match (login, &seen.served) {
        (Ok(()), Some(Ok(()))) => true,
        (Err(CloseReason::Error(told)), Some(Err(CloseReason::Error(said)))) => {
            assert_eq!(told.condition, said.condition, "it failed for two reasons");
            let StreamErrorCause::Peer { text } = &told.cause else { panic!("it failed on its own: {told}") };
            assert_eq!(*text, said.cause.to_string());
            false
        }
        // A wire that broke: the server may have bound it without its getting to know.
        (Err(_), _) if !is_whole => false,
        (login, served) => panic!("established on one side: {login:?} and {served:?}"),
    }
}

/// Sends all words, and takes all that comes, at the same time.
fn talk(tasks: &mut Tasks, side: &Side) {
    let (component, seen) = (side.component.clone(), Rc::clone(&side.seen));
    let words: Vec<_> = side.words.iter().map(|(word, _)| word.clone()).collect();
    tasks.spawn_future(async move {
        for word in words {
            if component.send(word).await.is_err() {
                return;
            }
            seen.borrow_mut().sent += 1;
        }
    });
    let (component, seen) = (side.component.clone(), Rc::clone(&side.seen));
    tasks.spawn_future(async move {
        while let Some(stanza) = component.next().await {
            seen.borrow_mut().received.push(stanza.as_stanza().to_vec());
        }
    });
}

/// What the other said came once and in order; and where it is not there, what was said came back, once and in order.
fn check_received(side: &Side, other: &Side, is_whole: bool) {
    let seen = side.seen.borrow();
    let is_error = |tree: &Tree| tree.attribute("type") == Some("error");
    let (errors, got): (Vec<_>, Vec<_>) = seen.received.iter().map(|bytes| read(bytes)).partition(is_error);
    // The other may have asked for the same name: what was meant for it comes to the one that has it.
    let speaker =
        if other.established { Some(other) } else { Some(side).filter(|_| side.domain == other.domain) };
    let theirs: Vec<_> =
        speaker.iter().flat_map(|speaker| &speaker.words).map(|(_, tree)| tree.clone()).collect();
    let sent = speaker.map_or(0, |speaker| speaker.seen.borrow().sent);
    assert!(got.len() <= sent, "a stanza is doubled");
    assert_eq!(got[..], theirs[..got.len()], "stanzas are changed, or one overtook another");
    assert!(!is_whole || got.len() == sent, "a stanza is lost");
    if speaker.is_none() {
        let ids: Vec<_> = errors.iter().map(|error| error.attribute("id").map(str::to_owned)).collect();
        let want: Vec<_> = (0..side.words.len()).map(|number| Some(format!("w{number}"))).collect();
        assert!(ids.len() <= want.len() && ids[..] == want[..ids.len()], "other errors: {ids:?}");
        assert!(!is_whole || ids.len() == want.len(), "a stanza is lost: {ids:?}");
    } else if is_whole {
        assert!(errors.is_empty(), "a stanza came back though its receiver was there");
    }
}

/// A message, its spelling, and what its receiver is to read.
fn spelled(word: &Word, number: usize, from: &str, to: &str, choices: &[u8]) -> (String, Tree) {
    let mut speller = Speller::new(choices);
    let id = format!("w{number}");
    let plain = [("from", from), ("id", &*id), ("to", to)];
    let expected = plain.map(|(name, value)| ((String::new(), name.to_owned()), value.to_owned()));
    let written = plain.map(|(name, value)| Written::new(name, value));
    speller.tree.start((COMPONENT.into(), "message".into()), expected.into());
    speller.element("message", written.into(), &word.content, &Scope::of_component());
    (speller.out, speller.tree)
}

fn read(delivered: &[u8]) -> Tree {
    const HEADER: &[u8] = b"<stream:stream xmlns='jabber:component:accept' \
        xmlns:stream='http://etherx.jabber.org/streams'>";
    let read = expat::tree(&[HEADER, delivered, TRAILER].concat());
    read.unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(delivered)))
}
