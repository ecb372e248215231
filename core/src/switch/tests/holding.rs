//! Stanzas that wait until their component is back (H1 to H9).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::{at, break_off, count, hear, hear_some, log_in, say, sweep, switch_with};
use crate::config::{DomainConfig, ListenerConfig};
use crate::connection::tests::{Local, bound, domain, listener, with};
use crate::connection::{Transmit, Written};
use crate::jid::Jid;
use crate::port::{Incoming, LocalPort, PortConfig};
use crate::router::{Access, BindPolicy, Claim, ConflictBehaviour};
use crate::switch::{LocalSwitch, Metric, Switch};

const HOLD: u64 = 60;

fn holding() -> DomainConfig {
    DomainConfig { hold: Duration::from_secs(HOLD), ..DomainConfig::default() }
}

fn switch() -> LocalSwitch {
    switch_with("b.example", holding())
}

fn sender(switch: &LocalSwitch) -> Local {
    bound(switch, listener(), "to='a.example'")
}

fn kick_old() -> ListenerConfig {
    with(BindPolicy { conflict: ConflictBehaviour::KickOld, ..BindPolicy::default() })
}

/// A component comes back; what it hears.
fn come_back(switch: &LocalSwitch, seconds: f64) -> (Local, String) {
    come_back_to(switch, seconds, listener())
}

fn come_back_to(switch: &LocalSwitch, seconds: f64, listener: ListenerConfig) -> (Local, String) {
    let mut connection = log_in(switch, at(seconds), listener, "to='b.example'");
    let heard = hear_all(switch, seconds, &mut connection);
    (connection, heard)
}

/// What a connection that has just logged in hears behind its handshake.
fn hear_all(switch: &LocalSwitch, seconds: f64, connection: &mut Local) -> String {
    let mut heard = String::new();
    loop {
        sweep(switch, at(seconds));
        let more = hear(switch, at(seconds), connection);
        if more.is_empty() {
            return heard.strip_prefix("<handshake/>").unwrap().into();
        }
        heard += &more;
    }
}

fn message(id: &str, rest: &str) -> String {
    format!("<message from='a.example' to='b.example' id='{id}'{rest}")
}

fn chat(id: usize) -> String {
    message(&id.to_string(), "><body>x</body></message>")
}

fn presence(attributes: &str, content: &str) -> String {
    format!("<presence from='a.example/r' to='b.example/room'{attributes}>{content}</presence>")
}

const JOIN: &str = "<x xmlns='http://jabber.org/protocol/muc'/>";

/// The ids of stanzas, in order.
fn ids(heard: &str) -> Vec<String> {
    heard.split(" id='").skip(1).map(|rest| rest[..rest.find('\'').unwrap()].to_string()).collect()
}

#[test]
fn h1_messages_are_held_by_their_kind() {
    let states = "http://jabber.org/protocol/chatstates";
    for (rest, answer, is_held) in [
        ("><body>x</body></message>".into(), "", true),
        (" type='chat'><body>x</body></message>".into(), "", true),
        (" type='normal'/>".into(), "", true),
        (" type='other'/>".into(), "", true),
        (format!(" type='chat'><body>x</body><active xmlns='{states}'/></message>"), "", true),
        (" type='groupchat'><body>x</body></message>".into(), "<remote-server-timeout ", false),
        (" type='headline'><body>x</body></message>".into(), "", false),
        (" type='error'><error/></message>".into(), "", false),
        ("><body>x</body><no-store xmlns='urn:xmpp:hints'/></message>".into(), "", false),
        (format!("><composing xmlns='{states}'/></message>"), "", false),
        (format!("><thread>1</thread><paused xmlns='{states}'/></message>"), "", false),
    ] {
        let switch = switch();
        let mut a = sender(&switch);
        let said = say(&switch, at(0.0), &mut a, &message("1", &rest));
        assert!(if answer.is_empty() { said.is_empty() } else { said.contains(answer) }, "{rest}: {said}");
        let (_, heard) = come_back(&switch, 1.0);
        assert_eq!(heard.contains(" id='1'"), is_held, "{rest}: {heard}");
        let metrics = [Metric::Held, Metric::Bounced, Metric::DroppedUndeliverable];
        let counted: u64 = metrics.iter().map(|metric| count(&switch, *metric)).sum();
        assert_eq!((counted, count(&switch, Metric::Held)), (1, u64::from(is_held)), "{rest}");
    }
}

