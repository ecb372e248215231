use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::*;
use crate::connection::tests::{Local, NOW, after, bound, connected, domain, handshake, header, listener};
use crate::connection::tests::{send, switch, with, written};
use crate::jid::JidError;
use crate::router::{Access, BindPolicy, ConflictBehaviour, DefaultRoute, DomainPattern};
use crate::switch::{LocalSwitch, Metric};

type Port = LocalPort<LocalSwitch>;

fn name(of: &str) -> Claim {
    Claim::Domain(domain(of))
}

fn attach_with(switch: &LocalSwitch, config: PortConfig) -> Port {
    LocalPort::attach(switch, config, NOW).unwrap().0
}

fn attach<const N: usize>(switch: &LocalSwitch, claims: [Claim; N]) -> Port {
    attach_with(switch, PortConfig::new(claims))
}

fn default_route(switch: &LocalSwitch, route: DefaultRoute) -> Port {
    let mut config = PortConfig::new([]);
    (config.default_route, config.senders) = (route, Senders::Any);
    attach_with(switch, config)
}

/// What waits for a port.
fn visited(switch: &LocalSwitch, port: &mut Port) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let visit = |stanza: &Incoming<'_>, _: &mut Vec<u8>| {
            seen.push(String::from_utf8(stanza.as_bytes().into()).unwrap());
        };
        if port.poll(switch, NOW, visit).unwrap() != PortState::More {
            return seen;
        }
    }
}

fn message(from: &str, to: &str) -> String {
    format!("<message from='{from}' to='{to}'/>")
}

/// What a component gets back over a message to `to`.
fn answer_to(switch: &LocalSwitch, component: &mut Local, from: &str, to: &str) -> String {
    send(switch, component, &message(from, to)).1
}

#[test]
fn p1_local_port_has_the_queue_the_marks_and_the_counters_of_a_component() {
    let switch = switch();
    let mut config = PortConfig::new([name("local.example")]);
    (config.queue_mark, config.stall) = (100, core::time::Duration::from_secs(5));
    let mut local = attach_with(&switch, config);
    let mut component = bound(&switch, listener(), "to='a.example'");
    let stanza = message("a.example", "local.example");
    let three = stanza.repeat(3);
    let progress = send(&switch, &mut component, &three).0;
    assert_eq!(progress.consumed, 3 * stanza.len(), "the mark is passed by the third");
    let (progress, said) = send(&switch, &mut component, &stanza);
    assert_eq!((progress.consumed, said.as_str()), (0, ""), "it waits for room");
    assert_eq!(component.poll_timeout(), Some(after(5).monotonic));
    assert_eq!(visited(&switch, &mut local).len(), 3);
    assert!(core::iter::from_fn(|| switch.poll_wake()).any(|id| id == component.id()));
    assert_eq!(send(&switch, &mut component, &stanza).0.consumed, stanza.len());
    assert_eq!(switch.metrics().get(Metric::Routed), 4);
    assert_eq!(local.detach(&switch, NOW).unsent, 1);
    assert!(written(&switch, &mut component).contains("<recipient-unavailable "));
    assert_eq!(switch.metrics().get(Metric::UnsentBounced), 1);
    assert_eq!((switch.connections(), switch.bound()), (1, 1));
}

#[test]
fn p2_port_holds_names_wildcards_prefixes_and_hosts() {
    let switch = switch();
    let below = Claim::Below(domain("bots.example"));
    let claims = [name("one.example"), below, Claim::Prefix(domain("p")), Claim::Host(domain("own.example"))];
    let mut local = attach(&switch, claims);
    let mut exact = attach(&switch, [name("x.bots.example"), Claim::Below(domain("deep.bots.example"))]);
    let mut component = bound(&switch, listener(), "to='a.example'");
    for (to, is_first) in [
        ("one.example", true),
        ("a.bots.example", true),
        ("p.host.example", true),
        ("p.own.example", true),
        ("user@own.example/r", true),
        ("x.bots.example", false),
        ("y.x.bots.example", true),
        ("y.deep.bots.example", false),
        ("deep.bots.example", true),
    ] {
        assert_eq!(answer_to(&switch, &mut component, "a.example", to), "");
        let (first, second) = (visited(&switch, &mut local), visited(&switch, &mut exact));
        assert_eq!((first.len(), second.len()), if is_first { (1, 0) } else { (0, 1) }, "{to}");
    }
    assert!(answer_to(&switch, &mut component, "a.example", "bots.example").contains("<remote-server-not"));
}

