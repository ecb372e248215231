//! What stanzas that are held, and requests that wait, take of the heap.

use std::sync::Arc;
use std::time::Duration;

use enjamb_core::connection::{Budget, Connection, Next};
use enjamb_core::jid::Domain;
use enjamb_core::router::DomainPattern;
use enjamb_core::switch::{DomainConfig, ListenerConfig, LocalSwitch, Metric, Switch, SwitchConfig};
use enjamb_core::uplink::{Uplink, UplinkConfig, UplinkEvent};
use enjamb_core::{Instant, Now, Secret, StreamId};

use crate::counting::bytes_kept;
use crate::paths::{handshake, header};

const NOW: Now = Now { monotonic: Instant::ORIGIN, unix: Duration::from_secs(1_800_000_000) };
const LATER: Now =
    Now { monotonic: Instant::from_origin(Duration::from_secs(2)), unix: Duration::from_secs(1_800_000_002) };
const MIB: usize = 1 << 20;

fn switch(config: DomainConfig) -> LocalSwitch {
    let mut settings = SwitchConfig::new([Domain::parse("host.example").unwrap()]);
    settings.domains = vec![(DomainPattern::parse("bot.example").unwrap(), config)];
    settings.max_queued = 1 << 30;
    LocalSwitch::new(settings)
}

fn connect(switch: &LocalSwitch, domain: &str) -> Connection<LocalSwitch> {
    let listener = Arc::new(ListenerConfig::new(Secret::new("s")));
    let id = StreamId::from_text("1").unwrap();
    let mut connection = Connection::new(switch, listener, id, NOW);
    feed(switch, &mut connection, &(header(domain) + &handshake("1")));
    connection
}

fn feed(switch: &LocalSwitch, connection: &mut Connection<LocalSwitch>, input: &str) {
    let mut rest = input.as_bytes();
    loop {
        let progress = connection.process(switch, NOW, rest, &mut Budget::default());
        rest = &rest[progress.consumed..];
        connection.write_to(switch, NOW, &mut Vec::new());
        if progress.next != Next::More {
            return assert!(rest.is_empty());
        }
    }
}

/// A million of 300 bytes take less than 400 MiB: a hundredth of that.
#[test]
fn ten_thousand_held_messages_of_300_bytes_take_less_than_4_mib() {
    let mut config = DomainConfig::default();
    (config.hold, config.hold_bytes) = (Duration::from_secs(60), usize::MAX);
    let switch = switch(config);
    let mut peer = connect(&switch, "peer.example");
    let message = "<message from='peer.example' to='bot.example' id='000000'><body></body></message>";
    let message = message.replace("<body>", &format!("<body>{}", "x".repeat(300 - message.len())));
    assert_eq!(message.len(), 300);
    feed(&switch, &mut peer, &message);
    let kept = bytes_kept(|| (0..10_000).for_each(|_| feed(&switch, &mut peer, &message)));
    assert_eq!(switch.metrics().get(Metric::Held), 10_001);
    assert!((3 * MIB..4 * MIB).contains(&kept), "{kept} bytes");
}

/// An uplink that is connected and idle takes less than 2,400 bytes, beside the task that drives it and its socket.
#[test]
fn u12_idle_uplink_takes_less_than_2_400_bytes() {
    let switch = LocalSwitch::new(SwitchConfig::new([]));
    let mut uplinks = Vec::with_capacity(1100);
    let mut connect = |number: usize| {
        let config =
            UplinkConfig::new(Domain::parse(&format!("d{number:04}.example")).unwrap(), Secret::new("s"));
        let mut uplink = Uplink::attach(&switch, config, 1, NOW).unwrap();
        uplink.connected(NOW);
        for said in [&*header("d.example").replace(" to=", " id='1' to="), "<handshake/>"] {
            let progress = uplink.process(&switch, NOW, said.as_bytes(), &mut Budget::default());
            assert_eq!(progress.consumed, said.len());
            uplink.write_to(&switch, NOW, &mut Vec::new());
        }
        assert_eq!(uplink.poll_event(), Some(UplinkEvent::Established));
        let message = format!("<message from='u@s.example' to='d{number:04}.example'/>");
        let _ = uplink.process(&switch, NOW, message.as_bytes(), &mut Budget::default());
        uplink.write_to(&switch, NOW, &mut Vec::new());
        while uplink.poll_timeout().is_some_and(|at| at <= LATER.monotonic) {
            uplink.handle_timeout(&switch, LATER);
        }
        uplinks.push(uplink);
        while switch.poll_timeout().is_some_and(|at| at <= LATER.monotonic) {
            switch.handle_timeout(LATER);
        }
    };
    (0..100).for_each(&mut connect);
    let kept = bytes_kept(|| (100..1100).for_each(&mut connect));
    assert!((500_000..2_400_000).contains(&kept), "{} bytes each", kept / 1000);
}

/// A hundred thousand take less than 32 MiB: a tenth of that.
#[test]
fn ten_thousand_requests_that_wait_take_less_than_3_mib() {
    let switch = switch(DomainConfig::default());
    let (mut peer, mut bot) = (connect(&switch, "peer.example"), connect(&switch, "bot.example"));
    let mut ask = |id: usize| {
        let request = format!(
            "<iq from='juliet@peer.example/balcony' to='bot.example' type='get' id='{id:08}'><q xmlns='urn:q'/></iq>"
        );
        feed(&switch, &mut peer, &request);
        bot.write_to(&switch, NOW, &mut Vec::new());
    };
    ask(0);
    let kept = bytes_kept(|| (1..10_000).for_each(&mut ask));
    assert_eq!(switch.metrics().get(Metric::UntrackedRequests), 0);
    assert!((MIB..3 * MIB + MIB / 5).contains(&kept), "{kept} bytes");
}
