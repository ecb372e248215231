//! Faults that operators met in other servers, or in this one: each test names the number of its report.

mod checks;
mod logs;
mod messages;
mod program;
mod signals;
mod sockets;
mod sources;
mod start;