#[test]
fn p2_names_come_and_go_while_the_port_lives() {
    let switch = switch();
    let mut local = attach(&switch, []);
    let mut component = bound(&switch, listener(), "to='a.example'");
    for claim in [
        name("b.example"),
        Claim::Below(domain("example")),
        Claim::Host(domain("b.example")),
        Claim::Prefix(domain("b")),
    ] {
        let to = if matches!(claim, Claim::Prefix(_)) { "b.host.example" } else { "b.example" };
        assert!(answer_to(&switch, &mut component, "a.example", to).contains("<remote-server-not-found "));
        local.add(&switch, claim.clone()).unwrap();
        assert_eq!(answer_to(&switch, &mut component, "a.example", to), "", "{claim:?}");
        local.remove(&switch, NOW, &claim);
        assert!(local.remove(&switch, NOW, &claim).is_empty());
        assert_eq!(visited(&switch, &mut local).len(), 1, "what waits is still visited");
    }
    // A host of the switch's own is one again after it.
    local.add(&switch, Claim::Host(domain("host.example"))).unwrap();
    assert_eq!(answer_to(&switch, &mut component, "a.example", "host.example"), "");
    local.remove(&switch, NOW, &Claim::Host(domain("host.example")));
    assert!(answer_to(&switch, &mut component, "a.example", "host.example").contains("<service-unavail"));
}

#[test]
fn p3_holders_come_before_the_senders_default_route_and_that_before_the_common_one() {
    let switch = switch();
    switch.set_known(["away.example", "*.wild.example"].map(|text| DomainPattern::parse(text).unwrap()));
    let mut of_a = default_route(&switch, DefaultRoute::Of(Vec::from([domain("a.example")])));
    let mut of_all = default_route(&switch, DefaultRoute::All);
    let mut a = bound(&switch, listener(), "to='a.example'");
    let mut b = bound(&switch, listener(), "to='b.example'");
    for (to, to_a, to_all) in [
        ("user@server.example", 1, 1),
        ("x.wild.example", 1, 1),
        // These stay here.
        ("b.example", 0, 0),
        ("host.example", 0, 0),
        ("away.example", 0, 0),
    ] {
        for (component, from) in [(&mut a, "a.example"), (&mut b, "b.example")] {
            let said = answer_to(&switch, component, from, to);
            assert_eq!(said.contains("<remote-server-timeout "), to == "away.example", "{said}");
        }
        let seen = (visited(&switch, &mut of_a).len(), visited(&switch, &mut of_all).len());
        assert_eq!(seen, (to_a, to_all), "{to}");
    }
    // What comes down is routed by its receiver, and never back.
    of_a.send(&switch, NOW, message("user@server.example", "a.example").as_bytes()).unwrap();
    assert!(written(&switch, &mut a).contains("from='user@server.example'"));
    of_all.send(&switch, NOW, message("user@server.example", "c.example").as_bytes()).unwrap();
    let back = visited(&switch, &mut of_all);
    assert!(back[0].contains("<remote-server-not-found "), "{back:?}");
    assert_eq!(switch.metrics().get(Metric::Bounced), 3);
}

