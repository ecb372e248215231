//! A component made of bytes: logged in over a [`Wire`], stanza by stanza. The [`judge`] sees all that it gets.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::judge;
use crate::tree::{Event, Tree};
use crate::wire::{Wire, digest, handshake_end, header};

/// How long something that must come may take.
const WAIT: Duration = Duration::from_secs(10);

const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";

/// A first-level element that came over the wire.
#[derive(Debug, Clone)]
pub struct Element {
    /// As it was written.
    pub xml: String,
    /// What the judges make of it.
    pub tree: Tree,
}

/// A condition with the type of the error, empty for a stream error, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The defined condition.
    pub condition: String,
    /// `cancel`, `modify` and so on.
    pub kind: String,
    /// The words for people.
    pub text: String,
}

impl Element {
    /// Reads an element of a component's stream.
    ///
    /// # Panics
    /// When a judge refuses it.
    #[must_use]
    pub fn new(xml: &str) -> Self {
        Self { xml: xml.to_owned(), tree: judge::stanza(xml) }
    }

    /// Its name without the namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        self.tree.starts().next().map_or("", |start| &*start.name.1)
    }

    /// An attribute of the element itself.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.tree.attribute(name)
    }

    /// The error in it.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        fault_in(&self.tree)
    }

    /// The condition of the error in it, empty without an error.
    #[must_use]
    pub fn condition(&self) -> String {
        self.fault().map(|fault| fault.condition).unwrap_or_default()
    }
}

/// The first error in an element.
fn fault_in(tree: &Tree) -> Option<Fault> {
    let (mut kind, mut condition, mut text) = (None, None, None);
    for (at, event) in tree.0.iter().enumerate() {
        let Event::Start(start) = event else { continue };
        if !matches!(&*start.name.0, STREAM_ERRORS | STANZA_ERRORS) {
            if condition.is_none() {
                kind = start.attribute("type");
            }
        } else if start.name.1 != "text" {
            condition.get_or_insert_with(|| start.name.1.clone());
        } else if let Some(Event::Text(words)) = tree.0.get(at + 1) {
            text.get_or_insert_with(|| words.clone());
        }
    }
    Some(Fault {
        condition: condition?,
        kind: kind.unwrap_or_default().to_owned(),
        text: text.unwrap_or_default(),
    })
}

