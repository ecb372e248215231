//! What comes before the first stanza: the XML declaration, `<stream:stream>` and the handshake, through rxml.
//!
//! rxml reads characters, entities and tags strictly; what its raw parser leaves out (attributes given twice,
//! namespaces) is checked here, with the rules of the scan.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use rxml::error::EndOrError;
use rxml::{Parse, RawEvent, RawParser};

use crate::error::{StreamError, StreamErrorCause};
use crate::limits::{Limits, MOST_PREFIXES};
use crate::namespaces as ns;
use crate::xml::XmlFault;
use crate::xml::names::{self, check_portable_name};
use crate::xml::scope::{HeaderPrefixes, Prefix, check_namespace, header_uri};

/// `<stream:stream>` as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamHeader {
    /// The root's name as written: the closing tag's, too.
    pub(crate) name: Cow<'static, str>,
    pub(crate) prefixes: HeaderPrefixes,
    pub(crate) to: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) is_subdomain: bool,
}

/// What was found behind the header.
#[derive(Debug)]
pub(crate) enum Early {
    /// A whole handshake, with its text.
    Handshake(String),
    /// The closing tag, or an error of the peer's.
    Closed,
}

/// The bytes taken and, right at their end, what was found.
pub(crate) type Read<T> = Result<(usize, Option<T>), StreamError>;

/// Reads up to the end of the handshake.
pub(crate) struct Prologue {
    parser: RawParser,
    /// Bytes taken so far.
    taken: usize,
    /// White space came before anything else, so that no XML declaration may follow.
    blank_first: bool,
    /// Something else than white space has come.
    begun: bool,
    /// A byte has come that no XML declaration holds, whatever rxml takes there: references, and `YES` for `yes`.
    no_declaration: bool,
    /// How much of `<![` has just come.
    cdata: usize,
    depth: usize,
    tag: RawTag,
    header: Option<HeaderPrefixes>,
    /// Text of the handshake that is open.
    handshake: Option<String>,
}

/// A start tag while its attributes come in.
#[derive(Default)]
struct RawTag {
    name: RawName,
    attributes: Vec<(RawName, String)>,
}

#[derive(Clone, Default, PartialEq, Eq)]
struct RawName {
    prefix: String,
    local: String,
}

impl RawName {
    fn new((prefix, local): rxml::parser::RawQName, limits: &Limits) -> Result<Self, StreamError> {
        let before = prefix.as_ref().map_or(0, |prefix| prefix.as_str().len() + 1);
        // Longer, it would be refused in a stanza, where a prefix of the header is declared again for its receiver.
        if before + local.as_str().len() > limits.name {
            return Err(early(XmlFault::LongName { limit: limits.name }));
        }
        let prefix = prefix.map(|prefix| prefix.as_str().into()).unwrap_or_default();
        Ok(Self { prefix, local: local.as_str().into() })
    }
}

impl Prologue {
    pub(crate) fn new() -> Self {
        let mut parser = RawParser::new();
        // Else blanks between elements would wait inside the parser for the next element.
        parser.set_text_buffering(false);
        Self {
            parser,
            taken: 0,
            blank_first: false,
            begun: false,
            no_declaration: false,
            cdata: 0,
            depth: 0,
            tag: RawTag::default(),
            header: None,
            handshake: None,
        }
    }

    /// Gives back what the parser keeps between two reads.
    pub(crate) fn release(&mut self) {
        self.parser.release_temporaries();
    }

    /// Reads on, up to the header.
    pub(crate) fn read_header(&mut self, input: &[u8], limits: &Limits) -> Read<Box<StreamHeader>> {
        self.read(input, limits, Self::header_event)
    }

    /// Reads on behind the header.
    pub(crate) fn read_handshake(&mut self, input: &[u8], limits: &Limits) -> Read<Early> {
        self.read(input, limits, Self::handshake_event)
    }

