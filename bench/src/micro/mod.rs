//! What the core costs by itself: cases that a clock (`benches/micro.rs`) or an instruction count (`enjamb-bench
//! instructions`) goes round with.

mod case;
mod parsers;
mod path;
mod polls;
mod ports;
mod routes;
mod stanzas;
mod turns;

pub use case::Case;

/// Our own cases: their budget is in `instructions.toml`.
const PATH: [&str; 19] = [
    "rich-324",
    "plain-208",
    "send-208",
    "pair-208",
    "local-208",
    "up-208",
    "down-208",
    "rich-2000",
    "non-ascii-2000",
    "bounce-324",
    "iq",
    "presence",
    "stamped",
    "normalised",
    "inherited",
    "cdata",
    "scan-324",
    "append-324",
    "connect",
];

/// Cases of a sender alone, of it with a component as the receiver, and with a local port.
pub(crate) const RECEIVERS: [&str; 3] = ["send-208", "pair-208", "local-208"];

/// Cases of a stanza that goes up through an uplink, and of one that comes down.
pub(crate) const UPLINKS: [&str; 2] = ["up-208", "down-208"];

/// One share of work of a connection that floods, usually and with input that is as dear as can be.
pub const POLLS: [&str; 5] = ["poll-usual", "poll-text", "poll-names", "poll-prefixes", "poll-lines"];

/// Cases of the router alone, and how many domains are bound in them.
pub const ROUTES: [(&str, usize); 5] = [
    ("route-10", 10),
    ("route-100", 100),
    ("route-1000", 1000),
    ("route-10000", 10_000),
    ("route-100000", 100_000),
];

/// Cases of the whole drive loop, without a kernel or a runtime, and how many components are connected in them: one more
/// writes to each of them in turn.
pub const TURNS: [(&str, usize); 4] =
    [("turns-10", 10), ("turns-100", 100), ("turns-1000", 1000), ("turns-10000", 10_000)];

/// The same, always to one of them.
pub const SAME: (&str, usize) = ("same-10000", 10_000);

/// Two messages there and back through the whole drive loop, and a request with its answer.
pub const ASK: [&str; 2] = ["ask-message", "ask-iq"];

/// Handshakes with one wrong digit, at this place, and one where all digits are wrong: each costs the same, or the time
/// that it takes would tell how much of it is right.
pub const WRONG_HANDSHAKES: [&str; 4] = ["handshake-0", "handshake-20", "handshake-39", "handshake-all"];

/// Other parsers reading the same stanzas: what they would cost in our place, for comparison, without a budget.
pub const OTHERS: [&str; 4] = ["rxml-324", "rxml-2000", "quick-xml-324", "quick-xml-2000"];

/// The names of our own cases.
pub fn ours() -> impl Iterator<Item = &'static str> {
    PATH.into_iter()
        .chain(POLLS)
        .chain([SAME.0])
        .chain(TURNS.map(|(name, _)| name))
        .chain(ASK)
        .chain(ROUTES.map(|(name, _)| name))
}

