//! The stream header, of either side: an XML declaration, if any, and the start tag `<stream:stream ...>`.
//!
//! The scan finds the tag's end and checks it as it checks a stanza's. Then rxml reads it, whole and once.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use rxml::error::EndOrError;
use rxml::{Parse, RawEvent, RawParser};

use crate::error::{StreamError, StreamErrorCause};
use crate::limits::{LONGEST_ADDITION, Limits, MOST_PREFIXES};
use crate::namespaces as ns;
use crate::xml::XmlFault;
use crate::xml::escape::push_attribute;
use crate::xml::names::{decode, is_space, leading_blanks};
use crate::xml::rewrite::same_value;
use crate::xml::scan::{Progress, Scan, StreamElement};
use crate::xml::scope::HeaderPrefixes;
use crate::xml::tag::checked_start_tag;

/// What a peer's stream header says.
#[derive(Debug, Default)]
pub(super) struct StreamHeader {
    /// The root's name as written: the closing tag's, too.
    pub(super) name: Cow<'static, str>,
    pub(super) prefixes: HeaderPrefixes,
    pub(super) to: Option<String>,
    pub(super) id: Option<String>,
    pub(super) is_subdomain: bool,
    /// It ends with `/>`: the stream is closed with it.
    pub(super) is_empty: bool,
}

/// Reads the header that begins at `input[0]`, and gives its length with it; `None` until it is whole. What was looked
/// at is noted in `at` and `scan`, so that one in one-byte reads costs what a whole one does.
pub(super) fn read(
    input: &[u8],
    at: &mut usize,
    scan: &mut Scan,
    limits: &Limits,
) -> Result<Option<(usize, StreamHeader)>, StreamError> {
    let window = &input[..input.len().min(limits.header)];
    match find_end(window, at, scan, limits)? {
        Some(end) => Ok(Some((end, read_tag(&window[*at..end])?))),
        None if window.len() == limits.header => {
            Err(StreamErrorCause::LongHeader { limit: limits.header }.into())
        }
        None => Ok(None),
    }
}

/// Finds the end of the header, with `at` at its start tag.
fn find_end(
    window: &[u8],
    at: &mut usize,
    scan: &mut Scan,
    limits: &Limits,
) -> Result<Option<usize>, StreamError> {
    if *at == 0 && window.starts_with(b"<?xml") && window.get(5).is_some_and(|&byte| is_space(byte)) {
        let Some(last) = memchr::memchr2(b'<', b'>', &window[1..]) else { return Ok(None) };
        let declaration = &window[..last + 2];
        check_declaration(declaration)?;
        *at = declaration.len();
    }
    *at += leading_blanks(&window[*at..]);
    let tag = &window[*at..];
    match tag {
        [] => return Ok(None),
        [b'<', b'!', b'[', ..] => return Err(not_well_formed("a CDATA section before the root element")),
        [b'<', ..] => {}
        [byte, ..] if !byte.is_ascii() && decode(tag).map_err(early)?.is_none() => return Ok(None),
        _ => return Err(not_well_formed("text before the root element")),
    }
    let progress = scan.advance(tag, limits, &[]);
    match (scan.head().end, progress) {
        // Behind its start tag nothing of another root counts, so that the cut does not.
        (1.., Ok(Progress::StreamElement(StreamElement::Stream))) => Ok(Some(*at + scan.head().end as usize)),
        (1.., _) => Err(StreamErrorCause::NoStream.into()),
        (0, Err(error)) if error.fault == XmlFault::UnportableNamespace && !is_component(tag) => {
            Err(StreamErrorCause::WrongNamespace.into())
        }
        (0, Err(error)) => Err(early(error.fault)),
        (0, Ok(_)) => Ok(None),
    }
}

/// Is the tag's default namespace, if it declares one, ours?
fn is_component(tag: &[u8]) -> bool {
    checked_start_tag(tag, 0).is_none_or(|(_, mut attributes)| {
        attributes.all(|attribute| {
            attribute.name.whole(tag) != b"xmlns"
                || same_value(attribute.value.of(tag), ns::COMPONENT.as_bytes())
        })
    })
}

fn check_declaration(declaration: &[u8]) -> Result<(), StreamError> {
    let mut is_whole = false;
    parse(declaration, |event| is_whole |= matches!(event, RawEvent::XmlDeclaration(..)))?;
    if !is_whole {
        return Err(not_well_formed("an XML declaration that does not end"));
    }
    // rxml takes references in it, and `YES` for `yes`.
    if declaration.iter().any(|byte| matches!(byte, b'&' | b'Y' | b'E' | b'S')) {
        return Err(not_well_formed("a character that the XML declaration may not hold"));
    }
    Ok(())
}

