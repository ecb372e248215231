//! What a peer got, read by a strict parser that has nothing in common with the server's.

use roxmltree::{Document, Node};

use crate::judge;

const STREAMS: &str = "http://etherx.jabber.org/streams";
const COMPONENT: &str = "jabber:component:accept";

/// A first-level element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Its local name.
    pub name: String,
    /// Its addresses, id and type; empty if absent.
    pub to: String,
    /// See `to`.
    pub from: String,
    /// See `to`.
    pub id: String,
    /// See `to`.
    pub type_: String,
    /// The condition of its error, or of the stream error that it is; empty for none.
    pub condition: String,
    /// The type of its error.
    pub error_type: String,
    /// The text in it and below it.
    pub text: String,
}

/// A stream that the server sent, as far as it came.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// The id in its header.
    pub id: String,
    /// All of the first level, the handshake's answer and a stream error included.
    pub elements: Vec<Element>,
    /// It ends with its closing tag.
    pub is_whole: bool,
}

impl Stream {
    /// Parses it. Where it has no closing tag, what is there has to end with a whole element.
    ///
    /// # Panics
    /// It is not well-formed, or no stream; the message shows its end.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if text.is_empty() {
            return Self::default();
        }
        let is_whole = text.ends_with("</stream:stream>");
        let whole = if is_whole { text.into() } else { format!("{text}</stream:stream>") };
        let tail: String = text.chars().rev().take(400).collect::<Vec<_>>().into_iter().rev().collect();
        let document = match Document::parse(&whole) {
            Ok(document) => document,
            Err(error) => panic!("not well-formed: {error}: ...{tail}"),
        };
        if let Err(error) = judge::check(whole.as_bytes()) {
            panic!("{error}: ...{tail}");
        }
        let root = document.root_element();
        assert!(root.has_tag_name((STREAMS, "stream")), "no stream: {text}");
        for node in root.children().filter(Node::is_text) {
            let blank = node.text().unwrap_or_default().trim().is_empty();
            assert!(blank, "text between stanzas: ...{tail}");
        }
        let elements = root.children().filter(Node::is_element).map(element).collect();
        Self { id: root.attribute("id").unwrap_or_default().into(), elements, is_whole }
    }

    /// The stanzas.
    pub fn stanzas(&self) -> impl Iterator<Item = &Element> {
        self.elements.iter().filter(|element| !matches!(&*element.name, "handshake" | "stream-error"))
    }

    /// The condition of the stream error that ends it; empty for none.
    #[must_use]
    pub fn error(&self) -> &str {
        let last = self.elements.last().filter(|last| last.name == "stream-error");
        last.map_or("", |last| &last.condition)
    }

    /// The handshake was accepted.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.elements.first().is_some_and(|first| first.name == "handshake")
    }
}

fn element(node: Node<'_, '_>) -> Element {
    let attribute = |name| node.attribute(name).unwrap_or_default().to_owned();
    let is_stream_error = node.has_tag_name((STREAMS, "error"));
    if !is_stream_error {
        let namespace = node.tag_name().namespace();
        let is_known = matches!(node.tag_name().name(), "message" | "presence" | "iq" | "handshake");
        assert!(!is_known || namespace == Some(COMPONENT), "{node:?} is in {namespace:?}");
    }
    let error = match is_stream_error {
        true => Some(node),
        false => node.children().find(|child| child.has_tag_name((COMPONENT, "error"))),
    };
    let condition = error.and_then(|error| error.children().find(Node::is_element));
    Element {
        name: if is_stream_error { "stream-error".into() } else { node.tag_name().name().into() },
        to: attribute("to"),
        from: attribute("from"),
        id: attribute("id"),
        type_: attribute("type"),
        condition: condition.map(|condition| condition.tag_name().name().into()).unwrap_or_default(),
        error_type: error.and_then(|error| error.attribute("type")).unwrap_or_default().into(),
        text: node.descendants().filter(Node::is_text).filter_map(|text| text.text()).collect(),
    }
}
