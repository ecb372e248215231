//! While the server is away: U5, U15.

use super::*;
use crate::connection::Written;

/// The stream breaks.
fn broken(near: &mut Near, now: Now) {
    near.uplink.handle_error(&near.switch, now, "reset".into());
    near.settle(now);
    near.events();
}

fn back(near: &mut Near, now: Now) -> String {
    near.uplink.retry_now();
    let said = near.establish(now);
    said.split_once("</handshake>").unwrap().1.into()
}

#[test]
fn u5_stanzas_are_held_in_order_and_stamped() {
    let (mut near, mut component) = Near::usual();
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    near.component_says(&mut component, NOW, &up(1));
    broken(&mut near, at(1.0));
    near.component_says(&mut component, at(2.0), &up(2));
    let groupchat = "<message from='irc.example' to='u@s.example' type='groupchat' id='3'/>";
    let result = "<iq from='irc.example' to='u@s.example' type='result' id='4'/>";
    let error = "<iq from='irc.example' to='u@s.example' type='error' id='5'><error/></iq>";
    let presence = "<presence from='irc.example' to='u@s.example'/>";
    for stanza in [groupchat, result, error, presence, presence] {
        assert_eq!(near.component_says(&mut component, at(3.0), stanza), "");
    }
    let bounced =
        near.component_says(&mut component, at(3.0), "<iq to='u@s.example' type='get' id='6'><q/></iq>");
    assert!(bounced.contains("id='6' type='error'"), "{bounced}");
    assert!(bounced.contains("<remote-server-timeout "), "{bounced}");
    assert!(bounced.contains("the server behind 'irc.example' is not connected"), "{bounced}");
    let said = back(&mut near, at(4.0));
    let order: Vec<&str> = said.split("id='").skip(1).filter_map(|rest| rest.split('\'').next()).collect();
    assert_eq!(order, ["1", "2", "3", "4", "5"], "{said}");
    assert_eq!(said.matches("<delay xmlns='urn:xmpp:delay' from='irc.example'").count(), 3, "{said}");
    assert_eq!(said.matches("<presence").count(), 1, "the older one gave way: {said}");
    assert_eq!((near.count(Metric::HeldSent), near.count(Metric::Coalesced)), (6, 1));
}

#[test]
fn u5_held_too_long_goes_back_and_the_components_connection_stays() {
    let (mut near, mut component) = Near::usual();
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    broken(&mut near, at(1.0));
    assert_eq!(near.component_says(&mut component, at(2.0), &up(1)), "");
    let error = near.component_hears(&mut component, at(13.0));
    assert!(error.contains("id='1' type='error'"), "{error}");
    assert!(error.contains("<error type='wait'><remote-server-timeout "), "{error}");
    assert!(error.contains("the server did not come back in time"), "{error}");
    assert!(!component.is_closed());
}

#[test]
fn u5_without_hold_seconds_everything_bounces() {
    let config = UplinkConfig { hold: Duration::ZERO, ..config() };
    let mut near = Near::new(config, DomainConfig::default());
    let mut component = near.component(NOW);
    let error = near.component_says(&mut component, NOW, &up(1));
    assert!(error.contains("<remote-server-timeout "), "before the first stream: {error}");
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    near.component_says(&mut component, NOW, &up(2));
    broken(&mut near, at(1.0));
    near.uplink.poll(&near.switch, at(1.0));
    let error = near.component_hears(&mut component, at(1.0));
    assert!(error.contains("id='2' type='error'") && error.contains("the server's connection"), "{error}");
    assert_eq!(near.count(Metric::UnsentBounced), 1);
}

#[test]
fn u5_requests_that_went_up_are_answered_when_the_stream_ends() {
    let (mut near, mut component) = Near::usual();
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    let ask = |id| format!("<iq from='irc.example' to='u@s.example' type='get' id='{id}'><q/></iq>");
    near.component_says(&mut component, NOW, &ask(1));
    assert_eq!(near.hear(NOW), ask(1));
    near.component_says(&mut component, NOW, &ask(2));
    broken(&mut near, at(1.0));
    let heard = near.component_hears(&mut component, at(1.0));
    assert!(heard.contains("id='1' type='error'") && heard.contains("<recipient-unavailable "), "{heard}");
    assert!(heard.contains("the server's connection ended before it answered"), "{heard}");
    assert_eq!(heard.matches("<iq ").count(), 2, "the one that was not sent, too: {heard}");
    back(&mut near, at(2.0));
    near.say(at(2.0), "<iq from='u@s.example' to='irc.example' type='result' id='1'/>");
    assert!(!near.component_hears(&mut component, at(2.0)).contains("result"), "it is late");
    assert_eq!(near.count(Metric::LateAnswers), 1);
}

