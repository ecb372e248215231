//! What a host of the server answers itself: service discovery, ping, version, time.
//!
//! Everything else that is sent to a host gets `service-unavailable` (RFC 6120, 10.3.3); presence, and what no
//! error may answer, is dropped.

use alloc::string::String;
use alloc::vec::Vec;

use rxml::{Event, Parse, Parser};

use crate::jid::Domain;
use crate::namespaces as ns;
use crate::stanza::{Kind, Stanza};
use crate::stanza_error::{ErrorType, StanzaCondition, StanzaError};
use crate::xml::escape::{push_attribute, push_text};

const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
const PING: &str = "urn:xmpp:ping";
const VERSION: &str = "jabber:iq:version";
const TIME: &str = "urn:xmpp:time";

/// What a host says of itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HostInfo {
    /// The software's name (XEP-0092), and that of the host's identity (XEP-0030).
    pub name: String,
    /// Its version (XEP-0092).
    pub version: String,
}

impl HostInfo {
    /// Names the software.
    #[must_use]
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self { name: name.into(), version: version.into() }
    }
}

/// Where the answers that change come from.
pub trait HostFacts {
    /// The components that disco#items of this host lists, hidden ones left out, in order (XEP-0030).
    fn items(&self, host: &str) -> Vec<Domain>;
    /// The time in UTC as XEP-0082 writes it, such as `2026-11-22T18:00:00Z` (XEP-0202).
    fn utc(&self) -> String;
}

/// Answers a stanza whose `to` is a host, or a user at one, in `out`; false where it was dropped instead,
/// which is to be counted.
#[must_use = "a stanza that was not answered is to be counted"]
pub fn answer(stanza: &Stanza<'_>, info: &HostInfo, facts: &impl HostFacts, out: &mut Vec<u8>) -> bool {
    if stanza.kind() == Kind::Presence || !stanza.may_be_answered() {
        return false;
    }
    let error = match result(stanza, info, facts) {
        Ok(result) => {
            push_result(stanza, &result, out);
            return true;
        }
        Err(error) => error,
    };
    error.append_answer_to(stanza, out);
    true
}

/// The child element of a result, empty for none.
fn result(stanza: &Stanza<'_>, info: &HostInfo, facts: &impl HostFacts) -> Result<Vec<u8>, StanzaError> {
    let unavailable = || {
        let text = "the server itself offers service discovery, ping, version and time only";
        StanzaError::new(StanzaCondition::ServiceUnavailable, ErrorType::Cancel, text)
    };
    let Some(to) = stanza.to().filter(|to| to.local().is_none() && to.resource().is_none()) else {
        return Err(unavailable());
    };
    if stanza.kind() != Kind::Iq || stanza.type_().as_deref() != Some("get") {
        return Err(unavailable());
    }
    let request = Request::read(stanza).ok_or_else(unavailable)?;
    let no_node = || {
        let text = "the server has no such node";
        StanzaError::new(StanzaCondition::ItemNotFound, ErrorType::Cancel, text)
    };
    let mut out = Vec::new();
    match (&*request.namespace, &*request.name) {
        (DISCO_INFO | DISCO_ITEMS, "query") if request.node.is_some() => return Err(no_node()),
        (DISCO_INFO, "query") => push_disco_info(&mut out, info),
        (DISCO_ITEMS, "query") => push_disco_items(&mut out, &facts.items(to.domain())),
        (PING, "ping") => {}
        (VERSION, "query") => {
            out.extend_from_slice(b"<query xmlns='jabber:iq:version'>");
            push_element(&mut out, "name", &info.name);
            push_element(&mut out, "version", &info.version);
            out.extend_from_slice(b"</query>");
        }
        (TIME, "time") => {
            out.extend_from_slice(b"<time xmlns='urn:xmpp:time'>");
            push_element(&mut out, "tzo", "+00:00");
            push_element(&mut out, "utc", &facts.utc());
            out.extend_from_slice(b"</time>");
        }
        _ => return Err(unavailable()),
    }
    Ok(out)
}

