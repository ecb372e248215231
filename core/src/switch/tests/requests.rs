//! Requests that are not answered (L1 to L7).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::{at, break_off, count, hear, hear_some, say, sweep, switch_with};
use crate::config::{DomainConfig, ListenerConfig};
use crate::connection::tests::{Local, bound, domain, listener, switch, with};
use crate::connection::{Budget, Next};
use crate::port::{Incoming, LocalPort, PortConfig};
use crate::router::{BindPolicy, Claim, ConflictBehaviour};
use crate::switch::{LocalSwitch, Metric, Switch};

const GET: &str = "<iq type='get' id='1' from='a.example' to='b.example'><q xmlns='urn:q'/></iq>";

fn result(id: &str, attributes: &str) -> String {
    format!("<iq type='result' id='{id}' to='a.example'{attributes}/>")
}

fn pair(switch: &LocalSwitch) -> (Local, Local) {
    (bound(switch, listener(), "to='a.example'"), bound(switch, listener(), "to='b.example'"))
}

fn again(switch: &LocalSwitch) -> Local {
    bound(switch, listener(), "to='b.example'")
}

/// Nothing is due but that a name is forgotten after a day.
fn is_idle(switch: &LocalSwitch) -> bool {
    switch.poll_timeout().is_none_or(|due| due > at(80_000.0).monotonic)
}

/// Whether an error with this condition was heard, and nothing else.
fn is_error(heard: &str, condition: &str) -> bool {
    heard.matches("<iq ").count() == 1
        && heard.contains(&format!("<{condition} "))
        && heard.contains("type='wait'")
}

#[test]
fn l1_every_get_and_set_is_noted_but_one_to_oneself() {
    let switch = switch();
    let (mut a, mut b) = pair(&switch);
    assert_eq!(switch.poll_timeout(), None);
    let others = [
        "<iq type='get' id='1' from='a.example' to='a.example'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<message id='1' from='a.example' to='b.example'/>",
        "<iq type='result' id='1' from='a.example' to='b.example'/>",
        "<presence type='subscribe' from='a.example' to='b.example'/>",
    ];
    say(&switch, at(0.0), &mut a, &others.concat());
    assert_eq!(switch.poll_timeout(), None, "none of them is noted");
    say(&switch, at(0.0), &mut a, GET);
    say(&switch, at(0.0), &mut a, &GET.replace("get", "set").replace("'1'", "'2'"));
    assert!(switch.poll_timeout().is_some());
    hear(&switch, at(0.0), &mut b);
    break_off(&switch, at(0.0), &mut b);
    sweep(&switch, at(0.0));
    let heard = hear(&switch, at(0.0), &mut a);
    assert_eq!(heard.matches("<recipient-unavailable ").count(), 2, "{heard}");
    assert_eq!(count(&switch, Metric::RequestsEnded), 2);
}

#[test]
fn l2_any_answer_of_the_port_with_the_id_settles_a_request() {
    for answer in [
        result("1", " from='b.example'"),
        result("1", ""),
        result("1", " from='user@b.example/r'"),
        "<iq type='error' id='1' to='a.example'><error type='cancel'/></iq>".into(),
    ] {
        let switch = switch();
        let (mut a, mut b) = pair(&switch);
        say(&switch, at(0.0), &mut a, GET);
        hear(&switch, at(0.0), &mut b);
        say(&switch, at(1.0), &mut b, &answer);
        assert!(hear(&switch, at(1.0), &mut a).contains(" id='1'"), "{answer} is delivered");
        sweep(&switch, at(200.0));
        assert_eq!(hear(&switch, at(200.0), &mut a), "", "{answer}");
        assert_eq!(switch.poll_timeout(), None, "nothing is left of it");
    }
}

#[test]
fn l2_asker_is_compared_as_addresses_are() {
    for (asker, addressed, is_settled) in [
        ("Juliet@a.example/R", "juliet@a.example/R", true),
        ("J\u{dc}LIET@a.example", "j\u{fc}liet@a.example", true),
        ("ju@a.example/R", "ju@a.example/r", false),
        ("ju@a.example", "jo@a.example", false),
    ] {
        let switch = switch();
        let (mut a, mut b) = pair(&switch);
        say(&switch, at(0.0), &mut a, &GET.replace("from='a.example'", &format!("from='{asker}'")));
        hear(&switch, at(0.0), &mut b);
        say(&switch, at(1.0), &mut b, &result("1", "").replace("'a.example'", &format!("'{addressed}'")));
        hear(&switch, at(1.0), &mut a);
        sweep(&switch, at(121.0));
        let heard = hear(&switch, at(121.0), &mut a);
        assert_eq!(heard.is_empty(), is_settled, "{asker} and {addressed}: {heard}");
    }
}

