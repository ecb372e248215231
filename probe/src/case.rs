//! The cases that are bytes: the corpus in `data/`, whose README explains its fields and outcomes.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use memchr::memmem;
use serde::{Deserialize, Serialize};

use crate::names::Names;
use crate::names::replaced;
use crate::observed::{Observed, Verdict};
use crate::phase::Phase;
use crate::wire::{digest, header};

/// How hard a rule is, in RFC 2119's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "RFC 2119 documents them")]
pub enum Level {
    Must,
    Should,
    May,
}

/// What a case is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "`title` says more than a comment would")]
pub enum Group {
    Opening,
    Declaration,
    Handshake,
    Xml,
    Addressing,
    Routing,
    Delivery,
    Limits,
    Closing,
}

impl Group {
    /// All of them, in the order of a stream's life.
    pub const ALL: [Self; 9] = [
        Self::Opening,
        Self::Declaration,
        Self::Handshake,
        Self::Xml,
        Self::Addressing,
        Self::Routing,
        Self::Delivery,
        Self::Limits,
        Self::Closing,
    ];

    /// The word for it, as in the corpus.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Declaration => "declaration",
            Self::Handshake => "handshake",
            Self::Xml => "xml",
            Self::Addressing => "addressing",
            Self::Routing => "routing",
            Self::Delivery => "delivery",
            Self::Limits => "limits",
            Self::Closing => "closing",
        }
    }

    /// What it is about, in a few words.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Opening => "Opening the stream",
            Self::Declaration => "XML declaration, encoding, prolog",
            Self::Handshake => "Handshake, and anything before it",
            Self::Xml => "Well-formed and restricted XML",
            Self::Addressing => "to and from",
            Self::Routing => "Routing and stanza errors",
            Self::Delivery => "What the receiver gets",
            Self::Limits => "Size, depth, number",
            Self::Closing => "Closing the stream",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::May => "MAY",
        })
    }
}

/// One case.
#[derive(Clone, Debug, Deserialize)]
pub struct Case {
    /// `BS-001` and so on; fixed.
    pub id: String,
    /// In a few words what it is.
    pub name: String,
    /// What it is about.
    pub group: Group,
    /// When its bytes are sent.
    pub phase: Phase,
    /// Where its rule is written.
    #[serde(rename = "rule")]
    pub source: String,
    /// How hard its rule is.
    #[serde(rename = "req")]
    pub level: Level,
    /// The acceptable outcomes.
    pub expect: Vec<String>,
    /// The outcome to aim at.
    pub best: String,
    /// Why; may be empty.
    pub note: String,
    /// So many bytes a write.
    pub split: Option<usize>,
    /// The sending side is shut behind the last byte.
    #[serde(default)]
    pub half_close: bool,
    /// It spells the component's name in another way, so that it means nothing under another name.
    #[serde(default)]
    spelled: bool,
    bytes_b64: Option<String>,
    #[serde(rename = "gen")]
    generated: Option<Generated>,
    header_b64: Option<String>,
}

/// Bytes too many to be written out.
#[derive(Clone, Debug, Deserialize)]
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
    /// How good this outcome is.
    #[must_use]
    pub fn verdict(&self, observed: &Observed) -> Verdict {
        let may_deliver = self.expect.iter().any(|e| e == "deliver" || e == "close");
        let is_one_of = |outcomes: &[String]| observed.is_one_of(self.phase, outcomes, may_deliver);
        match (is_one_of(&self.expect), is_one_of(std::slice::from_ref(&self.best))) {
            (true, true) => Verdict::Best,
            (true, false) => Verdict::Accepted,
            (false, _) => Verdict::Outside,
        }
    }

    /// The bytes to send on the stream of this id, or `None` if they need a name that was not given.
    ///
    /// # Panics
    /// The corpus is not written as its README says.
    #[must_use]
    pub fn payload(&self, names: &Names, stream_id: &str) -> Option<Vec<u8>> {
        if self.spelled && !names.are_standard() {
            return None;
        }
        let digest = digest(stream_id, &names.secret);
        let mut bytes = match (&self.generated, &self.bytes_b64) {
            (Some(generated), _) => generated.bytes(),
            (None, Some(b64)) => decoded(b64),
            (None, None) => panic!("{} has neither bytes_b64 nor gen", self.id),
        };
        for (mark, value) in [
            ("@@DIGEST@@", digest.as_str()),
            ("@@UDIGEST@@", &digest.to_ascii_uppercase()),
            ("@@ID@@", stream_id),
            ("@@SECRET@@", &names.escaped_secret()),
        ] {
            bytes = replaced(bytes, mark, value);
        }
        names.put_into(bytes)
    }

    /// The stream header to send first, where the phase has one.
    #[must_use]
    pub fn header(&self, names: &Names) -> Option<Vec<u8>> {
        match &self.header_b64 {
            Some(b64) => names.put_into(decoded(b64)),
            None => Some(header(&names.component).into_bytes()),
        }
    }

    /// Do the bytes hold a right handshake?
    pub(crate) fn has_digest(&self) -> bool {
        self.bytes_b64.as_deref().map(decoded).is_some_and(|bytes| {
            ["@@DIGEST@@", "@@UDIGEST@@"].iter().any(|mark| memmem::find(&bytes, mark.as_bytes()).is_some())
        })
    }
}

impl Generated {
    fn bytes(&self) -> Vec<u8> {
        let unit = decoded(&self.repeat_b64);
        let mut bytes = decoded(&self.prefix_b64);
        for n in 0..self.count {
            if self.numbered {
                bytes.extend(replaced(unit.clone(), "@@N@@", &format!("{n:x}")));
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
/// The corpus is not written as its README says.
#[must_use]
pub fn streams() -> Vec<Case> {
    let text = include_str!("../data/cases.jsonl");
    text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
}

fn decoded(b64: &str) -> Vec<u8> {
    STANDARD.decode(b64).expect("the corpus holds base64")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_case_can_be_read_and_played_and_its_best_is_among_the_accepted() {
        let names = Names::standard("s3cret");
        let cases = streams();
        assert_eq!(cases.len(), 354);
        assert_eq!(cases.iter().map(|case| &case.id).collect::<BTreeSet<_>>().len(), cases.len());
        for case in &cases {
            assert!(case.expect.contains(&case.best), "{}", case.id);
            assert!(case.payload(&names, "id").is_some() && case.header(&names).is_some(), "{}", case.id);
        }
    }

    #[test]
    fn under_other_names_the_other_spellings_are_left_out() {
        let mut names = Names::standard("s3cret");
        names.component = "bot.localhost".into();
        let cases = streams();
        let left_out: Vec<_> = cases.iter().filter(|case| case.payload(&names, "id").is_none()).collect();
        assert!(left_out.iter().all(|case| case.spelled) && left_out.len() == 9, "{left_out:?}");
    }
}
