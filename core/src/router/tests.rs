use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use alloc::{format, vec};

use super::*;
use crate::jid::{Domain, Jid};
use crate::time::Instant;

const OLD: PortId = PortId(1);
const NEW: PortId = PortId(2);
const THIRD: PortId = PortId(3);
const NOW: Instant = Instant::ORIGIN;

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn exact(name: &str) -> Claim {
    Claim::Domain(domain(name))
}

fn prefix(name: &str) -> Claim {
    Claim::Prefix(domain(name))
}

fn polite() -> Arc<BindPolicy> {
    Arc::default()
}

fn kick_old() -> Arc<BindPolicy> {
    Arc::new(BindPolicy { conflict: ConflictBehaviour::KickOld, ..BindPolicy::default() })
}

fn router(hosts: &[&str]) -> Router {
    Router::new(hosts.iter().map(|host| domain(host)))
}

/// Where a stanza goes.
#[derive(Debug, PartialEq, Eq)]
enum Route {
    Deliver(PortId),
    Default(PortId),
    Host,
    Rejected,
    Away,
    Unknown,
}

fn route(router: &Router, sender: &str, to: &str) -> Route {
    let sender = Jid::parse(sender).unwrap();
    match router.route_domain(Jid::parse(to).unwrap().domain(), None) {
        Destination::Port(conn, policy) => {
            let allows = policy.access.allows(&sender, router.is_host(sender.domain()));
            if allows { Route::Deliver(conn) } else { Route::Rejected }
        }
        Destination::Host => Route::Host,
        Destination::DefaultRoute(conn) => Route::Default(conn),
        Destination::Away => Route::Away,
        Destination::Unknown => Route::Unknown,
    }
}

fn names(names: &[&str]) -> Vec<Domain> {
    names.iter().map(|name| domain(name)).collect()
}

const QUIET: BindOutcome = BindOutcome { replaced: Vec::new(), changes: Vec::new() };

// Routing by the domain of `to`.

#[test]
fn a_component_of_ours_is_delivered_to_whatever_the_spelling() {
    let mut router = router(&["localhost"]);
    assert_eq!(router.bind(OLD, exact("bücher.example"), polite(), NOW), Ok(QUIET));
    for to in ["bücher.example", "user@BÜCHER.example./res", "xn--bcher-kva.example"] {
        assert_eq!(route(&router, "localhost", to), Route::Deliver(OLD), "{to}");
    }
    assert_eq!(route(&router, "localhost", "bucher.example"), Route::Unknown);
}

#[test]
fn a_host_of_ours_answers_itself() {
    let router = router(&["localhost", "example.org"]);
    assert_eq!(route(&router, "comp.example", "user@EXAMPLE.org"), Route::Host);
    assert!(router.is_host("localhost") && !router.is_host("comp.example"));
    assert_eq!(router.hosts().cloned().collect::<Vec<_>>(), names(&["example.org", "localhost"]));
    assert_eq!(router.owner("localhost"), None);
}

#[test]
fn a_listed_name_is_known_while_it_is_away_and_no_other() {
    let mut router = router(&["localhost"]);
    router.set_known(vec![
        DomainPattern::parse("listed.example").unwrap(),
        DomainPattern::parse("*.bots.example").unwrap(),
    ]);
    assert_eq!(route(&router, "localhost", "listed.example"), Route::Away);
    assert_eq!(route(&router, "localhost", "a.b.bots.example"), Route::Away);
    assert_eq!(route(&router, "localhost", "bots.example"), Route::Unknown);
    assert_eq!(route(&router, "localhost", "other.example"), Route::Unknown);
    router.bind(OLD, exact("listed.example"), listing(&["listed.example"]), NOW).unwrap();
    assert_eq!(route(&router, "localhost", "listed.example"), Route::Deliver(OLD));
    assert_eq!(router.unbind(OLD, NOW), []);
    assert_eq!(route(&router, "localhost", "listed.example"), Route::Away);
}