#[test]
fn l2_exact_sender_is_preferred_among_several_requests() {
    let switch = switch();
    let (mut a, mut b) = pair(&switch);
    for to in ["one@b.example", "two@b.example"] {
        say(&switch, at(0.0), &mut a, &GET.replace("to='b.example'", &format!("to='{to}'")));
    }
    hear(&switch, at(0.0), &mut b);
    say(&switch, at(0.0), &mut b, &result("1", " from='two@b.example'"));
    hear(&switch, at(0.0), &mut a);
    break_off(&switch, at(0.0), &mut b);
    sweep(&switch, at(0.0));
    let heard = hear(&switch, at(0.0), &mut a);
    assert!(is_error(&heard, "recipient-unavailable") && heard.contains("from='one@b.example'"), "{heard}");
}

#[test]
fn l2_next_port_of_the_domain_may_answer() {
    let switch = switch();
    let (mut a, mut b) = pair(&switch);
    say(&switch, at(0.0), &mut a, GET);
    hear(&switch, at(0.0), &mut b);
    break_off(&switch, at(0.0), &mut b);
    // It is faster than the word that there will be no answer.
    let mut b = again(&switch);
    say(&switch, at(0.0), &mut b, &result("1", ""));
    sweep(&switch, at(0.0));
    let heard = hear(&switch, at(0.0), &mut a);
    assert!(heard.contains("type='result'") && heard.matches("<iq ").count() == 1, "{heard}");
}

#[test]
fn l3_requests_that_were_written_are_answered_when_the_port_ends() {
    let switch = switch();
    let (mut a, mut b) = pair(&switch);
    for id in 0..4 {
        say(&switch, at(0.0), &mut a, &GET.replace("'1'", &format!("'{id}'")));
    }
    // One whole, and a part of the next.
    hear_some(&switch, at(0.0), &mut b, GET.len() + 5);
    break_off(&switch, at(0.0), &mut b);
    let unsent = hear(&switch, at(0.0), &mut a);
    assert_eq!(unsent.matches("ended before this could be sent").count(), 2, "{unsent}");
    assert!(unsent.contains(" id='2'") && unsent.contains(" id='3'"), "{unsent}");
    sweep(&switch, at(0.0));
    let written = hear(&switch, at(0.0), &mut a);
    assert_eq!(written.matches("ended before it answered").count(), 2, "{written}");
    assert!(written.contains(" id='0'") && written.contains(" id='1'"), "{written}");
    sweep(&switch, at(500.0));
    assert_eq!(hear(&switch, at(500.0), &mut a), "", "each is answered once");
    assert!(is_idle(&switch));
}

#[test]
fn l3_answers_of_many_ports_are_cut_into_shares() {
    let switch = switch();
    let mut a = bound(&switch, listener(), "to='a.example'");
    let mut others: Vec<Local> =
        (0..100).map(|name| bound(&switch, listener(), &format!("to='n{name}.example'"))).collect();
    for (name, other) in others.iter_mut().enumerate() {
        let to = format!("to='n{name}.example'");
        say(&switch, at(0.0), &mut a, &GET.replace("to='b.example'", &to));
        say(&switch, at(0.0), &mut a, &GET.replace("to='b.example'", &to).replace("'1'", "'2'"));
        hear(&switch, at(0.0), other);
        break_off(&switch, at(0.0), other);
    }
    let mut told = Vec::new();
    while switch.poll_timeout().is_some_and(|due| due <= at(0.0).monotonic) {
        switch.handle_timeout(at(0.0));
        told.push(hear(&switch, at(0.0), &mut a).matches("ended before it answered").count());
    }
    assert_eq!(told.iter().sum::<usize>(), 200);
    assert!(told.iter().all(|told| *told <= 64) && told.len() < 20, "{told:?}");
}

