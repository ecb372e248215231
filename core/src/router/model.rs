//! The router against a model that is too slow to use and too plain to be wrong: of each name a list of those
//! who want it, in which the first holds it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::*;
use crate::jid::Domain;
use crate::time::Instant;

const NOW: Instant = Instant::ORIGIN;

#[derive(Default)]
struct Model {
    /// Who wants a name, in order; `None` is the server itself.
    wants: Vec<(String, Option<PortId>)>,
    claims: BTreeMap<PortId, Claim>,
}

impl Model {
    fn holder(&self, name: &str) -> Option<Option<PortId>> {
        self.wants.iter().find(|(wanted, _)| wanted == name).map(|(_, who)| *who)
    }

    fn hosts(&self) -> Vec<String> {
        let mut hosts: Vec<String> =
            self.wants.iter().filter(|(_, who)| who.is_none()).map(|(name, _)| name.clone()).collect();
        hosts.sort();
        hosts
    }

    fn names(&self, claim: &Claim) -> Vec<String> {
        match claim {
            Claim::Prefix(prefix) => self.hosts().iter().map(|host| format!("{prefix}.{host}")).collect(),
            other => Vec::from([other.name().to_string()]),
        }
    }

    fn prefixes(&self) -> Vec<(String, PortId)> {
        let mut prefixes: Vec<(String, PortId)> = Vec::new();
        for (conn, claim) in &self.claims {
            if let Claim::Prefix(prefix) = claim {
                prefixes.push((prefix.to_string(), *conn));
            }
        }
        prefixes.sort();
        prefixes
    }

    /// Whether it is bound, and whom it displaced.
    fn bind(&mut self, conn: PortId, claim: &Claim, kick: bool) -> Option<BTreeSet<PortId>> {
        let names = self.names(claim);
        let mut displaced = BTreeSet::new();
        for name in &names {
            match self.holder(name) {
                Some(None) => return None,
                Some(Some(by)) => displaced.extend([by]),
                None => {}
            }
        }
        if matches!(claim, Claim::Prefix(_)) {
            displaced.extend(self.claims.iter().filter(|(_, other)| *other == claim).map(|(by, _)| *by));
        }
        if self.claims.contains_key(&conn) || (!kick && !displaced.is_empty()) {
            return None;
        }
        for old in &displaced {
            self.unbind(*old);
        }
        self.wants.splice(0..0, names.into_iter().map(|name| (name, Some(conn))));
        self.claims.insert(conn, claim.clone());
        Some(displaced)
    }

    fn unbind(&mut self, conn: PortId) {
        self.wants.retain(|(_, who)| *who != Some(conn));
        self.claims.remove(&conn);
    }

    fn add_host(&mut self, host: &str) -> bool {
        match self.holder(host) {
            Some(None) => return true,
            Some(Some(_)) => return false,
            None => {}
        }
        self.wants.push((host.to_string(), None));
        for (prefix, conn) in self.prefixes() {
            self.wants.push((format!("{prefix}.{host}"), Some(conn)));
        }
        true
    }

    fn remove_host(&mut self, host: &str) {
        if self.holder(host) == Some(None) {
            self.wants.retain(|(name, who)| name != host || who.is_some());
            for (prefix, conn) in self.prefixes() {
                let name = format!("{prefix}.{host}");
                self.wants.retain(|(wanted, who)| *wanted != name || *who != Some(conn));
            }
        }
    }
}

struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 32) as usize) % bound
    }

    fn pick<'a>(&mut self, from: &'a [Domain]) -> &'a Domain {
        &from[self.below(from.len())]
    }
}

/// Every name of one to `depth` of these labels: few enough that prefixes, hosts and names collide.
fn universe(labels: &[&str], depth: usize) -> Vec<Domain> {
    let mut names: Vec<String> = labels.iter().map(ToString::to_string).collect();
    let mut start = 0;
    for _ in 1..depth {
        let longer: Vec<String> = names[start..]
            .iter()
            .flat_map(|name| labels.iter().map(move |label| format!("{label}.{name}")))
            .collect();
        start = names.len();
        names.extend(longer);
    }
    names.iter().map(|name| Domain::parse(name).expect("the model's names are domains")).collect()
}