#[test]
fn the_access_rule_is_asked_about_the_sender() {
    let rule = |sender: &Jid<'_>, is_host: bool| is_host && sender.local() != Some("spammer");
    let access = Access::Rule(Arc::new(rule));
    let mut router = router(&["localhost"]);
    router
        .bind(OLD, exact("comp.example"), Arc::new(BindPolicy { access, ..BindPolicy::default() }), NOW)
        .unwrap();
    assert_eq!(route(&router, "user@localhost", "comp.example"), Route::Deliver(OLD));
    assert_eq!(route(&router, "spammer@localhost", "comp.example"), Route::Rejected);
    assert_eq!(route(&router, "user@other.example", "comp.example"), Route::Rejected);
    assert!(matches!(router.route_domain("comp.example", None), Destination::Port(OLD, _)));
}

// BindError: section by section of what an operator is promised.

#[test]
fn disconnect_refuses_the_newcomer_and_leaves_the_old_one_untouched() {
    let mut router = router(&["localhost"]);
    router.bind(OLD, exact("comp.example"), polite(), NOW).unwrap();
    let refused = router.bind(NEW, exact("COMP.example"), polite(), NOW).unwrap_err();
    assert_eq!(refused, BindError::Taken { name: domain("comp.example"), by: OLD });
    assert_eq!(refused.to_string(), "comp.example is bound to connection 1");
    assert_eq!(router.owner("comp.example"), Some(OLD));
    assert_eq!((router.bound(), router.claim(NEW)), (1, None));
}

#[test]
fn kick_old_binds_the_newcomer_and_unbinds_the_old_one_in_one_step() {
    let mut router = router(&["localhost"]);
    router.bind(OLD, exact("comp.example"), polite(), NOW).unwrap();
    let bound = router.bind(NEW, exact("comp.example"), kick_old(), NOW).unwrap();
    assert_eq!(bound, BindOutcome { replaced: vec![OLD], changes: vec![] });
    assert_eq!(router.owner("comp.example"), Some(NEW));
    assert!(!router.speaks_for(OLD, "comp.example"));
    assert_eq!((router.bound(), router.claim(OLD)), (1, None));
    // The old one's own end comes later, and takes nothing from the newcomer.
    assert_eq!(router.unbind(OLD, NOW), []);
    assert_eq!(router.owner("comp.example"), Some(NEW));
}

#[test]
fn the_newcomers_terms_decide() {
    let mut router = router(&["localhost"]);
    router.bind(OLD, exact("comp.example"), kick_old(), NOW).unwrap();
    assert!(router.bind(NEW, exact("comp.example"), polite(), NOW).is_err());
}

#[test]
fn a_host_of_ours_is_never_claimed_kick_old_or_not() {
    let mut router = router(&["localhost", "muc.localhost"]);
    for policy in [polite(), kick_old()] {
        let refused = Err(BindError::HostOfOurs(domain("localhost")));
        assert_eq!(router.bind(OLD, exact("LOCALHOST."), policy.clone(), NOW), refused);
        let refused = Err(BindError::HostOfOurs(domain("muc.localhost")));
        assert_eq!(router.bind(OLD, prefix("muc"), policy, NOW), refused);
    }
    assert_eq!(router.bound(), 0);
    assert_eq!(router.owner("muc.muc.localhost"), None);
}

#[test]
fn a_connection_is_bound_once() {
    let mut router = router(&["localhost"]);
    router.bind(OLD, exact("comp.example"), polite(), NOW).unwrap();
    assert_eq!(router.bind(OLD, exact("other.example"), kick_old(), NOW), Err(BindError::AlreadyBound(OLD)));
    assert_eq!(router.owner("comp.example"), Some(OLD));
    assert_eq!(router.owner("other.example"), None);
}

// Subdomain components.

