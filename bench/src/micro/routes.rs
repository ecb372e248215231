//! The look-up alone, among many domains.

use std::hint::black_box;
use std::sync::Arc;

use enjamb_core::jid::{Domain, Jid};
use enjamb_core::router::{Claim, ConnId, Route, Router, Terms};

use super::case::Case;

/// Addresses asked for in turn, so that no two in a row are the same.
const ASKED: usize = 64;

/// Looks domains up among so many that are bound.
pub(super) fn route(domains: usize) -> Option<Case> {
    let mut router = Router::new([Domain::parse("host.example").ok()?]);
    let terms = Arc::new(Terms::default());
    for number in 0..domains {
        // Each name has as many letters, whatever their number.
        let claim = Claim::Domain(Domain::parse(&name(number)).ok()?);
        router.bind(ConnId(number as u64), claim, Arc::clone(&terms)).ok()?;
    }
    let sender = Jid::parse("romeo@comp.example/orchard").ok()?.into_owned();
    let mut asked = Vec::new();
    for index in 0..ASKED {
        // Spread over all of them.
        let number = index * domains / ASKED.min(domains) % domains;
        asked.push((
            ConnId(number as u64),
            Jid::parse(&format!("juliet@{}/b", name(number))).ok()?.into_owned(),
        ));
    }
    let mut next = 0;
    Some(Case::new(0, move || {
        let (conn, to) = &asked[next % ASKED];
        next += 1;
        router.route(black_box(&sender), black_box(to)) == Route::Deliver(*conn)
    }))
}

fn name(number: usize) -> String {
    format!("gateway-{number:06}.example")
}