/// The child of an iq.
struct Request {
    namespace: String,
    name: String,
    node: Option<String>,
}

impl Request {
    /// Reads it from the stanza as it would be delivered, which any parser takes.
    fn read(stanza: &Stanza<'_>) -> Option<Self> {
        let mut document = Vec::from(*b"<stream:stream");
        push_attribute(&mut document, "xmlns", ns::COMPONENT);
        push_attribute(&mut document, "xmlns:stream", ns::STREAMS);
        document.push(b'>');
        stanza.append_to(&mut document);
        let mut parser = Parser::new();
        let mut rest = &document[..];
        let mut depth = 0;
        while let Ok(Some(event)) = parser.parse(&mut rest, false) {
            match event {
                Event::StartElement(_, (namespace, name), attributes) => {
                    depth += 1;
                    if depth == 3 {
                        let node = attributes.get(rxml::Namespace::none(), "node").cloned();
                        return Some(Self {
                            namespace: namespace.as_str().into(),
                            name: name.as_str().into(),
                            node,
                        });
                    }
                }
                Event::EndElement(_) => depth -= 1,
                _ => {}
            }
        }
        None
    }
}

fn push_result(stanza: &Stanza<'_>, child: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"<iq type='result'");
    for (name, address) in [("from", stanza.to()), ("to", stanza.from())] {
        if let Some(address) = address {
            push_attribute(out, name, address.as_str());
        }
    }
    if let Some(id) = stanza.id() {
        push_attribute(out, "id", &id);
    }
    if child.is_empty() {
        out.extend_from_slice(b"/>");
    } else {
        out.push(b'>');
        out.extend_from_slice(child);
        out.extend_from_slice(b"</iq>");
    }
}

fn push_disco_info(out: &mut Vec<u8>, info: &HostInfo) {
    out.extend_from_slice(b"<query");
    push_attribute(out, "xmlns", DISCO_INFO);
    out.extend_from_slice(b"><identity category='server' type='im'");
    push_attribute(out, "name", &info.name);
    out.extend_from_slice(b"/>");
    for feature in [DISCO_INFO, DISCO_ITEMS, VERSION, PING, TIME] {
        out.extend_from_slice(b"<feature");
        push_attribute(out, "var", feature);
        out.extend_from_slice(b"/>");
    }
    out.extend_from_slice(b"</query>");
}

fn push_disco_items(out: &mut Vec<u8>, items: &[Domain]) {
    out.extend_from_slice(b"<query");
    push_attribute(out, "xmlns", DISCO_ITEMS);
    out.push(b'>');
    for item in items {
        out.extend_from_slice(b"<item");
        push_attribute(out, "jid", item.as_str());
        out.extend_from_slice(b"/>");
    }
    out.extend_from_slice(b"</query>");
}

