//! Our scan against another parser, both ways: what we accept it accepts and reads alike, and what it accepts we do,
//! but for the rules written here.

use enjamb_core::{Cause, StreamError, XmlFault};

use crate::connection::{Connection, Delivery, HEADER, Happened, RECEIVING, TRAILER, limits};
use crate::expat;
use crate::tree::Tree;

/// What a parser makes of a whole document, or why it refuses it.
pub(crate) type Reader = fn(&[u8]) -> Result<Tree, String>;

/// Another parser, and what is known of it.
struct Other {
    name: &'static str,
    read: Reader,
    /// May it refuse or misread what the scan accepts?
    is_gap: fn(&[u8]) -> bool,
    /// Does it accept what the scan refuses for this reason?
    is_laxer: fn(XmlFault) -> bool,
}

const RXML: Other = Other {
    name: "rxml",
    read: |document| Tree::by_rxml(&line_ends(document)),
    is_gap: has_long_reference,
    is_laxer: |fault| {
        // It takes a second default namespace, and the namespace of the prefix xmlns.
        matches!(
            fault,
            XmlFault::NotWellFormed(
                "an attribute given twice" | "the prefix xmlns or its namespace declared"
            )
        )
    },
};

const EXPAT: Other = Other { name: "expat", read: expat::tree, is_gap: |_| false, is_laxer: |_| false };

/// Takes `data` as what a component sends once it is established, and compares what we make of it with what rxml does.
///
/// # Panics
/// There is a difference that is not listed, or a delivery that a parser refuses or reads differently.
pub fn scan_agrees_with_rxml(data: &[u8]) {
    agrees(&RXML, data);
}

/// As [`scan_agrees_with_rxml`], with libexpat.
///
/// # Panics
/// As there.
pub fn scan_agrees_with_expat(data: &[u8]) {
    agrees(&EXPAT, data);
}

fn agrees(other: &Other, data: &[u8]) {
    let input = [data, TRAILER].concat();
    let mut sender = Connection::established(limits(), false);
    sender.feed(&input);

    let theirs = (other.read)(&[HEADER, &input].concat());
    let shown = String::from_utf8_lossy(&input);
    match (sender.events.last(), &theirs) {
        (Some(Happened::Failed(error)), Ok(_)) => {
            assert!(is_rule_of_ours(other, error), "only we refuse: {error}: {shown}");
        }
        (Some(Happened::Failed(_)), Err(_)) => {}
        // Ended by an early closing tag, or by an element of the streams namespace: the rest is nobody's.
        (Some(Happened::Closed), _) if sender.consumed < input.len() => {}
        (Some(Happened::Closed), Ok(_)) => {}
        (Some(Happened::Closed), Err(why)) => {
            assert!((other.is_gap)(&input), "only {} refuses: {why}: {shown}", other.name);
        }
        (_, Ok(_)) => panic!("only {} sees the end: {shown}", other.name),
        (_, Err(_)) => {}
    }

    // What came before the end is right, whatever came then.
    let elements = |event: &&Happened| matches!(event, Happened::Stanza(_) | Happened::Refused(_));
    let ours: Vec<_> = sender.events.iter().filter(elements).collect();
    if ours.is_empty() {
        return;
    }
    let before = [HEADER, &input[..sender.consumed]].concat();
    let read = match (other.read)(&before).or_else(|_| (other.read)(&[&before[..], TRAILER].concat())) {
        Ok(read) => read,
        Err(_) if (other.is_gap)(&input) => return,
        // A stream that was closed by an error of the peer's ends inside that element.
        Err(_) if matches!(sender.events.last(), Some(Happened::Closed)) && sender.consumed < input.len() => {
            return;
        }
        Err(why) => panic!("{} refuses what we took: {why}: {shown}", other.name),
    };
    let theirs = read.elements();
    assert_eq!(ours.len(), theirs.len(), "elements of {shown}");
    for (ours, theirs) in ours.into_iter().zip(theirs) {
        if let Happened::Stanza(delivery) = ours {
            reads_alike(other, theirs, delivery);
            our_scan_agrees(delivery);
        }
    }
}

