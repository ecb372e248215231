//! When there is a stream: U1, U2, U6, U14.

use alloc::string::ToString;

use super::*;
use crate::close::CloseReason;
use crate::connection::{Transmit, Written};
use crate::router::{BindPolicy, ConflictBehaviour};
use crate::switch::begin_closing;
use crate::uplink::{ConnectWhen, Trouble};

#[test]
fn u1_stream_is_opened_as_the_domain_with_its_secret() {
    let (mut near, _component) = Near::usual();
    let said = near.establish(NOW);
    assert!(said.contains(" to='irc.example'>"), "{said}");
    let proof = Secret::new("up").handshake("5");
    assert!(said.contains(core::str::from_utf8(&proof).unwrap()), "{said}");
}

#[test]
fn u2_connects_with_the_first_component_and_closes_after_the_last() {
    let mut near = Near::new(config(), DomainConfig::default());
    let idle = UplinkState::Waiting { until: None };
    assert_eq!(near.uplink.poll(&near.switch, NOW), idle);
    let mut component = near.component(at(1.0));
    assert_eq!(near.switch.poll_wake(), Some(near.uplink.id()), "it is woken");
    near.establish(at(1.0));
    component.abandon(&near.switch, at(5.0), "gone".into());
    near.settle(at(5.0));
    assert_eq!(near.switch.poll_wake(), Some(near.uplink.id()));
    assert_eq!(near.hear(at(5.0)), "");
    near.uplink.handle_timeout(&near.switch, at(5.0));
    assert_eq!(near.uplink.poll_timeout(), Some(at(6.0).monotonic), "a second later");
    near.uplink.handle_timeout(&near.switch, at(6.0));
    assert_eq!(near.hear(at(6.0)), "</stream:stream>");
    let [
        UplinkEvent::NotNeeded { .. },
        UplinkEvent::Closed { reason: CloseReason::ByUs, trouble: None, retry_at: None, .. },
    ] = &near.events()[..]
    else {
        panic!("it is no trouble")
    };
    near.feed(at(6.0), "</stream:stream>");
    near.uplink.handle_eof(&near.switch, at(6.0));
    assert_eq!(near.hear(at(6.0)), "");
    assert_eq!(near.uplink.poll(&near.switch, at(6.0)), idle);
    assert!(near.uplink.is_idle(at(6.0)));
    let _component = near.component(at(7.0));
    near.establish(at(7.0));
}

#[test]
fn u2_component_that_is_back_in_time_keeps_the_stream() {
    let mut near = Near::new(config(), held(60));
    let mut component = near.component(NOW);
    near.establish(NOW);
    component.abandon(&near.switch, at(5.0), "gone".into());
    near.settle(at(5.0));
    assert_eq!(near.say(at(6.0), &down(1)), "", "it is held");
    near.uplink.handle_timeout(&near.switch, at(64.9));
    let mut component = near.component(at(64.9));
    let heard = near.component_hears(&mut component, at(64.9));
    assert!(heard.contains("id='1'") && heard.contains("<delay "), "{heard}");
    near.uplink.handle_timeout(&near.switch, at(66.0));
    let said = near.hear(at(66.0));
    assert!(!said.contains("</stream:stream>"), "the stream goes on: {said}");
}

#[test]
fn u2_what_is_held_for_the_component_is_answered_before_the_stream_is_closed() {
    let mut near = Near::new(config(), held(60));
    let mut component = near.component(NOW);
    near.establish(NOW);
    component.abandon(&near.switch, at(5.0), "gone".into());
    assert_eq!(near.hear(at(5.0)), "");
    assert_eq!(near.say(at(64.0), &down(1)).trim(), "");
    let mut said = String::new();
    for tenth in 0..10 {
        let now = at(65.0 + f64::from(tenth) / 10.0);
        near.uplink.handle_timeout(&near.switch, now);
        said += near.hear(now).trim();
    }
    let (answer, end) = said.split_once("</message>").expect(&said);
    assert!(answer.contains("to='u@s.example' id='1' type='error'"), "{answer}");
    assert!(answer.contains("<remote-server-timeout "), "{answer}");
    assert_eq!(end, "</stream:stream>");
    assert_eq!(near.count(Metric::HeldReturned), 1);
}