#[test]
fn l3_requests_of_a_replaced_port_are_answered_as_it_obeys() {
    let switch = switch();
    let kick = || with(BindPolicy { conflict: ConflictBehaviour::KickOld, ..BindPolicy::default() });
    let mut a = bound(&switch, listener(), "to='a.example'");
    let mut old = bound(&switch, kick(), "to='b.example'");
    say(&switch, at(0.0), &mut a, GET);
    hear(&switch, at(0.0), &mut old);
    say(&switch, at(0.0), &mut a, &GET.replace("'1'", "'2'"));
    let mut new = bound(&switch, kick(), "to='b.example'");
    say(&switch, at(0.0), &mut a, &GET.replace("'1'", "'3'"));
    sweep(&switch, at(0.0));
    assert_eq!(hear(&switch, at(0.0), &mut a), "", "nobody knows yet what the old one wrote");
    hear(&switch, at(0.0), &mut old);
    sweep(&switch, at(0.0));
    let heard = hear(&switch, at(0.0), &mut a);
    assert!(heard.contains(" id='1'") && heard.contains("ended before it answered"), "{heard}");
    assert!(heard.contains(" id='2'") && heard.contains("ended before this could be sent"), "{heard}");
    assert!(!heard.contains(" id='3'"), "{heard}");
    say(&switch, at(0.0), &mut new, &result("3", ""));
    assert!(hear(&switch, at(0.0), &mut a).contains(" id='3'"));
}

