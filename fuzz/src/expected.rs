//! What a component gets, in short.

use crate::expat;
use crate::tree::{Element, Event, Tree};

/// One thing on a component's stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expected {
    Handshake,
    /// A stanza of another component.
    Stanza {
        id: String,
        from: String,
        to: String,
    },
    /// An error for a stanza of its own.
    Error {
        id: String,
        condition: String,
    },
    /// A host's answer, with the items that it lists.
    Result {
        id: String,
        items: Vec<String>,
    },
    StreamError(String),
    /// The stream ended in good order.
    ClosingTag,
}

/// Reads all that came on a stream, which begins with a header.
pub(crate) fn read(received: &[u8]) -> Vec<Expected> {
    let shown = String::from_utf8_lossy(received);
    let ends = received.ends_with(b"</stream:stream>");
    let (read, error) = expat::read(received, ends);
    assert_eq!(error, None, "{shown}");
    let mut all: Vec<_> = read.tree.elements().iter().map(element).collect();
    if ends && !matches!(all.last(), Some(Expected::StreamError(_))) {
        all.push(Expected::ClosingTag);
    }
    all
}

fn element(tree: &Tree) -> Expected {
    let Some(Event::Start(top)) = tree.0.first() else { panic!("an element begins with its tag") };
    let attribute = |name: &str| tree.attribute(name).unwrap_or_default().to_owned();
    let id = attribute("id");
    let mut inside = tree.0[1..].iter().filter_map(|event| match event {
        Event::Start(element) => Some(element),
        _ => None,
    });
    let local = |element: Option<&Element>| element.map_or(String::new(), |element| element.name.1.clone());
    // Errors of the server's own have a text; those that components send here have none.
    let is_error = |inside: &Element| inside.name.0 == "urn:ietf:params:xml:ns:xmpp-stanzas";
    match (&*top.name.1, &*attribute("type")) {
        ("handshake", _) => Expected::Handshake,
        ("error", _) => Expected::StreamError(local(inside.next())),
        (_, "error") if inside.clone().any(is_error) => {
            Expected::Error { id, condition: local(inside.nth(1)) }
        }
        // Those that components send here hold an `r`.
        ("iq", "result") if inside.clone().all(|element| element.name.1 != "r") => {
            let items = inside.filter(|element| element.name.1 == "item");
            let jid =
                |item: &Element| item.attributes.first().map(|(_, value)| value.clone()).unwrap_or_default();
            Expected::Result { id, items: items.map(jid).collect() }
        }
        _ => Expected::Stanza { id, from: attribute("from"), to: attribute("to") },
    }
}

/// A stream's own answers do not wait for what others send, nor that for them; each kind keeps its order, and nothing
/// comes before the handshake or behind the end.
pub(crate) fn in_order(mut all: Vec<Expected>) -> Vec<Expected> {
    let first = usize::from(matches!(all.first(), Some(Expected::Handshake)));
    let is_end = |last: &Expected| matches!(last, Expected::StreamError(_) | Expected::ClosingTag);
    let end = all.len() - usize::from(all.len() > first && all.last().is_some_and(is_end));
    all[first..end].sort_by_key(|expected| matches!(expected, Expected::Stanza { .. }));
    all
}