#[test]
fn u2_always_connects_without_a_component_and_stays() {
    let config = UplinkConfig { connect: ConnectWhen::Always, ..config() };
    let mut near = Near::new(config, DomainConfig::default());
    near.establish(NOW);
    near.uplink.handle_timeout(&near.switch, at(5.0));
    assert_eq!(near.hear(at(5.0)), "");
    assert!(near.say(at(6.0), &down(1)).contains("<remote-server-timeout "));
}

/// What the server says in place of `<handshake/>`.
fn refused(near: &mut Near, now: Now, condition: &str) -> UplinkEvent {
    assert_eq!(near.uplink.poll(&near.switch, now), UplinkState::Connect);
    near.uplink.connected(now);
    near.say(now, HEADER);
    near.say(
        now,
        &format!(
            "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>words</text></stream:error>"
        ),
    );
    near.uplink.handle_eof(&near.switch, now);
    near.hear(now);
    near.uplink.poll_event().unwrap()
}

#[test]
fn u6_refusal_says_why_and_when_it_is_tried_again() {
    for (condition, expected, seconds) in [
        ("not-authorized", Trouble::NotAuthorized, 60.0..=67.5),
        ("host-unknown", Trouble::HostUnknown, 60.0..=67.5),
        ("conflict", Trouble::Conflict, 5.0..=5.7),
        ("system-shutdown", Trouble::Away, 0.0..=1.0),
    ] {
        let (mut near, mut component) = Near::usual();
        let event = refused(&mut near, NOW, condition);
        let UplinkEvent::Closed { reason, trouble, was_established: false, retry_at } = event else {
            panic!("{event:?}")
        };
        assert!(reason.to_string().contains("words"), "U9: {reason}");
        assert_eq!(trouble, Some(expected));
        let retry_at = retry_at.unwrap().since(NOW.monotonic).as_secs_f64();
        assert!(seconds.contains(&retry_at), "{condition}: {retry_at}");
        let until = UplinkState::Waiting { until: Some(at(retry_at).monotonic) };
        assert_eq!(near.uplink.poll(&near.switch, NOW), until);
        // The back-off outlives the component.
        component.abandon(&near.switch, NOW, "gone".into());
        near.settle(NOW);
        assert_eq!(near.uplink.poll(&near.switch, NOW), until);
        assert!(!near.uplink.is_idle(NOW));
        let _component = near.component(NOW);
        assert_eq!(near.uplink.poll(&near.switch, NOW), until);
        near.uplink.retry_now();
        assert_eq!(near.uplink.poll(&near.switch, NOW), UplinkState::Connect);
    }
}

#[test]
fn u6_server_that_is_not_reached_is_tried_again() {
    let (mut near, _component) = Near::usual();
    assert_eq!(near.uplink.poll(&near.switch, NOW), UplinkState::Connect);
    near.uplink.failed(NOW, "connection refused".into());
    let Some(UplinkEvent::Unreachable { words, retry_at: Some(retry_at) }) = near.uplink.poll_event() else {
        panic!("it says so")
    };
    assert_eq!(words, "connection refused");
    assert!(retry_at <= at(1.0).monotonic);
}

#[test]
fn u14_ping_that_comes_back_from_the_server_ends_the_uplink() {
    let (mut near, mut component) = Near::usual();
    near.component_hears(&mut component, NOW);
    near.establish(NOW);
    let ping = near.component_hears(&mut component, NOW);
    assert!(ping.starts_with("<iq from='irc.example/enjamb-loop-"), "{ping}");
    // The component is the server's uplink: it sends that on, and it comes back here.
    assert_eq!(near.say(NOW, &ping), "</stream:stream>");
    let events = near.events();
    assert_eq!(events[0], UplinkEvent::Loop);
    let UplinkEvent::Closed { trouble: Some(Trouble::Loop), retry_at: Some(retry_at), .. } = &events[1]
    else {
        panic!("{events:?}")
    };
    assert_eq!(retry_at.since(NOW.monotonic), Duration::from_secs(15 * 60));
}

