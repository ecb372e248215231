//! What a top-level element is, its addresses, and how it is written for its receiver.
//!
//! | file | what it does |
//! | --- | --- |
//! | `borrowed` | [`Stanza`]: a slice of the input that the scan accepted |
//! | `envelope` | where its addresses stand in what was written |
//! | `kind` | [`StanzaKind`], and what may be answered |
//! | `owned` | [`OwnedStanza`]: a stanza with its bytes |
//! | `check` | [`ElementCheck`]: what may be sent on a stream |

mod borrowed;
mod check;
mod envelope;
mod kind;
mod owned;

pub use borrowed::Stanza;
pub(crate) use borrowed::{AddressFault, address, addresses};
pub use check::{ElementCheck, NotOneElement};
pub(crate) use envelope::Envelope;
pub use kind::StanzaKind;
pub(crate) use kind::{expects_reply, is_proper};
pub use owned::OwnedStanza;