#[test]
fn a_prefix_is_bound_under_every_host() {
    let mut router = router(&["localhost", "example.org"]);
    assert_eq!(router.names_of(&prefix("muc")), names(&["muc.example.org", "muc.localhost"]));
    router.bind(OLD, prefix("muc"), polite(), NOW).unwrap();
    for name in ["muc.localhost", "muc.example.org"] {
        assert!(router.speaks_for(OLD, name), "{name}");
        assert_eq!(route(&router, "localhost", name), Route::Deliver(OLD));
    }
    assert!(!router.speaks_for(OLD, "muc"), "the bare prefix is no name");
    assert_eq!(router.claim(OLD), Some(&prefix("muc")));
    assert_eq!(router.unbind(OLD, NOW), []);
    assert_eq!(router.owner("muc.localhost"), None);
    assert_eq!(router.unbind(OLD, NOW), [], "unbinding twice does nothing");
}

#[test]
fn a_prefix_is_bound_under_all_hosts_or_none() {
    let mut router = router(&["localhost", "example.org"]);
    router.bind(OLD, exact("muc.localhost"), polite(), NOW).unwrap();
    let refused = Err(BindError::Taken { name: domain("muc.localhost"), by: OLD });
    assert_eq!(router.bind(NEW, prefix("muc"), polite(), NOW), refused);
    assert_eq!(router.owner("muc.example.org"), None);
    assert_eq!(router.bind(NEW, prefix("muc"), kick_old(), NOW).unwrap().replaced, [OLD]);
    assert_eq!(router.owner("muc.localhost"), Some(NEW));
}

#[test]
fn a_kicked_prefix_loses_all_its_names() {
    let mut router = router(&["localhost", "example.org"]);
    router.bind(OLD, prefix("muc"), polite(), NOW).unwrap();
    assert!(router.bind(NEW, exact("muc.localhost"), polite(), NOW).is_err());
    assert_eq!(router.bind(NEW, exact("muc.localhost"), kick_old(), NOW).unwrap().replaced, [OLD]);
    assert_eq!(router.owner("muc.localhost"), Some(NEW));
    assert_eq!(router.owner("muc.example.org"), None);
    assert_eq!(router.bind(THIRD, exact("muc.example.org"), polite(), NOW), Ok(QUIET));
}

#[test]
fn the_same_prefix_twice_is_a_conflict_without_any_host() {
    let mut router = router(&[]);
    router.bind(OLD, prefix("muc"), polite(), NOW).unwrap();
    let refused = Err(BindError::Taken { name: domain("muc"), by: OLD });
    assert_eq!(router.bind(NEW, prefix("MUC"), polite(), NOW), refused);
    assert_eq!(router.bind(NEW, prefix("muc"), kick_old(), NOW).unwrap().replaced, [OLD]);
    let bound = BindingChange::Bound { name: domain("muc.localhost"), conn: NEW };
    assert_eq!(router.add_host(domain("localhost")), Ok(vec![bound]));
}

fn items(router: &Router, host: &str) -> Vec<Domain> {
    router.items(host).cloned().collect()
}

#[test]
fn each_host_lists_its_own_name_of_a_prefix_and_every_exact_name() {
    let mut router = router(&["localhost", "example.org"]);
    router.bind(PortId(9), exact("comp.example"), polite(), NOW).unwrap();
    router.bind(PortId(1), exact("muc.example.org.example"), polite(), NOW).unwrap();
    router.bind(PortId(5), prefix("muc"), polite(), NOW).unwrap();
    let hidden = BindPolicy { hidden: true, ..BindPolicy::default() };
    router.bind(PortId(3), exact("a.hidden.example"), Arc::new(hidden.clone()), NOW).unwrap();
    let visible = names(&["comp.example", "muc.example.org.example", "muc.localhost"]);
    assert_eq!(items(&router, "localhost"), visible);
    assert_eq!(items(&router, "comp.example"), []);
    // With the hidden ones, on a server that lists them.
    router.unbind(PortId(3), NOW);
    router.list_hidden(true);
    router.bind(PortId(3), exact("a.hidden.example"), Arc::new(hidden), NOW).unwrap();
    let mut all = vec![domain("a.hidden.example")];
    all.extend(names(&["comp.example", "muc.example.org", "muc.example.org.example"]));
    assert_eq!(items(&router, "example.org"), all);
}