#[test]
fn u14_answer_to_the_ping_is_for_nobody() {
    for hosts in [Vec::new(), Vec::from([domain("host.example")])] {
        let switch = LocalSwitch::new(SwitchConfig::new(hosts));
        let uplink = Uplink::attach(&switch, config(), 7, NOW).unwrap();
        let mut near = Near { switch, uplink };
        let mut component = near.component(NOW);
        near.establish(NOW);
        for time in 0..3_u32 {
            let now = at(time.into());
            let heard = near.component_hears(&mut component, now);
            let ping = heard.split("<iq ").nth(1).unwrap();
            let value = |name: &str| ping.split(name).nth(1).unwrap().split('\'').next().unwrap();
            let (from, id) = (value("from='"), value("id='"));
            let answer = format!("<iq type='result' to='{from}' id='{id}'/>");
            assert_eq!(near.component_says(&mut component, now, &answer), "");
            assert_eq!(near.hear(now), "");
            assert_eq!(near.count(Metric::DroppedByHost), u64::from(time) + 1);
            // Each component that comes is asked.
            component.abandon(&near.switch, now, "gone".into());
            component = near.component(now);
            near.hear(now);
        }
    }
}

#[test]
fn u6_uplink_that_nobody_needs_waits_for_the_end_of_its_back_off() {
    let (mut near, mut component) = Near::usual();
    assert_eq!(near.uplink.poll(&near.switch, NOW), UplinkState::Connect);
    near.uplink.failed(NOW, "refused".into());
    component.abandon(&near.switch, NOW, "gone".into());
    near.settle(NOW);
    let UplinkState::Waiting { until: Some(until) } = near.uplink.poll(&near.switch, NOW) else {
        panic!("nobody wakes it")
    };
    assert!(until > NOW.monotonic);
}

#[test]
fn u14_newcomer_hears_nothing_of_the_ping_of_the_one_it_replaced() {
    let mut near = Near::new(config(), DomainConfig::default());
    let policy = BindPolicy { conflict: ConflictBehaviour::KickOld, ..BindPolicy::default() };
    let listener = ListenerConfig { policy: Arc::new(policy), ..listener() };
    let mut component = near.component_of(listener.clone(), "irc.example", NOW);
    near.component_hears(&mut component, NOW);
    near.establish(NOW);
    let mut second = near.component_of(listener, "irc.example", NOW);
    near.hear(NOW);
    component.abandon(&near.switch, NOW, "gone".into());
    near.settle(NOW);
    let heard = near.component_hears(&mut second, NOW);
    assert!(!heard.contains("type='error'"), "{heard}");
}

#[test]
fn u14_pings_of_connections_that_ended_are_forgotten() {
    let (mut near, mut component) = Near::usual();
    near.establish(NOW);
    for number in 0..100 {
        let now = at(f64::from(number) / 100.0);
        component.abandon(&near.switch, now, "gone".into());
        near.settle(now);
        component = near.component(now);
        near.hear(now);
    }
    let entries = near.switch.queue(component.port(), |queue| format!("{queue:?}").matches("Own,").count());
    assert!(entries <= 2, "{entries}");
}

