//! What XML says, in one form for all parsers: expanded names, attributes in order, neighbouring text in one.
//!
//! The fuzz targets are built with this file, too.

use enjamb_core::StanzaKind;
use roxmltree::{Document, Node};
use rxml::error::EndOrError;
use rxml::parser::{Options, WithOptions};
use rxml::{Parse, Parser};

/// What stands inside the root of a stream, in document order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree(pub Vec<Event>);

/// One step of a walk through a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A start tag.
    Start(Element),
    /// Character data, never two in a row and never empty.
    Text(String),
    /// An end tag.
    End,
}

/// A start tag; each name is a namespace and a local part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Its name.
    pub name: (String, String),
    /// Its attributes but the namespace declarations, sorted.
    pub attributes: Vec<((String, String), String)>,
}

/// What a parser makes of a document, or of its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// The start tag of the root, once it has come.
    pub root: Option<Element>,
    /// What stands inside the root.
    pub tree: Tree,
    /// The number of elements that are open at the end.
    pub depth: usize,
}

impl Read {
    /// What rxml makes of a document that is whole, or of its beginning.
    ///
    /// # Errors
    /// Why it refuses it.
    pub fn by_rxml(document: &[u8], is_whole: bool) -> Result<Self, String> {
        // Longer tokens than rxml's default are in order.
        let options = Options { max_token_length: document.len().max(8192), ..Options::default() };
        let mut parser = Parser::with_options(options);
        let (mut rest, mut read) = (document, Self::default());
        loop {
            match parser.parse(&mut rest, is_whole) {
                Ok(Some(rxml::Event::XmlDeclaration(..))) => {}
                Ok(Some(rxml::Event::StartElement(_, (namespace, local), attributes))) => {
                    let name = (namespace.as_str().to_owned(), local.as_str().to_owned());
                    let attributes = attributes.into_iter().map(|((namespace, local), value)| {
                        ((namespace.as_str().to_owned(), local.as_str().to_owned()), value)
                    });
                    read.start(name, attributes.collect());
                }
                Ok(Some(rxml::Event::EndElement(_))) => read.end(),
                Ok(Some(rxml::Event::Text(_, text))) => read.tree.text(&text),
                Ok(None) => return Ok(read),
                Err(EndOrError::NeedMoreData) if is_whole => return Err("it ends early".into()),
                Err(EndOrError::NeedMoreData) => return Ok(read),
                Err(EndOrError::Error(error)) => return Err(format!("{error:?}")),
            }
        }
    }

    /// A start tag came.
    pub(crate) fn start(&mut self, name: (String, String), mut attributes: Vec<((String, String), String)>) {
        if self.depth == 0 {
            attributes.sort();
            self.root = Some(Element { name, attributes });
        } else {
            self.tree.start(name, attributes);
        }
        self.depth += 1;
    }

    /// An end tag came.
    pub(crate) fn end(&mut self) {
        self.depth -= 1;
        if self.depth > 0 {
            self.tree.0.push(Event::End);
        }
    }
}

impl Element {
    /// The value of an attribute without a namespace.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let found =
            self.attributes.iter().find(|((namespace, local), _)| namespace.is_empty() && local == name);
        found.map(|(_, value)| &**value)
    }

    /// Whether this is its name.
    #[must_use]
    pub fn is(&self, namespace: &str, local: &str) -> bool {
        self.name.0 == namespace && self.name.1 == local
    }
}

impl Tree {
    pub(crate) fn start(&mut self, name: (String, String), mut attributes: Vec<((String, String), String)>) {
        attributes.sort();
        self.0.push(Event::Start(Element { name, attributes }));
    }

    pub(crate) fn text(&mut self, text: &str) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(Event::Text(before)) => before.push_str(text),
            _ => self.0.push(Event::Text(text.into())),
        }
    }

    /// What roxmltree makes of a whole document.
    ///
    /// # Errors
    /// Why it refuses it.
    pub fn by_roxmltree(document: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(document).map_err(|error| error.to_string())?;
        let document = Document::parse(text).map_err(|error| error.to_string())?;
        let mut tree = Self::default();
        tree.roxmltree_children(document.root_element());
        Ok(tree)
    }

    fn roxmltree_children(&mut self, node: Node<'_, '_>) {
        for child in node.children() {
            if child.is_element() {
                let name = |namespace: Option<&str>, local: &str| {
                    (namespace.unwrap_or_default().to_owned(), local.to_owned())
                };
                let attributes = child.attributes().map(|attribute| {
                    (name(attribute.namespace(), attribute.name()), attribute.value().to_owned())
                });
                let tag = child.tag_name();
                self.start(name(tag.namespace(), tag.name()), attributes.collect());
                self.roxmltree_children(child);
                self.0.push(Event::End);
            } else {
                self.text(child.text().unwrap_or_default());
            }
        }
    }

    /// What rxml makes of a whole document.
    ///
    /// # Errors
    /// Why it refuses it.
    pub fn by_rxml(document: &[u8]) -> Result<Self, String> {
        Ok(Read::by_rxml(document, true)?.tree)
    }

    /// The first-level elements, each with what it holds.
    #[must_use]
    pub fn elements(&self) -> Vec<Self> {
        let (mut elements, mut depth): (Vec<Self>, _) = (Vec::new(), 0);
        for event in &self.0 {
            match event {
                Event::Start(_) if depth == 0 => elements.push(Self::default()),
                Event::Text(_) if depth == 0 => continue,
                _ => {}
            }
            depth = match event {
                Event::Start(_) => depth + 1,
                Event::Text(_) => depth,
                Event::End => depth - 1,
            };
            elements.last_mut().expect("an end follows a start").0.push(event.clone());
        }
        elements
    }

    /// The value of an attribute without a namespace, of the first element.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.starts().next()?.attribute(name)
    }

    /// All start tags, in order.
    pub fn starts(&self) -> impl Iterator<Item = &Element> {
        self.0.iter().filter_map(|event| match event {
            Event::Start(element) => Some(element),
            Event::Text(_) | Event::End => None,
        })
    }

    /// The same stanza as it is to be delivered: with these addresses, at the top in the component's namespace,
    /// and with it whatever has its namespace from there.
    #[must_use]
    pub fn delivered(mut self, kind: StanzaKind, from: &str, to: &str) -> Self {
        const CONTENT: [&str; 3] = ["jabber:component:accept", "jabber:client", "jabber:server"];
        for (index, event) in self.0.iter_mut().enumerate() {
            let Event::Start(element) = event else { continue };
            if index == 0 {
                assert_eq!(element.name.1, kind.as_str());
                let address = |(namespace, local): &(String, String)| {
                    namespace.is_empty() && matches!(&**local, "from" | "to")
                };
                element.attributes.retain(|(name, _)| !address(name));
                for (name, value) in [("from", from), ("to", to)] {
                    element.attributes.push(((String::new(), name.into()), value.into()));
                }
            }
            let names = element.attributes.iter_mut().map(|(name, _)| name);
            for (namespace, _) in names.chain([&mut element.name]) {
                if CONTENT.contains(&&**namespace) {
                    *namespace = CONTENT[0].into();
                }
            }
            element.attributes.sort();
        }
        self
    }
}
