//! Who a component is, and what its stream may cost.

use std::sync::Arc;

use enjamb_core::jid::Domain;
use enjamb_core::{Limits, Secret};

/// Who a component is, and what its stream may cost.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ComponentSettings {
    /// The domain that the component serves; with `is_subdomain` a prefix.
    pub domain: Domain,
    /// The secret it shares with the server.
    pub secret: Secret,
    /// Ask to be bound under every host of the server (MongooseIM's extension).
    pub is_subdomain: bool,
    /// What the stream may cost.
    pub limits: Arc<Limits>,
    /// Bytes of stanzas that may wait to be sent, and as many to be taken by the application: 1 MiB. Over it
    /// [`Component::send`](super::Component::send) waits, or nothing is read from the server.
    pub mark: usize,
    /// What the ids of [`Component::request`](super::Component::request) begin with: `enjamb-`. Where others may guess ids and forge answers
    /// from an address that is asked, make it random.
    pub id_prefix: String,
}

impl ComponentSettings {
    /// The usual settings.
    #[must_use]
    pub fn new(domain: Domain, secret: Secret) -> Self {
        let id_prefix = String::from("enjamb-");
        Self { domain, secret, is_subdomain: false, limits: Arc::default(), mark: 1024 * 1024, id_prefix }
    }
}
