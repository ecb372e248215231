//! Whatever comes, and whenever: one well-formed document goes out, with one error at most.

use std::time::Duration;

use enjamb_core::StreamErrorCause;

use crate::connection::{Connection, HANDSHAKE, HEADER, Happened, limits};
use crate::expat;
use crate::tree::{Element, Event};

/// Plays `data` as what comes on one connection. Bytes that no XML may hold stand for what else happens: 1 ends a
/// read, 2 to 4 let 1, 4 and 40 seconds pass, 5 puts the next stanza back, 6 ends the stream in good order and 7 with
/// an error, 8 is a component's header and 14 its handshake.
///
/// # Panics
/// The output is no header with one well-formed beginning of a document behind it, or says something else than what
/// happened: one error and the closing tag after a failure, the closing tag alone after a good end.
pub fn output_is_one_document(data: &[u8]) {
    let mut connection = Connection::new(limits(), true);
    for piece in data.chunk_by(|&before, &byte| !is_act(before) && !is_act(byte)) {
        match piece {
            [1] => {}
            [2] => connection.wait(Duration::from_secs(1)),
            [3] => connection.wait(Duration::from_secs(4)),
            [4] => connection.wait(Duration::from_secs(40)),
            [5] => connection.put_back_next(),
            [6] => connection.end(None),
            [7] => connection.end(Some(StreamErrorCause::Shutdown.into())),
            [8] => connection.feed(HEADER),
            [14] => connection.feed(HANDSHAKE),
            piece => connection.feed(piece),
        }
    }
    let ends = |event: &&Happened| matches!(event, Happened::Closed | Happened::Failed(_));
    let ended: Vec<_> = connection.events.iter().filter(ends).collect();
    assert!(ended.len() <= 1, "it ends twice: {ended:?}");
    check_output(&connection.out, ended.first().copied());
}

fn is_act(byte: u8) -> bool {
    matches!(byte, 1..=8 | 14)
}

/// Is this what a server says on one stream, up to an end like that?
pub(crate) fn check_output(out: &[u8], ended: Option<&Happened>) {
    let shown = String::from_utf8_lossy(out);
    if out.is_empty() {
        assert!(ended.is_none(), "an end without a word");
        return;
    }
    let (read, error) = expat::read(out, ended.is_some());
    assert_eq!(error, None, "{shown}");
    let root = read.root.expect("a header comes first");
    assert_eq!(root.name, ("http://etherx.jabber.org/streams".into(), "stream".into()), "{shown}");
    let elements = read.tree.elements();
    let errors: Vec<_> = elements.iter().filter_map(|element| stream_error(&element.0)).collect();
    match ended {
        Some(Happened::Failed(error)) => {
            assert_eq!(errors, [error.condition.as_str()], "{shown}");
            let last = elements.last().and_then(|element| stream_error(&element.0));
            assert!(last.is_some(), "something behind the error: {shown}");
        }
        _ => assert!(errors.is_empty(), "an error without a failure: {shown}"),
    }
}

/// The condition, if that element is an error of the stream.
fn stream_error(element: &[Event]) -> Option<&str> {
    let Some(Event::Start(Element { name, .. })) = element.first() else { return None };
    if (&*name.0, &*name.1) != ("http://etherx.jabber.org/streams", "error") {
        return None;
    }
    match element.get(1) {
        Some(Event::Start(condition)) if condition.name.0 == "urn:ietf:params:xml:ns:xmpp-streams" => {
            Some(&condition.name.1)
        }
        other => panic!("a stream error begins with its condition, not with {other:?}"),
    }
}
