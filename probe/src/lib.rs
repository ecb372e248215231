//! What a server for XMPP components (XEP-0114) answers to hostile, odd and ordinary input, and whether that is right.
//!
//! [`streams()`] are the cases that are bytes: 354 of them, each with the outcomes that its rule allows. [`scripts()`] are
//! those that take several steps. A [`Stage`] plays either against any server that lets two components in, on
//! three connections at most, one case after the other. What it saw is an [`Observed`]; the case judges it.
//!
//! ```no_run
//! use enjamb_probe::cuts::Cut;
//! use enjamb_probe::{Judge, Names, Patience, Stage, streams};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let names = Names::standard("s3cret");
//! let mut stage = Stage::new("127.0.0.1:8888".parse()?, names, Patience::default(), Judge::default())?;
//! for case in streams() {
//!     if let Some(observed) = stage.play(&case, &Cut::Whole)? {
//!         println!("{} {observed}: {}", case.id, case.verdict(&observed));
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Everything is bounded: the bytes of a case, the time it may take ([`Patience`]), the connections. Nothing here draws a
//! random number: cuts come from a seed.

#![forbid(unsafe_code)]

mod case;
pub mod cuts;
mod element;
mod judge;
mod names;
mod observed;
mod phase;
mod report;
mod script;
mod scripts;
mod stage;
pub mod wire;

pub use case::{Case, Group, Level, streams};
pub use judge::{Judge, STREAM};
pub use names::Names;
pub use observed::{Observed, Verdict};
pub use phase::Phase;
pub use report::{Count, Report, Row};
pub use script::{Answer, Script};
pub use scripts::scripts;
pub use stage::{Fault, Patience, Stage};
