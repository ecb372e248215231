//! What is in the stanzas that are sent.

use std::io::{self, Write};
use std::path::Path;
use std::{fs, str};

use serde_json::Value;

use crate::cut::{self, Cut};

/// Stanzas without their addresses and ids, sent one after the other, then from the first again.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    templates: Vec<Template>,
    /// How a receiver cuts them.
    pub(crate) cut: Cut,
}

#[derive(Clone, Debug)]
struct Template {
    /// `<message`.
    open: Vec<u8>,
    /// What follows the id, from the blank before the next attribute to the last `>`.
    rest: Vec<u8>,
}

impl Payload {
    /// Messages with a body of this many bytes.
    pub(crate) fn body(length: usize) -> Self {
        let body = "x".repeat(length);
        let rest = format!(" type='chat'><body>{body}</body></message>").into_bytes();
        Self { templates: vec![Template { open: b"<message".to_vec(), rest }], cut: cut::message_end }
    }

    /// The stanzas of a JSONL file with `kind` and `xml` on each line. Left out are errors, which can't be told from
    /// bounces, and lines with `invalid`, which a server may refuse.
    pub(crate) fn corpus(file: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(file)?;
        let mut templates = Vec::new();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line)?;
            if let (Some(kind), Some(xml), None) =
                (line["kind"].as_str(), line["xml"].as_str(), line["invalid"].as_str())
                && let Some(template) = Template::of(kind, xml)
            {
                templates.push(template);
            }
        }
        if templates.is_empty() {
            return Err(io::Error::other(format!("{} holds no stanza", file.display())));
        }
        Ok(Self { templates, cut: cut::element_end })
    }

    /// How many different stanzas there are.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.templates.len()
    }

    /// The longest, without addresses.
    pub(crate) fn longest(&self) -> usize {
        self.templates.iter().map(|template| template.rest.len()).max().unwrap_or(0)
    }

    /// Writes the stanza of this number; `addresses` is ` from='…' to='…'`.
    pub(crate) fn write(
        &self,
        out: &mut Vec<u8>,
        flow: usize,
        number: u64,
        addresses: &[u8],
    ) -> io::Result<()> {
        let template = &self.templates[(number % self.templates.len() as u64) as usize];
        out.extend_from_slice(&template.open);
        out.extend_from_slice(addresses);
        write!(out, " id='{flow:04x}{number:012x}'")?;
        out.extend_from_slice(&template.rest);
        Ok(())
    }
}

/// The flow and the number in an id that [`Payload::write`] wrote.
pub(crate) fn parse_id(id: &[u8]) -> Option<(usize, u64)> {
    let id = str::from_utf8(id).ok()?;
    let flow = usize::from_str_radix(id.get(..4)?, 16).ok()?;
    Some((flow, u64::from_str_radix(id.get(4..)?, 16).ok()?))
}

impl Template {
    fn of(kind: &str, xml: &str) -> Option<Self> {
        let mut rest = xml.strip_prefix('<')?.strip_prefix(kind)?;
        let mut kept = String::new();
        loop {
            let trimmed = rest.trim_start();
            if trimmed.starts_with(['/', '>']) {
                break;
            }
            let (name, value) = trimmed.split_once('=')?;
            let (name, value) = (name.trim(), value.trim_start());
            let quote = value.chars().next()?;
            let length = value[1..].find(quote)? + 2;
            if name == "type" && &value[1..length - 1] == "error" {
                return None;
            }
            if !matches!(name, "to" | "from" | "id" | "xmlns") {
                kept.push_str(&format!(" {name}={}", &value[..length]));
            }
            rest = &value[length..];
        }
        let open = format!("<{kind}").into_bytes();
        Some(Self { open, rest: format!("{kept}{}", rest.trim_start()).into_bytes() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(template: Template) -> String {
        let payload = Payload { templates: vec![template], cut: cut::element_end };
        let mut out = Vec::new();
        payload.write(&mut out, 0xabc, 0x12, b" from='a' to='b'").unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_stanza_of_the_corpus_gets_our_addresses_and_id_and_keeps_the_rest() {
        let xml = "<iq to='x'\n  from=\"y\" xml:lang='en' id = 'old' type='get' xmlns='jabber:client'><q a='to'/></iq>";
        let sent = written(Template::of("iq", xml).unwrap());
        assert_eq!(
            sent,
            "<iq from='a' to='b' id='0abc000000000012' xml:lang='en' type='get'><q a='to'/></iq>"
        );
        assert_eq!(parse_id(b"0abc000000000012"), Some((0xabc, 0x12)));
        assert_eq!(written(Template::of("presence", "<presence />").unwrap()).split(' ').count(), 4);
    }

    #[test]
    fn errors_are_left_out_and_foreign_ids_are_not_taken_for_ours() {
        assert!(Template::of("message", "<message type='error'/>").is_none());
        assert_eq!(parse_id(b"abc"), None);
        assert_eq!(parse_id("0abc\u{e9}".as_bytes()), None);
    }

    #[test]
    fn the_corpus_is_cut_as_it_was_written() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/xep-stanzas/stanzas.jsonl");
        let payload = Payload::corpus(&file).unwrap();
        assert!(payload.len() > 4000);
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        for number in 0..payload.len() as u64 {
            payload.write(&mut out, 1, number, b" from='a' to='b'").unwrap();
            ends.push(out.len());
        }
        let mut at = 0;
        for end in ends {
            at += (payload.cut)(&out[at..]).unwrap();
            assert_eq!(at, end);
        }
    }
}
