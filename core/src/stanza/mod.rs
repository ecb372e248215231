//! What a top-level element is, its addresses, and how it is written for its receiver.
//!
//! | file | what it does |
//! | --- | --- |
//! | `borrowed` | [`Stanza`]: a slice of the input that the scan accepted |
//! | `owned` | [`OwnedStanza`]: a stanza with its bytes |
//! | `check` | [`ElementCheck`]: what may be sent on a stream |

mod borrowed;
mod check;
mod owned;

pub(crate) use borrowed::{AddressFault, Rooms, address, addresses, expects_reply, is_proper, known_type};
pub use borrowed::{Stanza, StanzaKind};
pub use check::{ElementCheck, NotOneElement};
pub use owned::OwnedStanza;
