//! What a case is: one round of work, and how many bytes it reads.

/// One thing to do again and again.
pub struct Case {
    /// Bytes of input of each round.
    pub bytes: usize,
    round: Box<dyn FnMut() -> bool>,
}

impl Case {
    pub(super) fn new(bytes: usize, round: impl FnMut() -> bool + 'static) -> Self {
        Self { bytes, round: Box::new(round) }
    }

    /// Goes round once. `false`: it was not done as it should be, and a figure would be worth nothing.
    #[must_use]
    pub fn exercise(&mut self) -> bool {
        (self.round)()
    }
}
