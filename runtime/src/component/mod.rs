//! The component's side: the application's handle, and the connection that its task drives.
//!
//! | file | what it does |
//! | --- | --- |
//! | `handle` | [`Component`]: stanzas in both directions |
//! | `request` | [`Request`]: its iq requests |
//! | `futures` | the handle as a `Stream` and a `Sink`, with the feature `futures` |
//! | `session` | the connection, as the drive loop sees it |
//! | `shared` | what both share |
//! | `requests` | requests that wait for their answers |
//! | `settings`, `error` | [`ComponentSettings`], and what goes wrong |

mod error;
#[cfg(feature = "futures")]
mod futures;
mod handle;
mod request;
mod requests;
pub(crate) mod session;
mod settings;
mod shared;

pub use error::{ConnectError, RequestError, SendError};
pub use handle::{Component, ComponentConnection};
pub use request::Request;
pub use settings::ComponentSettings;
#[cfg(all(test, loom))]
pub(crate) use shared::Shared;
