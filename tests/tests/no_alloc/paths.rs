//! Every path that a stanza of `comp.example` can take.

use std::sync::Arc;

use enjamb_core::router::BindPolicy;
use enjamb_server::access::{Clause, Condition, Glob, JidField, Matcher, Pattern, Rule, Scope, Verdict};
use enjamb_tests::corpus::proof;

/// The header of a component; its prefix `p` is used by a stanza that does not declare it.
pub(crate) fn header(domain: &str) -> String {
    format!(
        "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' \
         xmlns:p='urn:p' to='{domain}'>"
    )
}

/// The proof of the secret `s` for a stream of that id.
pub(crate) fn handshake(id: &str) -> String {
    format!("<handshake>{}</handshake>", proof(id, "s"))
}

/// What becomes of a stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goes {
    /// To whom it is for, who gets this of it.
    There(&'static str),
    /// An answer goes back, with this in it.
    Back(&'static str),
    /// Nowhere: nothing may answer it.
    Nowhere,
}
use Goes::{Back, Nowhere, There};

/// Whom the rule of `closed.example` denies: a rule with every kind of condition.
pub(crate) fn closed() -> BindPolicy {
    let condition = |field, matcher| Condition { field, matcher };
    let conditions = vec![
        condition(JidField::User, Matcher::Glob(Glob::parse("rome*").expect("it is a glob"))),
        condition(JidField::User, Matcher::Custom { test: Arc::new(|user| user == "romeo"), weight: 1 }),
        condition(JidField::User, Matcher::Equals("ROMEO".into())),
        condition(JidField::Server, Matcher::Equals("Comp.Example.".into())),
        condition(JidField::Resource, Matcher::Equals("Orchard".into())),
    ];
    let acl = |conditions| vec![Pattern { scope: Scope::All, conditions }];
    let clauses = vec![
        Clause { acl: acl(conditions), verdict: Verdict::Deny },
        Clause { acl: acl(Vec::new()), verdict: Verdict::Allow },
    ];
    BindPolicy { access: Rule { clauses }.into(), ..BindPolicy::default() }
}

/// An address that is not ASCII or is rewritten, a value with references, the words of an error: what is put
/// together beside the output. Simpler code is worth more there than an allocation.
const FEW: usize = 9;

/// Stanzas, where they go, and the most allocations that each costs.
pub(crate) const PATHS: &[(&str, Goes, usize)] = &[
    (
        "<message from='romeo@comp.example/o' to='juliet@peer.example/b'><body>x</body></message>",
        There("<body>x</body>"),
        0,
    ),
    (
        "<iq from='comp.example' to='peer.example' type='get' id='1'><q xmlns='urn:q'/></iq>",
        There("'urn:q'"),
        1,
    ),
    ("<iq from='comp.example' to='peer.example' type='result' id='1'/>", There("type='result'"), 0),
    ("<presence from='comp.example' to='peer.example'/>", There("<presence from="), 0),
    ("<message from='comp.example' to='peer.example' type='error'/>", There("type='error'"), 0),
    // Stamped, and normalised.
    ("<message to='peer.example'><body>x</body></message>", There("from='comp.example'"), 0),
    (
        "<message from='Romeo@COMP.Example/O' to='juliet@Peer.Example./b'/>",
        There("from='Romeo@comp.example/O'"),
        FEW,
    ),
    (
        "<message from='r&#111;meo@comp.example' to='juliet@peer.example/a&amp;b'/>",
        There("'juliet@peer.example/a&amp;b'"),
        FEW,
    ),
    (
        "<message from='r&#111;meo@Comp.example' to='juliet@peer.example&#46;/a&quot;b'/>",
        There("'romeo@comp.example'"),
        FEW,
    ),
    ("<message to='peer.example'>\n<body>x</body></message>", There("from='comp.example'"), 0),
    ("<message from='comp.example' to='a@bücher.example'/>", There("'a@bücher.example'"), FEW),
    ("<message from='comp.example' to='a@BÜCHER.example/x'/>", There("'a@bücher.example/x'"), FEW),
    ("<message from='comp.example' to='xn--bcher-kva.example'/>", There("'bücher.example'"), FEW),
    // Rewritten.
    ("<message from='comp.example' to='peer.example'><p:x/></message>", There("xmlns:p='urn:p'"), 0),
    ("<message xmlns='jabber:client' from='comp.example' to='peer.example'/>", There("<message from="), 0),
    (
        "<c:message xmlns:c='jabber:component:accept' from='comp.example' to='peer.example'/>",
        There("<message xmlns:c="),
        0,
    ),
    (
        "<message from='comp.example' to='peer.example'><body><![CDATA[a<b]]>\r\n</body></message>",
        There("a&lt;b\n"),
        0,
    ),
    (
        "<message from='comp.example' to='peer.example'><body>&#0000000000120;</body></message>",
        There("&#x78;"),
        0,
    ),
    (
        "<message from='comp.example' to='peer.example'><q:x xmlns:q='urn:&#113;'/></message>",
        There("'urn:&#113;'"),
        FEW,
    ),
    // A rule that lets it through, and one that does not.
    ("<message from='Romeo@comp.example/Balcony' to='closed.example'/>", There("/Balcony'"), 0),
    (
        "<message from='RomeO@comp.example/Orchard' to='closed.example'/>",
        Back("the access rule of 'closed.example'"),
        FEW,
    ),
    (
        "<message from='comp.example' to='x@Down.example' id='a'/>",
        Back("the component 'down.example' is not"),
        FEW,
    ),
    (
        "<message from='comp.example' to='unknown.example' id='a&amp;b'/>",
        Back("no component serves 'unknown.example'"),
        FEW,
    ),
    ("<message to='UNKNOWN.example' id='&quot;&apos;'/>", Back("id='&quot;&apos;'"), FEW),
    (
        "<message from='comp.example' to='&#117;nknown.example'><![CDATA[x]]></message>",
        Back("no component serves"),
        FEW,
    ),
    // Refused.
    ("<message from='evil.example' to='peer.example'/>", Back("not of the component's own domain"), FEW),
    ("<message from='&#101;vil.example' to='Peer.example'/>", Back("from='peer.example'"), FEW),
    ("<message from='@' to='peer.example'/>", Back("the 'from' is no address"), FEW),
    ("<message from='comp.example' to='&#64;'/>", Back("the 'to' is no address"), FEW),
    ("<message from='comp.example'/>", Back("must have a 'to'"), FEW),
    ("<iq from='comp.example' to='peer.example' type='&#103;et' id='1'/>", Back("an iq needs an id"), FEW),
    ("<foo from='comp.example' to='peer.example'/>", Back("<foo from="), FEW),
    ("<foo xmlns='urn:&#120;'/>", Back("<foo xmlns='urn:&#120;'"), FEW),
    ("<p:foo/>", Back("<foo xmlns='urn:p'"), FEW),
    // Answered by the host.
    (
        "<iq from='comp.example' to='host.example' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
        Back("id='1'/>"),
        0,
    ),
    (
        "<iq to='Host.example' type='get' id='1'><v:query xmlns:v='jabber:iq:version'/></iq>",
        Back("<version>1</version>"),
        FEW,
    ),
    (
        "<iq to='host.example' type='get' id='1'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
        Back("<identity category='server'"),
        0,
    ),
    (
        "<iq to='host.example' type='get' id='1'><query node='x' xmlns='http://jabber.org/protocol/disco#info'/></iq>",
        Back("no such node"),
        0,
    ),
    (
        "<iq to='host.example' type='get' id='1'><p:x/></iq>",
        Back("service discovery, ping, version and time only"),
        0,
    ),
    ("<message to='juliet@host.example'/>", Back("service discovery, ping, version and time only"), 0),
    // Dropped, and counted.
    ("<message from='comp.example' to='unknown.example' type='error'/>", Nowhere, FEW),
    ("<message from='comp.example' to='unknown.example' type='&#101;rror'/>", Nowhere, FEW),
    ("<iq from='comp.example' to='down.example' type='result' id='1'/>", Nowhere, FEW),
    ("<presence from='comp.example' to='unknown.example' type='unavailable'/>", Nowhere, FEW),
    ("<message from='evil.example' to='peer.example' type='error'/>", Nowhere, 0),
    ("<message from='comp.example' type='error'/>", Nowhere, 0),
    ("<presence from='comp.example' to='host.example'/>", Nowhere, 0),
    ("<message from='comp.example' to='host.example' type='error'/>", Nowhere, 0),
];

/// What a host is asked where the answer is put together again, with the most allocations that it costs beside those
/// of its facts: the list of disco#items is the switch's, and the clock is the embedder's.
pub(crate) const BOUNDED: &[(&str, &str)] = &[
    (
        "<iq to='host.example' type='get' id='1'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
        "<item jid='comp.example'/>",
    ),
    ("<iq to='host.example' type='get' id='1'><time xmlns='urn:xmpp:time'/></iq>", "<utc>"),
];
