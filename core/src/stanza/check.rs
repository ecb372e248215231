//! What may be sent on a stream.

use thiserror::Error;

use crate::limits::Limits;
use crate::xml::XmlError;
use crate::xml::scan::{Progress, Scan};

/// Checks that bytes are exactly one element that a server's strict scan accepts. Keeps its memory for the next.
#[derive(Debug, Default)]
pub struct ElementCheck {
    scan: Scan,
}

/// Why bytes may not be sent as a stanza.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotOneElement {
    /// They are not well-formed, or hold what a stream may not.
    #[error("not a stanza: {0}")]
    Malformed(XmlError),
    /// They are less or more than one element, or too long.
    #[error("not exactly one element, within the limit of {limit} bytes")]
    Length {
        /// The limit, in bytes.
        limit: usize,
    },
}

impl ElementCheck {
    /// Checks `bytes`.
    ///
    /// # Errors
    /// Why they may not be sent.
    pub fn check(&mut self, bytes: &[u8], limits: &Limits) -> Result<(), NotOneElement> {
        let length = NotOneElement::Length { limit: limits.stanza };
        if bytes.first() != Some(&b'<') || bytes.len() > limits.stanza {
            return Err(length);
        }
        let scanned = self.scan.advance(bytes, limits, &[]);
        match scanned {
            Ok(Progress::Whole(whole)) if whole == bytes.len() => return Ok(()),
            _ => self.scan = Scan::default(),
        }
        Err(scanned.map_or_else(NotOneElement::Malformed, |_| length))
    }
}
