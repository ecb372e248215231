//! Ways to cut a stream of bytes into reads, and the small generator behind the random ones.

/// Xorshift64*: enough for tests, and the same on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator; equal seeds give equal numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`, which must not be 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.number() % limit as u64) as usize
    }

    /// One of `choices`, which must not be empty.
    pub fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

/// How a stream is cut into reads.
#[derive(Clone, Debug)]
pub enum Cut {
    /// All in one.
    Whole,
    /// Reads of this many bytes.
    Every(usize),
    /// Reads of 1 to 40 bytes, some much longer, by this seed.
    Random(u64),
    /// Reads of these sizes, the last one as long as it has to be.
    Sizes(Vec<usize>),
}

impl Cut {
    /// The pieces, in order; together they are `bytes`.
    #[must_use]
    pub fn pieces<'a>(&self, bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let mut rest = bytes;
        let mut pieces = Vec::new();
        let mut random = Random::new(if let Self::Random(seed) = self { *seed } else { 0 });
        while !rest.is_empty() {
            let size = match self {
                Self::Whole => rest.len(),
                Self::Every(size) => *size,
                Self::Random(_) if random.below(8) == 0 => 1 + random.below(4000),
                Self::Random(_) => 1 + random.below(40),
                Self::Sizes(sizes) => sizes.get(pieces.len()).copied().unwrap_or(rest.len()),
            };
            let (piece, behind) = rest.split_at(size.min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        pieces
    }

    /// One byte, small sizes, and `random` seeded cuts.
    #[must_use]
    pub fn many(random: u64) -> Vec<Self> {
        let sizes = [1, 2, 3, 5, 7, 16].map(Self::Every);
        sizes.into_iter().chain((1..=random).map(Self::Random)).collect()
    }
}
