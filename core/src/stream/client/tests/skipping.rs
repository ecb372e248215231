//! Stanzas over the limit are skipped, answered, and nothing more.

use alloc::vec;

use super::*;

const LIMIT: usize = 100;

/// What becomes of a component with that limit, and all that it says.
struct Heard {
    stream: ClientStream,
    pending: Vec<u8>,
    events: Vec<String>,
    out: Vec<u8>,
    most_pending: usize,
}

impl Heard {
    fn new(skipping: bool) -> Self {
        let mut stream = established_with(Limits { stanza: LIMIT, ..Limits::default() });
        stream.set_skipping(skipping);
        Self { stream, pending: Vec::new(), events: Vec::new(), out: Vec::new(), most_pending: 0 }
    }

    fn hear(&mut self, piece: &[u8]) {
        self.pending.extend_from_slice(piece);
        loop {
            let step = match self.stream.process(T, &self.pending, &mut self.out) {
                Ok(step) => step,
                Err(error) => {
                    let error = error.to_string();
                    if self.events.last() != Some(&error) {
                        self.events.push(error);
                    }
                    self.pending.clear();
                    return;
                }
            };
            let shown =
                |address: Option<&crate::jid::Jid<'_>>| address.map_or("none".into(), ToString::to_string);
            let is_last = step.event.is_none();
            self.events.extend(step.event.map(|event| match event {
                ClientEvent::Stanza(stanza) => {
                    format!("{} {}", stanza.kind(), stanza.id().unwrap_or_default())
                }
                ClientEvent::TooLong(TooLong { kind, to, from, answered }) => format!(
                    "too long: {kind:?} from {} to {}: {answered}",
                    shown(from.as_ref()),
                    shown(to.as_ref())
                ),
                other => format!("{other:?}"),
            }));
            self.pending.drain(..step.consumed);
            if is_last {
                break;
            }
        }
        self.most_pending = self.most_pending.max(self.pending.len());
    }

    fn said(&self) -> (Vec<String>, String) {
        (self.events.clone(), String::from_utf8(self.out.clone()).unwrap())
    }
}

/// What happens, and what is said, however the input is cut.
fn heard(skipping: bool, input: &str) -> (Vec<String>, String) {
    let in_pieces = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut heard = Heard::new(skipping);
        pieces.for_each(|piece| heard.hear(piece));
        assert!(heard.most_pending < LIMIT, "{} bytes are kept of {input}", heard.most_pending);
        heard.said()
    };
    let input = input.as_bytes();
    let whole = in_pieces(&mut [input].into_iter());
    for size in [1, 2, 3, 7, 64, LIMIT, LIMIT + 1] {
        assert_eq!(in_pieces(&mut input.chunks(size)), whole, "in pieces of {size}");
    }
    for cut in 1..input.len() {
        let (first, second) = input.split_at(cut);
        assert_eq!(in_pieces(&mut [first, second].into_iter()), whole, "cut at {cut}");
    }
    whole
}

/// More than the limit, with markup that is none.
fn content() -> String {
    format!("<x y='a>/'><![CDATA[</message>]] ]]><z/>{}</x>", "text ".repeat(60))
}

fn policy_violation(start: &str, name: &str) -> String {
    format!(
        "{start} type='error'><error type='modify'><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
         <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>the component takes stanzas up to {LIMIT} \
         bytes, and this one is longer</text></error></{name}>"
    )
}

#[test]
fn u4_stanza_over_the_limit_is_skipped_and_answered() {
    for (name, attributes, answer_id) in [
        ("message", "id='1'", " id='1'"),
        ("message", "type='chat'", ""),
        ("iq", "type='get' id=\"it's\"", " id=\"it's\""),
        ("iq", "id='1&amp;2' type='set'", " id='1&amp;2'"),
        ("presence", "type='subscribe'", ""),
        ("presence", "", ""),
    ] {
        let stanza =
            format!("<{name} to='a@a.example' from='b.example/r' {attributes}>{}</{name}>", content());
        let (events, out) = heard(true, &format!("{stanza}<message id='next'/>\n{stanza}<iq id='last'/>"));
        let kind = if name == "iq" { "Iq".into() } else { name[..1].to_uppercase() + &name[1..] };
        let skipped = format!("too long: Some({kind}) from b.example/r to a@a.example: true");
        assert_eq!(events, [&*skipped, "message next", &skipped, "iq last"], "{stanza}");
        let start = format!("<{name} from='a@a.example' to='b.example/r'{answer_id}");
        assert_eq!(out, policy_violation(&start, name).repeat(2));
    }
}

