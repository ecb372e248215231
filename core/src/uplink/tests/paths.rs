//! What goes up and what comes down: U3, U4, U8, U11.

use super::*;
use crate::connection::Transmit;
use crate::connection::Written;
use crate::limits::Limits;
use crate::router::{Access, BindPolicy};

#[test]
fn u3_stanza_for_a_domain_that_is_not_here_goes_up() {
    let (mut near, mut component) = Near::usual();
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    assert_eq!(near.component_says(&mut component, NOW, &up(1)), "");
    assert_eq!(near.hear(NOW), up(1));
    let mut other = near.component_as("sms.example", NOW);
    near.component_hears(&mut other, NOW);
    let local = "<message from='irc.example' to='sms.example'/>";
    near.component_says(&mut component, NOW, local);
    assert_eq!(near.component_hears(&mut other, NOW), local, "a component is here");
    let error = near.component_says(&mut other, NOW, "<message to='u@s.example'/>");
    assert!(error.contains("<remote-server-not-found "), "it has no uplink: {error}");
}

#[test]
fn u3_nothing_goes_up_from_another_domain() {
    let mut near = Near::new(config(), DomainConfig::default());
    let policy = BindPolicy { check_from: false, ..BindPolicy::default() };
    let listener = ListenerConfig { policy: Arc::new(policy), ..listener() };
    let mut component = near.component_of(listener, "irc.example", NOW);
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    let foreign = "<message from='x@sms.example' to='u@s.example'/>";
    let error = near.component_says(&mut component, NOW, foreign);
    assert!(error.contains("<bad-request "), "{error}");
    assert_eq!(near.hear(NOW), "");
}

#[test]
fn u3_long_stanza_is_refused_here() {
    let config = UplinkConfig { max_stanza: 1000, ..config() };
    let mut near = Near::new(config, DomainConfig::default());
    let mut component = near.component(NOW);
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    let long = format!("<message to='u@s.example'><body>{}</body></message>", "x".repeat(1000));
    let error = near.component_says(&mut component, NOW, &long);
    assert!(error.contains("<error type='modify'><policy-violation "), "{error}");
    assert!(error.contains("the server takes stanzas up to 1000 bytes"), "{error}");
}

#[test]
fn u3_without_local_routing_stanzas_of_one_server_go_up() {
    let around = |name, group| UplinkConfig { domain: domain(name), group, local_routing: false, ..config() };
    let switch = LocalSwitch::new(SwitchConfig::new([]));
    let uplink = Uplink::attach(&switch, around("irc.example", 1), 7, NOW).unwrap();
    let _sms = Uplink::attach(&switch, around("sms.example", 1), 8, NOW).unwrap();
    let _xmpp = Uplink::attach(&switch, around("bot.example", 2), 9, NOW).unwrap();
    let mut near = Near { switch, uplink };
    let mut irc = near.component(NOW);
    let mut sms = near.component_as("sms.example", NOW);
    let mut bot = near.component_as("bot.example", NOW);
    near.establish(NOW);
    for component in [&mut irc, &mut sms, &mut bot] {
        near.component_hears(component, NOW);
    }
    let to = |name: &str| format!("<message from='irc.example' to='{name}'/>");
    for (name, goes_up) in [("sms.example", true), ("bot.example", false), ("irc.example", false)] {
        near.component_says(&mut irc, NOW, &to(name));
        let expected = if goes_up { to(name) } else { String::new() };
        assert_eq!(near.hear(NOW), expected, "{name}");
    }
    assert_eq!(near.component_hears(&mut bot, NOW), to("bot.example"));
    assert_eq!(near.component_hears(&mut sms, NOW), "");
}

#[test]
fn u4_stanza_for_the_domain_comes_from_anybody() {
    let (mut near, mut component) = Near::usual();
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    for from in ["u@s.example/r", "elsewhere.example", "sms.example", "irc.example"] {
        let stanza = format!("<message from='{from}' to='a@irc.example'/>");
        assert_eq!(near.say(NOW, &stanza), "");
        assert_eq!(near.component_hears(&mut component, NOW), stanza);
    }
}

#[test]
fn u4_stanza_for_another_domain_is_answered_and_said_ten_times_a_minute() {
    let (mut near, mut component) = Near::usual();
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    let mut other = near.component_as("sms.example", NOW);
    near.component_hears(&mut other, NOW);
    let foreign = "<message from='u@s.example' to='x@sms.example' id='1'/>";
    for _ in 0..20 {
        let answer = near.say(NOW, foreign);
        assert!(answer.starts_with("<message from='irc.example' to='u@s.example' id='1' type='error'>"));
        assert!(answer.contains("<remote-server-not-found "), "{answer}");
    }
    assert_eq!(near.say(NOW, "<message type='error' from='u@s.example' to='x@sms.example'/>"), "");
    assert_eq!(near.component_hears(&mut other, NOW), "");
    let said = |to: &str, more| UplinkEvent::Misaddressed { to: to.into(), more };
    assert_eq!(near.events(), [(); 10].map(|()| said("sms.example", 0)));
    assert_eq!((near.count(Metric::Rejected), near.count(Metric::DroppedRejected)), (20, 1));
    near.say(at(60.0), foreign);
    assert_eq!(near.events(), [said("sms.example", 11)]);
}

