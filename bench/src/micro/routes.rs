//! The look-up alone, among many domains.

use std::hint::black_box;
use std::sync::Arc;

use enjamb_core::Instant;
use enjamb_core::jid::{Domain, Jid};
use enjamb_core::router::{BindPolicy, Claim, Destination, PortId, Router};

use super::case::Case;

/// Addresses asked for in turn, so that no two in a row are the same.
const ASKED: usize = 64;

/// Looks domains up among N that are bound.
pub(super) fn route(domains: usize) -> Option<Case> {
    let mut router = Router::new([Domain::parse("host.example").ok()?]);
    let terms = Arc::new(BindPolicy::default());
    for number in 0..domains {
        // Each name has as many letters, whatever their number.
        let claim = Claim::Domain(Domain::parse(&name(number)).ok()?);
        router.bind(PortId(number as u64), claim, Arc::clone(&terms), Instant::ORIGIN).ok()?;
    }
    let mut asked = Vec::new();
    for index in 0..ASKED {
        // Spread over all of them.
        let number = index * domains / ASKED.min(domains) % domains;
        asked.push((
            PortId(number as u64),
            Jid::parse(&format!("juliet@{}/b", name(number))).ok()?.into_owned(),
        ));
    }
    let mut next = 0;
    Some(Case::new(0, move || {
        let (conn, to) = &asked[next % ASKED];
        next += 1;
        let found = router.route_domain(black_box(to).domain(), None);
        matches!(found, Destination::Port(found, _) if found == *conn)
    }))
}

fn name(number: usize) -> String {
    format!("gateway-{number:06}.example")
}