/// What a round of a case is.
#[must_use]
pub fn says(case: &str) -> &'static str {
    match case {
        "rich-324" => {
            "scan, look-up and copy of a message of 324 bytes with a chat state and a receipt's request"
        }
        "plain-208" => "scan, look-up and copy of a message of 208 bytes with a body alone",
        "send-208" => "of pair-208: all but what the receiver does",
        "pair-208" => "the same message from a connection to another one, on one thread",
        "local-208" => "the same message from a connection to a local port",
        "up-208" => "the same message from a connection to the server behind its uplink",
        "down-208" => "the same message from that server to a connection",
        "rich-2000" => "rich-324 with a longer body, 2,000 bytes in all",
        "non-ascii-2000" => "the same with a body of Cyrillic",
        "bounce-324" => "the message of 324 bytes, answered with an error",
        "iq" => "scan, look-up and copy of a disco#info request of 162 bytes",
        "presence" => "scan, look-up and copy of a presence of 249 bytes",
        "stamped" => "the same for a message without `from`, which is added",
        "normalised" => "the same for one with addresses in another spelling, which are rewritten",
        "inherited" => "the same for one with a prefix that the stream header declared, which is rewritten",
        "cdata" => "the same for one with a CDATA section, which is rewritten",
        "scan-324" => "of rich-324: the scan and its addresses",
        "append-324" => "of rich-324: the copy",
        "connect" => "header, handshake and binding of a connection",
        "poll-usual" => "one poll of a connection that floods with messages as rich-324, which are bounced",
        "poll-text" => "the same with a large message of text",
        "poll-names" => "the same with a large message whose attributes have one of 240 prefixes",
        "poll-prefixes" => "the same with attributes of different ones of them",
        "poll-lines" => "the same with a large message of line ends",
        "ask-message" => "a message to another component and one back, through the whole drive loop",
        "ask-iq" => "the same with a request and its answer",
        _ if case.starts_with("same-") => {
            "a message of some 200 bytes through the whole drive loop, from one socket to the same one of N others"
        }
        _ if case.starts_with("turns-") => "the same, to each of this many receivers in turn",
        _ if case.starts_with("route-") => "a look-up alone, among this many domains",
        _ if OTHERS.contains(&case) => "the bytes of our scan, parsed into events that are dropped",
        _ => "",
    }
}

/// Sets a case up. `None` if no case has this name, or if the core refuses its input.
#[must_use]
pub fn case(name: &str) -> Option<Case> {
    if let Some((_, domains)) = ROUTES.iter().find(|(route, _)| *route == name) {
        return routes::route(*domains);
    }
    if let Some((_, others)) = TURNS.iter().find(|(turns, _)| *turns == name) {
        return turns::turns(*others, true);
    }
    if name == SAME.0 {
        return turns::turns(SAME.1, false);
    }
    if ASK.contains(&name) {
        return turns::ask(name);
    }
    if WRONG_HANDSHAKES.contains(&name) {
        return Some(path::wrong_handshake(name.trim_start_matches("handshake-")));
    }
    if POLLS.contains(&name) {
        return polls::poll(name);
    }
    match name {
        "connect" => Some(path::connect()),
        "rxml-324" | "rxml-2000" => parsers::rxml(stanzas::of(name)),
        "quick-xml-324" | "quick-xml-2000" => Some(parsers::quick_xml(stanzas::of(name))),
        "scan-324" => path::scan(stanzas::of(name)),
        "append-324" => path::append(stanzas::of(name)),
        "send-208" => ports::send(stanzas::of("plain-208")),
        "pair-208" => ports::pair(stanzas::of("plain-208")),
        "local-208" => ports::local(stanzas::of("plain-208")),
        "up-208" => ports::up(stanzas::of("plain-208")),
        "down-208" => ports::down(stanzas::of("plain-208")),
        "bounce-324" => path::bounce(stanzas::of(name)),
        _ if PATH.contains(&name) => path::pass_on(stanzas::of(name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_does_what_it_says_again_and_again() {
        // So many domains are for the benchmark.
        for name in ours().chain(OTHERS).chain(WRONG_HANDSHAKES).filter(|name| *name != "route-100000") {
            let mut case = case(name).unwrap_or_else(|| panic!("{name} can't be set up"));
            assert!((0..3).all(|_| case.exercise()), "{name}");
            assert_eq!(says(name).is_empty(), WRONG_HANDSHAKES.contains(&name), "{name}");
        }
        assert!(case("no such case").is_none());
    }

    #[test]
    fn what_is_to_be_written_anew_is_written_anew() {
        let written = |name| path::written(&stanzas::of(name)).unwrap();
        for name in ["rich-324", "plain-208", "non-ascii-2000", "iq", "presence"] {
            assert_eq!(written(name), stanzas::of(name), "{name}");
        }
        let text = |name| String::from_utf8(written(name)).unwrap();
        assert!(text("stamped").contains(" from='comp.example'"), "{}", text("stamped"));
        assert!(text("normalised").contains("Romeo@comp.example/Orchard"), "{}", text("normalised"));
        assert!(text("inherited").contains(" xmlns:r='urn:xmpp:receipts'"), "{}", text("inherited"));
        assert!(text("cdata").contains("1 &lt; 2"), "{}", text("cdata"));
    }
}