#[test]
fn u4_access_rules_apply() {
    let mut near = Near::new(config(), DomainConfig::default());
    let rule = |sender: &crate::jid::Jid<'_>, is_host: bool| !is_host && sender.domain() == "s.example";
    let policy = BindPolicy { access: Access::Rule(Arc::new(rule)), ..BindPolicy::default() };
    let listener = ListenerConfig { policy: Arc::new(policy), ..listener() };
    let mut component = near.component_of(listener, "irc.example", NOW);
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    assert_eq!(near.say(NOW, &down(1)), "");
    assert_eq!(near.component_hears(&mut component, NOW), down(1));
    let error = near.say(NOW, "<message from='u@spam.example' to='irc.example'/>");
    assert!(error.contains("<not-allowed "), "{error}");
}

#[test]
fn u4_improper_iq_and_stanza_without_a_sender_are_not_delivered() {
    let (mut near, mut component) = Near::usual();
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    let error = near.say(NOW, "<iq from='u@s.example' to='irc.example' type='get' id='1'/>");
    assert!(error.contains("<bad-request "), "{error}");
    assert_eq!(near.say(NOW, "<message to='irc.example'/><message from='@' to='irc.example'/>"), "");
    assert_eq!(near.component_hears(&mut component, NOW), "");
    assert_eq!((near.count(Metric::Rejected), near.count(Metric::DroppedRejected)), (1, 2));
}

#[test]
fn u4_long_stanza_is_skipped_and_answered() {
    let (mut near, mut component) = Near::usual();
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    let long = format!(
        "<message from='u@s.example' to='irc.example' id='1'><body>{}</body></message>",
        "x".repeat(1 << 20)
    );
    let error = near.say(NOW, &long);
    assert!(error.contains(" id='1' type='error'") && error.contains("<policy-violation "), "{error}");
    assert_eq!(near.events(), [UplinkEvent::TooLong]);
    near.say(NOW, &down(2));
    assert_eq!(near.component_hears(&mut component, NOW), down(2));
    assert_eq!(near.count(Metric::Rejected), 1);
}

#[test]
fn u8_server_that_does_not_read_stops_its_component() {
    let (mut near, mut component) = Near::usual();
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    let large = format!("<message to='u@s.example'><body>{}</body></message>", "x".repeat(60_000));
    let mut sent = 0;
    while component.process(&near.switch, NOW, large.as_bytes(), &mut Budget::default()).consumed > 0 {
        sent += 1;
        assert!(matches!(near.uplink.poll_output(&near.switch, NOW), Transmit::Bytes(_)));
        near.uplink.wrote(&near.switch, NOW, Written::Full);
    }
    assert!((17..=18).contains(&sent), "{sent}");
    assert_eq!(component.read_budget(NOW), 0);
    let heard = near.hear(NOW);
    assert_eq!(heard.matches("<message").count(), sent);
    let progress = component.process(&near.switch, NOW, large.as_bytes(), &mut Budget::default());
    assert_eq!(progress.consumed, large.len(), "there is room again");
}

#[test]
fn u8_component_that_does_not_read_stops_its_own_uplink() {
    let (mut near, mut component) = Near::usual();
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    let large =
        format!("<message from='u@s.example' to='irc.example'><body>{}</body></message>", "x".repeat(60_000));
    let mut sent = 0;
    while near.feed(NOW, &large).is_empty() {
        sent += 1;
    }
    assert!((17..=18).contains(&sent), "{sent}");
    assert_eq!(near.uplink.read_budget(NOW), 0);
    assert!(near.uplink.poll_timeout().is_some_and(|at| at <= super::at(5.0).monotonic), "it bounces then");
    near.component_hears(&mut component, NOW);
    assert_eq!(near.feed(NOW, &large), "");
    assert_eq!(near.uplink.read_budget(NOW), usize::MAX);
}