    fn read<T>(
        &mut self,
        input: &[u8],
        limits: &Limits,
        take: impl Fn(&mut Self, RawEvent, &Limits) -> Result<Option<T>, StreamError>,
    ) -> Read<T> {
        let input = with_line_ends(&input[..input.len().min(self.room(limits))]);
        let mut taken = self.skip_blanks(&input);
        loop {
            // One byte at a time: of several faults, which one rxml names depends on how much it sees at once.
            let window = &input[taken..input.len().min(taken + 1)];
            let mut rest = window;
            let result = self.parser.parse(&mut rest, false);
            let read = window.len() - rest.len();
            window[..read].iter().try_for_each(|&byte| self.look_at(byte))?;
            taken += read;
            self.taken += read;
            match result {
                Ok(Some(event)) => {
                    if let Some(found) = take(self, event, limits)? {
                        return Ok((taken, Some(found)));
                    }
                }
                Err(EndOrError::NeedMoreData) if taken < input.len() => {}
                Err(EndOrError::NeedMoreData) if self.room(limits) == 0 => {
                    return Err(self.over_limit(limits));
                }
                // It never says that the document has ended: that is for its reader to say.
                Ok(None) | Err(EndOrError::NeedMoreData) => return Ok((taken, None)),
                Err(EndOrError::Error(error)) => {
                    return Err(StreamErrorCause::EarlyXml(fault_of(error)).into());
                }
            }
        }
    }

    /// What rxml does not tell: how the declaration is spelled, and a CDATA section without text before the root element.
    fn look_at(&mut self, byte: u8) -> Result<(), StreamError> {
        if self.header.is_some() {
            return Ok(());
        }
        self.no_declaration |= matches!(byte, b'&' | b'Y' | b'E' | b'S');
        self.cdata = match (self.cdata, byte) {
            (_, b'<') => 1,
            (1, b'!') => 2,
            (2, b'[') => {
                return Err(early(XmlFault::NotWellFormed("a CDATA section before the root element")));
            }
            _ => 0,
        };
        Ok(())
    }

    /// XML allows blanks before the root element where no declaration comes; rxml does not.
    fn skip_blanks(&mut self, window: &[u8]) -> usize {
        if self.begun {
            return 0;
        }
        let blanks = window.iter().take_while(|&&byte| names::is_space(byte)).count();
        self.begun = blanks < window.len();
        self.blank_first |= blanks > 0;
        self.taken += blanks;
        blanks
    }

    fn room(&self, limits: &Limits) -> usize {
        let limit = if self.header.is_none() { limits.header } else { limits.negotiation };
        limit.saturating_sub(self.taken)
    }

    fn over_limit(&self, limits: &Limits) -> StreamError {
        if self.header.is_none() {
            StreamErrorCause::LongHeader { limit: limits.header }.into()
        } else {
            StreamErrorCause::LongNegotiation { limit: limits.negotiation }.into()
        }
    }

    fn header_event(
        &mut self,
        event: RawEvent,
        limits: &Limits,
    ) -> Result<Option<Box<StreamHeader>>, StreamError> {
        match event {
            RawEvent::XmlDeclaration(..) if self.blank_first => {
                Err(early(XmlFault::NotWellFormed("white space before the XML declaration")))
            }
            RawEvent::XmlDeclaration(..) if self.no_declaration => {
                Err(early(XmlFault::NotWellFormed("a character that the XML declaration may not hold")))
            }
            RawEvent::ElementHeadClose(_) => {
                self.depth += 1;
                let tag = core::mem::take(&mut self.tag);
                self.open_stream(&tag).map(Some)
            }
            event => self.tag_event(event, limits).map(|()| None),
        }
    }

    fn handshake_event(&mut self, event: RawEvent, limits: &Limits) -> Result<Option<Early>, StreamError> {
        match event {
            RawEvent::ElementHeadClose(_) => {
                self.depth += 1;
                let tag = core::mem::take(&mut self.tag);
                return self.open_element(&tag);
            }
            RawEvent::ElementFoot(_) => {
                self.depth -= 1;
                return Ok(match self.depth {
                    0 => Some(Early::Closed),
                    // Nothing stands inside a handshake.
                    _ => self.handshake.take().map(Early::Handshake),
                });
            }
            RawEvent::Text(_, text) => match &mut self.handshake {
                Some(handshake) => handshake.push_str(&text),
                None if text.bytes().all(names::is_space) => {}
                None => return Err(StreamErrorCause::TextBetween.into()),
            },
            event => self.tag_event(event, limits)?,
        }
        Ok(None)
    }

