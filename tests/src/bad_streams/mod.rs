//! The corpus of hostile and odd streams, `data/bad-streams/`: what it says, how it is played, how it is judged.
//!
//! The fields and outcomes are explained in the README beside the data.

mod observed;
mod play;

use std::fs;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;

use crate::env;
use crate::server::Config;

pub use observed::Observed;
pub use play::Stage;

/// The component that sends the cases' bytes, and the one that may receive.
const SENDER: &str = "comp.example";
const RECEIVER: &str = "peer.example";
/// The server's own host.
const HOST: &str = "host.example";

/// How far the negotiation has come when a case's bytes are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// They are the first on the connection.
    PreOpen,
    /// The headers are exchanged.
    PreAuth,
    /// The handshake is done.
    Authed,
}

/// One case.
#[derive(Debug, Deserialize)]
pub struct Case {
    /// `BS-001` and so on; fixed.
    pub id: String,
    /// In a few words what it is.
    pub name: String,
    /// When its bytes are sent.
    pub phase: Phase,
    /// The acceptable outcomes.
    pub expect: Vec<String>,
    /// The outcome to aim at.
    pub best: String,
    bytes_b64: Option<String>,
    #[serde(rename = "gen")]
    generated: Option<Generated>,
    header_b64: Option<String>,
    split: Option<usize>,
    #[serde(default)]
    half_close: bool,
}

/// Bytes too many to be written out.
#[derive(Debug, Deserialize)]
struct Generated {
    prefix_b64: String,
    repeat_b64: String,
    suffix_b64: String,
    count: usize,
    /// In each repetition `@@N@@` stands for its number, in hexadecimal.
    #[serde(default)]
    numbered: bool,
}

impl Case {
    /// Is this among the acceptable outcomes?
    #[must_use]
    pub fn accepts(&self, observed: &Observed) -> bool {
        observed.is_one_of(self.phase, &self.expect, self.may_deliver())
    }

    /// Is this the outcome to aim at?
    #[must_use]
    pub fn is_best(&self, observed: &Observed) -> bool {
        observed.is_one_of(self.phase, std::slice::from_ref(&self.best), self.may_deliver())
    }

    /// What precedes the fault, or all of it, may reach the receiver.
    fn may_deliver(&self) -> bool {
        self.expect.iter().any(|e| e == "deliver" || e == "close")
    }

    /// The bytes to send on the stream of this id.
    ///
    /// # Panics
    /// When the case is not written as the README says.
    #[must_use]
    pub fn payload(&self, stream_id: &str) -> Vec<u8> {
        let digest = crate::wire::digest(stream_id);
        let mut bytes = match (&self.generated, &self.bytes_b64) {
            (Some(generated), _) => generated.bytes(),
            (None, Some(b64)) => decoded(b64),
            (None, None) => panic!("{} has neither bytes_b64 nor gen", self.id),
        };
        for (mark, value) in [
            ("@@DIGEST@@", digest.as_str()),
            ("@@UDIGEST@@", &digest.to_ascii_uppercase()),
            ("@@ID@@", stream_id),
        ] {
            bytes = replaced(&bytes, mark, value);
        }
        bytes
    }

    /// The stream header to send first, where the phase has one.
    fn header(&self) -> Vec<u8> {
        self.header_b64.as_deref().map_or_else(|| crate::wire::header(SENDER).into_bytes(), decoded)
    }

    /// Do the bytes hold a right handshake?
    fn has_digest(&self) -> bool {
        self.payload("").windows(40).any(|w| w.eq_ignore_ascii_case(crate::wire::digest("").as_bytes()))
    }
}

impl Generated {
    fn bytes(&self) -> Vec<u8> {
        let unit = decoded(&self.repeat_b64);
        let mut bytes = decoded(&self.prefix_b64);
        for n in 0..self.count {
            if self.numbered {
                bytes.extend(replaced(&unit, "@@N@@", &format!("{n:x}")));
            } else {
                bytes.extend_from_slice(&unit);
            }
        }
        bytes.extend(decoded(&self.suffix_b64));
        bytes
    }
}

/// All cases, in their order.
///
/// # Panics
/// When the file is not as the README says.
#[must_use]
pub fn cases() -> Vec<Case> {
    let text =
        fs::read_to_string(env::data().join("bad-streams/cases.jsonl")).expect("the corpus is committed");
    text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
}

/// The server that the README's "Test setting" asks for, with one listener.
#[must_use]
pub fn setting() -> Config {
    Config::new(&[HOST]).listener(
        "domains = [\"comp.example\", \"peer.example\", \"down.example\"]\n\
         check_from = true\n\
         conflict_behaviour = \"disconnect\"\n\
         max_stanza_size = 262144",
    )
}

fn decoded(b64: &str) -> Vec<u8> {
    STANDARD.decode(b64).expect("the corpus holds base64")
}

fn replaced(bytes: &[u8], mark: &str, value: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(mark.len()).position(|w| w == mark.as_bytes()) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(value.as_bytes());
        rest = &rest[at + mark.len()..];
    }
    out.extend_from_slice(rest);
    out
}
