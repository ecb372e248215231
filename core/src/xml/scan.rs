//! The scan: where a first-level element ends, each byte checked strictly once on the way.
//!
//! It goes on where it stopped, token by token, so that an element in one-byte reads costs what a whole one
//! does, and what it says of given bytes never depends on how they were cut.

use alloc::string::String;
use alloc::vec::Vec;

use super::attributes::Attributes;
use super::names::is_space;
use super::rescope::{content_group, is_content_namespace, is_foreign};
use super::scope::{
    Declared, Namespace, Prefix, Resolved, Scope, check_namespace, namespace_key, unportable_at,
};
use super::skip::{CDATA, Skipper, no_section};
use super::span::{Name, Span};
use super::tag::{INSIDE, Unfinished, skip_space, start_tag};
use super::text::{self, Notes, Oddities};
use super::{XmlError, XmlFault, rewrite};
use crate::limits::{LONGEST_NAMESPACE, Limits};
use crate::namespaces as ns;

/// What the scan says so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More bytes are needed.
    Partial,
    /// The element is one of the streams namespace, which nobody waits for the end of.
    StreamElement(StreamElement),
    /// The element is whole and well-formed, and this many bytes long.
    Whole(usize),
}

/// An element in the streams namespace, at the first level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamElement {
    Error,
    Stream,
}

/// What a first-level element is, by its name and namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TopLevel {
    Iq,
    Message,
    Presence,
    Handshake,
    StreamError,
    #[default]
    Other,
}

/// What was noted of a first-level element's start tag. Small and `Copy`: a stanza is made from it again
/// without a second scan.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Head {
    pub(crate) top: TopLevel,
    pub(crate) name: Name,
    pub(crate) to: Option<Value>,
    pub(crate) from: Option<Value>,
    pub(crate) id: Option<Value>,
    pub(crate) type_: Option<Value>,
    /// The `xmlns` attribute, white space before it included.
    pub(crate) xmlns: Option<Span>,
    /// The element's own namespace, where it is not the stream's default one.
    pub(crate) namespace: Option<Namespace>,
    /// Behind the start tag's `>`.
    pub(crate) end: u32,
    /// Where the end tag begins; the element's length if it has none.
    pub(crate) foot: u32,
    /// Child elements.
    pub(crate) children: u32,
    /// Prefixes of the stream header that are used and not declared inside, one bit each.
    pub(crate) inherited: u32,
    pub(crate) odd: Oddities,
}

/// A value and how it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value {
    pub(crate) span: Span,
    /// As written it is the value.
    pub(crate) plain: bool,
}

/// The scan of one stream's first-level elements, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Offset up to which everything is checked.
    at: usize,
    /// The start tag that begins there, if the input ended in it.
    start_tag: Option<Unfinished>,
    /// Behind the blanks of the end tag that begins there, if the input ended in them.
    blanks: usize,
    /// Where the open CDATA section's content began.
    cdata: Option<usize>,
    open: Vec<Name>,
    scope: Scope,
    attributes: Attributes,
    notes: Notes,
    head: Head,
}

impl Scan {
    /// Has an element begun?
    pub(crate) fn is_inside(&self) -> bool {
        self.at != 0 || self.start_tag.is_some()
    }

    /// Bytes of the element up to which everything is looked at: what is shown next is to go further. Names and references
    /// that are cut are looked at again.
    pub(crate) fn reach(&self) -> usize {
        self.start_tag.as_ref().map_or(self.at, Unfinished::reach).max(self.blanks)
    }

    /// Takes the work that was done since the last time, in steps of some 8 ns.
    pub(crate) fn take_work(&mut self) -> u32 {
        core::mem::take(&mut self.notes.work)
    }

    /// What the element that was just found whole looks like, until the next one begins.
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// Gives back what memory deep or odd elements made it take.
    pub(crate) fn release(&mut self) {
        self.open.shrink_to(0);
        self.scope.release();
        self.attributes.release();
    }

    /// Leaves the rest of the element to a skipper, which has passed all of `input` then. The head is still there.
    pub(crate) fn leave(&mut self, input: &[u8]) -> Result<Skipper, XmlError> {
        let depth = self.open.len();
        let mut skipper = match self.cdata {
            Some(start) => Skipper::inside_section(depth, self.at, &input[start..self.at]),
            None => Skipper::inside(depth, self.at),
        };
        *self = Self { head: self.head, notes: self.notes, ..Self::default() };
        skipper.advance(&input[skipper.at()..])?;
        Ok(skipper)
    }

