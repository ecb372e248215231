//! A stanza as data, and the many ways to spell it in XML.

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::many::Many;
use crate::tree::{Event, Tree};

pub(crate) const COMPONENT: &str = "jabber:component:accept";
const STREAMS: &str = "http://etherx.jabber.org/streams";
const XML: &str = "http://www.w3.org/XML/1998/namespace";
const NAMESPACES: [&str; 7] =
    ["urn:a", "urn:b", "urn:x", "jabber:client", COMPONENT, STREAMS, "http://example.org/?a=1&b='2'"];
const PREFIXES: [&str; 6] = ["p", "q", "x", "stream", "\u{e9}", "xmlnsx"];
const LOCALS: [&str; 8] = ["a", "b", "to", "from", "error", "message", "\u{e9}.-_9", "xmlns2"];
const CHARACTERS: &[char] = &[
    'a',
    ' ',
    '\n',
    '\t',
    '\r',
    '<',
    '>',
    '&',
    '\'',
    '"',
    ']',
    '[',
    '!',
    '-',
    '?',
    '/',
    '=',
    ':',
    ';',
    '#',
    '\u{e9}',
    '\u{85}',
    '\u{2028}',
    '\u{fffd}',
    '\u{1f600}',
    '\u{feff}',
    '\u{7f}',
];

/// Deeper is nothing: a stream has its limits, of prefixes as well.
const DEPTH: usize = 40;

/// What stands between a stanza's tags.
#[derive(Arbitrary, Debug)]
pub(crate) enum Node {
    Element(Element),
    Text(Text),
}

#[derive(Arbitrary, Debug)]
pub(crate) struct Element {
    pub(crate) prefix: Option<u8>,
    pub(crate) local: u8,
    pub(crate) default: Option<Option<u8>>,
    pub(crate) declared: Many<(u8, u8)>,
    pub(crate) attributes: Many<Attribute>,
    pub(crate) content: Many<Node>,
}

#[derive(Arbitrary, Debug)]
pub(crate) struct Attribute {
    prefix: Option<u8>,
    local: u8,
    value: Text,
}

/// Characters, most of them such that something may go wrong.
#[derive(Arbitrary, Debug)]
pub(crate) struct Text(Many<Character>);

#[derive(Debug)]
struct Character(char);

impl<'a> Arbitrary<'a> for Character {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let index = u8::arbitrary(u)?;
        Ok(Self(if index < 240 { of(CHARACTERS, index) } else { char::arbitrary(u)? }))
    }
}

impl Text {
    pub(crate) fn chars(&self) -> Vec<char> {
        let is_char = |c: &char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        self.0.iter().map(|Character(c)| *c).filter(is_char).collect()
    }
}

pub(crate) fn of<T: Copy>(table: &[T], index: u8) -> T {
    table[usize::from(index) % table.len()]
}

/// Which namespace a prefix stands for at one place.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    default: String,
    prefixes: Vec<(String, String)>,
}

impl Scope {
    /// Directly inside a stream whose header declares the prefix x.
    pub(crate) fn of_stream() -> Self {
        let declared = [("xml", XML), ("stream", STREAMS), ("x", "urn:x")];
        let prefixes = declared.map(|(prefix, uri)| (prefix.into(), uri.into())).into();
        Self { default: COMPONENT.into(), prefixes }
    }

    /// Inside a stanza that a component of ours sends: its own header's prefixes do not belong to the stanza.
    pub(crate) fn of_component() -> Self {
        Self { default: COMPONENT.into(), prefixes: vec![("xml".into(), XML.into())] }
    }

    pub(crate) fn declare(&mut self, prefix: &str, uri: &str) {
        self.prefixes.push((prefix.into(), uri.into()));
    }

    /// What a first-level element declares for the namespaces of clients and servers is the component's for its receiver.
    pub(crate) fn rescope(&mut self) {
        for (_, uri) in &mut self.prefixes {
            *uri = rescoped(uri).to_owned();
        }
    }

    fn uri(&self, prefix: &str) -> Option<&str> {
        let found = self.prefixes.iter().rev().find(|(declared, _)| declared == prefix);
        found.map(|(_, uri)| &**uri)
    }
}

/// Writes XML, and beside it what any parser must read.
pub(crate) struct Speller<'a> {
    pub(crate) out: String,
    pub(crate) tree: Tree,
    depth: usize,
    /// How to spell what comes next; once it is used up, plainly.
    choices: std::slice::Iter<'a, u8>,
}

