//! A stream and its router, as an embedder without the drive loop uses them.

use std::sync::Arc;

use enjamb_core::host::{self, HostDirectory, HostInfo};
use enjamb_core::jid::Domain;
use enjamb_core::router::{BindPolicy, Claim, Destination, DomainPattern, PortId, Router};
use enjamb_core::stream::{Acceptor, Handshake, ServerEvent, ServerStream};
use enjamb_core::{Instant, Limits, Secret, StanzaError, StreamId};
use enjamb_tests::local_server::domain;

use crate::counting::allocations;
use crate::paths::{BOUNDED, Goes, PATHS, closed, handshake, header};

struct Server {
    stream: ServerStream,
    router: Router,
    info: HostInfo,
    /// What goes back, and what goes to others.
    out: Vec<u8>,
    target: Vec<u8>,
}

struct Facts;

impl HostDirectory for Facts {
    fn items(&self, _: &str, each: &mut dyn FnMut(&Domain)) {
        each(&domain("comp.example"));
    }

    fn utc(&self) -> String {
        "2026-11-22T18:00:00Z".into()
    }
}

impl Server {
    fn new() -> Self {
        let (limits, mut out) = (Arc::new(Limits::default()), Vec::with_capacity(4096));
        let id = StreamId::from_text("1").unwrap();
        let acceptor = Acceptor::new(domain("host.example"), id, limits, Instant::ORIGIN);
        let (_, next) = acceptor.process(Instant::ORIGIN, header("comp.example").as_bytes(), &mut out);
        let Handshake::Opened(opened) = next else { panic!("it is a header") };
        let acceptor = opened.accept(Instant::ORIGIN, [Secret::new("s")].into(), &mut out);
        let (_, next) = acceptor.process(Instant::ORIGIN, handshake("1").as_bytes(), &mut out);
        let Handshake::Authenticated(proved) = next else { panic!("it is the secret") };
        let stream = proved.bind(Instant::ORIGIN, true, &mut out);
        let mut router = Router::new([domain("host.example")]);
        let names = ["comp.example", "peer.example", "bücher.example", "closed.example"];
        for (number, name) in (1..).zip(names) {
            let terms = if name == "closed.example" { closed() } else { BindPolicy::default() };
            assert!(
                router
                    .bind(PortId(number), Claim::Domain(domain(name)), Arc::new(terms), Instant::ORIGIN)
                    .is_ok()
            );
        }
        router.set_known(vec![DomainPattern::parse("down.example").unwrap()]);
        let info = HostInfo::new("Enjamb", "1");
        Self { stream, router, info, out, target: Vec::with_capacity(8192) }
    }

    /// Takes one stanza, and does with it what there is to do.
    fn take(&mut self, input: &[u8]) {
        self.out.clear();
        self.target.clear();
        let Self { stream, router, info, out, target } = self;
        let step = stream.process(Instant::ORIGIN, input, out).unwrap();
        assert_eq!(step.consumed, input.len());
        let stanza = match step.event {
            Some(ServerEvent::Stanza(stanza)) => stanza,
            Some(ServerEvent::Rejected(_)) => return,
            other => panic!("no stanza, but {other:?}"),
        };
        let (from, to) = (stanza.from().unwrap(), stanza.to().unwrap());
        let error = match router.route_domain(to.domain(), None) {
            Destination::Port(_, policy) if policy.access.allows(from, router.is_host(from.domain())) => {
                return stanza.append_to(target);
            }
            Destination::Port(..) => StanzaError::access_denied(to.domain()),
            Destination::Host => {
                let _answered = host::answer(&stanza, info, &Facts, out);
                return;
            }
            Destination::DefaultRoute(_) | Destination::Away => StanzaError::component_away(to.domain()),
            Destination::Unknown => StanzaError::no_such_domain(to.domain()),
        };
        let _answered = error.answer(&stanza, out);
    }

    fn assert_goes(&self, stanza: &str, goes: Goes) {
        let (there, back) = (String::from_utf8_lossy(&self.target), String::from_utf8_lossy(&self.out));
        let fits = match goes {
            Goes::There(what) => there.contains(what) && back.is_empty(),
            Goes::Back(what) => back.contains(what) && there.is_empty(),
            Goes::Nowhere => there.is_empty() && back.is_empty(),
        };
        assert!(fits, "{stanza}\nhas to go {goes:?}\nthere: {there}\nback: {back}");
    }
}

#[test]
fn a_stanza_allocates_only_what_is_written_anew() {
    let mut server = Server::new();
    for &(stanza, goes, most) in PATHS {
        server.take(stanza.as_bytes());
        server.assert_goes(stanza, goes);
        let count = allocations(|| server.take(stanza.as_bytes()));
        assert!(count <= most, "{stanza}: {count}");
        server.assert_goes(stanza, goes);
    }
}

#[test]
fn a_stanza_allocates_no_more_however_it_is_cut() {
    let mut server = Server::new();
    for &(stanza, goes, most) in PATHS {
        let mut drip = || {
            for end in 1..stanza.len() {
                let step = server.stream.process(Instant::ORIGIN, &stanza.as_bytes()[..end], &mut server.out);
                assert!(step.unwrap().event.is_none());
            }
            server.take(stanza.as_bytes());
        };
        drip();
        let count = allocations(drip);
        assert!(count <= most, "{stanza}: {count}");
        server.assert_goes(stanza, goes);
    }
}

#[test]
fn a_host_allocates_no_more_than_its_facts() {
    let mut server = Server::new();
    for &(stanza, says) in BOUNDED {
        server.take(stanza.as_bytes());
        let count = allocations(|| server.take(stanza.as_bytes()));
        assert_eq!(count, 1, "{stanza}: its facts alone");
        server.assert_goes(stanza, Goes::Back(says));
    }
}

#[test]
fn a_long_stanza_costs_no_more_than_a_short_one() {
    let mut server = Server::new();
    let body = "Art thou not Romeo, and a Montague? Caf\u{e9}. ".repeat(50);
    let stanza = format!(
        "<message from='romeo@comp.example/orchard' to='juliet@peer.example/balcony' type='chat' id='a1b2c3d4'>\
         <body>{body}</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>"
    );
    server.take(stanza.as_bytes());
    assert_eq!(allocations(|| server.take(stanza.as_bytes())), 0);
    assert_eq!(server.target, stanza.as_bytes());
}