    /// Goes on with the element that begins at `input[0]`, which is its `<`. `input` holds all of it that is
    /// known, and only grows from call to call until [`Progress::Whole`].
    pub(crate) fn advance(
        &mut self,
        input: &[u8],
        limits: &Limits,
        header: &[Prefix],
    ) -> Result<Progress, XmlError> {
        if !self.is_inside() {
            self.head = Head::default();
            self.notes.odd = Oddities::default();
        }
        let before = self.reach();
        let progress = self.go_on(input, limits, header)?;
        let reach = if let Progress::Whole(length) = progress { length } else { self.reach() };
        let bytes = reach.saturating_sub(before) as u32;
        let text = core::mem::take(&mut self.notes.text);
        self.notes.work += bytes.saturating_sub(text) / STEP + text / TEXT_STEP;
        Ok(progress)
    }

    #[inline(always)]
    fn go_on(&mut self, input: &[u8], limits: &Limits, header: &[Prefix]) -> Result<Progress, XmlError> {
        loop {
            self.notes.work += 1;
            let step = match self.cdata {
                Some(start) => self.cdata(input, start),
                None if self.open.is_empty() || input.get(self.at) == Some(&b'<') => {
                    self.markup(input, limits, header)
                }
                None => self.text(input),
            };
            match step? {
                Step::Token => {}
                Step::Last(progress) => return Ok(progress),
            }
        }
    }

    fn text(&mut self, input: &[u8]) -> Result<Step, XmlError> {
        let run = text::check_text(input, self.at, &mut self.notes)?;
        self.notes.text += (run.end - self.at) as u32;
        self.at = run.end;
        Ok(if run.complete { Step::Token } else { Step::Last(Progress::Partial) })
    }

    fn cdata(&mut self, input: &[u8], start: usize) -> Result<Step, XmlError> {
        let run = text::check_cdata(input, start, self.at, &mut self.notes)?;
        self.notes.text += (run.end - self.at) as u32;
        self.at = run.end;
        if !run.complete {
            return Ok(Step::Last(Progress::Partial));
        }
        self.cdata = None;
        Ok(Step::Token)
    }

    fn markup(&mut self, input: &[u8], limits: &Limits, header: &[Prefix]) -> Result<Step, XmlError> {
        match input.get(self.at + 1) {
            None => Ok(Step::Last(Progress::Partial)),
            Some(b'/') => self.end_tag(input),
            Some(b'!') => self.exclamation(input),
            Some(b'?') => self.question(input),
            Some(_) => self.start_tag(input, limits, header),
        }
    }

    /// `<!`: a CDATA section inside an element, or nothing that may be here.
    fn exclamation(&mut self, input: &[u8]) -> Result<Step, XmlError> {
        let there = &input[self.at..input.len().min(self.at + CDATA.len())];
        if there.len() >= 3 && !CDATA.starts_with(there) {
            return Err(no_section(there[2]).at(self.at));
        }
        if there.len() < CDATA.len() {
            return Ok(Step::Last(Progress::Partial));
        }
        self.at += CDATA.len();
        self.cdata = Some(self.at);
        self.notes.odd |= Oddities::CDATA;
        Ok(Step::Token)
    }

    /// `<?`: nothing that may be here, but what exactly is told apart.
    fn question(&self, input: &[u8]) -> Result<Step, XmlError> {
        const DECLARATION: &[u8] = b"<?xml";
        let there = &input[self.at..input.len().min(self.at + DECLARATION.len() + 1)];
        if there.len() <= DECLARATION.len() && DECLARATION.starts_with(there) {
            return Ok(Step::Last(Progress::Partial));
        }
        if there.starts_with(DECLARATION) && there.last().is_some_and(|&byte| is_space(byte)) {
            return Err(XmlFault::NotWellFormed("an XML declaration inside the stream").at(self.at));
        }
        Err(XmlFault::Restricted("a processing instruction").at(self.at))
    }

    fn end_tag(&mut self, input: &[u8]) -> Result<Step, XmlError> {
        let start = self.at;
        let Some(&name) = self.open.last() else {
            return Err(XmlFault::NotWellFormed("an end tag that closes nothing").at(start));
        };
        let wanted = name.whole(input);
        let behind = start + 2 + wanted.len();
        let end = if input[start + 2..].starts_with(wanted) && input.get(behind) == Some(&b'>') {
            behind + 1
        } else {
            match self.odd_end_tag(input, wanted)? {
                Some(end) => end,
                None => return Ok(Step::Last(Progress::Partial)),
            }
        };
        self.blanks = 0;
        self.at = end;
        self.close_element(input, start)
    }