/// What is delivered says what came, to the other parser and to roxmltree, whose faults are not the other's.
fn reads_alike(other: &Other, came: Tree, delivery: &Delivery) {
    let shown = String::from_utf8_lossy(&delivery.bytes);
    for (name, ours) in [("id", &delivery.id), ("type", &delivery.type_)] {
        assert_eq!(came.attribute(name), ours.as_deref(), "{name} of {shown}");
    }
    let wanted = came.delivered(delivery.kind, &delivery.from, &delivery.to);
    check_delivery(other.name, other.read, &wanted, delivery);
    if !roxmltree_misreads(&delivery.bytes) {
        check_delivery("roxmltree", Tree::by_roxmltree, &wanted, delivery);
    }
}

/// One parser reads a delivery as one stanza that says what is wanted.
fn check_delivery(parser: &str, read: Reader, wanted: &Tree, delivery: &Delivery) {
    let shown = String::from_utf8_lossy(&delivery.bytes);
    let document = [RECEIVING, &delivery.bytes, TRAILER].concat();
    let got = match read(&document) {
        Ok(got) => got,
        Err(why) => panic!("poison for {parser}: {why}: {shown}"),
    };
    // As they stand there, and not only as the comparison makes them.
    let addresses = (got.attribute("to"), got.attribute("from"));
    assert_eq!(addresses, (Some(&*delivery.to), Some(&*delivery.from)), "other addresses: {shown}");
    let got = got.delivered(delivery.kind, &delivery.from, &delivery.to);
    assert_eq!(got, *wanted, "{parser} reads another stanza: {shown}");
    let has = |needle: &[u8]| delivery.bytes.windows(needle.len()).any(|here| here == needle);
    assert!(!has(b"\r") && !has(b"<![CDATA["), "a CR or a CDATA section: {shown}");
}

/// What was delivered would be delivered again as it is.
fn our_scan_agrees(delivery: &Delivery) {
    // A delivery may declare prefixes of the sender's header, and be as much longer.
    let mut wide = limits();
    (wide.attributes, wide.namespaces, wide.stanza) =
        (wide.attributes + 32, wide.namespaces + 32, 4 * wide.stanza);
    let mut receiver = Connection::established(wide, false);
    receiver.feed(&delivery.bytes);
    let again = Happened::Stanza(delivery.clone());
    assert_eq!(receiver.events, [again], "delivered again: {}", String::from_utf8_lossy(&delivery.bytes));
}

/// May the scan refuse what the other accepts? These rules are stricter than XML's, or such that the other has not.
fn is_rule_of_ours(other: &Other, error: &StreamError) -> bool {
    match &error.cause {
        Cause::TextBetween | Cause::NestedStream | Cause::BigStanza { .. } => true,
        Cause::Xml(error) => match error.fault {
            XmlFault::UnportableName
            | XmlFault::UnportableNamespace
            | XmlFault::LongName { .. }
            | XmlFault::TooDeep { .. }
            | XmlFault::ManyAttributes { .. }
            | XmlFault::ManyNamespaces { .. }
            | XmlFault::NotWellFormed("an end tag with too many blanks") => true,
            fault => (other.is_laxer)(fault),
        },
        _ => false,
    }
}

/// rxml takes references of 8 digits at most.
fn has_long_reference(input: &[u8]) -> bool {
    input.windows(2).enumerate().any(|(at, two)| {
        two == b"&#" && input[at + 2..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count() > 8
    })
}

/// roxmltree refuses elements with the prefix xml, which is bound everywhere, and takes any attribute whose local part
/// is xmlns for a default namespace.
pub(crate) fn roxmltree_misreads(document: &[u8]) -> bool {
    [&b"<xml:"[..], b":xmlns"].iter().any(|odd| document.windows(odd.len()).any(|here| here == *odd))
}

/// Line ends as XML 1.0 section 2.11 makes them: rxml loses or refuses a bare CR in a value.
fn line_ends(document: &[u8]) -> Vec<u8> {
    let mut made = Vec::with_capacity(document.len());
    for (at, &byte) in document.iter().enumerate() {
        match byte {
            b'\r' => made.push(b'\n'),
            b'\n' if at > 0 && document[at - 1] == b'\r' => {}
            _ => made.push(byte),
        }
    }
    made
}
