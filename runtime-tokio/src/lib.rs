//! The driver of enjamb-core on tokio.