#[test]
fn a_hidden_component_is_routed_to_like_any_other() {
    let mut router = router(&["localhost"]);
    let hidden = BindPolicy { hidden: true, ..BindPolicy::default() };
    router.bind(OLD, exact("comp.example"), Arc::new(hidden), NOW).unwrap();
    assert_eq!(route(&router, "localhost", "comp.example"), Route::Deliver(OLD));
}

#[test]
fn a_host_added_later_gives_the_prefix_its_name_at_once() {
    let mut router = router(&["localhost"]);
    router.bind(OLD, prefix("muc"), polite(), NOW).unwrap();
    let bound = BindingChange::Bound { name: domain("muc.example.org"), conn: OLD };
    assert_eq!(router.add_host(domain("example.org")), Ok(vec![bound]));
    assert!(router.speaks_for(OLD, "muc.example.org"));
    assert_eq!(items(&router, "example.org"), names(&["muc.example.org"]));
    assert_eq!(router.add_host(domain("example.org")), Ok(vec![]), "it is there already");
}

#[test]
fn a_host_removed_takes_the_prefix_its_name_and_leaves_the_rest() {
    let mut router = router(&["localhost", "example.org"]);
    router.bind(OLD, prefix("muc"), polite(), NOW).unwrap();
    router.bind(NEW, exact("own.example.org"), polite(), NOW).unwrap();
    let lost = BindingChange::Lost { name: domain("muc.example.org"), conn: OLD };
    assert_eq!(router.remove_host(&domain("example.org")), [lost]);
    assert_eq!(router.owner("muc.localhost"), Some(OLD));
    assert_eq!(router.owner("muc.example.org"), None);
    assert_eq!(router.owner("own.example.org"), Some(NEW), "an exact name stays");
    assert_eq!(router.remove_host(&domain("example.org")), []);
    let lost = BindingChange::Lost { name: domain("muc.localhost"), conn: OLD };
    assert_eq!(router.remove_host(&domain("localhost")), [lost], "the last host may go, too");
    assert_eq!(router.bound(), 2);
}

#[test]
fn where_an_exact_name_is_bound_the_prefix_waits_for_it() {
    let mut router = router(&["localhost"]);
    router.bind(OLD, exact("muc.example.org"), polite(), NOW).unwrap();
    router.bind(NEW, prefix("muc"), polite(), NOW).unwrap();
    let name = || domain("muc.example.org");
    let waits = BindingChange::Waits { name: name(), conn: NEW, holder: Some(OLD) };
    assert_eq!(router.add_host(domain("example.org")), Ok(vec![waits]));
    assert_eq!(router.owner("muc.example.org"), Some(OLD));
    assert!(!router.speaks_for(NEW, "muc.example.org"));
    assert_eq!(items(&router, "example.org"), [name()], "listed once");
    assert_eq!(router.unbind(OLD, NOW), [BindingChange::Bound { name: name(), conn: NEW }]);
    assert!(router.speaks_for(NEW, "muc.example.org"));
}

#[test]
fn a_prefix_goes_on_waiting_where_a_newcomer_kicks_the_holder() {
    let mut router = router(&["localhost"]);
    router.bind(OLD, exact("muc.example.org"), polite(), NOW).unwrap();
    router.bind(NEW, prefix("muc"), polite(), NOW).unwrap();
    router.add_host(domain("example.org")).unwrap();
    let bound = router.bind(THIRD, exact("muc.example.org"), kick_old(), NOW).unwrap();
    assert_eq!(bound, BindOutcome { replaced: vec![OLD], changes: vec![] });
    let granted = BindingChange::Bound { name: domain("muc.example.org"), conn: NEW };
    assert_eq!(router.unbind(THIRD, NOW), [granted]);
}

#[test]
fn what_the_kicked_one_leaves_goes_to_who_waited() {
    // "a.b" comes first to a.b.x; "a" waits for it, with the host b.x.
    let mut router = router(&["x"]);
    router.bind(OLD, prefix("a.b"), polite(), NOW).unwrap();
    router.bind(NEW, prefix("a"), polite(), NOW).unwrap();
    let changes = router.add_host(domain("b.x")).unwrap();
    assert!(changes.contains(&BindingChange::Waits { name: domain("a.b.x"), conn: NEW, holder: Some(OLD) }));
    let bound = router.bind(THIRD, exact("a.b.b.x"), kick_old(), NOW).unwrap();
    let granted = BindingChange::Bound { name: domain("a.b.x"), conn: NEW };
    assert_eq!(bound, BindOutcome { replaced: vec![OLD], changes: vec![granted] });
}