#[test]
fn u4_answers_and_errors_are_skipped_without_an_answer() {
    for (name, attributes, event) in [
        (
            "message",
            "to='a.example' from='b.example' type='error'",
            "Some(Message) from b.example to a.example",
        ),
        ("iq", "to='a.example' from='b.example' type='error'", "Some(Iq) from b.example to a.example"),
        ("iq", "to='a.example' from='b.example' type='result'", "Some(Iq) from b.example to a.example"),
        (
            "presence",
            "to='a.example' from='b.example' type='error'",
            "Some(Presence) from b.example to a.example",
        ),
        (
            "presence",
            "to='a.example' from='b.example' type='unavailable'",
            "Some(Presence) from b.example to a.example",
        ),
        // Nobody is there to whom, or as whom, it could be answered.
        ("message", "to='a.example'", "Some(Message) from none to a.example"),
        ("message", "to='a.example' from='@b'", "Some(Message) from none to a.example"),
        ("message", "to='@' from='b.example'", "Some(Message) from b.example to none"),
        ("x", "xmlns='urn:x' to='a.example' from='b.example'", "None from b.example to a.example"),
    ] {
        let input = format!("<{name} {attributes}>{}</{name}> <message id='next'/>", content());
        let (events, out) = heard(true, &input);
        assert_eq!(events, [&*format!("too long: {event}: false"), "message next"]);
        assert_eq!(out, "", "{input}");
    }
}

#[test]
fn u4_stanza_of_exactly_the_limit_is_taken() {
    let of = |length: usize| {
        let (start, end) = ("<message id='1'>", "</message>");
        format!("{start}{}{end}", "x".repeat(length - start.len() - end.len()))
    };
    assert_eq!(heard(true, &of(LIMIT)).0, ["message 1"]);
    assert_eq!(heard(true, &of(LIMIT + 1)).0, ["too long: Some(Message) from none to none: false"]);
}

#[test]
fn u4_start_tag_over_the_limit_ends_the_stream() {
    let input = format!("<message to='a.example' from='b.example' id='{}'>", "x".repeat(LIMIT));
    let (events, out) = heard(true, &input);
    assert_eq!(events.len(), 1);
    assert!(events[0].starts_with("policy-violation: "), "{events:?}");
    assert!(
        out.starts_with("<stream:error><policy-violation ") && out.ends_with("</stream:stream>"),
        "{out}"
    );
    // Of a child it may be.
    let input = format!("<message><x y='{}'/></message><message id='next'/>", "x".repeat(LIMIT));
    assert_eq!(heard(true, &input).0[1..], ["message next"]);
}

#[test]
fn u4_streams_end_and_what_is_forbidden_count_behind_the_limit() {
    let begun = format!("<message>{}", "x".repeat(LIMIT));
    let skipped = "too long: Some(Message) from none to none: false";
    let (events, out) = heard(true, &format!("{begun}</message></stream:stream>"));
    assert_eq!((events, &*out), (vec![skipped.into(), "Closed".to_string()], "</stream:stream>"));
    let (events, out) = heard(true, &format!("{begun}<!-- --></message>"));
    assert_eq!(events[0], skipped);
    assert!(events[1].starts_with("restricted-xml: a comment "), "{events:?}");
    assert!(out.starts_with("<stream:error><restricted-xml ") && out.ends_with("</stream:stream>"), "{out}");
    // The server's own error is not skipped.
    let (events, _) =
        heard(true, &format!("<stream:error><text>{}</text></stream:error>", "x".repeat(LIMIT)));
    assert!(events[0].starts_with("policy-violation: "), "{events:?}");
}

#[test]
fn u4_time_of_a_stanza_runs_while_it_is_skipped() {
    let within = Limits::default().stanza_time;
    let begun = format!("<message>{}", "x".repeat(LIMIT));
    let mut slow = Heard::new(true);
    slow.hear(begun.as_bytes());
    let later = T + within;
    assert!(slow.stream.handle_timeout(T + within / 2, &mut slow.out).is_ok());
    assert!(slow.stream.process(T + within / 2, b"more", &mut slow.out).unwrap().event.is_none());
    assert_eq!(slow.stream.open.poll_timeout().map(|at| at <= later), Some(true));
    let error = slow.stream.handle_timeout(later, &mut slow.out).expect_err("it is slow");
    assert!(error.to_string().starts_with("connection-timeout: "), "{error}");

    // Not while nothing is read, and not behind its end.
    let (mut stopped, mut ended) = (Heard::new(true), Heard::new(true));
    stopped.hear(begun.as_bytes());
    stopped.stream.set_reading(T, false);
    ended.hear(format!("{begun}</message>").as_bytes());
    for heard in [stopped, ended] {
        let mut open = heard.stream.open;
        assert_eq!(open.handle_timeout(later, &mut Vec::new()), Ok(()));
    }
}

#[test]
fn u4_skipping_is_counted_as_work_and_nothing_is_shown_twice() {
    let mut heard = Heard::new(true);
    heard.hear(format!("<message>{}", "<a>".repeat(LIMIT)).as_bytes());
    assert_eq!((heard.pending.len(), heard.stream.reach()), (0, 0));
    heard.stream.take_work();
    heard.hear("<a>".repeat(1000).as_bytes());
    assert_eq!((heard.pending.len(), heard.stream.reach()), (0, 0));
    assert!(heard.stream.take_work() >= 3000);
    assert_eq!(heard.stream.take_work(), 0);
}

#[test]
fn without_skipping_a_stanza_over_the_limit_ends_the_stream() {
    let input = format!("<message to='a.example' from='b.example'>{}</message>", content());
    let (events, out) = heard(false, &input);
    assert_eq!(events.len(), 1);
    assert!(events[0].starts_with("policy-violation: "), "{events:?}");
    assert!(out.contains("<stanza-too-big "), "{out}");
}
