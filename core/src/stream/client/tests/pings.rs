//! A component's ping to itself: whose it is, and what silence after it means.

use super::*;

/// What the ids of the pings begin with on the stream of [`HEADER`].
const OURS: &str = "enjamb-alive-d4730317d3797534-";
const OTHERS: &str = "enjamb-alive-0123456789abcdef-";
const SILENCE: &str =
    "connection-timeout: nothing came from the server within 80s, not even the answer to a ping";

/// A component and its clock.
struct Asking {
    stream: ClientStream,
    now: Instant,
    pings: usize,
}

impl Asking {
    fn new() -> Self {
        Self { stream: established(), now: T, pings: 0 }
    }

    /// Hears this, gives what comes of it and what is said.
    fn hears(&mut self, input: &str) -> (String, String) {
        let mut out = Vec::new();
        let step = self.stream.process(self.now, input.as_bytes(), &mut out).expect("it lives");
        assert_eq!(step.consumed, input.len());
        let event = match step.event {
            Some(ClientEvent::Stanza(stanza)) => stanza.kind().to_string(),
            other => format!("{other:?}"),
        };
        (event, String::from_utf8(out).unwrap())
    }

    /// Waits until a ping is sent, and gives it.
    fn asks(&mut self) -> String {
        let mut out = Vec::new();
        self.now += Limits::default().ping.unwrap();
        self.stream.handle_timeout(self.now, &mut out).expect("it lives");
        self.pings += 1;
        let ping = ping(OURS, self.pings);
        assert_eq!(String::from_utf8(out).unwrap().trim_start(), ping);
        ping
    }

    /// Waits for an answer that does not come. Says whether the stream is over.
    fn is_over_after_silence(&mut self) -> bool {
        self.now += Limits::default().ping_answer;
        let result = self.stream.handle_timeout(self.now, &mut Vec::new());
        result.map_err(|error| assert_eq!(error.to_string(), SILENCE)).is_err()
    }

    /// Sends that many pings, and gets each of them back.
    fn gets_back(&mut self, pings: usize) {
        for _ in 0..pings {
            let ping = self.asks();
            assert_eq!(self.hears(&ping), swallowed());
        }
    }
}

fn ping(ids: &str, number: usize) -> String {
    format!(
        "<iq type='get' id='{ids}{number}' from='a.example' to='a.example'><ping xmlns='urn:xmpp:ping'/></iq>"
    )
}

fn swallowed() -> (String, String) {
    ("Some(OwnPing)".into(), String::new())
}

