//! The corpora under `data/`.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use sha1::{Digest, Sha1};

/// Where a data file lies.
#[must_use]
pub fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

fn read(name: &str) -> Vec<u8> {
    fs::read(data(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The lines of a JSONL file.
#[must_use]
pub fn json_lines(name: &str) -> Vec<Value> {
    let text = String::from_utf8(read(name)).expect("the data files are UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

/// A stanza out of an XEP.
#[derive(Clone, Debug)]
pub struct XepStanza {
    /// `XEP-0030 #1`.
    pub name: String,
    /// Its bytes.
    pub xml: String,
}

/// All stanzas of the XEPs.
#[must_use]
pub fn xep_stanzas() -> Vec<XepStanza> {
    let stanza = |line: Value| XepStanza {
        name: format!("XEP-{} #{}", line["xep"].as_str().unwrap_or_default(), line["n"]),
        xml: line["xml"].as_str().expect("each line has a stanza").into(),
    };
    json_lines("xep-stanzas/stanzas.jsonl").into_iter().map(stanza).collect()
}

/// What one run of a real client program sent.
#[derive(Clone, Debug)]
pub struct ClientStream {
    /// The file's name.
    pub file: String,
    /// The domain that it asked for.
    pub domain: String,
    /// The stream id that it was given.
    pub id: String,
    /// It wrote the closing tag in the end.
    pub closes: bool,
    /// The sizes of the reads in which it came.
    pub reads: Vec<usize>,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// All recorded sessions of real clients; their secret is `s3cr3t`.
#[must_use]
pub fn client_streams() -> Vec<ClientStream> {
    let index = String::from_utf8(read("client-streams/INDEX.tsv")).expect("the index is UTF-8");
    let session = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        ClientStream {
            file: fields[0].into(),
            domain: fields[1].into(),
            id: fields[2].into(),
            closes: fields[5] == "closing tag",
            reads: fields[6].split(',').map(|size| size.parse().expect("sizes are numbers")).collect(),
            bytes: read(&format!("client-streams/{}", fields[0])),
        }
    };
    index.lines().skip(1).map(session).collect()
}

/// The text of the handshake that proves `secret` on the stream `id` (XEP-0114, section 3).
#[must_use]
pub fn proof(id: &str, secret: &str) -> String {
    hex(&Sha1::digest([id, secret].concat()))
}

/// SHA-1 or any other bytes in lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A stanza with other addresses: its own `from` and `to` are taken out, and those that are not empty put in.
#[must_use]
pub fn addressed(xml: &str, from: &str, to: &str) -> String {
    let name = xml.find(|c: char| c.is_ascii_whitespace() || c == '/' || c == '>').unwrap_or(xml.len());
    let mut out = xml[..name].to_owned();
    for (key, value) in [("from", from), ("to", to)] {
        if !value.is_empty() {
            out.push_str(&format!(" {key}='{value}'"));
        }
    }
    let mut rest = &xml[name..];
    while let Some(start) =
        rest.find(|c: char| !c.is_ascii_whitespace()).filter(|&at| !rest[at..].starts_with(['/', '>']))
    {
        let key = rest[start..].find('=').map_or(rest.len(), |at| start + at);
        let open = rest[key..].find(['\'', '"']).map_or(rest.len(), |at| key + at);
        let close = open + 1 + rest[open + 1..].find(&rest[open..=open]).expect("values are closed") + 1;
        if !matches!(rest[start..key].trim_end(), "from" | "to") {
            out.push_str(&rest[..close]);
        }
        rest = &rest[close..];
    }
    out + rest
}