/// Reads a start tag that the scan has found to be `stream` in its namespace.
fn read_tag(tag: &[u8]) -> Result<StreamHeader, StreamError> {
    let (mut header, mut default) = (StreamHeader::default(), None);
    let mut prefixes = Vec::<(Cow<'static, str>, Cow<'static, str>)>::new();
    parse(tag, |event| match event {
        RawEvent::ElementHeadOpen(_, (prefix, local)) => {
            header.name = match prefix {
                // As nearly every root is named: it costs a connection no memory.
                Some(prefix) if prefix == "stream" => "stream:stream".into(),
                Some(prefix) => [prefix.as_str(), ":", local.as_str()].concat().into(),
                None => String::from(local.as_str()).into(),
            }
        }
        RawEvent::Attribute(_, (prefix, local), value) => {
            match (prefix.as_ref().map(|prefix| prefix.as_str()), local.as_str()) {
                (None, "xmlns") => default = Some(value),
                (None, "to") => header.to = Some(value),
                (None, "id") => header.id = Some(value),
                (None, "is_subdomain") => header.is_subdomain = matches!(&*value, "true" | "1"),
                (Some("xmlns"), prefix) => prefixes.push((String::from(prefix).into(), value.into())),
                _ => {}
            }
        }
        RawEvent::ElementFoot(_) => header.is_empty = true,
        _ => {}
    })?;
    if default.as_deref() != Some(ns::COMPONENT) {
        return Err(StreamErrorCause::WrongNamespace.into());
    }
    if prefixes.len() > MOST_PREFIXES {
        return Err(StreamErrorCause::ManyPrefixes { limit: MOST_PREFIXES }.into());
    }
    header.prefixes = prefixes.into();
    if header.prefixes.longest_addition() > LONGEST_ADDITION {
        return Err(StreamErrorCause::LongPrefixes { limit: LONGEST_ADDITION }.into());
    }
    Ok(header)
}

/// Lets rxml read `whole`, which the scan has checked or found the end of.
pub(super) fn parse(whole: &[u8], mut take: impl FnMut(RawEvent)) -> Result<(), StreamError> {
    let whole = with_line_ends(whole);
    let (mut parser, mut rest) = (RawParser::new(), &*whole);
    loop {
        match parser.parse(&mut rest, false) {
            Ok(Some(event)) => take(event),
            Ok(None) | Err(EndOrError::NeedMoreData) => return Ok(()),
            Err(EndOrError::Error(error)) => return Err(early(fault_of(error))),
        }
    }
}

/// The text of an element.
pub(super) fn text_of(element: &[u8]) -> Result<String, StreamError> {
    let mut text = String::new();
    parse(element, |event| {
        if let RawEvent::Text(_, piece) = event {
            text.push_str(&piece);
        }
    })?;
    Ok(text)
}

/// Line ends as XML 1.0 section 2.11 makes them, but for CR LF, of which both stay, to keep the length: rxml
/// loses a CR at the end of an attribute value, and `to` would be read as another domain.
fn with_line_ends(input: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\r', input).is_none() {
        return Cow::Borrowed(input);
    }
    input.iter().map(|&byte| if byte == b'\r' { b'\n' } else { byte }).collect()
}

/// What an error of rxml means to the peer: of an XML declaration, or of a reference that only the scan takes. Its strings
/// are no stable interface: the version is pinned to 0.14 by the manifest.
fn fault_of(error: rxml::Error) -> XmlFault {
    use rxml::Error;
    match error {
        Error::InvalidUtf8Byte(_) | Error::RestrictedXml("only utf-8 encoding is allowed") => {
            XmlFault::NotUtf8
        }
        Error::RestrictedXml(what) => XmlFault::Restricted(what),
        Error::UndeclaredEntity => XmlFault::Restricted("a reference of more than 8 digits"),
        Error::InvalidSyntax(what) => XmlFault::NotWellFormed(what),
        _ => XmlFault::NotWellFormed("something else than what XML's grammar wants here"),
    }
}

fn early(fault: XmlFault) -> StreamError {
    StreamErrorCause::EarlyXml(fault).into()
}

fn not_well_formed(what: &'static str) -> StreamError {
    early(XmlFault::NotWellFormed(what))
}

/// Appends a header of ours: the two namespaces, these attributes, and nothing else. A `version` would make old
/// clients wait for features; an attribute that is not in XEP-0114 makes strict ones give up.
pub(super) fn push(out: &mut Vec<u8>, attributes: &[(&str, &str)]) {
    out.extend_from_slice(b"<?xml version='1.0'?><stream:stream");
    push_attribute(out, "xmlns", ns::COMPONENT);
    push_attribute(out, "xmlns:stream", ns::STREAMS);
    for (name, value) in attributes {
        push_attribute(out, name, value);
    }
    out.push(b'>');
}
