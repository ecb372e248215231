//! What is delivered, every strict parser takes.

use enjamb_core::Limits;
use rxml::error::EndOrError;
use rxml::parser::{Options, WithOptions};
use rxml::{Event, Namespace, Parse, Parser};

use crate::connection::{Connection, Happened, NEGOTIATION, limits};

const COMPONENT: &str = "jabber:component:accept";
const HEADER: &str =
    "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>";

/// Takes `data` as a component's stanzas and judges each delivery.
///
/// # Panics
/// A delivery is refused or changed by rxml, or by our own scan.
pub fn deliveries_are_portable(data: &[u8]) {
    let mut sender = Connection::new(limits(), false);
    sender.feed(NEGOTIATION);
    sender.feed(data);
    for event in &sender.events {
        if let Happened::Stanza { delivered, .. } = event {
            rxml_agrees(event, delivered);
            our_scan_agrees(event, delivered);
        }
    }
}

/// rxml reads one stanza, in the stream's namespace, with the addresses that routing saw.
fn rxml_agrees(event: &Happened, delivered: &[u8]) {
    let Happened::Stanza { to, from, id, kind, .. } = event else { return };
    let shown = String::from_utf8_lossy(delivered);
    let document = [HEADER.as_bytes(), delivered].concat();
    // Longer tokens than rxml's default are in order: the stanza's limit is the only one.
    let options = Options { max_token_length: document.len(), ..Options::default() };
    let mut parser = Parser::with_options(options);
    let mut rest = &document[..];
    let (mut depth, mut stanzas) = (0, 0);
    loop {
        let found = match parser.parse(&mut rest, false) {
            Ok(found) => found,
            Err(EndOrError::NeedMoreData) => break,
            Err(EndOrError::Error(error)) => panic!("rxml refuses {shown}: {error:?}"),
        };
        match found {
            Some(Event::StartElement(_, (namespace, name), attributes)) => {
                depth += 1;
                if depth == 2 {
                    stanzas += 1;
                    assert_eq!(namespace.as_str(), COMPONENT, "{shown}");
                    assert!(matches!(name.as_str(), "iq" | "message" | "presence"), "{shown}");
                    for (name, seen) in [("to", to), ("from", from), ("id", id), ("type", kind)] {
                        assert_eq!(
                            attributes.get(Namespace::none(), name),
                            seen.as_ref(),
                            "{name} of {shown}"
                        );
                    }
                }
            }
            Some(Event::EndElement(_)) => depth -= 1,
            Some(_) => {}
            None => panic!("rxml sees the end of the stream in {shown}"),
        }
    }
    assert_eq!((depth, stanzas, rest.len()), (1, 1, 0), "{shown}");
}

/// What was delivered would be delivered again as it is.
fn our_scan_agrees(event: &Happened, delivered: &[u8]) {
    // A delivery may declare prefixes of the sender's header, and be as much longer.
    let Limits { attributes, namespaces, stanza, .. } = limits();
    let mut wide = limits();
    (wide.attributes, wide.namespaces, wide.stanza) = (attributes + 32, namespaces + 32, 4 * stanza);
    let mut receiver = Connection::new(wide, false);
    receiver.feed(NEGOTIATION);
    let before = receiver.events.len();
    receiver.feed(delivered);
    assert_eq!(
        receiver.events[before..],
        *std::slice::from_ref(event),
        "delivered again, it is another: {}",
        String::from_utf8_lossy(delivered)
    );
}