fn push_element(out: &mut Vec<u8>, name: &str, text: &str) {
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    out.push(b'>');
    push_text(out, text);
    out.extend_from_slice(b"</");
    out.extend_from_slice(name.as_bytes());
    out.push(b'>');
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::{format, vec};

    use super::*;
    use crate::limits::Limits;
    use crate::xml::scan::{Progress, Scan};
    use crate::xml::scope::HeaderPrefixes;

    struct Facts;

    impl HostFacts for Facts {
        fn items(&self, host: &str) -> Vec<Domain> {
            assert_eq!(host, "host.example");
            ["a.example", "b.example"].map(|name| Domain::parse(name).unwrap()).into()
        }

        fn utc(&self) -> String {
            "2026-11-22T18:00:00Z".into()
        }
    }

    /// What the host says to a stanza.
    fn answered(stanza: &str) -> Option<String> {
        let mut scan = Scan::default();
        let whole = scan.advance(stanza.as_bytes(), &Limits::default(), &[]).unwrap();
        assert_eq!(whole, Progress::Whole(stanza.len()));
        let stanza = Stanza::new(stanza.as_bytes(), scan.head(), &HeaderPrefixes::Usual).unwrap().unwrap();
        let mut out = Vec::new();
        let answered = answer(&stanza, &HostInfo::new("En<jamb", "1'0"), &Facts, &mut out);
        assert_eq!(answered, !out.is_empty());
        answered.then(|| String::from_utf8(out).unwrap())
    }

    fn asked(to: &str, payload: &str) -> String {
        let iq = format!("<iq type='get' id='1&amp;' from='a.example/r' to='{to}'>{payload}</iq>");
        answered(&iq).expect("a request is answered")
    }

    fn result(payload: &str) -> String {
        let head = "<iq type='result' from='host.example' to='a.example/r' id='1&amp;'";
        if payload.is_empty() { format!("{head}/>") } else { format!("{head}>{payload}</iq>") }
    }

    #[test]
    fn what_a_host_offers_it_answers() {
        for (payload, answer) in [
            ("<ping xmlns='urn:xmpp:ping'/>", ""),
            ("\n <ping xmlns='urn:xmpp:ping'/>", ""),
            (
                "<query xmlns='jabber:iq:version'/>",
                "<query xmlns='jabber:iq:version'><name>En&lt;jamb</name><version>1'0</version></query>",
            ),
            (
                "<t:time xmlns:t='urn:xmpp:time'/>",
                "<time xmlns='urn:xmpp:time'><tzo>+00:00</tzo><utc>2026-11-22T18:00:00Z</utc></time>",
            ),
            (
                "<query xmlns='http://jabber.org/protocol/disco#items'/>",
                "<query xmlns='http://jabber.org/protocol/disco#items'>\
                 <item jid='a.example'/><item jid='b.example'/></query>",
            ),
            (
                "<query xmlns='http://jabber.org/protocol/disco#info'/>",
                "<query xmlns='http://jabber.org/protocol/disco#info'>\
                 <identity category='server' type='im' name='En&lt;jamb'/>\
                 <feature var='http://jabber.org/protocol/disco#info'/>\
                 <feature var='http://jabber.org/protocol/disco#items'/>\
                 <feature var='jabber:iq:version'/><feature var='urn:xmpp:ping'/>\
                 <feature var='urn:xmpp:time'/></query>",
            ),
        ] {
            assert_eq!(asked("host.example", payload), result(answer));
        }
    }

    #[test]
    fn what_it_does_not_offer_gets_an_error() {
        let info = "<query xmlns='http://jabber.org/protocol/disco#info' node='n'/>";
        let no_node = asked("host.example", info);
        assert!(no_node.contains("<item-not-found ") && no_node.contains("no such node"), "{no_node}");
        let ping = "<ping xmlns='urn:xmpp:ping'/>";
        for (to, payload) in [
            ("user@host.example", ping),
            ("host.example/r", ping),
            ("host.example", "<ping xmlns='urn:other'/>"),
            ("host.example", "<query xmlns='urn:xmpp:ping'/>"),
            ("host.example", ""),
        ] {
            let unavailable = asked(to, payload);
            assert!(unavailable.contains("type='error'><error type='cancel'><service-unavailable "));
            assert!(
                unavailable
                    .contains("the server itself offers service discovery, ping, version and time only")
            );
        }
        let others = vec!["<message from='a.example' to='host.example'/>".to_string()];
        let set = format!("<iq type='set' id='1' from='a.example' to='host.example'>{ping}</iq>");
        for stanza in others.into_iter().chain([set]) {
            assert!(
                answered(&stanza).is_some_and(|answer| answer.contains("<service-unavailable ")),
                "{stanza}"
            );
        }
    }

    #[test]
    fn what_needs_no_answer_gets_none() {
        for stanza in [
            "<presence from='a.example' to='host.example'/>",
            "<message type='error' from='a.example' to='host.example'/>",
            "<iq type='result' id='1' from='a.example' to='host.example'/>",
        ] {
            assert_eq!(answered(stanza), None, "{stanza}");
        }
    }
}
