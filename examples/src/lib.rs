//! Example programs. Components take `ADDRESS DOMAIN SECRET` from the command line, listeners `ADDRESS SECRET`.
//!
//! | program | content |
//! | --- | --- |
//! | `echo` | a component that sends each message back, on tokio |
//! | `listener` | a listener for components inside a program, on tokio |
//! | `echo-tls`, `listener-tls` | the same over TLS: the TCP stream is wrapped |
//! | `other-runtimes` | all four on smol, the first two on async-std |
//! | `typed` | a component with the types of `xmpp-parsers`: asks and answers service discovery |
//! | `echo-threads` | an echo on a blocking socket of `std::net`, without async |
//! | `listener-poll` | a listener without a runtime, on a poll loop with mio |
//! | `embed-server` | a server with users of its own that components talk to, on tokio |
//! | `embed-poll` | the same on a poll loop, without a runtime |
//! | `bridge` | code that holds every name below one, and creates names at run time |
//! | `one-thread` | a listener and two components in one thread, without a runtime |
//!
//! The programs in the README and in the guides are compiled and run as tests of this crate's documentation.

pub mod poll;
pub mod users;

#[doc = include_str!("../../README.md")]
#[cfg(doctest)]
pub struct Readme;

#[doc = include_str!("../../docs/embedding.md")]
#[cfg(doctest)]
pub struct Embedding;

#[doc = include_str!("../../docs/ports.md")]
#[cfg(doctest)]
pub struct Ports;

#[doc = include_str!("../../docs/uplinks.md")]
#[cfg(doctest)]
pub struct Uplinks;

#[doc = include_str!("../../docs/adapters.md")]
#[cfg(doctest)]
pub struct Adapters;

#[doc = include_str!("../../runtime-tokio/README.md")]
#[cfg(doctest)]
pub struct OnTokio;

#[doc = include_str!("../../runtime-async-std/README.md")]
#[cfg(doctest)]
pub struct OnAsyncStd;