#[test]
fn p3_names_bound_within_a_day_stay_here_while_nobody_is_connected() {
    let switch = switch();
    let mut server = default_route(&switch, DefaultRoute::All);
    let mut a = bound(&switch, listener(), "to='a.example'");
    let mut b = bound(&switch, listener(), "to='b.example'");
    send(&switch, &mut b, "</stream:stream>");
    assert!(answer_to(&switch, &mut a, "a.example", "b.example").contains("<remote-server-timeout "));
    assert_eq!(visited(&switch, &mut server).len(), 0);
    // A day later it is the server's, as soon as another name is let go of.
    let mut c = connected(&switch, listener());
    for bytes in [header("to='c.example'"), handshake("s"), "</stream:stream>".into()] {
        let _ = c.process(&switch, after(24 * 3600), bytes.as_bytes(), &mut Budget::default());
    }
    assert_eq!(answer_to(&switch, &mut a, "a.example", "b.example"), "");
    assert_eq!(visited(&switch, &mut server).len(), 1);
}

#[test]
fn p3_unsent_stanzas_of_a_default_route_go_back_to_it() {
    let switch = switch();
    let mut server = default_route(&switch, DefaultRoute::Of(Vec::from([domain("a.example")])));
    let mut a = bound(&switch, listener(), "to='a.example'");
    server.send(&switch, NOW, message("user@server.example", "bot@a.example/r").as_bytes()).unwrap();
    a.handle_error(&switch, NOW, "gone".into());
    let back = visited(&switch, &mut server);
    assert!(back[0].contains("<recipient-unavailable ") && back[0].contains("to='user@server.example'"));
}

#[test]
fn p3_unsent_stanzas_of_a_name_that_was_bound_lately_do_not_go_to_a_default_route() {
    let switch = switch();
    let mut server = default_route(&switch, DefaultRoute::All);
    let mut a = bound(&switch, listener(), "to='a.example'");
    let mut b = bound(&switch, listener(), "to='b.example'");
    assert_eq!(answer_to(&switch, &mut a, "a.example", "b.example"), "");
    a.handle_error(&switch, NOW, "gone".into());
    b.handle_error(&switch, NOW, "gone".into());
    assert_eq!(visited(&switch, &mut server), [""; 0]);
    assert_eq!(switch.metrics().get(Metric::UnsentDropped), 1);
}

#[test]
fn p4_what_a_visit_writes_is_routed_after_it_and_waits_for_room() {
    let switch = switch();
    let mut local = attach(&switch, [name("local.example")]);
    let mut config = PortConfig::new([name("slow.example")]);
    config.queue_mark = 1;
    let mut slow = attach_with(&switch, config);
    let mut component = bound(&switch, listener(), "to='a.example'");
    for _ in 0..2 {
        assert_eq!(answer_to(&switch, &mut component, "a.example", "local.example"), "");
    }
    let mut visits = 0;
    let mut echo = |stanza: &Incoming<'_>, out: &mut Vec<u8>| {
        visits += 1;
        assert_eq!(stanza.from().unwrap().as_str(), "a.example");
        let two = message("local.example", "slow.example").repeat(2);
        out.extend_from_slice(format!(" {two}\n").as_bytes());
    };
    let state = local.poll(&switch, NOW, &mut echo).unwrap();
    assert_eq!(state, PortState::Blocked { until: after(5).monotonic });
    assert_eq!(local.poll_timeout(), Some(after(5).monotonic));
    let full = local.send(&switch, NOW, message("local.example", "a.example").as_bytes());
    assert_eq!(full, Err(SendError::Full { until: after(5).monotonic }), "in order");
    assert_eq!(visited(&switch, &mut slow).len(), 1);
    assert!(core::iter::from_fn(|| switch.poll_wake()).any(|id| id == local.id()));
    // The second of the first visit goes now, and the first of the second visit waits.
    assert!(matches!(local.poll(&switch, NOW, &mut echo).unwrap(), PortState::Blocked { .. }));
    // Given up, as for a component: it bounces, to be visited.
    assert_eq!(local.poll(&switch, after(5), |_, _| {}), Ok(PortState::Idle));
    assert_eq!(visits, 2);
    assert_eq!(switch.metrics().get(Metric::Bounced), 2);
}