#[test]
fn h2_presence_of_a_pair_coalesces() {
    let (away, gone) = (presence("", "<show>away</show>"), presence(" type='unavailable'", ""));
    let (join, probe) = (presence("", JOIN), presence(" type='probe'", ""));
    let subscribe = |kind: &str| presence(&format!(" type='{kind}'"), "");
    let other = away.replace("/room", "/other");
    for (sent, wanted, coalesced) in [
        (vec![&away, &gone], vec![&gone], 1),
        (vec![&gone, &away], vec![&away], 1),
        (vec![&away, &other, &away], vec![&other, &away], 1),
        (vec![&join, &away], vec![&join, &away], 0),
        (vec![&join, &away, &away], vec![&join, &away], 1),
        (vec![&join, &away, &gone], vec![&gone], 2),
        (vec![&join, &join], vec![&join], 1),
        (vec![&gone, &join], vec![&join], 1),
        (vec![&away, &join], vec![&join], 1),
        (vec![&probe, &away, &probe], vec![&away, &probe], 1),
    ] {
        let switch = switch();
        let mut a = sender(&switch);
        for stanza in &sent {
            say(&switch, at(0.0), &mut a, stanza);
        }
        let (_, heard) = come_back(&switch, 1.0);
        let wanted: String = wanted.into_iter().map(String::as_str).collect();
        assert_eq!(heard, wanted, "{sent:?}");
        assert_eq!(count(&switch, Metric::Coalesced), coalesced, "{sent:?}");
    }
    let switch = switch();
    let mut a = sender(&switch);
    let all = ["subscribe", "subscribed", "unsubscribe", "unsubscribed", "subscribe"].map(subscribe).concat();
    say(&switch, at(0.0), &mut a, &(all.clone() + &subscribe("error")));
    assert_eq!(come_back(&switch, 1.0).1, all, "these stay, in order");
}

#[test]
fn h3_requests_bounce_and_answers_are_dropped() {
    let switch = switch();
    let mut a = sender(&switch);
    for kind in ["get", "set"] {
        let stanza = format!("<iq type='{kind}' id='1' from='a.example' to='b.example'><q xmlns='q'/></iq>");
        assert!(say(&switch, at(0.0), &mut a, &stanza).contains("<remote-server-timeout "));
    }
    let answers =
        ["result", "error"].map(|kind| format!("<iq type='{kind}' id='1' from='a.example' to='b.example'/>"));
    assert_eq!(say(&switch, at(0.0), &mut a, &answers.concat()), "");
    assert_eq!(come_back(&switch, 1.0).1, "");
    let metrics = [Metric::Bounced, Metric::DroppedUndeliverable, Metric::Held];
    assert_eq!(metrics.map(|metric| count(&switch, metric)), [2, 2, 0]);
}

#[test]
fn h4_stanza_over_the_limit_bounces_and_what_is_held_stays() {
    let stanza = chat(1);
    let config = DomainConfig { hold_bytes: 2 * stanza.len(), ..holding() };
    let switch = switch_with("b.example", config);
    let mut a = sender(&switch);
    assert_eq!(say(&switch, at(0.0), &mut a, &(chat(1) + &chat(2))), "");
    assert!(say(&switch, at(0.0), &mut a, &chat(3)).contains("<resource-constraint "));
    assert_eq!(say(&switch, at(0.0), &mut a, &presence(" type='unavailable'", "")), "");
    assert_eq!(ids(&come_back(&switch, 1.0).1), ["1", "2"]);
    let metrics = [Metric::Held, Metric::Bounced, Metric::DroppedUndeliverable];
    assert_eq!(metrics.map(|metric| count(&switch, metric)), [2, 1, 1]);
}