    /// Gives the offset behind an end tag that is cut, has blanks, or is wrong; `None` where it is cut.
    #[cold]
    fn odd_end_tag(&mut self, input: &[u8], wanted: &[u8]) -> Result<Option<usize>, XmlError> {
        let name = self.at + 2;
        let same = input[name..].iter().zip(wanted).take_while(|(is, wanted)| is == wanted).count();
        let behind = if same < wanted.len() {
            name + same
        } else {
            self.blanks = skip_space(input, self.blanks.max(name + same), &mut self.notes);
            self.blanks
        };
        match input.get(behind) {
            None => Ok(None),
            Some(b'<') => Err(INSIDE.at(behind)),
            Some(_) if same < wanted.len() => {
                Err(XmlFault::NotWellFormed("an end tag that does not match its start tag").at(name))
            }
            Some(b'>') => Ok(Some(behind + 1)),
            Some(_) => Err(XmlFault::NotWellFormed("an end tag that holds more than a name").at(behind)),
        }
    }

    #[inline(always)]
    fn close_element(&mut self, input: &[u8], foot: usize) -> Result<Step, XmlError> {
        self.scope.close(self.open.len() as u16, input);
        self.open.pop();
        if self.open.is_empty() {
            self.head.foot = foot as u32;
            self.head.odd = self.notes.odd;
            return Ok(Step::Last(Progress::Whole(core::mem::take(&mut self.at))));
        }
        Ok(Step::Token)
    }

    fn start_tag(&mut self, input: &[u8], limits: &Limits, header: &[Prefix]) -> Result<Step, XmlError> {
        let start = self.at;
        let Self { start_tag: unfinished, attributes, notes, .. } = self;
        let Some(tag) = start_tag(input, start, unfinished, attributes, limits, notes)? else {
            return Ok(Step::Last(Progress::Partial));
        };
        notes.work += tag_work(attributes.as_slice().len());
        self.open.push(tag.name);
        let depth = self.open.len();
        if depth > limits.depth.min(usize::from(u16::MAX)) {
            return Err(XmlFault::TooDeep { limit: limits.depth }.at(start));
        }
        if tag.declares {
            self.declare(input, depth as u16, limits)?;
        }
        if tag.prefixed || tag.name.has_prefix() {
            self.check_prefixes(input, tag.name, header)?;
        }
        self.at = tag.end;
        match depth {
            1 => {
                self.head.end = tag.end as u32;
                if let Some(element) = self.note_head(input, tag.name, header) {
                    return Ok(Step::Last(Progress::StreamElement(element)));
                }
            }
            2 => self.head.children += 1,
            _ => {}
        }
        if tag.empty { self.close_element(input, tag.end) } else { Ok(Step::Token) }
    }

    /// Takes in the namespace declarations of the tag whose attributes are noted.
    fn declare(&mut self, input: &[u8], depth: u16, limits: &Limits) -> Result<(), XmlError> {
        for attribute in self.attributes.as_slice() {
            let default = attribute.name.whole(input) == b"xmlns";
            if !default && attribute.name.prefix(input) != b"xmlns" {
                continue;
            }
            let prefix = attribute.name.local_span();
            let prefix_name = if default { &[][..] } else { prefix.of(input) };
            let written = attribute.value.of(input);
            if written.len() > LONGEST_NAMESPACE {
                let fault = XmlFault::LongName { limit: LONGEST_NAMESPACE };
                return Err(fault.at(attribute.value.start as usize));
            }
            self.notes.work += 4 + written.len() as u32 / 8;
            let meant = if attribute.plain { String::new() } else { rewrite::value(written) };
            let uri = if attribute.plain { written } else { meant.as_bytes() };
            check_namespace(prefix_name, uri).map_err(|fault| match fault {
                XmlFault::UnportableNamespace => {
                    fault.at(attribute.value.start as usize + unportable_at(written))
                }
                fault => fault.at(attribute.name.start()),
            })?;
            if default {
                continue;
            }
            if self.scope.len() == limits.namespaces {
                let fault = XmlFault::ManyNamespaces { limit: limits.namespaces };
                return Err(fault.at(attribute.name.start()));
            }
            if depth == 1 && is_foreign(uri) {
                self.notes.odd |= Oddities::FOREIGN_PREFIX;
            }
            let key = namespace_key(uri);
            self.scope.push(Declared { prefix, uri: attribute.value, key, depth }, input);
        }
        Ok(())
    }