    /// Notes a start tag's name and attributes, up to its end.
    fn tag_event(&mut self, event: RawEvent, limits: &Limits) -> Result<(), StreamError> {
        match event {
            RawEvent::ElementHeadOpen(_, name) => {
                self.tag = RawTag { name: RawName::new(name, limits)?, attributes: Vec::new() };
            }
            RawEvent::Attribute(_, name, value) => {
                if self.tag.attributes.len() == limits.attributes {
                    return Err(early(XmlFault::ManyAttributes { limit: limits.attributes }));
                }
                self.tag.attributes.push((RawName::new(name, limits)?, value));
            }
            _ => {}
        }
        Ok(())
    }

    fn open_stream(&mut self, tag: &RawTag) -> Result<Box<StreamHeader>, StreamError> {
        let prefixes = tag.declared()?;
        tag.check_prefixes(&prefixes)?;
        let stream = StreamHeader {
            name: tag.name.written(),
            to: tag.attribute("to"),
            from: tag.attribute("from"),
            id: tag.attribute("id"),
            is_subdomain: tag.attribute("is_subdomain").is_some_and(|value| value == "true" || value == "1"),
            prefixes: prefixes.into(),
        };
        if tag.namespace(stream.prefixes.as_slice(), "") != ns::STREAMS || tag.name.local != "stream" {
            return Err(StreamErrorCause::NoStream.into());
        }
        if tag.attribute("xmlns").as_deref() != Some(ns::COMPONENT) {
            return Err(StreamErrorCause::WrongNamespace.into());
        }
        if stream.prefixes.as_slice().len() > MOST_PREFIXES {
            return Err(StreamErrorCause::ManyPrefixes { limit: MOST_PREFIXES }.into());
        }
        self.header = Some(stream.prefixes.clone());
        Ok(Box::new(stream))
    }

    fn open_element(&mut self, tag: &RawTag) -> Result<Option<Early>, StreamError> {
        let mut prefixes = tag.declared()?;
        prefixes.extend_from_slice(self.header.as_ref().map_or(&[], HeaderPrefixes::as_slice));
        tag.check_prefixes(&prefixes)?;
        let namespace = tag.namespace(&prefixes, ns::COMPONENT);
        if namespace == ns::STREAMS && tag.name.local == "error" && self.depth == 2 {
            return Ok(Some(Early::Closed));
        }
        if namespace == ns::COMPONENT && tag.name.local == "handshake" && self.depth == 2 {
            self.handshake = Some(String::new());
            return Ok(None);
        }
        Err(StreamErrorCause::NoHandshake.into())
    }
}

impl RawTag {
    /// The prefixes that the tag declares, checked.
    fn declared(&self) -> Result<Vec<Prefix>, StreamError> {
        let mut prefixes = Vec::new();
        for (index, (name, value)) in self.attributes.iter().enumerate() {
            if self.attributes[..index].iter().any(|(other, _)| other == name) {
                return Err(early(XmlFault::NotWellFormed("an attribute given twice")));
            }
            // As in stanzas: a prefix is handed on with what uses it, and of any name expat would not read on.
            check_portable_name(&name.local).map_err(early)?;
            let is_default = name.prefix.is_empty() && name.local == "xmlns";
            if is_default {
                match check_namespace(b"", value.as_bytes()) {
                    // Nothing is handed on of it, and it is compared with the one that it must be.
                    Ok(()) | Err(XmlFault::UnportableNamespace) => {}
                    Err(fault) => return Err(early(fault)),
                }
            } else if name.prefix == "xmlns" {
                check_namespace(name.local.as_bytes(), value.as_bytes()).map_err(early)?;
                prefixes.push((name.local.clone().into(), value.clone().into()));
            }
        }
        Ok(prefixes)
    }

