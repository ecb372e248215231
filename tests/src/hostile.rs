//! The cases of `data/bad-streams`, as bytes.

use serde_json::Value;

use crate::corpus::json_lines;

/// How far the harness takes the stream before the case's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The bytes are the first.
    PreOpen,
    /// The header has been sent.
    PreAuth,
    /// The handshake, too.
    Authed,
}

/// One case; the fields are explained in `data/bad-streams/README.md`.
#[derive(Clone, Debug)]
pub struct Case {
    /// `BS-001`.
    pub id: String,
    /// What it is about.
    pub name: String,
    /// How far the stream is.
    pub phase: Phase,
    /// MUST, SHOULD or MAY.
    pub must: bool,
    /// The header that goes before it.
    pub header: Vec<u8>,
    /// The case's bytes, with the markers in them.
    pub bytes: Vec<u8>,
    /// The sending side is shut down behind them.
    pub half_close: bool,
    /// What may happen.
    pub expect: Vec<String>,
    /// What should happen.
    pub best: String,
}

impl Case {
    /// The bytes on a stream that has this id, whose right proof is `proof`.
    #[must_use]
    pub fn bytes_for(&self, id: &str, proof: &str) -> Vec<u8> {
        let bytes = replace(&self.bytes, b"@@DIGEST@@", proof.as_bytes());
        let bytes = replace(&bytes, b"@@UDIGEST@@", proof.to_uppercase().as_bytes());
        replace(&bytes, b"@@ID@@", id.as_bytes())
    }
}

/// All cases.
#[must_use]
pub fn cases() -> Vec<Case> {
    json_lines("bad-streams/cases.jsonl").iter().map(case).collect()
}

/// The harness's header for a component.
#[must_use]
pub fn header(domain: &str) -> Vec<u8> {
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
         xmlns:stream='http://etherx.jabber.org/streams' to='{domain}'>"
    )
    .into_bytes()
}

fn case(line: &Value) -> Case {
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    Case {
        id: text("id"),
        name: text("name"),
        phase: match line["phase"].as_str() {
            Some("pre-open") => Phase::PreOpen,
            Some("pre-auth") => Phase::PreAuth,
            _ => Phase::Authed,
        },
        must: line["req"] == "MUST",
        header: line["header_b64"].as_str().map_or_else(|| header("comp.example"), base64),
        bytes: payload(line),
        half_close: line["half_close"] == true,
        expect: line["expect"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(Into::into)
            .collect(),
        best: text("best"),
    }
}

fn payload(line: &Value) -> Vec<u8> {
    let Some(gen_) = line["gen"].as_object() else {
        return base64(line["bytes_b64"].as_str().unwrap_or_default());
    };
    let part = |key: &str| base64(gen_[key].as_str().unwrap_or_default());
    let (mut bytes, repeat) = (part("prefix_b64"), part("repeat_b64"));
    let numbered = gen_.get("numbered").is_some_and(|numbered| numbered == true);
    for index in 0..gen_["count"].as_u64().unwrap_or_default() {
        if numbered {
            bytes.extend(replace(&repeat, b"@@N@@", format!("{index:x}").as_bytes()));
        } else {
            bytes.extend_from_slice(&repeat);
        }
    }
    bytes.extend(part("suffix_b64"));
    bytes
}

fn replace(bytes: &[u8], marker: &[u8], by: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    // No marker has its own first byte pair inside another one, so the leftmost hit is the right one.
    while let Some(at) = rest.windows(marker.len()).position(|window| window == marker) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(by);
        rest = &rest[at + marker.len()..];
    }
    out.extend_from_slice(rest);
    out
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut out) = (0_u32, 0, Vec::new());
    for byte in text.bytes().take_while(|&byte| byte != b'=') {
        let digit = DIGITS.iter().position(|&known| known == byte).expect("the data is base64");
        bits = bits << 6 | digit as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}