#[test]
fn h4_held_stanzas_of_all_domains_take_at_most_half_of_what_may_wait() {
    let switch = switch_with("*.example", DomainConfig { hold_bytes: usize::MAX, ..holding() });
    switch.set_max_queued(1 << 20);
    let mut a = sender(&switch);
    let (b, _) = come_back(&switch, 0.0);
    let mut b = b;
    break_off(&switch, at(0.0), &mut b);
    let body = "x".repeat(10_000);
    let large = |id: usize| message(&id.to_string(), &format!("><body>{body}</body></message>"));
    let said: String = (0..100).map(|id| say(&switch, at(0.0), &mut a, &large(id))).collect();
    let bounced = said.matches("<resource-constraint ").count();
    assert!((44..56).contains(&bounced), "{bounced}");
    assert!((400 << 10..=512 << 10).contains(&switch.queued()), "{}", switch.queued());
    assert_eq!(ids(&come_back(&switch, 1.0).1).len(), 100 - bounced);
    assert_eq!(switch.queued(), 0, "it is given back");
}

#[test]
fn h5_stanza_that_is_held_too_long_goes_back() {
    let switch = switch();
    let mut a = sender(&switch);
    say(&switch, at(0.0), &mut a, &(chat(1) + &presence(" type='unavailable'", "")));
    say(&switch, at(30.0), &mut a, &chat(2));
    sweep(&switch, at(59.0));
    assert_eq!(hear(&switch, at(59.0), &mut a), "");
    sweep(&switch, at(61.0));
    let heard = hear(&switch, at(61.0), &mut a);
    assert!(ids(&heard) == ["1"] && heard.contains("<remote-server-timeout "), "{heard}");
    assert_eq!([Metric::HeldReturned, Metric::HeldDropped].map(|metric| count(&switch, metric)), [1, 1]);
    assert_eq!(ids(&come_back(&switch, 89.0).1), ["2"]);
}

#[test]
fn h5_all_that_expire_at_once_go_back_at_once() {
    let switch = switch();
    let mut a = sender(&switch);
    (0..300).for_each(|id| assert_eq!(say(&switch, at(0.0), &mut a, &chat(id)), ""));
    sweep(&switch, at(61.0));
    assert_eq!(ids(&hear(&switch, at(61.0), &mut a)).len(), 300);
}

#[test]
fn h6_held_stanzas_come_first_and_messages_are_stamped() {
    let switch = switch();
    let mut a = sender(&switch);
    let own = "><body>x</body><delay xmlns='urn:xmpp:delay' stamp='2020-01-01T00:00:00Z'/></message>";
    let all = [chat(1), message("2", "/>"), message("3", own), presence("", "")].concat();
    say(&switch, at(0.0), &mut a, &all);
    let (mut b, heard) = come_back(&switch, 5.0);
    let stamp = format!("<delay xmlns='urn:xmpp:delay' from='host.example' stamp='{}'/>", at(0.0).utc());
    let wanted = [
        chat(1).replace("</message>", &format!("{stamp}</message>")),
        message("2", &format!(">{stamp}</message>")),
        message("3", own),
        presence("", ""),
    ];
    assert_eq!(heard, wanted.concat());
    say(&switch, at(6.0), &mut a, &chat(4));
    assert_eq!(hear(&switch, at(6.0), &mut b), chat(4), "what comes later has no stamp");
    assert_eq!(count(&switch, Metric::HeldSent), 4);
}

#[test]
fn h6_newer_stanzas_queue_behind_and_block_nobody() {
    let config = DomainConfig { hold_bytes: 100_000, ..holding() };
    let switch = switch_with("b.example", config);
    let mut small = listener();
    small.queue_mark = 1000;
    let mut a = sender(&switch);
    let body = "y".repeat(30_000);
    let large = |id: usize| message(&id.to_string(), &format!("><body>{body}</body></message>"));
    say(&switch, at(0.0), &mut a, &(large(1) + &large(2) + &large(3)));
    let mut b = log_in(&switch, at(1.0), small, "to='b.example'");
    let request = "<iq type='get' id='4' from='a.example' to='b.example'><q xmlns='q'/></iq>";
    assert_eq!(say(&switch, at(1.0), &mut a, request), "");
    let said: String = (5..200).map(|id| say(&switch, at(1.0), &mut a, &chat(id))).collect();
    let bounced = ids(&said);
    assert!(!bounced.is_empty() && said.contains("<resource-constraint "), "over hold_bytes they bounce");
    let heard = hear_all(&switch, 1.0, &mut b);
    let got = ids(&heard);
    assert_eq!(got[..5], ["1", "2", "3", "4", "5"]);
    assert_eq!(got.len() + bounced.len(), 199);
    assert_eq!(heard.matches("<delay ").count(), 3);
}