#[test]
fn p4_a_poll_is_bounded_so_that_others_get_their_turn() {
    let switch = switch();
    let mut local = attach(&switch, [name("local.example")]);
    for _ in 0..1000 {
        local.send(&switch, NOW, message("local.example", "local.example").as_bytes()).unwrap();
    }
    let mut most = 0;
    let mut polls = 0;
    loop {
        let mut visits = 0;
        let state = local.poll(&switch, NOW, |_, _| visits += 1).unwrap();
        most = most.max(visits);
        polls += 1;
        if state == PortState::Idle {
            break;
        }
    }
    assert!(most <= 96 && polls > 10, "{most} in one of {polls}");
}

#[test]
fn p5_only_what_a_component_might_send_is_taken() {
    let switch = switch();
    let mut local = attach(&switch, [name("local.example")]);
    let rejected = |reason| Err(SendError::Rejected(reason));
    let address = |text| crate::jid::Jid::parse(text).unwrap_err();
    let bad: JidError = address("a@@b");
    for (bytes, answer) in [
        (message("local.example", "local.example"), Ok(())),
        ("\n<presence to='local.example/a' from='local.example'/> ".into(), Ok(())),
        (String::new(), Err(SendError::NotOne)),
        ("text".into(), Err(SendError::NotOne)),
        ("<message from='local.example' to='local.example'>".into(), Err(SendError::NotOne)),
        (message("local.example", "local.example").repeat(2), Err(SendError::NotOne)),
        ("<mesage from='local.example' to='local.example'/>".into(), rejected(RejectReason::NoStanza)),
        ("<message from='local.example'/>".into(), rejected(RejectReason::NoTo)),
        ("<message to='local.example'/>".into(), rejected(RejectReason::NoFrom)),
        (message("local.example", "a@@b"), rejected(RejectReason::BadTo(bad.clone()))),
        (message("a@@b", "local.example"), rejected(RejectReason::BadFrom(bad))),
        (message("b.example", "local.example"), rejected(RejectReason::ForeignFrom)),
        (
            "<iq from='local.example' to='local.example' type='get'/>".into(),
            rejected(RejectReason::ImproperIq),
        ),
        (
            format!("<message from='local.example' to='local.example'>{}</message>", "x".repeat(1 << 20)),
            Err(SendError::TooLong { limit: 1 << 20 }),
        ),
    ] {
        let taken = local.send(&switch, NOW, bytes.as_bytes());
        assert_eq!(taken, answer, "{}", &bytes[..bytes.len().min(80)]);
    }
    let not_well_formed = local.send(&switch, NOW, b"<message><a></b></message>");
    assert!(matches!(not_well_formed, Err(SendError::Xml(_))), "{not_well_formed:?}");
    assert_eq!(visited(&switch, &mut local).len(), 2);
}

#[test]
fn p5_received_stanza_is_sent_on_under_the_same_rules() {
    let switch = switch();
    let mut local = attach(&switch, [name("local.example")]);
    for (bytes, answer) in [
        (message("local.example/a", "local.example"), Ok(())),
        (message("a.example", "local.example"), Err(SendError::Rejected(RejectReason::ForeignFrom))),
        (
            "<iq from='local.example' to='local.example' type='get'/>".into(),
            Err(SendError::Rejected(RejectReason::ImproperIq)),
        ),
        ("<message to='local.example'/>".into(), Err(SendError::Rejected(RejectReason::NoFrom))),
    ] {
        let mut scan = Scan::default();
        assert!(scan.advance(bytes.as_bytes(), &Limits::default(), &[]).is_ok());
        let stanza = Stanza::new(bytes.as_bytes(), scan.head(), &HeaderPrefixes::Usual).unwrap().unwrap();
        assert_eq!(local.send_stanza(&switch, NOW, &OwnedStanza::new(&stanza)), answer, "{bytes}");
    }
    assert_eq!(visited(&switch, &mut local), [message("local.example/a", "local.example")]);
}

