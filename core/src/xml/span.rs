//! Parts of a stanza by their offsets: names, values, attributes.

/// A part of a stanza, by its offsets from the stanza's `<`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    /// Offsets fit in 32 bits: no stanza limit is above 64 MiB.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }

    /// Of an attribute's value: with the quotes around it.
    pub(crate) fn quoted(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize - 1..=self.end as usize]
    }
}

/// A qualified name, by its offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Name {
    start: u32,
    pub(super) len: u16,
    /// Length of the prefix, 0 without one.
    prefix: u16,
}

impl Name {
    /// It has at most 65,535 bytes, the first `prefix` of which are its prefix.
    pub(super) fn new(start: usize, end: usize, prefix: usize) -> Self {
        Self { start: start as u32, len: (end - start) as u16, prefix: prefix as u16 }
    }

    pub(crate) fn start(self) -> usize {
        self.start as usize
    }

    pub(crate) fn end(self) -> usize {
        self.start as usize + usize::from(self.len)
    }

    pub(crate) fn whole(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end()]
    }

    /// Is `other` written the same? Most differ in length or in the first letter.
    pub(super) fn is_same(self, other: Self, bytes: &[u8]) -> bool {
        self.len == other.len
            && bytes[self.start as usize] == bytes[other.start as usize]
            && self.whole(bytes) == other.whole(bytes)
    }

    pub(crate) fn has_prefix(self) -> bool {
        self.prefix != 0
    }

    pub(crate) fn prefix(self, bytes: &[u8]) -> &[u8] {
        &self.whole(bytes)[..usize::from(self.prefix)]
    }

    pub(crate) fn local(self, bytes: &[u8]) -> &[u8] {
        let skip = if self.has_prefix() { usize::from(self.prefix) + 1 } else { 0 };
        &self.whole(bytes)[skip..]
    }

    pub(crate) fn local_span(self) -> Span {
        let skip = if self.has_prefix() { usize::from(self.prefix) + 1 } else { 0 };
        Span::new(self.start as usize + skip, self.end())
    }
}

/// An attribute, by its offsets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute {
    /// From the white space before it to behind its closing quote.
    pub(crate) whole: Span,
    pub(crate) name: Name,
    /// Between the quotes.
    pub(crate) value: Span,
    /// The value as written is the value: no reference, no TAB, LF or CR in it.
    pub(crate) plain: bool,
    /// The number of its prefix's namespace, once that is looked up.
    pub(super) namespace: u64,
}