#[test]
fn h6_access_rules_judge_again() {
    let nobody = |sender: &Jid<'_>, _: bool| sender.resource().is_some();
    let access = Access::Rule(Arc::new(nobody));
    let switch = switch();
    let mut a = sender(&switch);
    say(&switch, at(0.0), &mut a, &(chat(1) + &chat(2).replace("'a.example'", "'a.example/r'")));
    let policy = BindPolicy { access, ..BindPolicy::default() };
    let (_, heard) = come_back_to(&switch, 1.0, with(policy));
    assert_eq!(ids(&heard), ["2"]);
    let heard = hear(&switch, at(1.0), &mut a);
    assert!(ids(&heard) == ["1"] && heard.contains("<not-allowed "), "{heard}");
    assert_eq!([Metric::HeldSent, Metric::HeldReturned].map(|metric| count(&switch, metric)), [1, 1]);
}

#[test]
fn h7_unsent_stanzas_go_to_the_front_of_the_hold() {
    let switch = switch();
    let mut a = sender(&switch);
    let (mut b, _) = come_back(&switch, 0.0);
    let request = "<iq type='get' id='3' from='a.example' to='b.example'><q xmlns='q'/></iq>";
    say(&switch, at(0.0), &mut a, &(chat(1) + &chat(2) + request));
    // The first is begun, and the fourth waits in the other half.
    hear_some(&switch, at(0.0), &mut b, 10);
    say(&switch, at(7.0), &mut a, &chat(4));
    break_off(&switch, at(8.0), &mut b);
    say(&switch, at(9.0), &mut a, &chat(5));
    sweep(&switch, at(9.0));
    let back = hear(&switch, at(9.0), &mut a);
    assert!(ids(&back) == ["3"] && back.contains("<remote-server-timeout "), "{back}");
    let (_, heard) = come_back(&switch, 10.0);
    assert_eq!(ids(&heard), ["2", "4", "5"], "{heard}");
    for (stamp, times) in [(at(0.0), 1), (at(7.0), 1), (at(9.0), 1)] {
        assert_eq!(heard.matches(&format!("stamp='{}'", stamp.utc())).count(), times, "{heard}");
    }
    let metrics = [Metric::UnsentHeld, Metric::UnsentBounced, Metric::UnsentDropped, Metric::Held];
    assert_eq!(metrics.map(|metric| count(&switch, metric)), [2, 1, 0, 3]);
}

#[test]
fn h7_newcomer_of_kick_old_gets_first_what_the_old_one_did_not() {
    let switch = switch();
    let mut a = sender(&switch);
    let mut old = bound(&switch, kick_old(), "to='b.example'");
    say(&switch, at(0.0), &mut a, &(chat(1) + &chat(2)));
    hear_some(&switch, at(0.0), &mut old, 10);
    say(&switch, at(0.0), &mut a, &chat(3));
    let mut new = log_in(&switch, at(0.0), kick_old(), "to='b.example'");
    say(&switch, at(0.0), &mut a, &chat(4));
    sweep(&switch, at(0.0));
    assert_eq!(hear(&switch, at(0.0), &mut new), "<handshake/>", "what the old one has not sent comes first");
    let last = hear(&switch, at(0.0), &mut old);
    assert!(last.contains("</message>") && ids(&last) == ["1"] && last.contains("<conflict "), "{last}");
    sweep(&switch, at(0.0));
    let mut heard = hear(&switch, at(0.0), &mut new);
    heard += &hear(&switch, at(0.0), &mut new);
    assert_eq!(ids(&heard), ["2", "3", "4"]);
    assert_eq!(heard.matches("<delay ").count(), 2, "{heard}");
    assert_eq!(count(&switch, Metric::UnsentReplaced), 0);
}