fn owners(router: &Router, names: &[Domain]) -> Vec<Option<PortId>> {
    names.iter().map(|name| router.owner(name.as_str())).collect()
}

/// What changed hands has to be what the operation reported, except for what `newcomer` asked for itself.
fn explained(
    router: &Router,
    names: &[Domain],
    before: &[Option<PortId>],
    newcomer: Option<PortId>,
    told: &[BindingChange],
) {
    for (name, before) in names.iter().zip(before) {
        let after = router.owner(name.as_str());
        let got = after.filter(|conn| *before != after && newcomer != Some(*conn));
        let lost = before.filter(|conn| *before != after && router.claim(*conn).is_some());
        let reported = |change: Option<BindingChange>| change.is_none_or(|change| told.contains(&change));
        assert!(
            reported(got.map(|conn| BindingChange::Bound { name: name.clone(), conn })),
            "{name}: {told:?}"
        );
        assert!(
            reported(lost.map(|conn| BindingChange::Lost { name: name.clone(), conn })),
            "{name}: {told:?}"
        );
    }
    for change in told {
        match change {
            BindingChange::Bound { name, conn } => {
                assert!(router.speaks_for(*conn, name.as_str()), "{change:?}");
            }
            BindingChange::Lost { name, conn } => {
                assert!(!router.speaks_for(*conn, name.as_str()), "{change:?}");
            }
            BindingChange::Waits { name, holder, .. } => {
                assert_eq!(router.owner(name.as_str()), *holder, "{change:?}");
            }
            BindingChange::Denied { .. } => panic!("every name may be given: {change:?}"),
        }
    }
}

#[test]
fn the_router_agrees_with_the_model() {
    run(&universe(&["a", "b"], 4), &universe(&["a", "b"], 2));
}

#[test]
fn the_router_agrees_with_the_model_where_several_wait_for_one_name() {
    run(&universe(&["a"], 6), &universe(&["a"], 3));
}

/// Random operations on names out of `all`, with hosts and prefixes out of `short`.
fn run(all: &[Domain], short: &[Domain]) {
    let mut waits = 0;
    for seed in 1..=60_u64 {
        let mut random = Xorshift(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let (mut router, mut model) = (Router::new([]), Model::default());
        for _ in 0..300 {
            let before = owners(&router, all);
            let conn = PortId(random.below(8) as u64);
            let mut newcomer = None;
            let told = match random.below(8) {
                0..=2 => {
                    let claim = match random.below(2) {
                        0 => Claim::Domain(random.pick(all).clone()),
                        _ => Claim::Prefix(random.pick(short).clone()),
                    };
                    let kick = random.below(3) == 0;
                    let conflict =
                        if kick { ConflictBehaviour::KickOld } else { ConflictBehaviour::Disconnect };
                    let policy = Arc::new(BindPolicy { conflict, ..BindPolicy::default() });
                    let expected = model.bind(conn, &claim, kick);
                    let bound = router.bind(conn, claim, policy, NOW).ok();
                    let replaced = bound.as_ref().map(|bound| bound.replaced.iter().copied().collect());
                    assert_eq!(replaced, expected, "seed {seed}");
                    newcomer = bound.is_some().then_some(conn);
                    bound.map(|bound| bound.changes).unwrap_or_default()
                }
                3..=4 => {
                    model.unbind(conn);
                    router.unbind(conn, NOW)
                }
                5..=6 => {
                    let host = random.pick(short);
                    let added = router.add_host(host.clone());
                    assert_eq!(added.is_ok(), model.add_host(host.as_str()), "seed {seed}");
                    added.unwrap_or_default()
                }
                _ => {
                    let host = random.pick(short);
                    model.remove_host(host.as_str());
                    router.remove_host(host)
                }
            };
            waits += told.iter().filter(|change| matches!(change, BindingChange::Waits { .. })).count();
            for name in all {
                let holder = model.holder(name.as_str());
                assert_eq!(router.owner(name.as_str()), holder.flatten(), "seed {seed}: {name}");
                assert_eq!(router.is_host(name.as_str()), holder == Some(None), "seed {seed}: {name}");
            }
            assert_eq!(router.bound(), model.claims.len());
            explained(&router, all, &before, newcomer, &told);
        }
    }
    assert!(waits > 100, "prefixes waited only {waits} times");
}
