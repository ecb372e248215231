//! What one port is writing.

use alloc::vec::Vec;

/// Stanzas back to back, with where each ends.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ends: Vec<u32>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The stanzas of which nothing is within the first `written` bytes; `own_end` ends what is none.
    pub(crate) fn unsent_after(&self, written: usize, own_end: Option<u32>) -> impl Iterator<Item = &[u8]> {
        let starts = core::iter::once(0).chain(self.ends.iter().copied());
        let pairs = starts.zip(self.ends.iter().copied());
        pairs
            .filter(move |&(start, end)| start as usize >= written && Some(end) != own_end)
            .map(|(start, end)| &self.bytes[start as usize..end as usize])
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    pub(crate) fn release(&mut self) {
        if self.bytes.is_empty() {
            *self = Self::default();
        }
    }
}

/// A batch taken from the queue, what the stream says itself behind it, and how far it is written.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// The stanzas of others come first; what the stream wrote follows.
    pub(crate) batch: Batch,
    written: u32,
    /// Bytes of our own making that are not out yet, at most.
    own: u32,
    /// Where the stream's own words end, if stanzas follow them.
    own_end: Option<u32>,
}

impl Output {
    /// What is to be written.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.batch.bytes[self.written as usize..]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending().is_empty()
    }

    /// What is kept of it, in bytes: all of a batch until its end is written.
    pub(crate) fn memory(&self) -> usize {
        self.batch.bytes.len()
    }

    pub(crate) fn own(&self) -> usize {
        self.own as usize
    }

    /// Lets the stream append to what goes out.
    pub(crate) fn append<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let before = self.batch.bytes.len();
        let result = write(&mut self.batch.bytes);
        self.own += (self.batch.bytes.len() - before) as u32;
        result
    }

    /// So many bytes are out.
    pub(crate) fn advance(&mut self, n: usize) {
        self.written += n as u32;
        if self.is_empty() {
            self.batch.clear();
            self.written = 0;
            self.own = 0;
            self.own_end = None;
        }
    }

    /// Puts a batch behind all that is to be written; no other may have been joined.
    pub(crate) fn join(&mut self, batch: &Batch) {
        let before = self.batch.bytes.len() as u32;
        if self.batch.ends.last().map_or(before > 0, |&last| last < before) {
            self.batch.ends.push(before);
            self.own_end = Some(before);
        }
        self.batch.bytes.extend_from_slice(&batch.bytes);
        self.batch.ends.extend(batch.ends.iter().map(|end| before + end));
    }

    /// Stanzas of others of which nothing is written.
    pub(crate) fn unsent(&self) -> impl Iterator<Item = &[u8]> {
        self.batch.unsent_after(self.written as usize, self.own_end)
    }

    /// Stanzas of others that are not out whole.
    pub(crate) fn waiting(&self) -> usize {
        let out = self.batch.ends.partition_point(|&end| end <= self.written);
        self.batch.ends.len() - out
    }

    /// Takes away the stanzas of others of which nothing is written, after [`unsent`](Self::unsent) was looked
    /// at. What the stream said itself goes with them, unless it is being written: it has no marks to cut at.
    pub(crate) fn cut(&mut self) {
        let ends = &self.batch.ends;
        if ends.last().is_some_and(|&last| self.written < last) {
            let next = ends.partition_point(|&end| end < self.written);
            let start = next.checked_sub(1).map_or(0, |before| ends[before]);
            let keep = if start < self.written { ends[next] } else { self.written };
            self.batch.bytes.truncate(keep as usize);
            self.own = 0;
        }
        self.batch.ends.clear();
    }

    /// Gives memory back while nothing is going out.
    pub(crate) fn release(&mut self) {
        self.batch.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(stanzas: &[&str]) -> Output {
        let mut output = Output::default();
        for stanza in stanzas {
            output.batch.bytes.extend_from_slice(stanza.as_bytes());
            output.batch.ends.push(output.batch.bytes.len() as u32);
        }
        output
    }

    #[test]
    fn cut_keeps_only_the_stanza_being_written() {
        for (written, left, unsent) in
            [(0, "", 3), (1, "a/>", 2), (4, "", 2), (5, "b/>", 1), (8, "", 1), (11, ">", 0)]
        {
            let mut output = output(&["<a/>", "<b/>", "<c/>"]);
            output.append(|out| out.extend_from_slice(b"<own/>"));
            output.advance(written);
            assert_eq!(output.unsent().count(), unsent, "after {written} bytes");
            output.cut();
            assert_eq!(output.pending(), left.as_bytes(), "after {written} bytes");
        }
    }

    #[test]
    fn joined_batch_counts_without_the_streams_own_words() {
        let mut output = output(&["<a/>"]);
        output.append(|out| out.extend_from_slice(b"<own/>"));
        let mut batch = Batch::default();
        batch.bytes.extend_from_slice(b"<b/><c/>");
        batch.ends.extend([4, 8]);
        output.join(&batch);
        output.append(|out| out.extend_from_slice(b"<end/>"));
        let mut written = 0;
        for (to, unsent) in [(0, 3), (1, 2), (4, 2), (5, 2), (10, 2), (11, 1), (14, 1), (15, 0)] {
            output.advance(to - written);
            written = to;
            assert_eq!(output.unsent().count(), unsent, "after {to} bytes");
        }
    }

    #[test]
    fn own_words_are_never_cut_in_two() {
        let mut output = output(&["<a/>"]);
        output.append(|out| out.extend_from_slice(b"<own/>"));
        output.advance(6);
        output.cut();
        assert_eq!(output.pending(), b"wn/>");
    }
}
