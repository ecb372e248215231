//! Who says whether what a server wrote is well-formed.

use std::fmt;

use roxmltree::{Document, Node, ParsingOptions};

/// The header of a component's stream: what delivered stanzas inherit their namespaces from.
pub const STREAM: &str =
    "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>";

/// A parser that is asked about the stanzas a server delivered, as they stand in the receiver's stream.
pub struct Judge(Box<Check>);

type Check = dyn Fn(&[u8]) -> Result<(), String> + Send;

impl Judge {
    /// Asks another parser: it gets [`STREAM`] and what was delivered behind it, without a closing tag.
    #[must_use]
    pub fn new(check: impl Fn(&[u8]) -> Result<(), String> + Send + 'static) -> Self {
        Self(Box::new(check))
    }

    /// What is wrong with these deliveries.
    pub(crate) fn check(&self, delivered: &[u8]) -> Result<(), String> {
        (self.0)(&[STREAM.as_bytes(), delivered].concat())
    }
}

impl Default for Judge {
    /// roxmltree, a strict one.
    fn default() -> Self {
        Self::new(well_formed)
    }
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Judge")
    }
}

/// What is wrong with this stream, which may lack its closing tag.
pub(crate) fn well_formed(stream: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(stream).map_err(|error| error.to_string())?;
    let ended = text.trim_ascii_end().ends_with("</stream:stream>");
    let whole = if ended { text.to_owned() } else { format!("{text}</stream:stream>") };
    let options = ParsingOptions { allow_dtd: false, ..ParsingOptions::default() };
    let document = Document::parse_with_options(&whole, options).map_err(|error| error.to_string())?;
    // roxmltree takes a namespace that is declared twice in a tag; others refuse it as a repeated attribute.
    let tags = document.descendants().filter(Node::is_element);
    match tags.filter_map(|tag| repeated(&whole[tag.range().start..])).next() {
        Some(name) => Err(format!("attribute '{name}' is repeated")),
        None => Ok(()),
    }
}

/// The attribute that is given twice in the well-formed start tag with which this text begins.
fn repeated(text: &str) -> Option<&str> {
    let mut names = Vec::new();
    let mut rest = text;
    loop {
        let quote = rest.find(['\'', '"', '>'])?;
        if rest[quote..].starts_with('>') {
            break;
        }
        let name = rest[..quote].trim_end().trim_end_matches('=').trim_end();
        names.push(&name[name.rfind(char::is_whitespace).map_or(0, |at| at + 1)..]);
        let value = &rest[quote + 1..];
        rest = &value[value.find(&rest[quote..=quote])? + 1..];
    }
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_strict_receiver_refuses_is_refused() {
        let judge = Judge::default();
        assert_eq!(judge.check(b"<message><body/></message>"), Ok(()));
        assert_eq!(judge.check(b"<message/></stream:stream>"), Ok(()));
        for poison in [
            "<message><x:y/></message>",
            "<message xmlns='a' xmlns='a'/>",
            "<message a='>' xmlns:p=\"a\"\nxmlns:p='a'/>",
            "<message a='1' a='1'/>",
            "<message xmlns:x='http://www.w3.org/2000/xmlns/'/>",
            "<message><body></message>",
            "<message>]]></message>",
            "<message>",
        ] {
            assert!(judge.check(poison.as_bytes()).is_err(), "{poison}");
        }
    }

    #[test]
    fn depth_is_no_fault_and_no_danger() {
        let deep = ["<message>", &"<a>".repeat(50_000), &"</a>".repeat(50_000), "</message>"].concat();
        assert_eq!(Judge::default().check(deep.as_bytes()), Ok(()));
    }
}