#[test]
fn conflict_behaviour_of_a_domain_goes_before_that_of_its_listener() {
    for (of_domain, of_listener, is_replaced) in [
        (Some(ConflictBehaviour::KickOld), ConflictBehaviour::Disconnect, true),
        (Some(ConflictBehaviour::Disconnect), ConflictBehaviour::KickOld, false),
        (None, ConflictBehaviour::KickOld, true),
    ] {
        let switch =
            switch_with("b.example", DomainConfig { conflict: of_domain, ..DomainConfig::default() });
        let listener = || with(BindPolicy { conflict: of_listener, ..BindPolicy::default() });
        let mut old = log_in(&switch, at(0.0), listener(), "to='b.example'");
        hear(&switch, at(0.0), &mut old);
        let mut new = log_in(&switch, at(0.0), listener(), "to='b.example'");
        let (of_new, of_old) = (hear(&switch, at(0.0), &mut new), hear(&switch, at(0.0), &mut old));
        assert_eq!(
            (of_old.contains("<conflict "), of_new.contains("<conflict ")),
            (is_replaced, !is_replaced)
        );
    }
}

#[test]
fn h7_connection_that_ends_in_good_order_writes_no_more_than_it_has_begun() {
    let switch = switch();
    let mut a = sender(&switch);
    let (mut b, _) = come_back(&switch, 0.0);
    say(&switch, at(0.0), &mut a, &(chat(1) + &chat(2)));
    hear_some(&switch, at(0.0), &mut b, 10);
    let last = say(&switch, at(1.0), &mut b, "</stream:stream>");
    assert!(last.ends_with("</message></stream:stream>"), "{last}");
    assert_eq!(ids(&come_back(&switch, 2.0).1), ["2"]);
}

#[test]
fn h7_half_of_the_replay_is_held_again() {
    let switch = switch();
    let mut a = sender(&switch);
    let body = "z".repeat(30_000);
    let large = |id: usize| message(&id.to_string(), &format!("><body>{body}</body></message>"));
    let all: String = (1..=6).map(large).collect();
    say(&switch, at(0.0), &mut a, &all);
    let mut b = log_in(&switch, at(0.0), listener(), "to='b.example'");
    say(&switch, at(0.0), &mut a, &chat(7));
    let transmit = b.poll_output(&switch, at(0.0));
    assert_eq!(transmit, Transmit::Bytes(b"<handshake/>"));
    b.wrote(&switch, at(0.0), Written::Bytes(12));
    hear_some(&switch, at(0.0), &mut b, large(1).len() + 200);
    break_off(&switch, at(1.0), &mut b);
    say(&switch, at(1.0), &mut a, &chat(8));
    let (_, heard) = come_back(&switch, 2.0);
    // The second was begun.
    assert_eq!(ids(&heard), ["3", "4", "5", "6", "7", "8"]);
}

#[test]
fn h7_each_name_of_a_prefix_has_its_own() {
    let switch = switch_with("*.host.example", holding());
    switch.add_host(domain("other.example")).unwrap();
    let mut a = sender(&switch);
    let mut b = bound(&switch, listener(), "to='p' is_subdomain='true'");
    let to = |host: &str, id: usize| chat(id).replace("'b.example'", &format!("'p.{host}.example'"));
    say(&switch, at(0.0), &mut a, &(to("host", 1) + &to("other", 2)));
    break_off(&switch, at(0.0), &mut b);
    sweep(&switch, at(0.0));
    let heard = hear(&switch, at(0.0), &mut a);
    assert!(ids(&heard) == ["2"] && heard.contains("<recipient-unavailable "), "{heard}");
    assert_eq!(say(&switch, at(0.0), &mut a, &to("host", 3)), "");
    let mut b = log_in(&switch, at(1.0), listener(), "to='p.host.example'");
    assert_eq!(ids(&hear_all(&switch, 1.0, &mut b)), ["1", "3"]);
}