    /// Checks that the tag's prefixes are declared, and no attribute is given twice under two prefixes.
    fn check_prefixes(&mut self, input: &[u8], name: Name, header: &[Prefix]) -> Result<(), XmlError> {
        let undeclared = |name: Name| move |fault: XmlFault| fault.at(name.start());
        if name.has_prefix() {
            let prefix = name.prefix(input);
            if prefix == b"xmlns" {
                return Err(XmlFault::NotWellFormed("an element with the prefix xmlns").at(name.start()));
            }
            let found = self.scope.resolve(input, header, prefix).map_err(undeclared(name))?;
            self.notes.work += LOOK_UP;
            self.head.inherited |= found.inherited;
        }
        self.attributes.begin_namespaces();
        // Most have the prefix of the one before.
        let mut last: Option<(&[u8], Resolved<'_>)> = None;
        for place in 0..self.attributes.as_slice().len() {
            let name = self.attributes.as_slice()[place].name;
            let prefix = name.prefix(input);
            if prefix.is_empty() || prefix == b"xmlns" {
                continue;
            }
            let found = match last {
                Some((known, found)) if known == prefix => found,
                _ => {
                    self.notes.work += LOOK_UP;
                    self.scope.resolve(input, header, prefix).map_err(undeclared(name))?
                }
            };
            last = Some((prefix, found));
            self.head.inherited |= found.inherited;
            self.notes.work += 4;
            let Some(other) = self.attributes.note_namespace(place, found.key, content_group, input) else {
                continue;
            };
            let fault = if other == found.key {
                XmlFault::NotWellFormed("an attribute given twice under two prefixes")
            } else {
                // Rewritten, both would be in one namespace.
                XmlFault::AmbiguousAttribute
            };
            return Err(fault.at(name.start()));
        }
        Ok(())
    }

    /// Notes what routing needs of a first-level start tag.
    fn note_head(&mut self, input: &[u8], name: Name, header: &[Prefix]) -> Option<StreamElement> {
        let head = &mut self.head;
        head.name = name;
        let mut default = ns::COMPONENT.as_bytes();
        for attribute in self.attributes.as_slice() {
            let value = Value { span: attribute.value, plain: attribute.plain };
            match attribute.name.whole(input) {
                b"to" => head.to = Some(value),
                b"from" => head.from = Some(value),
                b"id" => head.id = Some(value),
                b"type" => head.type_ = Some(value),
                b"xmlns" => {
                    head.xmlns = Some(attribute.whole);
                    head.namespace = Some(Namespace::Inner(attribute.value));
                    default = attribute.value.of(input);
                }
                _ => {}
            }
        }
        if !name.has_prefix() && head.xmlns.is_none() {
            // As nearly all are: in the stream's own namespace.
            head.top = top_level(name.local(input));
            return None;
        }
        let own = if name.has_prefix() {
            // Declared, or the tag would have been refused.
            let found = self.scope.resolve(input, header, name.prefix(input)).ok();
            head.namespace = found.as_ref().map(|found| found.declared);
            found.map_or(&[][..], |found| found.uri)
        } else {
            default
        };
        let local = name.local(input);
        if rewrite::same_value(own, ns::STREAMS.as_bytes()) {
            return match local {
                b"error" => {
                    head.top = TopLevel::StreamError;
                    Some(StreamElement::Error)
                }
                b"stream" => Some(StreamElement::Stream),
                _ => None,
            };
        }
        let top = top_level(local);
        let is_of_stream = match top {
            TopLevel::Handshake => rewrite::same_value(own, ns::COMPONENT.as_bytes()),
            // Without its prefix, such an element's children would change their namespace, so it is not taken as a stanza.
            _ => is_content_namespace(own) && is_content_namespace(default),
        };
        if is_of_stream {
            head.top = top;
        }
        None
    }
}

/// Bytes that cost one step, if nothing is to be done but to read them.
const STEP: u32 = 8;
/// The same for text, of which 32 bytes are looked at at once.
const TEXT_STEP: u32 = 64;
/// Steps of a prefix's look-up.
const LOOK_UP: u32 = 4;

/// Steps of a start tag: each attribute, and finding its name among the others.
fn tag_work(attributes: usize) -> u32 {
    2 + attributes as u32 * (2 + attributes.checked_ilog2().unwrap_or(0))
}

fn top_level(local: &[u8]) -> TopLevel {
    match local {
        b"iq" => TopLevel::Iq,
        b"message" => TopLevel::Message,
        b"presence" => TopLevel::Presence,
        b"handshake" => TopLevel::Handshake,
        _ => TopLevel::Other,
    }
}

enum Step {
    /// A token is done; go on.
    Token,
    Last(Progress),
}
