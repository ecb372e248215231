//! What is forwarded says what was sent, however it was spelled: no stanza is smuggled, and none is poison.

use arbitrary::{Arbitrary, Unstructured};
use enjamb_core::Limits;
use enjamb_core::jid::Jid;
use enjamb_core::stream::RejectReason;

use crate::connection::{Connection, Delivery, HEADER, Happened, RECEIVING, TRAILER};
use crate::differences::roxmltree_misreads;
use crate::expat;
use crate::many::{Bytes, Many};
use crate::reading::Reader;
use crate::spelling::{Attribute, COMPONENT, Node, Scope, Speller, Text, Written, declarations, named, of};
use crate::tree::Tree;

const KINDS: [&str; 3] = ["iq", "message", "presence"];
const TYPES: [&str; 6] = ["", "get", "set", "result", "error", "chat"];
const ADDRESSES: [&str; 9] = [
    "peer.example",
    "u@peer.example/r",
    "PEER.example.",
    "b\u{fc}cher.example",
    "u@xn--bcher-kva.example/ r",
    "u@[2001:DB8:0::1]/<\"'&>",
    "u@peer.example/a/b@c\u{2028}",
    "\u{e9}@peer.example",
    "_.example",
];

/// A stanza of a component, with all its spelling choices.
#[derive(Arbitrary, Debug)]
struct Script<'a> {
    kind: u8,
    type_: u8,
    id: Option<Text>,
    to: u8,
    from: Option<u8>,
    top: Top,
    declared: Many<(u8, u8)>,
    attributes: Many<Attribute>,
    choices: Bytes<'a>,
    content: Many<Node>,
}

/// How the stanza gets its namespace.
#[derive(Arbitrary, Debug)]
enum Top {
    Inherited,
    Own(Content),
    Prefixed(Content),
    Both(Content, Content),
    /// By a prefix, and with a default namespace for its children that a delivery could not keep.
    Kept(Content),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Content {
    Component,
    Client,
    Server,
}

impl Content {
    fn uri(self) -> &'static str {
        match self {
            Self::Component => COMPONENT,
            Self::Client => "jabber:client",
            Self::Server => "jabber:server",
        }
    }
}

/// Makes a stanza of `data`, sends it spelled oddly and spelled plainly, and reads what its receiver gets.
///
/// # Panics
/// It is refused though nothing is wrong with it; or expat, rxml or roxmltree refuse what is delivered, or read something
/// else in it than was spelled.
pub fn forwarding_keeps_the_meaning(data: &[u8]) {
    let Ok(script) = Script::arbitrary_take_rest(Unstructured::new(data)) else { return };
    // With choices it is rewritten where it must be, without any it is copied.
    for choices in [script.choices.0, &[]] {
        forwarded(&script, choices);
    }
}

fn forwarded(script: &Script<'_>, choices: &[u8]) {
    let kind = of(&KINDS, script.kind);
    let mut scope = Scope::of_stream();
    let mut name = kind.to_owned();
    let mut written = Vec::new();
    let own_default = match script.top {
        Top::Inherited => None,
        Top::Own(own) => Some(own.uri()),
        Top::Prefixed(own) | Top::Both(own, _) | Top::Kept(own) => {
            name = format!("c:{kind}");
            written.push(Written::new("xmlns:c", own.uri()));
            scope.declare("c", own.uri());
            match script.top {
                Top::Both(_, default) => Some(default.uri()),
                Top::Kept(_) => Some("urn:kept"),
                _ => None,
            }
        }
    };
    written.extend(own_default.map(|uri| Written::new("xmlns", uri)));
    written.extend(declarations(&script.declared, &mut scope));
    scope.rescope();
    let (mut attributes, mut expected) = named(&script.attributes, &scope);
    // Those that have a meaning come from elsewhere.
    attributes.retain(|attribute| !matches!(&*attribute.name, "to" | "from"));
    expected.retain(|((uri, local), _)| !uri.is_empty() || !matches!(&**local, "to" | "from"));
    written.extend(attributes);
    let canonical = |address: &str| Jid::parse(address).expect("it is one").as_str().to_owned();
    let mut add = |name: &str, sent: Option<Vec<char>>, received: Option<String>| {
        written.extend(sent.map(|value| Written { name: name.into(), value }));
        expected.extend(received.map(|value| ((String::new(), name.to_owned()), value)));
    };
    let (to, from) = (of(&ADDRESSES, script.to), script.from.map(|index| of(&ADDRESSES, index)));
    let (to_read, from_read) = (canonical(to), canonical(from.unwrap_or("component.example")));
    add("to", Some(to.chars().collect()), Some(to_read.clone()));
    add("from", from.map(|from| from.chars().collect()), Some(from_read.clone()));
    let id: Option<Vec<char>> = script.id.as_ref().map(Text::chars);
    add("id", id.clone(), id.map(String::from_iter));
    let type_ = Some(of(&TYPES, script.type_)).filter(|type_| !type_.is_empty());
    add("type", type_.map(|type_| type_.chars().collect()), type_.map(Into::into));

    let mut speller = Speller::new(choices);
    speller.tree.start((COMPONENT.into(), kind.into()), expected);
    speller.element(&name, written, &script.content, &scope);
    let (bytes, wanted) = (speller.out.into_bytes(), speller.tree);
    let shown = String::from_utf8_lossy(&bytes);
    let sent = expat::tree(&[HEADER, &bytes, TRAILER].concat());
    assert!(sent.is_ok(), "the speller wrote no XML: {}: {shown}", sent.unwrap_err());

    let mut sender = Connection::established(Limits::default(), false);
    sender.feed(&bytes);
    match &sender.events[..] {
        [Happened::Stanza(delivery)] => {
            assert_eq!((&delivery.to, &delivery.from), (&to_read, &from_read), "{shown}");
            delivered(delivery, &wanted, &shown);
        }
        [Happened::Rejected(refused)] => {
            let children = script.content.iter().filter(|node| matches!(node, Node::Element(_))).count();
            let may = match refused.reason {
                RejectReason::NoStanza => matches!(script.top, Top::Kept(_)),
                RejectReason::ImproperIq => {
                    kind == "iq"
                        && (script.id.is_none()
                            || !matches!(type_, Some("result" | "error"))
                                && (children != 1 || !matches!(type_, Some("get" | "set"))))
                }
                _ => false,
            };
            assert!(may, "refused without a reason: {}: {shown}", refused.reason);
        }
        other => panic!("one stanza gives {other:?}: {shown}"),
    }
}

fn delivered(delivery: &Delivery, wanted: &Tree, sent: &str) {
    let document = [RECEIVING, &delivery.bytes, TRAILER].concat();
    let got = String::from_utf8_lossy(&delivery.bytes);
    let rest_of_them = roxmltree_misreads(&document);
    let parsers: [(&str, Reader); 3] =
        [("expat", expat::tree), ("rxml", Tree::by_rxml), ("roxmltree", Tree::by_roxmltree)];
    for (parser, read) in parsers {
        if parser == "roxmltree" && rest_of_them {
            continue;
        }
        match read(&document) {
            Err(why) => panic!("poison for {parser}: {why}: {got} of {sent}"),
            Ok(tree) => assert_eq!(tree, *wanted, "{parser} reads another stanza: {got} of {sent}"),
        }
    }
}