#[test]
fn who_waited_first_gets_the_name_first() {
    let mut router = router(&[]);
    router.bind(OLD, exact("a.b.c.x"), polite(), NOW).unwrap();
    router.bind(PortId(7), prefix("a.b"), polite(), NOW).unwrap();
    router.bind(PortId(4), prefix("a"), polite(), NOW).unwrap();
    router.add_host(domain("c.x")).unwrap();
    router.add_host(domain("b.c.x")).unwrap();
    let name = || domain("a.b.c.x");
    assert_eq!(router.unbind(OLD, NOW), [BindingChange::Bound { name: name(), conn: PortId(7) }]);
    assert_eq!(router.unbind(PortId(7), NOW), [BindingChange::Bound { name: name(), conn: PortId(4) }]);
    assert_eq!(router.unbind(PortId(4), NOW), []);
}

#[test]
fn a_prefix_that_is_gone_waits_no_more() {
    let mut router = router(&[]);
    router.bind(OLD, exact("muc.x"), polite(), NOW).unwrap();
    router.bind(NEW, prefix("muc"), polite(), NOW).unwrap();
    router.add_host(domain("x")).unwrap();
    assert_eq!(router.unbind(NEW, NOW), []);
    assert_eq!(router.unbind(OLD, NOW), []);
    assert_eq!(router.owner("muc.x"), None);
    assert!(router.waiting.is_empty());
}

#[test]
fn a_new_host_whose_name_a_component_holds_is_refused() {
    let mut router = router(&["localhost"]);
    router.bind(OLD, exact("comp.example"), polite(), NOW).unwrap();
    router.bind(NEW, prefix("muc"), polite(), NOW).unwrap();
    for (name, by) in [("comp.example", OLD), ("muc.localhost", NEW)] {
        let refused = router.add_host(domain(name)).unwrap_err();
        assert_eq!(refused, HostTaken { host: domain(name), by });
        assert_eq!(route(&router, "localhost", name), Route::Deliver(by));
    }
    assert_eq!(router.hosts().count(), 1);
    assert_eq!(router.owner("muc.comp.example"), None);
}

#[test]
fn a_prefix_waits_for_a_name_that_is_a_host_of_ours() {
    let mut router = router(&["muc.x"]);
    router.bind(OLD, prefix("muc"), polite(), NOW).unwrap();
    let waits = BindingChange::Waits { name: domain("muc.x"), conn: OLD, holder: None };
    assert_eq!(router.add_host(domain("x")), Ok(vec![waits]));
    assert_eq!(route(&router, "x", "muc.x"), Route::Host);
    let changes = router.remove_host(&domain("muc.x"));
    let lost = BindingChange::Lost { name: domain("muc.muc.x"), conn: OLD };
    assert_eq!(changes, [lost, BindingChange::Bound { name: domain("muc.x"), conn: OLD }]);
}

#[test]
fn a_prefix_passes_over_a_host_with_which_it_makes_no_name() {
    let mut router = router(&["[::1]", "localhost"]);
    router.bind(OLD, prefix("muc"), polite(), NOW).unwrap();
    assert_eq!(router.names_of(&prefix("muc")), names(&["muc.localhost"]));
    assert_eq!(items(&router, "[::1]"), []);
    let long = domain(&format!("{}x", "x.".repeat(511)));
    assert_eq!(router.add_host(long), Ok(vec![]));
}

#[test]
fn terms_are_those_of_the_binding() {
    let mut router = router(&["localhost"]);
    let policy = Arc::new(BindPolicy { hidden: true, ..BindPolicy::default() });
    router.bind(OLD, exact("comp.example"), policy.clone(), NOW).unwrap();
    assert!(Arc::ptr_eq(router.policy(OLD).unwrap(), &policy));
    assert!(router.policy(NEW).is_none());
}