#[test]
fn u5_request_that_came_down_is_answered_over_the_next_stream() {
    let (mut near, mut component) = Near::usual();
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    near.say(NOW, "<iq from='u@s.example' to='irc.example' type='get' id='1'><q/></iq>");
    near.component_hears(&mut component, NOW);
    broken(&mut near, at(1.0));
    let result = "<iq from='irc.example' to='u@s.example' type='result' id='1'/>";
    near.component_says(&mut component, at(2.0), result);
    assert_eq!(back(&mut near, at(3.0)), result);
    assert_eq!(near.count(Metric::LateAnswers), 0);
}

#[test]
fn u5_request_that_went_up_times_out_as_the_domain_says() {
    let domains = DomainConfig { iq_timeout: Duration::from_secs(7), ..DomainConfig::default() };
    let mut near = Near::new(config(), domains);
    let mut component = near.component(NOW);
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    near.component_says(&mut component, NOW, "<iq to='u@s.example' type='get' id='1'><q/></iq>");
    near.hear(NOW);
    assert_eq!(near.component_hears(&mut component, at(6.9)), "");
    let error = near.component_hears(&mut component, at(8.0));
    assert!(error.contains("the server has not answered in time"), "{error}");
}

#[test]
fn u15_users_of_a_server_that_stays_away_are_not_available_any_more() {
    for (end_presence, expected) in [(true, 1), (false, 0)] {
        let mut near = Near::new(UplinkConfig { end_presence, ..config() }, DomainConfig::default());
        let mut component = near.component(NOW);
        near.establish(NOW);
        near.component_hears(&mut component, NOW);
        near.say(NOW, "<presence from='u@s.example/r' to='a@irc.example'/>");
        near.say(NOW, "<presence from='v@s.example/r' to='a@irc.example'/>");
        near.say(NOW, "<presence from='v@s.example/r' to='a@irc.example' type='unavailable'/>");
        near.component_hears(&mut component, NOW);
        broken(&mut near, at(1.0));
        near.uplink.poll(&near.switch, at(10.9));
        assert_eq!(near.component_hears(&mut component, at(10.9)), "");
        near.uplink.poll(&near.switch, at(11.0));
        let heard = near.component_hears(&mut component, at(11.0));
        let told = "<presence from='u@s.example/r' to='a@irc.example' type='unavailable'/>";
        assert_eq!(heard, told.repeat(expected));
        near.uplink.poll(&near.switch, at(30.0));
        assert_eq!(near.component_hears(&mut component, at(30.0)), "", "once");
    }
}

#[test]
fn u15_users_of_a_server_that_is_back_in_time_stay_available() {
    let mut near = Near::new(UplinkConfig { end_presence: true, ..config() }, DomainConfig::default());
    let mut component = near.component(NOW);
    near.establish(NOW);
    near.say(NOW, "<presence from='u@s.example/r' to='a@irc.example'/>");
    near.component_hears(&mut component, NOW);
    broken(&mut near, at(1.0));
    back(&mut near, at(5.0));
    near.uplink.handle_timeout(&near.switch, at(60.0));
    assert!(!near.component_hears(&mut component, at(60.0)).contains("unavailable"));
}

#[test]
fn shutdown_writes_what_waits_and_closes_the_stream() {
    let (mut near, mut component) = Near::usual();
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    near.component_says(&mut component, NOW, &up(1));
    near.switch.shut_down();
    assert_eq!(near.hear(NOW), format!("{}</stream:stream>", up(1)));
    near.feed(NOW, &(down(1) + &down(2)));
    assert_eq!(near.count(Metric::DroppedUndeliverable), 2, "it can't be answered any more");
    near.feed(NOW, "</stream:stream>");
    near.uplink.handle_eof(&near.switch, NOW);
    near.hear(NOW);
    assert_eq!(near.uplink.poll(&near.switch, NOW), UplinkState::Ended);
    near.uplink.detach(&near.switch, NOW);
}

#[test]
fn u5_stanza_behind_one_that_was_held_too_long_wakes_the_uplink() {
    let (mut near, mut component) = Near::usual();
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    broken(&mut near, at(1.0));
    near.component_says(&mut component, at(2.0), &up(1));
    near.settle(at(11.5));
    near.uplink.retry_now();
    near.establish(at(12.1));
    near.component_hears(&mut component, at(12.1));
    near.woken();
    let second = up(2);
    let _ = component.process(&near.switch, at(12.2), second.as_bytes(), &mut Budget::default());
    assert!(near.woken());
    let mut said = Vec::new();
    near.uplink.write_to(&near.switch, at(12.2), &mut said);
    assert!(said.is_empty(), "{}", String::from_utf8_lossy(&said));
    near.woken();
    near.settle(at(13.5));
    assert!(near.woken(), "woken for what is left");
}

