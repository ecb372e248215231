//! What is to be written, in order.

use alloc::vec::Vec;
use core::time::Duration;

use crate::stanza::Envelope;
use crate::time::Instant;

/// What is to be written to one port, back to back, with what each piece is.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    pub(super) bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Bytes that are out.
    written: u32,
    /// Entries that are out whole.
    out: u32,
    /// Stanzas among the others.
    stanzas: u32,
    /// Bytes of our own making that are not out yet, at most.
    own: u32,
}

/// A piece of what is to be written: from the end of the one before to its own.
#[derive(Clone, Copy, Debug)]
struct Entry {
    end: u32,
    /// When it was put in here, in seconds of the monotonic clock.
    taken: u32,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// What the stream says itself.
    Own,
    /// A stanza of somebody else, with its envelope if it may have to be answered.
    Stanza(Option<Envelope>),
    /// The rest of a stanza that was begun: it is written, or lost.
    Rest,
}

/// What a buffer holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    /// Bytes to be written.
    pub(super) bytes: usize,
    /// Stanzas that are not out whole.
    pub(super) stanzas: usize,
    /// Bytes kept: all of them until the last is written.
    pub(super) memory: usize,
}

/// The time of such seconds.
pub(super) fn time(seconds: u32) -> Instant {
    Instant::from_origin(Duration::from_secs(seconds.into()))
}