fn listing(names: &[&str]) -> Arc<BindPolicy> {
    let domains = names.iter().map(|name| DomainPattern::parse(name).unwrap()).collect();
    Arc::new(BindPolicy { domains: Some(domains), realm: 1, ..BindPolicy::default() })
}

/// A name that a listener lists is out of reach of holders of another secret.
#[test]
fn listed_name_goes_to_no_listener_that_lists_none() {
    let mut router = router(&["h.example"]);
    let patterns = ["b.example", "*.bots.h.example"].map(|name| DomainPattern::parse(name).unwrap());
    router.set_known(patterns);
    let owner = listing(&["b.example", "*.bots.h.example"]);
    router.bind(OLD, exact("b.example"), owner.clone(), NOW).unwrap();
    for (claim, name) in [
        (exact("b.example"), "b.example"),
        (exact("zz.bots.h.example"), "zz.bots.h.example"),
        (prefix("bots.bots"), "bots.bots.h.example"),
    ] {
        let refused = Err(BindError::Denied(domain(name)));
        assert_eq!(router.bind(NEW, claim.clone(), kick_old(), NOW), refused);
        assert_eq!(router.bind(NEW, claim, polite(), NOW), refused);
    }
    router.bind(NEW, exact("zz.bots.h.example"), owner, NOW).unwrap();
    // Its own list binds a prefix as well as a name.
    let narrow = listing(&["x.h.example"]);
    assert_eq!(
        router.bind(THIRD, prefix("y"), narrow.clone(), NOW),
        Err(BindError::Denied(domain("y.h.example")))
    );
    router.bind(THIRD, prefix("x"), narrow, NOW).unwrap();
    let denied = BindingChange::Denied { name: domain("x.late.example"), conn: THIRD };
    assert_eq!(router.add_host(domain("late.example")), Ok(vec![denied]));
    assert_eq!(router.owner("x.late.example"), None);
    router.remove_host(&domain("late.example"));
    router.unbind(THIRD, NOW);
    assert_eq!((router.owner("x.h.example"), items(&router, "h.example").len()), (None, 2));
}

#[test]
fn component_replaces_none_of_another_realm() {
    let mut router = router(&["h.example"]);
    let of =
        |realm| Arc::new(BindPolicy { realm, conflict: ConflictBehaviour::KickOld, ..BindPolicy::default() });
    router.bind(OLD, exact("b.example"), of(1), NOW).unwrap();
    let taken = Err(BindError::Taken { name: domain("b.example"), by: OLD });
    assert_eq!(router.bind(NEW, exact("b.example"), of(2), NOW), taken);
    assert_eq!(router.bind(NEW, exact("b.example"), of(1), NOW).unwrap().replaced, [OLD]);
    // One of two that hold the names of a prefix is enough.
    let mut router = self::router(&["g.example", "h.example"]);
    router.bind(OLD, exact("muc.g.example"), of(1), NOW).unwrap();
    router.bind(NEW, exact("muc.h.example"), of(2), NOW).unwrap();
    let taken = Err(BindError::Taken { name: domain("muc.h.example"), by: NEW });
    assert_eq!(router.bind(THIRD, prefix("muc"), of(1), NOW), taken);
    assert_eq!(router.owner("muc.g.example"), Some(OLD));
}

/// Neither a name in another script nor the number of hosts is looked at again for each answer.
#[test]
fn list_of_a_host_takes_no_look_up_of_names() {
    let mut router = router(&["g.example", "h.example"]);
    for number in 0..50 {
        let claim = Claim::Prefix(Domain::parse(&format!("b\u{fc}cher{number}")).unwrap());
        router.bind(PortId(number), claim, polite(), NOW).unwrap();
    }
    let look_ups = || router.look_ups.load(core::sync::atomic::Ordering::Relaxed);
    let before = look_ups();
    assert_eq!(router.items("h.example").count(), 50);
    assert_eq!(look_ups() - before, 1, "whether it is a host, and nothing else");
}
