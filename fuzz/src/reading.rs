//! Our scan against another parser, both ways: what we accept it accepts and reads alike, and what it accepts we do,
//! but for the rules in [`differences`](crate::differences).

use enjamb_core::jid::Domain;
use enjamb_core::stream::{ClientEvent, Initiating, Initiator, Step};
use enjamb_core::{Instant, Secret};

use crate::connection::{Connection, Delivery, HEADER, Happened, RECEIVING, TRAILER, limits};
use crate::differences::{Parser, has_gap, line_ends, may_refuse, roxmltree_misreads};
use crate::expat;
use crate::tree::Tree;

/// What a parser makes of a whole document, or why it refuses it.
pub(crate) type Reader = fn(&[u8]) -> Result<Tree, String>;

fn reader(parser: Parser) -> Reader {
    match parser {
        Parser::Rxml => |document| Tree::by_rxml(&line_ends(document)),
        Parser::Expat => expat::tree,
    }
}

/// Takes `data` as what a component sends once it is established, and compares what we make of it with what rxml does.
///
/// # Panics
/// There is a difference that is not listed, or a delivery that a parser refuses or reads differently.
pub fn scan_agrees_with_rxml(data: &[u8]) {
    agrees(Parser::Rxml, data);
}

/// As [`scan_agrees_with_rxml`], with libexpat.
///
/// # Panics
/// As there.
pub fn scan_agrees_with_expat(data: &[u8]) {
    agrees(Parser::Expat, data);
}

fn agrees(parser: Parser, data: &[u8]) {
    let read = reader(parser);
    let input = [data, TRAILER].concat();
    let mut sender = Connection::established(limits(), false);
    sender.feed(&input);

    let theirs = read(&[HEADER, &input].concat());
    let shown = String::from_utf8_lossy(&input);
    match (sender.events.last(), &theirs) {
        (Some(Happened::Failed(error)), Ok(_)) => {
            assert!(may_refuse(parser, error, &input), "only we refuse: {error}: {shown}");
        }
        (Some(Happened::Failed(_)), Err(_)) => {}
        // Ended by an early closing tag, or by an element of the streams namespace: the rest is nobody's.
        (Some(Happened::Closed), _) if sender.consumed < input.len() => {}
        (Some(Happened::Closed), Ok(_)) => {}
        (Some(Happened::Closed), Err(why)) => {
            assert!(has_gap(parser, &input), "only {parser:?} refuses: {why}: {shown}");
        }
        (_, Ok(_)) => panic!("only {parser:?} sees the end: {shown}"),
        (_, Err(_)) => {}
    }

    // What came before the end is right, whatever came then.
    let elements = |event: &&Happened| matches!(event, Happened::Stanza(_) | Happened::Rejected(_));
    let ours: Vec<_> = sender.events.iter().filter(elements).collect();
    if ours.is_empty() {
        return;
    }
    let before = [HEADER, &input[..sender.consumed]].concat();
    let read = match read(&before).or_else(|_| read(&[&before[..], TRAILER].concat())) {
        Ok(read) => read,
        Err(_) if has_gap(parser, &input) => return,
        // A stream that was closed by an error of the peer's ends inside that element.
        Err(_) if matches!(sender.events.last(), Some(Happened::Closed)) && sender.consumed < input.len() => {
            return;
        }
        Err(why) => panic!("{parser:?} refuses what we took: {why}: {shown}"),
    };
    let theirs = read.elements();
    assert_eq!(ours.len(), theirs.len(), "elements of {shown}");
    for (ours, theirs) in ours.into_iter().zip(theirs) {
        if let Happened::Stanza(delivery) = ours {
            reads_alike(parser, theirs, delivery);
            our_scan_agrees(delivery);
            skipping_ends_with_it(delivery);
        }
    }
}

/// What is delivered says what came, to the other parser and to roxmltree, whose faults are not the other's.
fn reads_alike(parser: Parser, came: Tree, delivery: &Delivery) {
    let shown = String::from_utf8_lossy(&delivery.bytes);
    for (name, ours) in [("id", &delivery.id), ("type", &delivery.type_)] {
        assert_eq!(came.attribute(name), ours.as_deref(), "{name} of {shown}");
    }
    let wanted = came.delivered(delivery.kind, &delivery.from, &delivery.to);
    check_delivery(&format!("{parser:?}"), reader(parser), &wanted, delivery);
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

/// A component whose limit is within the stanza skips the rest of it, and no byte more.
fn skipping_ends_with_it(delivery: &Delivery) {
    let mut limits = limits().handed_on();
    limits.stanza = delivery.bytes.len() / 2;
    let domain = Domain::parse("component.example").expect("it is a domain");
    let initiator = Initiator::connect(
        domain,
        false,
        Secret::new("test"),
        limits.into(),
        Instant::ORIGIN,
        &mut Vec::new(),
    );
    let accepted = [RECEIVING, b"<handshake/>"].concat();
    let (_, next) = initiator.process(Instant::ORIGIN, &accepted, &mut Vec::new());
    let Initiating::Established(mut stream) = next else { panic!("it is not accepted") };
    stream.set_skipping(true);
    let input = [&delivery.bytes[..], b"<message id='behind'/>"].concat();
    let Ok(step) = stream.process(Instant::ORIGIN, &input, &mut Vec::new()) else {
        return; // Its start tag alone is longer.
    };
    assert!(matches!(step.event, Some(ClientEvent::TooLong(_))), "{:?}", step.event);
    let behind = stream.process(Instant::ORIGIN, &input[step.consumed..], &mut Vec::new());
    let shown = String::from_utf8_lossy(&delivery.bytes);
    let Ok(Step { event: Some(ClientEvent::Stanza(stanza)), .. }) = behind else {
        panic!("{behind:?}: {shown}")
    };
    assert_eq!(stanza.raw(), b"<message id='behind'/>", "behind {shown}");
}

/// What was delivered would be delivered again as it is.
fn our_scan_agrees(delivery: &Delivery) {
    let mut wide = limits().handed_on();
    // A rewritten stanza may be longer; delivery asks whether it is too long for its receiver.
    wide.stanza *= 4;
    let mut receiver = Connection::established(wide, false);
    receiver.feed(&delivery.bytes);
    let again = Happened::Stanza(delivery.clone());
    assert_eq!(receiver.events, [again], "delivered again: {}", String::from_utf8_lossy(&delivery.bytes));
}
