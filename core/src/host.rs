//! What a host of the server answers itself: service discovery, ping, version, time.
//!
//! Everything else that is sent to a host gets `service-unavailable` (RFC 6120, 10.3.3); presence, and what no
//! error may answer, is dropped.

use alloc::string::String;
use alloc::vec::Vec;

use crate::jid::Domain;
use crate::stanza::{Stanza, StanzaKind};
use crate::stanza_error::{ErrorType, StanzaCondition, StanzaError, push_written};
use crate::xml::escape::{push_attribute, push_text, push_value};

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

impl Default for HostInfo {
    fn default() -> Self {
        Self::new("Enjamb", env!("CARGO_PKG_VERSION"))
    }
}

impl HostInfo {
    /// Names the software.
    #[must_use]
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self { name: name.into(), version: version.into() }
    }
}

/// What the answers of a host take from the server.
pub trait HostDirectory {
    /// Goes through the components that disco#items of this host lists, hidden ones left out, in order (XEP-0030).
    fn items(&self, host: &str, each: &mut dyn FnMut(&Domain));
    /// The time in UTC as XEP-0082 writes it, such as `2026-11-22T18:00:00Z` (XEP-0202).
    fn utc(&self) -> String;
}

/// Answers a stanza whose `to` is a host, or a user at one, in `out`; false where it was dropped instead,
/// which is to be counted.
#[must_use = "a stanza that was not answered is to be counted"]
pub fn answer(stanza: &Stanza<'_>, info: &HostInfo, facts: &impl HostDirectory, out: &mut Vec<u8>) -> bool {
    if stanza.kind() == StanzaKind::Presence || !stanza.expects_reply() {
        return false;
    }
    match reply_to(stanza) {
        Ok(reply) => push_result(stanza, reply, info, facts, out),
        Err(error) => error.append_answer_to(stanza, out),
    }
    true
}

/// What a result holds.
enum Reply {
    DiscoInfo,
    DiscoItems,
    Pong,
    Version,
    Time,
}

fn reply_to(stanza: &Stanza<'_>) -> Result<Reply, StanzaError> {
    let unavailable = || {
        let text = "the server itself offers service discovery, ping, version and time only";
        StanzaError::new(StanzaCondition::ServiceUnavailable, ErrorType::Cancel, text)
    };
    let is_asked = stanza.to().is_some_and(|to| to.local().is_none() && to.resource().is_none());
    if !is_asked || stanza.kind() != StanzaKind::Iq || stanza.known_type() != Some("get") {
        return Err(unavailable());
    }
    let request = stanza.child().ok_or_else(unavailable)?;
    let services = [
        ("query", DISCO_INFO, Reply::DiscoInfo),
        ("query", DISCO_ITEMS, Reply::DiscoItems),
        ("ping", PING, Reply::Pong),
        ("query", VERSION, Reply::Version),
        ("time", TIME, Reply::Time),
    ];
    let asked = services.into_iter().find(|(name, namespace, _)| request.is(name, namespace));
    match asked.map(|(_, _, reply)| reply) {
        Some(Reply::DiscoInfo | Reply::DiscoItems) if request.has_node() => {
            let text = "the server has no such node";
            Err(StanzaError::new(StanzaCondition::ItemNotFound, ErrorType::Cancel, text))
        }
        reply => reply.ok_or_else(unavailable),
    }
}

fn push_result(
    stanza: &Stanza<'_>,
    reply: Reply,
    info: &HostInfo,
    facts: &impl HostDirectory,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"<iq type='result'");
    for (name, address) in [("from", stanza.to()), ("to", stanza.from())] {
        if let Some(address) = address {
            push_attribute(out, name, address.as_str());
        }
    }
    if let Some(id) = stanza.written_id() {
        push_written(out, "id", id);
    }
    if matches!(reply, Reply::Pong) {
        out.extend_from_slice(b"/>");
        return;
    }
    out.push(b'>');
    match reply {
        Reply::DiscoInfo => push_disco_info(out, info),
        Reply::DiscoItems => {
            push_disco_items(out, stanza.to().map(|to| to.domain()), facts);
        }
        Reply::Pong => {}
        Reply::Version => {
            out.extend_from_slice(b"<query xmlns='jabber:iq:version'>");
            push_element(out, "name", &info.name);
            push_element(out, "version", &info.version);
            out.extend_from_slice(b"</query>");
        }
        Reply::Time => {
            out.extend_from_slice(b"<time xmlns='urn:xmpp:time'>");
            push_element(out, "tzo", "+00:00");
            push_element(out, "utc", &facts.utc());
            out.extend_from_slice(b"</time>");
        }
    }
    out.extend_from_slice(b"</iq>");
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

fn push_disco_items(out: &mut Vec<u8>, host: Option<&str>, facts: &impl HostDirectory) {
    out.extend_from_slice(b"<query");
    push_attribute(out, "xmlns", DISCO_ITEMS);
    out.push(b'>');
    if let Some(host) = host {
        facts.items(host, &mut |item| {
            // No domain has an apostrophe, so there is no choice of quotes to make.
            out.extend_from_slice(b"<item jid='");
            push_value(out, item.as_str(), b'\'');
            out.extend_from_slice(b"'/>");
        });
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

    impl HostDirectory for Facts {
        fn items(&self, host: &str, each: &mut dyn FnMut(&Domain)) {
            assert_eq!(host, "host.example");
            ["a.example", "b.example"].iter().for_each(|name| each(&Domain::parse(name).unwrap()));
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
            ("host.example", "ping"),
            ("host.example", "<![CDATA[<ping xmlns='urn:xmpp:ping'/>]]>"),
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
