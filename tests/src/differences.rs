//! Where our scan and other parsers differ, rule by rule. To everything else both the mutants of `scan_vs_rxml` and the
//! fuzz targets hold the scan; those are built with this file, too.

use enjamb_core::{StreamError, StreamErrorCause, XmlFault};

/// A parser that takes a whole stream as we do, but for its gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parser {
    /// The one that the core reads headers with.
    Rxml,
    /// The one that most receivers have.
    Expat,
}

/// May the scan refuse what that parser takes? These rules are stricter than XML's, or such that the parser has not.
#[must_use]
pub fn may_refuse(parser: Parser, error: &StreamError, input: &[u8]) -> bool {
    let fault = match &error.cause {
        StreamErrorCause::TextBetween | StreamErrorCause::NestedStream => return true,
        StreamErrorCause::BigStanza { limit } => return input.len() >= *limit,
        StreamErrorCause::Xml(error) => error.fault,
        _ => return false,
    };
    match fault {
        XmlFault::UnportableName
        | XmlFault::UnportableNamespace
        | XmlFault::AmbiguousAttribute
        | XmlFault::LongName { .. }
        | XmlFault::LongReference { .. }
        | XmlFault::TooDeep { .. }
        | XmlFault::ManyAttributes { .. }
        | XmlFault::ManyNamespaces { .. } => true,
        XmlFault::NotWellFormed("an end tag with too many blanks") => has_many_blanks(input),
        // rxml takes a second default namespace, and the namespace of the prefix xmlns.
        XmlFault::NotWellFormed(
            "an attribute given twice" | "the prefix xmlns or its namespace declared",
        ) => parser == Parser::Rxml,
        _ => false,
    }
}

/// More than the closing tag of a stream may hold.
fn has_many_blanks(input: &[u8]) -> bool {
    input.split(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).any(|blanks| blanks.len() > 1024)
}

/// May that parser refuse or misread what the scan takes?
#[must_use]
pub fn has_gap(parser: Parser, input: &[u8]) -> bool {
    // rxml takes references of 8 digits at most.
    let is_long_reference = |(at, two): (usize, &[u8])| {
        two == b"&#" && input[at + 2..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count() > 8
    };
    parser == Parser::Rxml && input.windows(2).enumerate().any(is_long_reference)
}

/// roxmltree refuses elements with the prefix xml, which is bound everywhere, and takes any attribute whose local part
/// is xmlns for a default namespace.
#[must_use]
pub fn roxmltree_misreads(document: &[u8]) -> bool {
    [&b"<xml:"[..], b":xmlns"].iter().any(|odd| document.windows(odd.len()).any(|here| here == *odd))
}

/// Line ends as every parser is to make them before it reads on (XML 1.0, 2.11). Those that don't get them made: rxml
/// loses or refuses a bare CR in a value, and roxmltree keeps one in front of a reference.
#[must_use]
pub fn line_ends(document: &[u8]) -> Vec<u8> {
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
