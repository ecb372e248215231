//! What one call may cost, whatever the input is.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{NOW, bound, handshake, listener, send, switch, with};
use crate::connection::{Budget, ClientConnection, Next};
use crate::handshake::Secret;
use crate::jid::Jid;
use crate::limits::Limits;
use crate::router::{Access, AccessRule, BindPolicy};

/// Units of a share.
const SHARE: usize = 96;

/// A message of 1 MiB less a little that repeats this piece in a `<w>` with these attributes.
fn message(outer: &str, piece: &str) -> String {
    let front = format!("<message to='b.example'><w{outer}>");
    let back = format!("{}</message>", "</w>".repeat(front.matches("<w").count()));
    let times = ((1 << 20) - front.len() - back.len() - 1) / piece.len();
    format!("{front}{}{back}", piece.repeat(times))
}

/// The same of one tag that holds the piece again and again.
fn one_tag(front: &str, piece: &str, back: &str) -> String {
    format!("<message to='b.example'><w{front}{}{back}/></message>", piece.repeat((1_048_000) / piece.len()))
}

fn attributes(count: usize, name: impl Fn(usize) -> String) -> String {
    (0..count).map(|n| format!(" {}=''", name(n))).collect()
}

fn declared(from: usize, count: usize) -> String {
    (from..from + count).map(|n| format!(" xmlns:p{n:03}='urn:p{n:03}'")).collect()
}

/// Inputs that were or may be dear.
fn inputs() -> Vec<(&'static str, String)> {
    let prefixes = format!("{}><w{}", declared(0, 120), declared(120, 120));
    let many = attributes(100, |n| format!("p000:a{n:02}"));
    let mixed = attributes(100, |n| format!("p{:03}:a", n * 2));
    let plain = attributes(100, |n| format!("a{n:02}"));
    let long = format!("{}.example", ["\u{6f22}\u{5b57}"; 130].join("."));
    let address = format!("<message to='{long}' from='x@A.example'/>");
    [
        ("one prefix of many", message(&prefixes, &format!("<a{many}/>"))),
        ("many prefixes", message(&prefixes, &format!("<a{mixed}/>"))),
        ("many attributes", message("", &format!("<a{plain}/>"))),
        ("many declarations", message("", &format!("<a{}/>", declared(0, 120)))),
        ("long declarations", {
            let piece: String = (0..120).map(|n| format!(" xmlns:p{n}='{}'", "&#65;".repeat(50))).collect();
            message("", &format!("<a{piece}/>"))
        }),
        ("one declaration among many", message(&declared(0, 120), "<a xmlns:b='c'/>")),
        ("many tags", message("", "<a/>")),
        ("tags and text", message("", "<a/>b")),
        ("a long value", one_tag(" a='", "lorem ipsum ", "'")),
        ("a long value of references", one_tag(" a='", "&lt;", "'")),
        ("blanks in a tag", one_tag("", " ", "")),
        ("text", message("", &"x".repeat(1000))),
        ("line ends", message("", "\n")),
        ("references", message("", "&lt;")),
        ("letters of other scripts", message("", "\u{e9}'")),
        ("sections", message("", "<![CDATA[]]>")),
        ("a section", message("", "<![CDATA[>>>>>>>>>>>>>>>>>>]]>")),
        ("small stanzas", "<message to='b.example'/>".repeat(4000)),
        ("elements that are not stanzas", "<a/>".repeat(20_000)),
        ("blanks between stanzas", " ".repeat(1 << 20)),
        ("long addresses", address.repeat(200)),
    ]
    .into()
}

/// What the dearest call costs, and what all cost together, until the input is taken.
fn cost(what: &str, input: &str) -> (usize, usize) {
    let switch = switch();
    let mut connection = bound(&switch, listener(), "to='a.example'");
    let (mut rest, mut dearest, mut sum, mut out) = (input.as_bytes(), 0, 0, Vec::new());
    loop {
        let mut budget = Budget::default();
        let progress = connection.process(&switch, NOW, rest, &mut budget);
        rest = &rest[progress.consumed..];
        dearest = dearest.max(budget.spent());
        sum += budget.spent();
        connection.write_to(&switch, NOW, &mut out);
        if progress.next == Next::Input {
            break;
        }
    }
    assert!(rest.is_empty() && !connection.is_closed(), "{what}: {}", String::from_utf8_lossy(&out));
    let said = send(
        &switch,
        &mut connection,
        "<iq type='get' to='a.example' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
    );
    assert_eq!(said.0.next, Next::Input, "{what}");
    (dearest, sum)
}

