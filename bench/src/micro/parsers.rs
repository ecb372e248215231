//! Other parsers of the same bytes: they check what they check and give events, and nothing is done with those.

use std::hint::black_box;

use quick_xml::XmlVersion;
use quick_xml::events::Event as Quick;
use quick_xml::reader::NsReader;
use rxml::error::EndOrError;
use rxml::{Event, Parse, Parser};

use super::case::Case;
use crate::wire;

/// rxml reads a stream, stanza by stanza.
pub(super) fn rxml(input: Vec<u8>) -> Option<Case> {
    let mut parser = Parser::new();
    let header = wire::header("comp.example");
    read(&mut parser, header.as_bytes())?;
    Some(Case::new(input.len(), move || read(&mut parser, black_box(&input)) == Some(0)))
}

/// How many more elements were opened than closed; `None`: not well-formed.
fn read(parser: &mut Parser, mut bytes: &[u8]) -> Option<i32> {
    let mut open = 0;
    loop {
        match parser.parse(&mut bytes, false) {
            Ok(Some(event)) => match black_box(event) {
                Event::StartElement(..) => open += 1,
                Event::EndElement(_) => open -= 1,
                Event::XmlDeclaration(..) | Event::Text(..) => {}
            },
            Ok(None) | Err(EndOrError::NeedMoreData) => return Some(open),
            Err(EndOrError::Error(_)) => return None,
        }
    }
}

/// quick-xml reads a stanza by itself, with its namespaces resolved and its values unescaped.
pub(super) fn quick_xml(input: Vec<u8>) -> Case {
    Case::new(input.len(), move || quick_xml_reads(black_box(&input)).is_some())
}

fn quick_xml_reads(bytes: &[u8]) -> Option<()> {
    let mut reader = NsReader::from_str(std::str::from_utf8(bytes).ok()?);
    loop {
        let (namespace, event) = reader.read_resolved_event().ok()?;
        black_box(namespace);
        match event {
            Quick::Start(start) | Quick::Empty(start) => {
                for attribute in start.attributes() {
                    black_box(attribute.ok()?.normalized_value(XmlVersion::Explicit1_0).ok()?);
                }
            }
            Quick::Text(text) => {
                black_box(text.xml_content(XmlVersion::Explicit1_0));
            }
            Quick::Eof => return Some(()),
            _ => {}
        }
    }
}
