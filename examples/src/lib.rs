//! Programs to begin from. Each takes its settings from the command line; those who connect say `ADDRESS DOMAIN
//! SECRET`, those who listen `ADDRESS SECRET`.
//!
//! | program | what it is |
//! | --- | --- |
//! | `echo-tokio`, `echo-smol`, `echo-async-std` | a component that sends each message back |
//! | `echo-threads` | the same on `std::net`, blocking, without any async |
//! | `typed-tokio` | a component with the types of `xmpp-parsers`: it asks the host what it is, and answers who asks it |
//! | `listener-tokio`, `listener-smol`, `listener-async-std` | a listener for components inside an application |
//! | `echo-tls-tokio`, `echo-tls-smol` | an echo over TLS, by wrapping the TCP stream |
//! | `listener-tls-tokio`, `listener-tls-smol` | a listener over TLS, in the same way |
//! | `listener-poll` | the same on a poll loop written by hand: one thread, no runtime |
//!
//! The programs in the README and in the guides are compiled and run with this crate's documentation.

#[doc = include_str!("../../README.md")]
#[cfg(doctest)]
pub struct Readme;

#[doc = include_str!("../../docs/embedding.md")]
#[cfg(doctest)]
pub struct Embedding;

#[doc = include_str!("../../docs/adapters.md")]
#[cfg(doctest)]
pub struct Adapters;

#[doc = include_str!("../../runtime-tokio/README.md")]
#[cfg(doctest)]
pub struct OnTokio;

#[doc = include_str!("../../runtime-async-std/README.md")]
#[cfg(doctest)]
pub struct OnAsyncStd;