#[test]
fn u15_all_users_are_ended_while_the_server_stays_away() {
    let mut near = Near::new(UplinkConfig { end_presence: true, ..config() }, DomainConfig::default());
    let mut component = near.component(NOW);
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    for user in 0..200 {
        near.say(NOW, &format!("<presence from='u{user}@s.example/r' to='a@irc.example'/>"));
    }
    near.component_hears(&mut component, NOW);
    broken(&mut near, at(1.0));
    let mut heard = String::new();
    while let UplinkState::Waiting { until: Some(until) } = near.uplink.poll(&near.switch, at(11.0))
        && until <= at(11.0).monotonic
    {
        heard += &near.component_hears(&mut component, at(11.0));
    }
    heard += &near.component_hears(&mut component, at(11.0));
    assert_eq!(heard.matches("unavailable").count(), 200);
}

#[test]
fn u15_users_are_ended_while_a_server_does_not_answer() {
    let mut near = Near::new(UplinkConfig { end_presence: true, ..config() }, DomainConfig::default());
    let mut component = near.component(NOW);
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    near.say(NOW, "<presence from='u@s.example/r' to='a@irc.example'/>");
    near.component_hears(&mut component, NOW);
    broken(&mut near, at(1.0));
    near.uplink.retry_now();
    assert_eq!(near.uplink.poll(&near.switch, at(9.0)), UplinkState::Connect);
    assert_eq!(near.uplink.poll_timeout(), Some(at(11.0).monotonic), "while the attempt runs");
    near.uplink.connected(at(9.0));
    near.hear(at(9.0));
    near.uplink.handle_timeout(&near.switch, at(10.0));
    assert_eq!(near.uplink.poll_timeout(), Some(at(11.0).monotonic));
    near.uplink.handle_timeout(&near.switch, at(11.0));
    let heard = near.component_hears(&mut component, at(11.0));
    assert_eq!(heard.matches("unavailable").count(), 1);
}

#[test]
fn u8_server_that_is_back_is_not_full_any_more() {
    let config = UplinkConfig { hold: Duration::ZERO, ..config() };
    let mut near = Near::new(config, DomainConfig::default());
    let mut component = near.component(NOW);
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    let large = format!("<message to='u@s.example'><body>{}</body></message>", "x".repeat(60_000));
    while component.process(&near.switch, NOW, large.as_bytes(), &mut Budget::default()).consumed > 0 {
        near.uplink.poll_output(&near.switch, NOW);
        near.uplink.wrote(&near.switch, NOW, Written::Full);
    }
    broken(&mut near, at(1.0));
    near.uplink.retry_now();
    while near.uplink.poll(&near.switch, at(20.0)) != UplinkState::Connect {}
    near.uplink.connected(at(20.0));
    near.hear(at(20.0));
    near.component_hears(&mut component, at(20.0));
    near.say(at(20.0), HEADER);
    near.feed(at(20.0), "<handshake/>");
    let _ = component.process(&near.switch, at(20.0), large.as_bytes(), &mut Budget::default());
    let error = near.component_says(&mut component, at(20.0), &up(7));
    assert!(!error.contains("resource-constraint"), "{error}");
}

#[test]
fn u15_note_of_users_is_bounded_in_bytes() {
    let mut near = Near::new(UplinkConfig { end_presence: true, ..config() }, DomainConfig::default());
    let mut component = near.component(NOW);
    near.establish(NOW);
    let long = "x".repeat(1000);
    for user in 0..3000 {
        near.say(NOW, &format!("<presence from='u{user}@s.example/{long}' to='a@irc.example/{long}'/>"));
        near.component_hears(&mut component, NOW);
    }
    broken(&mut near, at(1.0));
    let mut heard = 0;
    while near.uplink.poll(&near.switch, at(11.0)) != UplinkState::Connect {
        heard += near.component_hears(&mut component, at(11.0)).matches("unavailable").count();
    }
    assert!((900..1100).contains(&heard), "{heard}");
}

#[test]
fn u5_newer_stanzas_take_no_room_from_those_that_were_not_sent() {
    let config = UplinkConfig { hold_bytes: 250, ..config() };
    let mut near = Near::new(config, DomainConfig::default());
    let mut component = near.component(NOW);
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    (1..=3).for_each(|number| drop(near.component_says(&mut component, NOW, &up(number))));
    near.uplink.handle_error(&near.switch, at(1.0), "reset".into());
    near.events();
    // Nobody has looked at them yet.
    let error = near.component_says(&mut component, at(1.0), &up(4));
    assert!(error.contains("id='4' type='error'") && error.contains("<resource-constraint "), "{error}");
    let said = back(&mut near, at(2.0));
    assert_eq!(said.matches("<message ").count(), 3, "{said}");
}