#[test]
fn p5_detached_port_frees_its_names_and_bounces_what_waits() {
    let switch = switch();
    let local = attach(&switch, [name("local.example"), Claim::Host(domain("own.example"))]);
    let mut component = bound(&switch, listener(), "to='a.example'");
    for to in ["local.example", "own.example"] {
        assert_eq!(answer_to(&switch, &mut component, "a.example", to), "");
    }
    let detached = local.detach(&switch, NOW);
    assert_eq!((detached.unsent, detached.unrouted), (2, Vec::new()));
    assert_eq!(written(&switch, &mut component).matches("<recipient-unavailable ").count(), 2);
    for to in ["local.example", "own.example"] {
        let said = answer_to(&switch, &mut component, "a.example", to);
        assert!(said.contains("<remote-server-not-found "), "{said}");
    }
    bound(&switch, listener(), "to='local.example'");
}

#[test]
fn p6_port_that_holds_a_host_answers_for_it_and_passes_on_the_rest() {
    let switch = switch();
    let mut local = attach(&switch, [Claim::Host(domain("own.example"))]);
    let mut component = bound(&switch, listener(), "to='a.example'");
    let mut prefix = bound(&switch, listener(), "to='p' is_subdomain='true'");
    let items = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    send(&switch, &mut component, &format!("<iq type='get' id='1' to='own.example'>{items}</iq>"));
    send(&switch, &mut component, "<message to='juliet@own.example'><body>?</body></message>");
    local
        .poll(&switch, NOW, |stanza, out| {
            if stanza.to().unwrap().local().is_some() {
                let error = crate::stanza_error::StanzaError::new(
                    crate::stanza_error::StanzaCondition::ItemNotFound,
                    crate::stanza_error::ErrorType::Cancel,
                    "no such user",
                );
                assert!(stanza.refuse(&error, out));
            }
        })
        .unwrap();
    assert!(written(&switch, &mut component).contains("no such user"));
    send(&switch, &mut component, &format!("<iq type='get' id='1' to='own.example'>{items}</iq>"));
    local.poll(&switch, NOW, |stanza, out| assert!(stanza.answer_as_host(&switch, NOW, out))).unwrap();
    let answer = written(&switch, &mut component);
    assert!(answer.contains("<item jid='a.example'/><item jid='p.own.example'/>"), "{answer}");
    assert!(answer.contains("from='own.example'"), "{answer}");
    // The name under it is the prefix component's.
    assert_eq!(answer_to(&switch, &mut component, "a.example", "p.own.example"), "");
    assert!(written(&switch, &mut prefix).contains("to='p.own.example'"));
}

#[test]
fn p7_no_component_takes_a_name_from_a_local_port() {
    let switch = switch();
    let claims = [name("b.example"), Claim::Below(domain("bots.example")), Claim::Prefix(domain("p"))];
    let _local = attach(&switch, claims);
    let kick = with(BindPolicy { conflict: ConflictBehaviour::KickOld, ..BindPolicy::default() });
    for attributes in [
        "to='b.example'",
        "to='x.bots.example'",
        "to='p' is_subdomain='true'",
        "to='p.host.example'",
        "to='host.example'",
    ] {
        let mut newcomer = connected(&switch, kick.clone());
        send(&switch, &mut newcomer, &header(attributes));
        let said = send(&switch, &mut newcomer, &handshake("s")).1;
        assert!(said.contains("<stream:error><conflict "), "{attributes}: {said}");
    }
    // A listener that lists a name below a wildcard gives it.
    let domains = [DomainPattern::parse("x.bots.example").unwrap()].into_iter().collect();
    let lists = with(BindPolicy { domains: Some(domains), ..BindPolicy::default() });
    bound(&switch, lists, "to='x.bots.example'");
    // Nor does another local port.
    for claim in [name("b.example"), Claim::Below(domain("bots.example")), Claim::Prefix(domain("p"))] {
        let taken = LocalPort::attach(&switch, PortConfig::new([claim]), NOW).err();
        assert!(matches!(taken, Some(AttachError::Taken { .. })), "{taken:?}");
    }
    let host = LocalPort::attach(&switch, PortConfig::new([name("host.example")]), NOW).err();
    assert_eq!(host, Some(AttachError::HostOfOurs(domain("host.example"))));
}