#[test]
fn u11_announcement_is_the_first_that_each_new_connection_gets() {
    let mut near = Near::new(config(), held(60));
    let mut component = near.component(NOW);
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    let privilege = |kind: &str| {
        format!(
            "<message from='s.example' to='irc.example' id='{kind}'>\
             <privilege xmlns='urn:xmpp:privilege:2'><perm access='{kind}' type='get'/></privilege></message>"
        )
    };
    let delegation = |namespace: &str| {
        format!(
            "<message from='s.example' to='irc.example'><delegation xmlns='urn:xmpp:delegation:2'>\
             <delegated namespace='{namespace}'/></delegation></message>"
        )
    };
    let delegations = [delegation("urn:x"), delegation("urn:y")];
    let [x, y] = &delegations;
    for announced in [&privilege("roster"), x, y, &privilege("message"), x] {
        assert_eq!(near.say(NOW, announced), "");
        assert_eq!(near.component_hears(&mut component, NOW), *announced);
    }
    let forged =
        "<message from='u@s.example' to='irc.example'><privilege xmlns='urn:xmpp:privilege:2'/></message>";
    near.say(NOW, forged);
    component.abandon(&near.switch, at(1.0), "gone".into());
    near.settle(at(1.0));
    near.say(at(1.0), &down(1));
    near.say(at(1.0), &privilege("iq"));
    assert_eq!(near.count(Metric::Kept), 1);
    let mut component = near.component(at(2.0));
    let heard = near.component_hears(&mut component, at(2.0));
    let heard = heard.split_once("<handshake/>").unwrap().1;
    let rest = heard.strip_prefix(&format!("{}{x}{y}", privilege("iq")));
    assert!(rest.is_some_and(|rest| rest.contains("id='1'")), "then what was held: {heard}");
    // They are the stream's.
    near.say(at(3.0), "</stream:stream>");
    let mut component = {
        component.abandon(&near.switch, at(3.0), "gone".into());
        near.settle(at(3.0));
        near.component(at(3.0))
    };
    assert!(!near.component_hears(&mut component, at(3.0)).contains("privilege"));
}

#[test]
fn u10_without_hosts_a_refusal_names_the_domain_asked_for() {
    let near = Near::new(config(), DomainConfig::default());
    let policy = BindPolicy { domains: Some([].into_iter().collect()), ..BindPolicy::default() };
    let listener = ListenerConfig { policy: Arc::new(policy), ..listener() };
    let mut component = crate::connection::tests::connected(&near.switch, listener);
    let refused = near.component_says(&mut component, NOW, &header("to='other.example'"));
    assert!(refused.contains(" from='other.example'") && refused.contains("<host-unknown "), "{refused}");
}

#[test]
fn u11_error_that_returns_a_privilege_is_no_announcement() {
    let mut near = Near::new(config(), held(60));
    let mut component = near.component(NOW);
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    let error = "<message from='s.example' to='irc.example' type='error'>\
        <privilege xmlns='urn:xmpp:privilege:2'><forwarded/></privilege><error/></message>";
    near.say(NOW, error);
    component.abandon(&near.switch, at(1.0), "gone".into());
    near.settle(at(1.0));
    let mut component = near.component(at(2.0));
    let heard = near.component_hears(&mut component, at(2.0));
    assert!(!heard.contains("privilege"), "{heard}");
}

#[test]
fn u8_server_that_takes_nothing_makes_no_timeout_due_for_ever() {
    let limits = Limits { keepalive: Some(Duration::from_secs(3)), ..Limits::default() };
    let mut near = Near::new(UplinkConfig { limits: Arc::new(limits), ..config() }, DomainConfig::default());
    let mut component = near.component(NOW);
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    let foreign =
        |id: usize| format!("<message from='u@s.example' to='x@sms.example' id='{}'/>", "1".repeat(id));
    let own = |near: &mut Near| near.uplink.stream.as_mut().unwrap().connection.output().own();
    near.feed(NOW, &foreign(1));
    let one = own(&mut near);
    while own(&mut near) + 2 * one < 65_536 {
        near.feed(NOW, &foreign(1));
    }
    let left = 65_536 - own(&mut near) - one;
    near.feed(NOW, &foreign(1 + left));
    assert_eq!(own(&mut near), 65_536);
    let large =
        format!("<message from='u@s.example' to='irc.example'><body>{}</body></message>", "x".repeat(60_000));
    while near.feed(NOW, &large).is_empty() {}
    near.uplink.handle_timeout(&near.switch, at(3.0));
    assert_eq!(own(&mut near), 65_537);
    near.uplink.handle_timeout(&near.switch, at(5.0));
    assert_eq!(near.feed(at(5.0), &large), large);
    assert!(near.uplink.poll_timeout().is_none_or(|due| due > at(5.0).monotonic), "nothing is due");
}

#[test]
fn partial_stanzas_of_servers_count_to_the_pool() {
    let (mut near, mut component) = Near::usual();
    near.establish(NOW);
    near.component_hears(&mut component, NOW);
    let partial = format!("<message from='u@s.example' to='irc.example'><body>{}", "x".repeat(300_000));
    near.switch.set_max_queued(4_000_000);
    assert_eq!(near.feed(NOW, &partial), partial, "it is kept");
    assert!(near.hear(NOW).is_empty());
    near.switch.set_max_queued(0);
    near.feed(NOW, &(partial + &"x".repeat(100_000)));
    let said = near.hear(NOW);
    assert!(said.contains("<resource-constraint ") && said.ends_with("</stream:stream>"), "{said}");
}