#[test]
fn u2_after_the_stream_is_closed_stanzas_for_the_component_are_held_again() {
    let mut near = Near::new(config(), held(60));
    let mut component = near.component(NOW);
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    let mut sms = near.component_as("sms.example", NOW);
    // Its place outlives it, for this request.
    near.component_says(&mut sms, NOW, "<iq to='irc.example' type='get' id='1'><q/></iq>");
    near.component_hears(&mut component, NOW);
    component.abandon(&near.switch, at(5.0), "gone".into());
    near.hear(at(5.0));
    near.component_hears(&mut sms, at(5.0));
    for tenth in 0..10 {
        let now = at(65.0 + f64::from(tenth) / 10.0);
        near.uplink.handle_timeout(&near.switch, now);
        near.hear(now);
    }
    near.feed(at(66.0), "</stream:stream>");
    near.uplink.handle_eof(&near.switch, at(66.0));
    near.hear(at(66.0));
    assert!(near.uplink.stream.is_none());
    let error = near.component_says(&mut sms, at(67.0), "<message to='irc.example'><body/></message>");
    assert_eq!(error, "", "it is held");
}

#[test]
fn u2_component_that_binds_as_the_stream_is_closed_is_held_for_later() {
    let near = Near::new(config(), held(60));
    let mut component = near.component(NOW);
    begin_closing(&near.switch, &domain("irc.example"));
    let mut sms = near.component_as("sms.example", NOW);
    component.abandon(&near.switch, NOW, "gone".into());
    near.settle(NOW);
    near.component_hears(&mut sms, NOW);
    let error = near.component_says(&mut sms, NOW, "<message to='irc.example'><body/></message>");
    assert_eq!(error, "", "it is held");
}

#[test]
fn u2_component_that_came_and_went_between_two_looks_keeps_the_stream() {
    let mut near = Near::new(config(), held(60));
    let mut component = near.component(NOW);
    near.establish(NOW);
    component.abandon(&near.switch, at(5.0), "gone".into());
    near.hear(at(5.0));
    let mut component = near.component(at(64.0));
    component.abandon(&near.switch, at(64.0), "gone".into());
    near.uplink.handle_timeout(&near.switch, at(65.0));
    assert!(!near.hear(at(65.0)).contains("</stream:stream>"));
    assert_eq!(near.uplink.close_at(), Some(at(124.0).monotonic));
}

#[test]
fn shutdown_ends_in_time_if_the_server_takes_a_byte_now_and_then() {
    let (mut near, mut component) = Near::usual();
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    for number in 0..100 {
        near.component_says(&mut component, NOW, &up(number));
    }
    near.switch.shut_down();
    let mut second = 0.0;
    while !matches!(near.uplink.poll_output(&near.switch, at(second)), Transmit::Done) {
        if let Transmit::Bytes(_) = near.uplink.poll_output(&near.switch, at(second)) {
            near.uplink.wrote(&near.switch, at(second), Written::Bytes(1));
        }
        second += 1.0;
        near.uplink.handle_timeout(&near.switch, at(second));
        assert!(second < 8.0, "it goes on for ever");
    }
}

#[test]
fn u2_stream_is_closed_although_the_server_takes_nothing() {
    let (mut near, mut component) = Near::usual();
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    near.component_says(&mut component, NOW, &up(1));
    near.uplink.poll_output(&near.switch, NOW);
    near.uplink.wrote(&near.switch, NOW, Written::Full);
    component.abandon(&near.switch, NOW, "gone".into());
    near.settle(NOW);
    for tenth in 0..300 {
        let now = at(f64::from(tenth) / 10.0);
        near.uplink.handle_timeout(&near.switch, now);
        if let Transmit::Bytes(_) = near.uplink.poll_output(&near.switch, now) {
            near.uplink.wrote(&near.switch, now, Written::Full);
        }
    }
    assert!(near.uplink.stream.is_none());
}

#[test]
fn detached_uplink_leaves_nothing_behind() {
    let (near, mut component) = Near::usual();
    near.component_says(&mut component, NOW, &up(1));
    let Near { switch, uplink } = near;
    uplink.detach(&switch, NOW);
    while switch.poll_timeout().is_some_and(|due| due <= at(5.0).monotonic) {
        switch.handle_timeout(at(5.0));
    }
    assert_eq!(crate::switch::tests::leaving(&switch), 0);
}