    fn check_prefixes(&self, prefixes: &[Prefix]) -> Result<(), StreamError> {
        let resolve = |prefix: &str| match prefix {
            "xml" => Ok(ns::XML),
            _ => header_uri(prefixes, prefix)
                .ok_or_else(|| early(XmlFault::NotWellFormed("a namespace prefix that is not declared"))),
        };
        if !self.name.prefix.is_empty() {
            resolve(&self.name.prefix)?;
        }
        let prefixed = || {
            self.attributes.iter().map(|(name, _)| name).filter(|name| !matches!(&*name.prefix, "" | "xmlns"))
        };
        for (index, name) in prefixed().enumerate() {
            let uri = resolve(&name.prefix)?;
            for other in prefixed().take(index) {
                if other.local == name.local && resolve(&other.prefix)? == uri {
                    return Err(early(XmlFault::NotWellFormed(
                        "an attribute given twice under two prefixes",
                    )));
                }
            }
        }
        Ok(())
    }

    /// The element's namespace; `inherited` is the default one outside.
    fn namespace<'a>(&'a self, prefixes: &'a [Prefix], inherited: &'a str) -> &'a str {
        if !self.name.prefix.is_empty() {
            return header_uri(prefixes, &self.name.prefix).unwrap_or_default();
        }
        let own = self.attributes.iter().find(|(name, _)| name.prefix.is_empty() && name.local == "xmlns");
        own.map_or(inherited, |(_, value)| value)
    }

    fn attribute(&self, local: &str) -> Option<String> {
        let found = self.attributes.iter().find(|(name, _)| name.prefix.is_empty() && name.local == local);
        found.map(|(_, value)| value.clone())
    }
}

impl RawName {
    fn written(&self) -> Cow<'static, str> {
        match (&*self.prefix, &*self.local) {
            // As nearly every root is named: it costs a connection no memory.
            ("stream", "stream") => "stream:stream".into(),
            ("", local) => String::from(local).into(),
            (prefix, local) => [prefix, ":", local].concat().into(),
        }
    }
}

/// Line ends as XML 1.0 section 2.11 makes them, but for CR LF, of which both stay, to keep the length: rxml
/// loses a CR at the end of an attribute value, and `to` would be read as another domain.
fn with_line_ends(input: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\r', input).is_none() {
        return Cow::Borrowed(input);
    }
    input.iter().map(|&byte| if byte == b'\r' { b'\n' } else { byte }).collect()
}

fn early(fault: XmlFault) -> StreamError {
    StreamErrorCause::EarlyXml(fault).into()
}

/// What an error of rxml means to the peer. Its strings are no stable interface: the version is pinned to
/// 0.14 by the manifest, and a test holds each row.
fn fault_of(error: rxml::Error) -> XmlFault {
    use rxml::Error;
    match error {
        Error::InvalidUtf8Byte(_) | Error::RestrictedXml("only utf-8 encoding is allowed") => {
            XmlFault::NotUtf8
        }
        Error::RestrictedXml("long name or reference" | "event too long") => {
            XmlFault::LongName { limit: rxml::Options::default().max_token_length }
        }
        Error::RestrictedXml(what) => XmlFault::Restricted(what),
        // It says the same of references of more than 8 digits.
        Error::UndeclaredEntity => {
            XmlFault::Restricted("an entity other than amp, lt, gt, quot and apos, or a reference of more than 8 digits,")
        }
        Error::InvalidSyntax("malformed cdata or comment section start") => {
            XmlFault::Restricted("a document type declaration")
        }
        Error::InvalidSyntax(what) => XmlFault::NotWellFormed(what),
        Error::InvalidChar(..) => XmlFault::NotWellFormed("a character that XML does not allow"),
        Error::UnexpectedChar(..)
        | Error::UnexpectedByte(..)
        | Error::UnexpectedToken(..)
        // What only its other parsers say, or a parser that was told of the end.
        | Error::DuplicateAttribute
        | Error::UndeclaredNamespacePrefix(_)
        | Error::InvalidEof(_) => {
            XmlFault::NotWellFormed("something else than what XML's grammar wants here")
        }
        Error::ElementMismatch => XmlFault::NotWellFormed("an end tag that does not match its start tag"),
        Error::MultiColonName(_) | Error::EmptyNamePart(_) | Error::InvalidLocalName(_) => {
            XmlFault::NotWellFormed("a name that is none")
        }
        Error::ReservedNamespacePrefix | Error::ReservedNamespaceName => {
            XmlFault::NotWellFormed("a reserved namespace prefix or name declared")
        }
        Error::EmptyNamespaceUri => XmlFault::NotWellFormed("a prefix bound to no namespace"),
    }
}