/// The copy of a stanza is not divided: what it costs is owed.
#[test]
fn no_call_costs_more_than_two_shares_and_the_copy_of_a_stanza() {
    for (what, input) in inputs() {
        let (dearest, sum) = cost(what, &input);
        let copied = if input.contains("CDATA") { input.len() / 3 / 64 } else { input.len() / 128 / 64 };
        let is_one = input.matches("<message").count() == 1;
        let allowed = 2 * SHARE + if is_one { copied } else { 0 };
        assert!(dearest <= allowed, "{what}: {dearest} units in one call");
        assert!(sum >= input.len() / 2048, "{what}: {sum} units for {} bytes", input.len());
        assert!(!is_one || sum <= input.len() / 12, "{what}: {sum} units for {} bytes", input.len());
    }
}

/// The units follow what the input costs by `enjamb-bench instructions`, not its length alone.
#[test]
fn dear_input_costs_more_units_than_text_does() {
    let of = |wanted: &str| {
        let (what, input) = inputs().into_iter().find(|(what, _)| *what == wanted).expect("it is listed");
        cost(what, &input).1 * 1000 / input.len()
    };
    let text = of("text");
    for dear in
        ["one prefix of many", "many attributes", "many tags", "line ends", "letters of other scripts"]
    {
        let units = of(dear);
        assert!(units > 8 * text, "{dear}: {units} units for 1,000 bytes, and text {text}");
    }
}

/// A rule that costs 50 units by its own word.
#[test]
fn questions_to_an_access_rule_count_towards_the_share() {
    struct Slow;
    impl AccessRule for Slow {
        fn allows(&self, _: &Jid<'_>, _: bool) -> bool {
            true
        }

        fn cost(&self, sender: &Jid<'_>) -> usize {
            assert_eq!(sender.as_str(), "a.example");
            50
        }
    }
    let switch = switch();
    let access = Access::Rule(Arc::new(Slow));
    let _receiver = bound(&switch, with(BindPolicy { access, ..BindPolicy::default() }), "to='b.example'");
    let mut sender = bound(&switch, listener(), "to='a.example'");
    let mut budget = Budget::default();
    let stanza = "<message to='b.example'/>";
    let progress = sender.process(&switch, NOW, stanza.repeat(10).as_bytes(), &mut budget);
    assert_eq!((progress.consumed, progress.next), (2 * stanza.len(), Next::More));
    assert!((102..=104).contains(&budget.spent()), "{budget:?}");
}

#[test]
fn declarations_for_prefixes_of_the_header_count_towards_the_share() {
    let declared: String = (10..30).map(|number| format!(" xmlns:p{number}='urn:{number}'")).collect();
    let spent = |content: &str| {
        let switch = switch();
        let _receiver = bound(&switch, listener(), "to='b.example'");
        let mut sender = bound(&switch, listener(), &format!("to='a.example'{declared}"));
        let mut budget = Budget::default();
        let input = format!("<message to='b.example'>{content}</message>").repeat(3);
        let progress = sender.process(&switch, NOW, input.as_bytes(), &mut budget);
        assert_eq!(progress.consumed, input.len());
        budget.spent()
    };
    let each: String = (10..30).map(|number| format!("<p{number}:a/>")).collect();
    let (one, all) = (spent(&"<p10:a/>".repeat(20)), spent(&each));
    assert!(all >= one + 2, "{one} units for one prefix, {all} for twenty");
}

#[test]
fn what_is_owed_is_taken_from_the_next_shares() {
    let mut budget = Budget::default();
    budget.spend(3 * SHARE);
    assert_eq!((budget.is_spent(), budget.spent()), (true, 3 * SHARE));
    budget.renew();
    budget.renew();
    assert!(budget.is_spent());
    budget.renew();
    assert_eq!(budget, Budget::default());
    budget.renew();
    assert_eq!(budget, Budget::default(), "no share is saved up");
}

#[test]
fn component_scans_in_shares_too() {
    let limits = Limits { ping: None, ..Limits::default() };
    let domain = super::domain("a.example");
    let mut client = ClientConnection::new(domain, false, Secret::new("s"), limits.into(), NOW);
    let mut input = super::header("from='a.example' id='1'");
    assert!(!handshake("s").is_empty());
    input += "<handshake/>";
    let prefixes = format!("{}><w{}", declared(0, 120), declared(120, 120));
    let many = attributes(100, |n| format!("p000:a{n:02}"));
    input += &message(&prefixes, &format!("<a{many}/>"));
    let (mut rest, mut calls, mut taken) = (input.as_bytes(), 0, 0);
    while taken == 0 {
        let mut budget = Budget::default();
        let progress = client.process(NOW, rest, &mut budget, |stanza| {
            taken = stanza.raw().len();
            true
        });
        assert!(budget.spent() <= 2 * SHARE, "{} units in one call", budget.spent());
        rest = &rest[progress.consumed..];
        calls += 1;
        assert!(calls < 1000, "{}", rest.len().to_string());
    }
    assert!(calls > 50, "{calls} calls");
}