#[test]
fn l3_requests_to_a_local_port_are_answered_when_it_is_detached() {
    let switch = switch();
    let mut a = bound(&switch, listener(), "to='a.example'");
    for claim in [Claim::Domain(domain("b.example")), Claim::Below(domain("example"))] {
        let config = PortConfig::new([claim]);
        let (mut port, _) = LocalPort::attach(&switch, config, at(0.0)).unwrap();
        say(&switch, at(0.0), &mut a, GET);
        port.poll(&switch, at(0.0), |_: &Incoming<'_>, _| {}).unwrap();
        port.detach(&switch, at(0.0));
        sweep(&switch, at(0.0));
        let heard = hear(&switch, at(0.0), &mut a);
        assert!(is_error(&heard, "recipient-unavailable"), "{heard}");
    }
}

#[test]
fn l4_request_that_timed_out_before_it_was_sent_is_answered_once() {
    for (hold, later) in [(0, 122.0), (0, 500.0), (600, 122.0), (600, 500.0)] {
        let config = DomainConfig { hold: Duration::from_secs(hold), ..DomainConfig::default() };
        let switch = switch_with("b.example", config);
        let (mut a, mut b) = pair(&switch);
        for id in 0..4 {
            say(&switch, at(0.0), &mut a, &GET.replace("'1'", &format!("'{id}'")));
        }
        hear_some(&switch, at(0.0), &mut b, 5);
        sweep(&switch, at(121.0));
        assert_eq!(hear(&switch, at(121.0), &mut a).matches("not answered in time").count(), 4);
        say(&switch, at(121.0), &mut a, &GET.replace("'1'", "'new'"));
        sweep(&switch, at(later));
        hear(&switch, at(later), &mut a);
        say(&switch, at(later), &mut a, &GET.replace("'1'", "'newest'"));
        break_off(&switch, at(later), &mut b);
        sweep(&switch, at(later));
        let heard = hear(&switch, at(later), &mut a);
        let last = if later < 200.0 { 2 } else { 1 };
        assert_eq!(
            heard.matches("ended before this could be sent").count(),
            last,
            "{hold}, {later}: {heard}"
        );
        assert_eq!(heard.matches("<iq ").count(), last, "{hold}, {later}: {heard}");
        let ends = [Metric::UnsentBounced, Metric::UnsentDropped].map(|metric| count(&switch, metric));
        assert_eq!(ends, [last as u64, 5 - last as u64], "{hold}, {later}");
    }
}

#[test]
fn l4_request_without_an_answer_times_out() {
    let config = DomainConfig { iq_timeout: Duration::from_secs(7), ..DomainConfig::default() };
    let switch = switch_with("b.example", config);
    let (mut a, mut b) = pair(&switch);
    let mut c = bound(&switch, listener(), "to='c.example'");
    say(&switch, at(0.0), &mut a, GET);
    say(&switch, at(0.0), &mut a, &GET.replace("b.example", "c.example"));
    hear(&switch, at(0.0), &mut b);
    hear(&switch, at(0.0), &mut c);
    for (time, condition) in
        [(6.9, None), (7.9, Some("b.example")), (119.9, None), (120.9, Some("c.example"))]
    {
        sweep(&switch, at(time));
        let heard = hear(&switch, at(time), &mut a);
        let is_told = condition.is_some_and(|from| {
            is_error(&heard, "remote-server-timeout") && heard.contains(&format!("from='{from}'"))
        });
        assert!(if condition.is_some() { is_told } else { heard.is_empty() }, "{time}: {heard}");
    }
    assert_eq!(count(&switch, Metric::RequestsTimedOut), 2);
}

#[test]
fn l5_late_answer_is_dropped_and_counted() {
    let switch = switch();
    let (mut a, mut b) = pair(&switch);
    say(&switch, at(0.0), &mut a, GET);
    hear(&switch, at(0.0), &mut b);
    sweep(&switch, at(120.0));
    hear(&switch, at(120.0), &mut a);
    say(&switch, at(239.0), &mut b, &result("1", ""));
    assert_eq!(hear(&switch, at(239.0), &mut a), "");
    assert_eq!(count(&switch, Metric::LateAnswers), 1);
    // As long again as the request had waited, and it is forgotten.
    sweep(&switch, at(240.0));
    say(&switch, at(240.0), &mut b, &result("1", ""));
    assert!(hear(&switch, at(240.0), &mut a).contains(" id='1'"));
}

#[test]
fn l5_late_answer_of_the_next_port_is_dropped() {
    let switch = switch();
    let (mut a, mut b) = pair(&switch);
    say(&switch, at(0.0), &mut a, GET);
    hear(&switch, at(0.0), &mut b);
    break_off(&switch, at(0.0), &mut b);
    sweep(&switch, at(0.0));
    hear(&switch, at(0.0), &mut a);
    let mut b = again(&switch);
    say(&switch, at(1.0), &mut b, &result("1", ""));
    assert_eq!((hear(&switch, at(1.0), &mut a), count(&switch, Metric::LateAnswers)), (String::new(), 1));
}

#[test]
fn l5_new_request_takes_the_place_of_a_late_one() {
    let switch = switch();
    let (mut a, mut b) = pair(&switch);
    say(&switch, at(0.0), &mut a, GET);
    sweep(&switch, at(120.0));
    say(&switch, at(121.0), &mut a, GET);
    hear(&switch, at(121.0), &mut b);
    hear(&switch, at(121.0), &mut a);
    say(&switch, at(122.0), &mut b, &result("1", ""));
    assert!(hear(&switch, at(122.0), &mut a).contains("type='result'"));
    say(&switch, at(123.0), &mut b, &result("1", ""));
    assert!(hear(&switch, at(123.0), &mut a).contains("type='result'"), "nothing is left: it is routed");
}

#[test]
fn l5_oldest_of_like_requests_is_settled_first() {
    let switch = switch();
    let (mut a, mut b) = pair(&switch);
    say(&switch, at(0.0), &mut a, GET);
    say(&switch, at(60.0), &mut a, GET);
    hear(&switch, at(60.0), &mut b);
    say(&switch, at(61.0), &mut b, &result("1", ""));
    hear(&switch, at(61.0), &mut a);
    sweep(&switch, at(121.0));
    assert_eq!(hear(&switch, at(121.0), &mut a), "", "the younger one has 59 seconds left");
    sweep(&switch, at(180.0));
    assert!(is_error(&hear(&switch, at(180.0), &mut a), "remote-server-timeout"));
}

#[test]
fn l2_answer_that_waits_for_room_settles_one_request() {
    let switch = switch();
    let mut a = bound(&switch, ListenerConfig { queue_mark: 100, ..listener() }, "to='a.example'");
    let mut b = again(&switch);
    say(&switch, at(0.0), &mut a, &GET.repeat(2));
    hear(&switch, at(0.0), &mut b);
    let long = format!("<message to='a.example'><body>{}</body></message>", "x".repeat(100));
    say(&switch, at(1.0), &mut b, &long);
    let answer = result("1", "");
    for _ in 0..3 {
        let progress = b.process(&switch, at(1.0), answer.as_bytes(), &mut Budget::default());
        assert_eq!((progress.consumed, progress.next), (0, Next::Room));
    }
    hear(&switch, at(1.0), &mut a);
    say(&switch, at(1.0), &mut b, &answer);
    assert!(hear(&switch, at(1.0), &mut a).contains("type='result'"));
    sweep(&switch, at(121.0));
    assert!(is_error(&hear(&switch, at(121.0), &mut a), "remote-server-timeout"), "the other still waits");
}

#[test]
fn l6_requests_of_a_replaced_asker_are_forgotten() {
    let switch = switch();
    let kick = || with(BindPolicy { conflict: ConflictBehaviour::KickOld, ..BindPolicy::default() });
    let mut old = bound(&switch, kick(), "to='a.example'");
    let mut b = again(&switch);
    say(&switch, at(0.0), &mut old, GET);
    hear(&switch, at(0.0), &mut b);
    let mut new = bound(&switch, kick(), "to='a.example'");
    hear(&switch, at(0.0), &mut old);
    sweep(&switch, at(2.0));
    assert!(is_idle(&switch), "it was forgotten");
    say(&switch, at(3.0), &mut new, GET);
    hear(&switch, at(3.0), &mut b);
    say(&switch, at(4.0), &mut b, &result("1", ""));
    assert!(hear(&switch, at(4.0), &mut new).contains("type='result'"));
    sweep(&switch, at(200.0));
    assert_eq!(hear(&switch, at(200.0), &mut new), "", "the answer was to the new one's");
}

#[test]
fn l6_requests_end_with_their_asker() {
    let switch = switch();
    let (mut a, mut b) = pair(&switch);
    say(&switch, at(0.0), &mut a, GET);
    hear(&switch, at(0.0), &mut b);
    break_off(&switch, at(0.5), &mut a);
    let mut next = bound(&switch, listener(), "to='a.example'");
    sweep(&switch, at(2.0));
    assert!(is_idle(&switch), "it was forgotten");
    break_off(&switch, at(2.0), &mut b);
    sweep(&switch, at(200.0));
    assert_eq!(hear(&switch, at(200.0), &mut next), "");
    assert_eq!(count(&switch, Metric::RequestsEnded), 0);
}

#[test]
fn l7_requests_over_the_number_are_delivered_and_not_noted() {
    let config = DomainConfig { max_pending_iqs: 3, ..DomainConfig::default() };
    let switch = switch_with("*.example", config);
    let (mut a, mut b) = pair(&switch);
    let ids: Vec<String> = (0..5).map(|id| GET.replace("'1'", &format!("'{id}'"))).collect();
    say(&switch, at(0.0), &mut a, &ids.concat());
    assert_eq!(hear(&switch, at(0.0), &mut b).matches("<iq ").count(), 5);
    assert_eq!(count(&switch, Metric::UntrackedRequests), 2);
    sweep(&switch, at(120.0));
    assert_eq!(hear(&switch, at(120.0), &mut a).matches("<remote-server-timeout ").count(), 3);
}

#[test]
fn l7_requests_that_look_alike_or_have_long_ids_are_not_noted() {
    let switch = switch();
    let (mut a, mut b) = pair(&switch);
    say(&switch, at(0.0), &mut a, &GET.repeat(20));
    assert_eq!(count(&switch, Metric::UntrackedRequests), 4, "16 with one id are told apart");
    for length in [1024, 1025] {
        say(&switch, at(0.0), &mut a, &GET.replace("'1'", &format!("'{}'", "x".repeat(length))));
    }
    assert_eq!(count(&switch, Metric::UntrackedRequests), 5);
    assert_eq!(hear(&switch, at(0.0), &mut b).matches("<iq ").count(), 22, "all are delivered");
}

#[test]
fn l7_as_many_late_requests_as_others_are_remembered() {
    let config = DomainConfig { max_pending_iqs: 3, ..DomainConfig::default() };
    let switch = switch_with("b.example", config);
    let (mut a, mut b) = pair(&switch);
    let ask = |a: &mut Local, now: f64, ids: core::ops::Range<usize>| {
        ids.for_each(|id| assert_eq!(say(&switch, at(now), a, &GET.replace("'1'", &format!("'{id}'"))), ""));
    };
    for (now, ids) in [(0.0, 0..3), (121.0, 3..6)] {
        ask(&mut a, now, ids);
        hear(&switch, at(now), &mut b);
        sweep(&switch, at(now + 120.0));
        hear(&switch, at(now + 120.0), &mut a);
    }
    // The first three are forgotten by now, and the others are late.
    ask(&mut a, 242.0, 6..9);
    assert_eq!(count(&switch, Metric::UntrackedRequests), 0);
    sweep(&switch, at(360.0));
    ask(&mut a, 360.0, 9..10);
    assert_eq!(count(&switch, Metric::UntrackedRequests), 1, "three wait, and three are late");
}

#[test]
fn l7_requests_take_at_most_a_quarter_of_what_may_wait() {
    let config = DomainConfig { max_pending_iqs: usize::MAX, ..DomainConfig::default() };
    let switch = switch_with("b.example", config);
    switch.set_max_queued(1 << 20);
    let (mut a, mut b) = pair(&switch);
    for id in 0..3000 {
        say(&switch, at(0.0), &mut a, &GET.replace("'1'", &format!("'{id}'")));
        hear(&switch, at(0.0), &mut b);
    }
    let untracked = count(&switch, Metric::UntrackedRequests) as usize;
    assert!((1000..2500).contains(&untracked), "{untracked}");
    assert!((200 << 10..=256 << 10).contains(&switch.queued()), "{}", switch.queued());
    break_off(&switch, at(0.0), &mut b);
    sweep(&switch, at(0.0));
    sweep(&switch, at(121.0));
    hear(&switch, at(121.0), &mut a);
    assert!(switch.queued() == 0 && is_idle(&switch), "all of it is given back");
}
