//! What a call of `process` gives.

/// What one call of `process` did.
#[derive(Debug)]
#[must_use]
pub struct Step<E> {
    /// Bytes to drop from the front of the input.
    pub consumed: usize,
    /// What happened, `None` if more input is needed for anything to happen.
    pub event: Option<E>,
}
