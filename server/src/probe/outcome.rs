//! The outcome of one run of `enjamb probe`.

use std::net::SocketAddr;

use enjamb_probe::{Count, Report};
use serde::Serialize;

use super::options::ProbeOptions;
use crate::clock::utc;

/// Everything that is said of one run.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) version: &'static str,
    pub(super) server: SocketAddr,
    pub(super) time: String,
    pub(super) component: String,
    pub(super) receiver: Option<String>,
    pub(super) host: String,
    pub(super) summary: Count,
    #[serde(flatten)]
    pub(super) report: Report,
    /// Why not all cases were played.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stopped: Option<String>,
}

impl Outcome {
    pub(super) fn new(server: SocketAddr, options: &ProbeOptions) -> Self {
        let names = options.names();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            server,
            time: utc(),
            component: names.component,
            receiver: names.receiver,
            host: names.host,
            summary: Count::default(),
            report: Report::default(),
            stopped: None,
        }
    }
}
