//! What one connection is writing to its socket.

/// Stanzas back to back, with where each ends.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) ends: Vec<u32>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The stanzas of which nothing is within the first `written` bytes; `own_end` ends what is none.
    pub(super) fn unsent_after(&self, written: usize, own_end: Option<u32>) -> impl Iterator<Item = &[u8]> {
        let starts = core::iter::once(0).chain(self.ends.iter().copied());
        let pairs = starts.zip(self.ends.iter().copied());
        pairs
            .filter(move |&(start, end)| start as usize >= written && Some(end) != own_end)
            .map(|(start, end)| &self.bytes[start as usize..end as usize])
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    pub(super) fn release(&mut self) {
        if self.bytes.is_empty() {
            *self = Self::default();
        }
    }
}

/// A batch taken from the outbox, what the connection says itself behind it, and how far it is written.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// The stanzas of others come first; what the stream wrote follows.
    pub(super) batch: Batch,
    written: usize,
    /// Bytes of our own making that are not out yet, at most.
    own: usize,
    /// Where the stream's own words end, if stanzas follow them.
    own_end: Option<u32>,
}

impl Outgoing {
    /// What is to be written.
    pub(super) fn pending(&self) -> &[u8] {
        &self.batch.bytes[self.written..]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending().is_empty()
    }

    /// What is kept of it, in bytes: all of a batch until its end is written.
    pub(super) fn memory(&self) -> usize {
        self.batch.bytes.len()
    }

    pub(super) fn own(&self) -> usize {
        self.own
    }

    /// Lets the stream append to what goes out.
    pub(super) fn append<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let before = self.batch.bytes.len();
        let result = write(&mut self.batch.bytes);
        self.own += self.batch.bytes.len() - before;
        result
    }

    /// So many bytes are out.
    pub(super) fn advance(&mut self, n: usize) {
        self.written += n;
        if self.is_empty() {
            self.batch.clear();
            self.written = 0;
            self.own = 0;
            self.own_end = None;
        }
    }

    /// Takes bytes that are not of the stream's own making, while there is nothing else to write.
    pub(super) fn put(&mut self, bytes: &mut Vec<u8>) {
        debug_assert!(self.is_empty(), "they would stand in the middle of a batch");
        self.batch.clear();
        self.written = 0;
        core::mem::swap(&mut self.batch.bytes, bytes);
    }

    /// Puts a batch behind all that is to be written; no other may have been joined.
    pub(super) fn join(&mut self, batch: &Batch) {
        let before = self.batch.bytes.len() as u32;
        if self.batch.ends.last().map_or(before > 0, |&last| last < before) {
            self.batch.ends.push(before);
            self.own_end = Some(before);
        }
        self.batch.bytes.extend_from_slice(&batch.bytes);
        self.batch.ends.extend(batch.ends.iter().map(|end| before + end));
    }

    /// Stanzas of others of which nothing is written.
    pub(super) fn unsent(&self) -> impl Iterator<Item = &[u8]> {
        self.batch.unsent_after(self.written, self.own_end)
    }

    /// Stanzas of others that are not out whole.
    pub(super) fn waiting(&self) -> usize {
        let out = self.batch.ends.partition_point(|&end| end as usize <= self.written);
        self.batch.ends.len() - out
    }

    /// Takes away the stanzas of others of which nothing is written, after [`unsent`](Self::unsent) was looked
    /// at. What the stream said itself goes with them, unless it is being written: it has no marks to cut at.
    pub(super) fn cut(&mut self) {
        let ends = &self.batch.ends;
        if ends.last().is_some_and(|&last| self.written < last as usize) {
            let next = ends.partition_point(|&end| (end as usize) < self.written);
            let start = next.checked_sub(1).map_or(0, |before| ends[before] as usize);
            let keep = if start < self.written { ends[next] as usize } else { self.written };
            self.batch.bytes.truncate(keep);
            self.own = 0;
        }
        self.batch.ends.clear();
    }

    /// Gives memory back while nothing is going out.
    pub(super) fn release(&mut self) {
        self.batch.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(stanzas: &[&str]) -> Outgoing {
        let mut outgoing = Outgoing::default();
        for stanza in stanzas {
            outgoing.batch.bytes.extend_from_slice(stanza.as_bytes());
            outgoing.batch.ends.push(outgoing.batch.bytes.len() as u32);
        }
        outgoing
    }

    #[test]
    fn a_cut_keeps_the_stanza_that_is_being_written_and_no_other() {
        for (written, left, unsent) in
            [(0, "", 3), (1, "a/>", 2), (4, "", 2), (5, "b/>", 1), (8, "", 1), (11, ">", 0)]
        {
            let mut outgoing = outgoing(&["<a/>", "<b/>", "<c/>"]);
            outgoing.append(|out| out.extend_from_slice(b"<own/>"));
            outgoing.advance(written);
            assert_eq!(outgoing.unsent().count(), unsent, "after {written} bytes");
            outgoing.cut();
            assert_eq!(outgoing.pending(), left.as_bytes(), "after {written} bytes");
        }
    }

    #[test]
    fn a_batch_that_joins_the_streams_own_words_is_counted_without_them() {
        let mut outgoing = outgoing(&["<a/>"]);
        outgoing.append(|out| out.extend_from_slice(b"<own/>"));
        let mut batch = Batch::default();
        batch.bytes.extend_from_slice(b"<b/><c/>");
        batch.ends.extend([4, 8]);
        outgoing.join(&batch);
        outgoing.append(|out| out.extend_from_slice(b"<end/>"));
        let mut written = 0;
        for (to, unsent) in [(0, 3), (1, 2), (4, 2), (5, 2), (10, 2), (11, 1), (14, 1), (15, 0)] {
            outgoing.advance(to - written);
            written = to;
            assert_eq!(outgoing.unsent().count(), unsent, "after {to} bytes");
        }
    }

    #[test]
    fn what_the_stream_says_itself_is_never_cut_in_two() {
        let mut outgoing = outgoing(&["<a/>"]);
        outgoing.append(|out| out.extend_from_slice(b"<own/>"));
        outgoing.advance(6);
        outgoing.cut();
        assert_eq!(outgoing.pending(), b"wn/>");
    }
}