#[test]
fn h6_prefix_gets_what_is_held_for_all_of_its_names() {
    let switch = switch_with("*.example", holding());
    switch.add_host(domain("other.example")).unwrap();
    let mut a = sender(&switch);
    let mut b = bound(&switch, listener(), "to='p' is_subdomain='true'");
    break_off(&switch, at(0.0), &mut b);
    let to = |host: &str, id: usize| chat(id).replace("'b.example'", &format!("'p.{host}.example'"));
    let all = to("host", 1) + &to("other", 2) + &to("host", 3) + &to("other", 4);
    assert_eq!(say(&switch, at(0.0), &mut a, &all), "");
    let mut b = log_in(&switch, at(1.0), listener(), "to='p' is_subdomain='true'");
    let mut got = ids(&hear_all(&switch, 1.0, &mut b));
    assert!(got.iter().position(|id| id == "1") < got.iter().position(|id| id == "3"), "{got:?}");
    assert!(got.iter().position(|id| id == "2") < got.iter().position(|id| id == "4"), "{got:?}");
    got.sort_unstable();
    assert_eq!(got, ["1", "2", "3", "4"]);
}

#[test]
fn h6_stanza_that_is_longer_than_the_component_takes_goes_back() {
    let switch = switch();
    let mut a = sender(&switch);
    let body = "x".repeat(20_000);
    say(&switch, at(0.0), &mut a, &message("1", &format!("><body>{body}</body></message>")));
    let mut small = listener();
    small.limits = Arc::new(crate::Limits { stanza: 10_000, ..crate::Limits::default() });
    assert_eq!(come_back_to(&switch, 1.0, small).1, "");
    assert!(hear(&switch, at(1.0), &mut a).contains("<policy-violation "));
}

#[test]
fn h7_unsent_stanzas_of_a_local_port_are_held() {
    let switch = switch();
    let mut a = sender(&switch);
    let attach = || {
        LocalPort::attach(&switch, PortConfig::new([Claim::Domain(domain("b.example"))]), at(0.0)).unwrap().0
    };
    let port = attach();
    say(&switch, at(0.0), &mut a, &chat(1));
    port.detach(&switch, at(0.0));
    sweep(&switch, at(0.0));
    let mut seen = Vec::new();
    let mut port = attach();
    port.poll(&switch, at(1.0), |stanza: &Incoming<'_>, _| {
        seen.push(String::from_utf8(stanza.as_bytes().into()).unwrap());
    })
    .unwrap();
    assert!(seen.len() == 1 && seen[0].contains(" id='1'") && seen[0].contains("<delay "), "{seen:?}");
}

#[test]
fn h8_at_the_end_held_stanzas_go_back() {
    let switch = switch();
    let mut a = sender(&switch);
    say(&switch, at(0.0), &mut a, &(chat(1) + &presence(" type='unavailable'", "") + &chat(2)));
    switch.end_holding();
    sweep(&switch, at(0.0));
    switch.shut_down();
    let heard = hear(&switch, at(0.0), &mut a);
    assert!(ids(&heard) == ["1", "2"] && heard.contains("<system-shutdown "), "{heard}");
    assert_eq!([Metric::HeldReturned, Metric::HeldDropped].map(|metric| count(&switch, metric)), [2, 1]);
    assert!(say(&switch, at(0.0), &mut a, "").is_empty());
}

#[test]
fn h9_order_of_a_pair_stays_whatever_ends() {
    let switch = switch();
    let mut a = sender(&switch);
    let (mut next, mut seen) = (0, Vec::new());
    for round in 0..20 {
        let (mut b, heard) = come_back(&switch, f64::from(round));
        seen.extend(ids(&heard));
        for _ in 0..7 {
            say(&switch, at(f64::from(round)), &mut a, &chat(next));
            next += 1;
        }
        let first = b.poll_output(&switch, at(f64::from(round))).bytes().len();
        if first > 0 && round % 3 > 0 {
            let whole = hear(&switch, at(f64::from(round)), &mut b);
            seen.extend(ids(&whole));
        }
        break_off(&switch, at(f64::from(round)), &mut b);
        say(&switch, at(f64::from(round)), &mut a, &chat(next));
        next += 1;
    }
    seen.extend(ids(&come_back(&switch, 20.0).1));
    let wanted: Vec<String> = (0..next).map(|id| id.to_string()).collect();
    assert_eq!(seen, wanted);
}