impl Buffer {
    /// What is to be written.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.bytes[self.written as usize..]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn load(&self) -> Load {
        let (memory, stanzas) = (self.bytes.len(), self.stanzas as usize);
        Load { bytes: memory - self.written as usize, stanzas, memory }
    }

    /// Bytes of our own making that are not out yet, at most.
    pub(crate) fn own(&self) -> usize {
        self.own as usize
    }

    /// Lets the stream append what it says itself.
    pub(crate) fn append<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let result = write(&mut self.bytes);
        self.note_own();
        result
    }

    fn end(&self) -> u32 {
        self.entries.last().map_or(0, |last| last.end)
    }

    /// What stands behind the last entry is our own.
    fn note_own(&mut self) {
        let (before, end) = (self.end(), self.bytes.len() as u32);
        if before == end {
            return;
        }
        self.own += end - before;
        match self.entries.last_mut() {
            Some(last) if matches!(last.kind, Kind::Own) => last.end = end,
            _ => self.entries.push(Entry { end, taken: 0, kind: Kind::Own }),
        }
    }

    /// What stands behind the last entry is a stanza, or several that nobody will answer.
    pub(super) fn note_stanza(&mut self, taken: u32, envelope: Option<Envelope>) {
        self.entries.push(Entry { end: self.bytes.len() as u32, taken, kind: Kind::Stanza(envelope) });
        self.stanzas += 1;
    }

    /// What stands behind the last entry is the rest of a stanza.
    fn note_rest(&mut self) {
        self.entries.push(Entry { end: self.bytes.len() as u32, taken: 0, kind: Kind::Rest });
        self.stanzas += 1;
    }

    /// Appends a stanza, whose envelope `write` returns.
    pub(crate) fn push(&mut self, taken: Instant, write: impl FnOnce(&mut Vec<u8>) -> Envelope) {
        let envelope = write(&mut self.bytes);
        self.note_stanza(taken.seconds(), Some(envelope));
    }

    /// The first stanza of which nothing is written, with its envelope, and when it was put in here.
    pub(super) fn first_taken(&self) -> Option<(&[u8], Option<&Envelope>, Instant)> {
        let (start, entry) = self.rest().find(|(start, entry)| self.is_unsent(*start, entry))?;
        let Kind::Stanza(envelope) = &entry.kind else { return None };
        Some((&self.bytes[start as usize..entry.end as usize], envelope.as_ref(), time(entry.taken)))
    }

    fn is_unsent(&self, start: u32, entry: &Entry) -> bool {
        start >= self.written && matches!(entry.kind, Kind::Stanza(_))
    }

    /// The first stanza that is not out, with its envelope.
    pub(crate) fn first(&self) -> Option<(&[u8], Option<&Envelope>)> {
        self.unsent().next()
    }

    /// Takes whole stanzas of the component's own, which nobody bounces. The buffer must be empty.
    pub(crate) fn take(&mut self, stanzas: &mut Vec<u8>) {
        core::mem::swap(&mut self.bytes, stanzas);
        self.note_stanza(0, None);
    }

    /// `n` bytes are out. Returns how many stanzas are out whole by that.
    pub(crate) fn advance(&mut self, n: usize) -> u32 {
        let before = self.stanzas;
        self.written += n as u32;
        if self.written as usize == self.bytes.len() {
            self.bytes.clear();
            self.entries.clear();
            (self.written, self.out, self.stanzas, self.own) = (0, 0, 0, 0);
            return before;
        }
        while let Some(entry) = self.entries.get(self.out as usize)
            && entry.end <= self.written
        {
            self.out += 1;
            self.stanzas -= u32::from(!matches!(entry.kind, Kind::Own));
        }
        before - self.stanzas
    }

    /// Whether a stanza is begun and not out whole.
    pub(crate) fn is_torn(&self) -> bool {
        self.rest().next().is_some_and(|(start, entry)| match entry.kind {
            Kind::Own => false,
            Kind::Stanza(_) => start < self.written,
            Kind::Rest => true,
        })
    }

    /// Puts what others left behind all that is to be written.
    pub(crate) fn join(&mut self, other: &Self) {
        // An access rule that panicked may have broken off what wrote it.
        self.note_own();
        let before = self.end();
        self.bytes.extend_from_slice(&other.bytes);
        self.entries.extend(other.entries.iter().map(|entry| Entry { end: before + entry.end, ..*entry }));
        self.stanzas += other.stanzas;
    }

    /// What is not out whole, with where it begins.
    fn rest(&self) -> impl Iterator<Item = (u32, &Entry)> {
        let (out, rest) = self.entries.split_at(self.out as usize);
        let mut start = out.last().map_or(0, |last| last.end);
        rest.iter().map(move |entry| (core::mem::replace(&mut start, entry.end), entry))
    }

    /// The stanzas of which nothing is written, with their envelopes.
    pub(crate) fn unsent(&self) -> impl Iterator<Item = (&[u8], Option<&Envelope>)> {
        self.rest().filter_map(|(start, entry)| match &entry.kind {
            Kind::Stanza(envelope) if start >= self.written => {
                Some((&self.bytes[start as usize..entry.end as usize], envelope.as_ref()))
            }
            Kind::Stanza(_) | Kind::Rest | Kind::Own => None,
        })
    }

    /// Takes out the stanzas of which nothing is written and this holds of. What is left is not to be written.
    pub(crate) fn take_unsent(
        &mut self,
        mut is_theirs: impl FnMut(Option<&Envelope>, &[u8]) -> bool,
    ) -> Self {
        let (mut theirs, mut others) = (Self::default(), Self::default());
        for (start, entry) in self.rest().filter(|(start, entry)| self.is_unsent(*start, entry)) {
            let Kind::Stanza(envelope) = entry.kind else { continue };
            let stanza = &self.bytes[start as usize..entry.end as usize];
            let buffer = if is_theirs(envelope.as_ref(), stanza) { &mut theirs } else { &mut others };
            buffer.bytes.extend_from_slice(stanza);
            buffer.note_stanza(entry.taken, envelope);
        }
        *self = others;
        theirs
    }

    /// Forgets the first stanza that is not out, and what stands before it.
    pub(crate) fn drop_first(&mut self) {
        let first = self.rest().find(|(start, entry)| self.is_unsent(*start, entry));
        if let Some((_, entry)) = first {
            let end = entry.end;
            self.advance((end - self.written) as usize);
        }
    }

    /// Takes away the stanzas of which nothing is written, and returns them. What is left is to be written whole.
    pub(crate) fn cut(&mut self) -> Self {
        let mut left = Self::default();
        for (start, entry) in self.rest() {
            if start < self.written || matches!(entry.kind, Kind::Own) {
                let piece = &self.bytes[start.max(self.written) as usize..entry.end as usize];
                if matches!(entry.kind, Kind::Own) {
                    left.append(|out| out.extend_from_slice(piece));
                } else {
                    left.bytes.extend_from_slice(piece);
                    left.note_rest();
                }
            }
        }
        core::mem::replace(self, left)
    }

    /// Gives memory back while there is nothing in here.
    pub(crate) fn release(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(stanzas: &[&str]) -> Buffer {
        let mut buffer = Buffer::default();
        for stanza in stanzas {
            buffer.bytes.extend_from_slice(stanza.as_bytes());
            buffer.note_stanza(0, None);
        }
        buffer
    }

    #[test]
    fn a_cut_keeps_the_stanza_being_written_and_the_streams_own_words() {
        for (written, left, unsent) in [
            (0, "<own/>", 3),
            (1, "a/><own/>", 2),
            (4, "<own/>", 2),
            (5, "b/><own/>", 1),
            (8, "<own/>", 1),
            (11, "><own/>", 0),
            (14, "wn/>", 0),
        ] {
            let mut buffer = buffer(&["<a/>", "<b/>", "<c/>"]);
            buffer.append(|out| out.extend_from_slice(b"<own/>"));
            buffer.advance(written);
            assert_eq!(buffer.unsent().count(), unsent, "after {written} bytes");
            buffer.cut();
            assert_eq!(buffer.pending(), left.as_bytes(), "after {written} bytes");
            // The rest of one that was begun is still to be written whole.
            let rest = usize::from([1, 5, 11].contains(&written));
            assert_eq!((buffer.unsent().count(), buffer.load().stanzas), (0, rest), "after {written} bytes");
            assert_eq!(buffer.is_torn(), rest == 1, "after {written} bytes");
        }
    }

    #[test]
    fn joined_stanzas_count_without_the_streams_own_words() {
        let mut joined = buffer(&["<a/>"]);
        joined.append(|out| out.extend_from_slice(b"<own/>"));
        joined.join(&buffer(&["<b/>", "<c/>"]));
        joined.append(|out| out.extend_from_slice(b"<end/>"));
        let mut written = 0;
        for (to, unsent, waiting) in
            [(0, 3, 3), (1, 2, 3), (4, 2, 2), (5, 2, 2), (10, 2, 2), (11, 1, 2), (14, 1, 1), (15, 0, 1)]
        {
            joined.advance(to - written);
            written = to;
            let counted = (joined.unsent().count(), joined.load().stanzas);
            assert_eq!(counted, (unsent, waiting), "after {to} bytes");
        }
    }

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Entry>(), 28);
    }
}