/// An attribute to be written.
pub(crate) struct Written {
    pub(crate) name: String,
    pub(crate) value: Vec<char>,
}

impl Written {
    pub(crate) fn new(name: impl Into<String>, value: &str) -> Self {
        Self { name: name.into(), value: value.chars().collect() }
    }
}

impl<'a> Speller<'a> {
    pub(crate) fn new(choices: &'a [u8]) -> Self {
        Self { out: String::new(), tree: Tree::default(), depth: 0, choices: choices.iter() }
    }

    fn choice(&mut self, of: u8) -> u8 {
        self.choices.next().map_or(0, |choice| choice % of)
    }

    /// Writes a start tag, and its content and end tag.
    pub(crate) fn element(&mut self, name: &str, attributes: Vec<Written>, content: &[Node], scope: &Scope) {
        self.depth += 1;
        let content = if self.depth > DEPTH { &[] } else { content };
        self.out.push('<');
        self.out.push_str(name);
        for attribute in attributes {
            self.blank(true);
            self.out.push_str(&attribute.name);
            self.blank(false);
            self.out.push('=');
            self.blank(false);
            let start = self.out.len();
            self.value(&attribute.value);
            // A namespace name has 256 bytes at most, as it is written: one that would take more has no references.
            if attribute.name.starts_with("xmlns") && self.out.len() - start > 256 + 2 {
                self.out.truncate(start);
                let plain: String = attribute.value.iter().collect();
                self.out.push_str(&format!("\"{}\"", plain.replace('&', "&amp;")));
            }
        }
        self.blank(false);
        if content.is_empty() && self.choice(2) == 0 {
            self.out.push_str("/>");
        } else {
            self.out.push('>');
            for node in content {
                match node {
                    Node::Element(element) => self.child(element, scope.clone()),
                    Node::Text(text) => self.text(&text.chars()),
                }
            }
            self.out.push_str("</");
            self.out.push_str(name);
            self.blank(false);
            self.out.push('>');
        }
        self.depth -= 1;
        self.tree.0.push(Event::End);
    }

    /// An element inside a stanza: declarations and attributes that can't be are left out.
    fn child(&mut self, element: &Element, mut scope: Scope) {
        let mut written = Vec::new();
        if let Some(default) = element.default {
            let uri = default.map_or("", |index| of(&NAMESPACES, index));
            written.push(Written::new("xmlns", uri));
            scope.default = uri.into();
        }
        written.extend(declarations(&element.declared, &mut scope));
        let (attributes, expected) = named(&element.attributes, &scope);
        written.extend(attributes);
        let local = of(&LOCALS, element.local);
        let prefix = element.prefix.map(|index| of(&PREFIXES, index));
        let (name, uri) = match prefix.and_then(|prefix| Some((prefix, scope.uri(prefix)?))) {
            Some((prefix, uri)) => (format!("{prefix}:{local}"), uri.to_owned()),
            None => (local.to_owned(), scope.default.clone()),
        };
        self.tree.start((uri, local.into()), expected);
        self.element(&name, written, &element.content, &scope);
    }

    fn blank(&mut self, needed: bool) {
        let blanks = ["", " ", "\n", "\t", "\r", "\r\n", "  \t"];
        let choice = match self.choice(blanks.len() as u8 * 4) {
            choice if usize::from(choice) < blanks.len() => usize::from(choice),
            _ => 0,
        };
        self.out.push_str(if needed && choice == 0 { " " } else { blanks[choice] });
    }

    fn value(&mut self, value: &[char]) {
        let quote = if self.choice(2) == 0 { '\'' } else { '"' };
        self.out.push(quote);
        for &c in value {
            let choice = self.choice(12);
            match (c, choice) {
                // A blank may be any of these; the others are kept by a reference alone.
                // But for a line feed that would be one with a CR before it.
                (' ', 1) if !self.out.ends_with('\r') => self.out.push('\n'),
                (' ', 2) => self.out.push('\t'),
                (' ', 3) => self.out.push_str("\r\n"),
                (' ', 4) => self.out.push('\r'),
                ('\n' | '\t' | '\r' | '<' | '&', choice) => self.reference(c, choice),
                (c, choice) if c == quote => self.reference(c, choice),
                (c, 5..) if choice > 7 || c.is_ascii_punctuation() => self.reference(c, choice),
                _ => self.literal(c),
            }
        }
        self.out.push(quote);
    }

