//! The driver of enjamb-core on futures-io, for async-std and smol.