/// Where the first element of `bytes` ends, blanks before it included; a closing tag alone counts as one. The
/// bytes are well-formed as far as they go.
#[must_use]
pub fn first_element(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        at += bytes[at..].iter().position(|&byte| byte == b'<')?;
        if bytes[at..].starts_with(b"<![CDATA[") {
            at += bytes[at..].windows(3).position(|three| three == b"]]>")? + 3;
            continue;
        }
        let mut quote = None;
        let end = bytes[at..].iter().position(|&byte| match quote {
            Some(open) => {
                quote = quote.filter(|_| byte != open);
                false
            }
            None => {
                quote = matches!(byte, b'\'' | b'"').then_some(byte);
                byte == b'>'
            }
        })?;
        let tag = &bytes[at..=at + end];
        at += end + 1;
        match (tag[1] == b'/', tag.ends_with(b"/>")) {
            (true, _) => depth = depth.saturating_sub(1),
            (false, true) => {}
            (false, false) => depth += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// All whole elements of `bytes`.
#[must_use]
pub fn elements(mut bytes: &[u8]) -> Vec<&str> {
    let mut found = Vec::new();
    while let Some(end) = first_element(bytes) {
        found.push(std::str::from_utf8(&bytes[..end]).expect("a judge has seen it").trim_start());
        bytes = &bytes[end..];
    }
    found
}

/// A component that is logged in. When it is dropped, the judges see all that it received.
#[derive(Debug)]
pub struct Peer {
    /// Its connection.
    pub wire: Wire,
    /// What stands in `from` of what it sends by itself.
    pub domain: String,
    at: usize,
    syncs: u32,
}

impl Peer {
    /// A component of this domain; it waits while the domain is taken, for a moment.
    ///
    /// # Panics
    /// When it can't log in.
    #[must_use]
    pub fn online(addr: SocketAddr, domain: &str) -> Self {
        Self::with_header(addr, domain, &header(domain))
    }

    /// A component of `PREFIX.HOST` for every host; `from` of what it sends by itself is under `host`.
    ///
    /// # Panics
    /// When it can't log in.
    #[must_use]
    pub fn subdomain(addr: SocketAddr, prefix: &str, host: &str) -> Self {
        let header = header(prefix).replace(" to=", " is_subdomain='true' to=");
        Self::with_header(addr, &format!("{prefix}.{host}"), &header)
    }

    /// A component that opens its stream with this header.
    ///
    /// # Panics
    /// When it can't log in.
    #[must_use]
    pub fn with_header(addr: SocketAddr, domain: &str, header: &str) -> Self {
        let deadline = Instant::now() + Duration::from_secs(3);
        loop {
            let mut wire = Wire::connect(addr);
            match wire.log_in(header.as_bytes()) {
                Ok(_) => {
                    let at = handshake_end(wire.received()).expect("it is logged in");
                    return Self { wire, domain: domain.to_owned(), at, syncs: 0 };
                }
                Err(came) if came.contains("<conflict") && Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(20));
                }
                Err(came) => panic!("{domain} can't log in: {came}"),
            }
        }
    }

    /// Sends this as it is.
    pub fn send(&mut self, xml: &str) {
        self.wire.send(xml.as_bytes(), None);
    }

    /// Sends a message with this body.
    pub fn message(&mut self, to: &str, id: &str, body: &str) {
        let from = &self.domain;
        self.wire.send(
            format!("<message from='{from}' to='{to}' id='{id}'><body>{body}</body></message>").as_bytes(),
            None,
        );
    }

    /// The next element as it came, or `None` when none comes within that time.
    pub fn next_xml(&mut self, limit: Duration) -> Option<String> {
        let at = self.at;
        self.wire.wait(limit, |received| first_element(&received[at..]).is_some());
        let rest = &self.wire.received()[at..];
        let end = first_element(rest)?;
        self.at += end;
        Some(String::from_utf8_lossy(&rest[..end]).trim_start().to_owned())
    }

    /// The next element.
    ///
    /// # Panics
    /// When none comes, or the stream ends.
    pub fn element(&mut self) -> Element {
        match self.next_xml(WAIT) {
            Some(xml) if !xml.starts_with("</") => Element::new(&xml),
            other => panic!("{} got no stanza but {other:?}; before: {}", self.domain, self.tail()),
        }
    }

    /// The next element, which must have this id.
    ///
    /// # Panics
    /// When another comes, or none.
    pub fn stanza(&mut self, id: &str) -> Element {
        let element = self.element();
        assert_eq!(element.attribute("id"), Some(id), "{}", element.xml);
        element
    }

    /// The next element, which must be an error for the stanza of this id.
    ///
    /// # Panics
    /// When it is not.
    pub fn fault(&mut self, id: &str) -> Fault {
        let element = self.stanza(id);
        assert_eq!(element.attribute("type"), Some("error"), "{}", element.xml);
        element.fault().unwrap_or_else(|| panic!("no error in {}", element.xml))
    }

    /// Everything that was sent before is dealt with when this is back. Gives what came meanwhile.
    ///
    /// # Panics
    /// When the stream does not live.
    pub fn sync(&mut self) -> Vec<Element> {
        self.syncs += 1;
        let id = format!("sync-{}", self.syncs);
        let ping = format!(
            "<iq type='get' id='{id}' from='{0}' to='{0}'><ping xmlns='urn:xmpp:ping'/></iq>",
            self.domain
        );
        self.send(&ping);
        let mut came = Vec::new();
        loop {
            let element = self.element();
            if element.attribute("id") == Some(&id) {
                return came;
            }
            came.push(element);
        }
    }

    /// Nothing came and nothing comes, and the stream lives.
    ///
    /// # Panics
    /// When something came.
    pub fn assert_quiet(&mut self) {
        let came = self.sync();
        assert!(came.is_empty(), "{} got {:?}", self.domain, came.iter().map(|e| &e.xml).collect::<Vec<_>>());
    }

    /// Sends the closing tag and waits for the server's and the end of the connection, so that the domain is free.
    ///
    /// # Panics
    /// When the server does not end it in good order.
    pub fn close(&mut self) {
        self.send("</stream:stream>");
        self.wire.wait(WAIT, |_| false);
        assert!(self.wire.closed() && self.wire.received().ends_with(b"</stream:stream>"), "{}", self.tail());
    }

    /// Waits for the server to end the stream with an error, and gives it.
    ///
    /// # Panics
    /// When the stream does not end so, with its closing tag and the end of the connection.
    pub fn stream_fault(&mut self) -> Fault {
        self.wire.wait(WAIT, |_| false);
        let fault = stream_fault(&self.wire);
        fault.unwrap_or_else(|| panic!("no stream error for {}: {}", self.domain, self.tail()))
    }

    fn tail(&self) -> String {
        let received = self.wire.received();
        let tail = &received[received.len().saturating_sub(2000)..];
        format!("{}{}", String::from_utf8_lossy(tail), if self.wire.closed() { " [closed]" } else { "" })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if !thread::panicking() {
            assert_eq!(judge::check(self.wire.received()), Ok(()), "{} got {}", self.domain, self.tail());
        }
    }
}