    /// A character as itself; a line feed that would be one with a CR before it, as a reference.
    fn literal(&mut self, c: char) {
        if c == '\n' && self.out.ends_with('\r') { self.out.push_str("&#10;") } else { self.out.push(c) }
    }

    fn reference(&mut self, c: char, choice: u8) {
        let code = u32::from(c);
        let entity = match c {
            '<' => Some("&lt;"),
            '>' => Some("&gt;"),
            '&' => Some("&amp;"),
            '\'' => Some("&apos;"),
            '"' => Some("&quot;"),
            _ => None,
        };
        match (choice % 5, entity) {
            (0 | 1, Some(entity)) => self.out.push_str(entity),
            (0 | 2, _) => self.out.push_str(&format!("&#{code};")),
            (1, _) => self.out.push_str(&format!("&#x{code:x};")),
            (3, _) => self.out.push_str(&format!("&#x{code:X};")),
            _ => self.out.push_str(&format!("&#{code:012};")),
        }
    }

    fn text(&mut self, text: &[char]) {
        self.tree.text(&text.iter().collect::<String>());
        let mut in_cdata = false;
        for &c in text {
            let choice = self.choice(24);
            let ends_section = c == '>' && self.out.ends_with("]]");
            if in_cdata
                && (choice == 1 || c == '\r' || ends_section || (c == '\n' && self.out.ends_with('\r')))
            {
                self.out.push_str("]]>");
                in_cdata = false;
            } else if !in_cdata && choice == 1 && c != '\r' && !ends_section {
                self.out.push_str("<![CDATA[");
                in_cdata = true;
            }
            match (c, choice) {
                ('\n', 2) => self.out.push_str("\r\n"),
                ('\n', 3) => self.out.push('\r'),
                (c, _) if in_cdata => self.out.push(c),
                ('\r' | '<' | '&', choice) => self.reference(c, choice),
                ('>', choice) if ends_section || choice % 2 == 0 => self.reference('>', choice),
                (c, 4..12) if choice > 8 || c.is_ascii_punctuation() => self.reference(c, choice),
                (c, 12) => {
                    self.out.push_str("<![CDATA[]]>");
                    self.literal(c);
                }
                (c, _) => self.literal(c),
            }
        }
        if in_cdata {
            self.out.push_str("]]>");
        }
    }
}

/// Declarations of prefixes, each once, none of those that may not be.
pub(crate) fn declarations(declared: &[(u8, u8)], scope: &mut Scope) -> Vec<Written> {
    let mut written: Vec<Written> = Vec::new();
    for &(prefix, uri) in declared.iter().take(4) {
        let (prefix, uri) = (of(&PREFIXES, prefix), of(&NAMESPACES, uri));
        let name = format!("xmlns:{prefix}");
        if written.iter().all(|other| other.name != name) {
            scope.declare(prefix, uri);
            written.push(Written::new(name, uri));
        }
    }
    written
}

fn rescoped(uri: &str) -> &str {
    if matches!(uri, "jabber:client" | "jabber:server") { COMPONENT } else { uri }
}

type Expected = Vec<((String, String), String)>;

/// Attributes with a prefix that is declared or none, no name twice: as they are written, and as they are read.
pub(crate) fn named(attributes: &[Attribute], scope: &Scope) -> (Vec<Written>, Expected) {
    let (mut written, mut expected) = (Vec::new(), Expected::new());
    for attribute in attributes.iter().take(8) {
        let local = of(&LOCALS, attribute.local);
        let prefix = match attribute.prefix {
            Some(255) => Some("xml"),
            Some(index) => Some(of(&PREFIXES, index)),
            None => None,
        };
        let (name, uri) = match prefix {
            None => (local.to_owned(), String::new()),
            Some(prefix) => match scope.uri(prefix) {
                Some(uri) => (format!("{prefix}:{local}"), uri.to_owned()),
                None => continue,
            },
        };
        let expanded = (uri, local.to_owned());
        // Two of the stream's own namespaces are one here.
        let is_same =
            |(uri, local): &(String, String)| (rescoped(uri), local) == (rescoped(&expanded.0), &expanded.1);
        if !expected.iter().any(|(other, _)| is_same(other)) {
            let value = attribute.value.chars();
            expected.push((expanded, value.iter().collect()));
            written.push(Written { name, value });
        }
    }
    (written, expected)
}