#[test]
fn p7_own_senders_are_checked_and_any_are_not() {
    let switch = switch();
    let claims =
        [name("one.example"), Claim::Below(domain("bots.example")), Claim::Host(domain("own.example"))];
    let mut config = PortConfig::new(claims);
    let mut own = attach_with(&switch, config.clone());
    let _receiver = attach(&switch, [name("r.example")]);
    for (from, is_own) in [
        ("one.example/r", true),
        ("x.bots.example", true),
        ("user@own.example", true),
        ("bots.example", false),
        ("x.own.example", false),
        ("server.example", false),
    ] {
        let sent = own.send(&switch, NOW, message(from, "r.example").as_bytes());
        assert_eq!(sent.is_ok(), is_own, "{from}: {sent:?}");
    }
    own.detach(&switch, NOW);
    config.senders = Senders::Any;
    let mut any = attach_with(&switch, config);
    any.send(&switch, NOW, message("server.example", "r.example").as_bytes()).unwrap();
}

#[test]
fn attach_is_all_or_nothing_and_one_default_route_has_one_port() {
    let switch = switch();
    let _first = attach(&switch, [name("b.example")]);
    let claims = [name("a.example"), Claim::Host(domain("own.example")), name("b.example")];
    assert!(LocalPort::attach(&switch, PortConfig::new(claims), NOW).is_err());
    let all = default_route(&switch, DefaultRoute::All);
    let mut second = PortConfig::new([name("a.example"), Claim::Host(domain("own.example"))]);
    second.default_route = DefaultRoute::All;
    let taken = LocalPort::attach(&switch, second.clone(), NOW).err();
    assert_eq!(taken, Some(AttachError::RouteTaken { name: None, by: all.id() }));
    assert_eq!(
        taken.map(|taken| taken.to_string()),
        Some(format!("port {} is the default route of all already", all.id()))
    );
    all.detach(&switch, NOW);
    attach_with(&switch, second);
}

#[test]
fn access_rule_of_a_local_port_judges_senders() {
    let switch = switch();
    let mut config = PortConfig::new([name("b.example")]);
    config.access = Access::Rule(Arc::new(|sender: &crate::jid::Jid<'_>, is_host: bool| {
        is_host || sender.domain() == "friend.example"
    }));
    let mut local = attach_with(&switch, config);
    let mut host =
        attach(&switch, [Claim::Host(domain("own.example")), name("friend.example"), name("foe.example")]);
    for (from, allowed) in [("friend.example", true), ("user@own.example", true), ("foe.example", false)] {
        host.send(&switch, NOW, message(from, "b.example").as_bytes()).unwrap();
        assert_eq!(visited(&switch, &mut local).len(), usize::from(allowed), "{from}");
        assert_eq!(visited(&switch, &mut host).len(), usize::from(!allowed), "{from}");
    }
}

#[test]
fn shutdown_ends_a_local_port_after_what_waits() {
    let switch = switch();
    let mut local = attach(&switch, [name("b.example")]);
    let mut component = bound(&switch, listener(), "to='a.example'");
    answer_to(&switch, &mut component, "a.example", "b.example");
    switch.shut_down();
    let mut visits = 0;
    let state = local.poll(&switch, NOW, |_, _| visits += 1).unwrap();
    assert_eq!((visits, state), (1, PortState::Ended(StreamErrorCause::Shutdown)));
    let late = LocalPort::attach(&switch, PortConfig::new([name("late.example")]), NOW).err();
    assert_eq!(late, Some(AttachError::Ended));
}