/// The error with which the server ended this connection: after its header, before its closing tag, and closed.
///
/// # Panics
/// When a judge refuses what came.
#[must_use]
pub fn stream_fault(wire: &Wire) -> Option<Fault> {
    let received = wire.received();
    if !wire.closed() || !received.ends_with(b"</stream:error></stream:stream>") {
        return None;
    }
    assert_eq!(judge::check(received), Ok(()), "{}", wire.text());
    let start = received.windows(13).rposition(|bytes| bytes == b"<stream:error")?;
    let end = received.len() - "</stream:stream>".len();
    Element::new(std::str::from_utf8(&received[start..end]).ok()?).fault()
}

/// Opens a stream with this header, sends the right handshake if it gets so far, and gives the error that ends it.
///
/// # Panics
/// When the server does not refuse it.
pub fn refused(addr: SocketAddr, header: &str) -> Fault {
    let mut wire = Wire::connect(addr);
    if let Ok(id) = wire.open(header.as_bytes()) {
        wire.send(format!("<handshake>{}</handshake>", digest(&id)).as_bytes(), None);
    }
    wire.wait(WAIT, |_| false);
    stream_fault(&wire).unwrap_or_else(|| panic!("not refused: {}", wire.text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_cut_where_they_end() {
        let stream = b" <a k='>'><b/>x</a><c/>\n<d><![CDATA[</d>]]></d></stream:stream><e";
        assert_eq!(
            elements(stream),
            ["<a k='>'><b/>x</a>", "<c/>", "<d><![CDATA[</d>]]></d>", "</stream:stream>"]
        );
        assert_eq!(judge::trees(&stream[..stream.len() - 2]).len(), 3);
    }

    #[test]
    fn an_error_is_read_with_its_type_and_its_text() {
        let error = "<iq type='error' id='1'><error type='wait'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
            <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>why</text></error></iq>";
        let element = Element::new(error);
        let fault = element.fault().unwrap();
        assert_eq!((&*fault.condition, &*fault.kind, &*fault.text), ("gone", "wait", "why"));
        assert_eq!((element.name(), element.attribute("id")), ("iq", Some("1")));
    }
}