#[test]
fn u7_ids_are_those_of_the_stream_and_say_nothing_secret() {
    let ping_of = |id: &str, secret| {
        let mut out = Vec::new();
        let component = Initiator::connect(own(), false, Secret::new(secret), Arc::default(), T, &mut out);
        let input = HEADER.replace("id='1'", &format!("id='{id}'")) + "<handshake/>";
        let (_, next) = component.process(T, input.as_bytes(), &mut out);
        let Initiating::Established(mut stream) = next else { panic!("it is accepted") };
        out.clear();
        stream.handle_timeout(T + Limits::default().ping.unwrap(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let first = ping_of("1", "s");
    assert_eq!(first, format!(" {}", ping(OURS, 1)));
    assert_eq!(ping_of("1", "another"), first);
    assert_ne!(ping_of("2", "s"), first);
    assert_eq!(ping_of("&#x31;", "s"), first, "it is what the id means");
    assert_eq!(ping_of(&"x".repeat(5000), "s").len(), first.len());
}

#[test]
fn u7_own_pings_and_their_answers_are_swallowed() {
    let mut asking = Asking::new();
    let sent = asking.asks();
    for back in [
        sent.clone(),
        format!("<iq type='error' id='{OURS}1' from='a.example' to='a.example'/>"),
        format!("<iq type='result' id='{OURS}1' from='a.example' to='a.example'/>"),
        // Not one that was sent: nothing else has such an id.
        ping(OURS, 7),
        ping(OURS, 0),
    ] {
        assert_eq!(asking.hears(&back), swallowed(), "{back}");
    }
    // From or to others it is the application's.
    for other in [sent.replace("from='a.", "from='b."), sent.replace("to='a.example'", "to='x@a.example'")] {
        assert_eq!(asking.hears(&other), ("iq".into(), String::new()), "{other}");
    }
}

#[test]
fn u7_ping_of_another_connection_is_answered() {
    let mut asking = Asking::new();
    for ids in [OTHERS, "enjamb-alive-"] {
        let answer = format!("<iq type='result' id='{ids}3' from='a.example' to='a.example'/>");
        assert_eq!(asking.hears(&ping(ids, 3)), ("Some(OwnPing)".into(), answer.clone()));
        assert_eq!(asking.hears(&answer), swallowed(), "one that was not asked here");
        let error = answer.replace("result", "error");
        assert_eq!(asking.hears(&error), swallowed());
    }
    // Other ids are the application's, and so is what asks for nothing.
    for other in
        [ping("ping-", 1), ping(OTHERS, 1).replace("get", "set"), ping(OTHERS, 1).replace("iq", "message")]
    {
        assert_ne!(asking.hears(&other).0, "Some(OwnPing)", "{other}");
    }
}

#[test]
fn u7_ping_of_another_connection_is_answered_without_own_pings() {
    let mut stream = established_with(Limits { ping: None, ..Limits::default() });
    let (event, out) = told(&mut stream, &ping(OTHERS, 1));
    assert_eq!(event.as_deref(), Ok("Some(OwnPing)"));
    assert_eq!(out, format!("<iq type='result' id='{OTHERS}1' from='a.example' to='a.example'/>"));
    assert_eq!(stream.poll_timeout(), Some(T + Limits::default().keepalive.unwrap()));
}

#[test]
fn u7_silence_ends_the_stream_after_three_pings_came_back() {
    for proofs in 0..=4 {
        let mut asking = Asking::new();
        asking.gets_back(proofs);
        asking.asks();
        assert_eq!(asking.is_over_after_silence(), proofs >= 3, "after {proofs}");
        assert_eq!(asking.stream.is_closed(), proofs >= 3);
        if proofs < 3 {
            // It only waits for the next one.
            asking.asks();
        }
    }
}

#[test]
fn u7_answer_counts_as_the_ping_come_back() {
    let mut asking = Asking::new();
    for (number, answer) in (1..).zip(["result", "error", "result"]) {
        asking.asks();
        let answer = format!("<iq type='{answer}' id='{OURS}{number}' from='a.example' to='a.example'/>");
        assert_eq!(asking.hears(&answer), swallowed());
    }
    asking.asks();
    assert!(asking.is_over_after_silence());
}

#[test]
fn u7_other_bytes_are_a_sign_of_life_but_no_ping_come_back() {
    let mut asking = Asking::new();
    for _ in 0..5 {
        asking.asks();
        assert_eq!(asking.hears("<message/>").0, "message");
    }
    asking.asks();
    assert!(!asking.is_over_after_silence());

    // One that is lost among others makes it begin again.
    let mut asking = Asking::new();
    asking.gets_back(3);
    asking.asks();
    asking.hears(" ");
    asking.gets_back(2);
    asking.asks();
    assert!(!asking.is_over_after_silence());
    // It is not there by being late for others, nor by coming twice.
    let last = asking.asks();
    asking.hears(&last);
    asking.hears(&last);
    asking.asks();
    assert!(!asking.is_over_after_silence());
}

#[test]
fn u7_late_ping_counts_for_itself() {
    let mut asking = Asking::new();
    asking.gets_back(1);
    let late = asking.asks();
    asking.hears(" ");
    let next = asking.asks();
    asking.hears(&next);
    assert_eq!(asking.hears(&late), swallowed());
    asking.asks();
    assert!(asking.is_over_after_silence());
}

#[test]
fn u7_silence_ends_no_stream_that_carried_a_ping_of_another_connection() {
    for before in [true, false] {
        let mut asking = Asking::new();
        if before {
            asking.hears(&ping(OTHERS, 1));
        }
        asking.gets_back(4);
        if !before {
            asking.hears(&ping(OTHERS, 1));
        }
        asking.gets_back(4);
        for _ in 0..3 {
            asking.asks();
            assert!(!asking.is_over_after_silence());
        }
    }
}

#[test]
fn u7_time_while_reading_is_paused_does_not_count() {
    let limits = Limits::default();
    let (silence, answer) = (limits.ping.unwrap(), limits.ping_answer);
    let mut asking = Asking::new();
    asking.gets_back(3);
    let mut out = Vec::new();
    asking.stream.set_reading(asking.now, false);
    asking.now += silence * 3;
    assert_eq!(asking.stream.handle_timeout(asking.now, &mut out), Ok(()));
    assert_eq!(out, b" ", "a keepalive, and no question");
    asking.stream.set_reading(asking.now, true);
    asking.asks();
    asking.stream.set_reading(asking.now, false);
    asking.now += answer * 2;
    assert_eq!(asking.stream.handle_timeout(asking.now, &mut out), Ok(()));
    asking.stream.set_reading(asking.now, true);
    // The one before it did not come back.
    asking.asks();
    assert!(!asking.is_over_after_silence());
}
