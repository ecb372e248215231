//! 8: `::` takes IPv4, too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use enjamb_tests::peer::{Peer, refused};
use enjamb_tests::server::{Config, SECRET};
use enjamb_tests::wire::header;

/// A listener of this address; its only domain tells it from another.
fn listener(address: &str, port: u16, domain: &str) -> String {
    format!(
        "[[listen.service]]\nip_address = \"{address}\"\nport = {port}\npassword = \"{SECRET}\"\ndomains = [\"{domain}\"]\n"
    )
}

const GENERAL: &str = "[general]\nhosts = [\"host.example\"]\n";

#[test]
fn fault_08_all_of_ipv6_takes_ipv4_too() {
    // That the server counts as started shows that IPv4 is taken.
    let server =
        Config::of_text(1, |ports| GENERAL.to_owned() + &listener("::", ports[0], "*.example")).start();
    let port = server.addr(0).port();
    for (ip, domain) in
        [(IpAddr::from(Ipv4Addr::LOCALHOST), "four.example"), (Ipv6Addr::LOCALHOST.into(), "six.example")]
    {
        Peer::online(SocketAddr::new(ip, port), domain).assert_quiet();
    }
    let log = server.wait_for_log("domain=six.example");
    let line = log.lines().find(|line| line.contains("domain=four.example")).expect("a line of it");
    assert!(line.contains("peer=127.0.0.1:"), "the address is shown as it is: {line}");
}

#[test]
fn fault_08_a_listener_that_has_the_ipv4_port_keeps_it() {
    for other in ["0.0.0.0", "127.0.0.1"] {
        static OTHER: std::sync::Mutex<&str> = std::sync::Mutex::new("");
        *OTHER.lock().expect("nothing panics while it holds the lock") = other;
        let server = Config::of_text(1, |ports| {
            let other = *OTHER.lock().expect("nothing panics while it holds the lock");
            [GENERAL, &listener("::", ports[0], "six.example"), &listener(other, ports[0], "four.example")]
                .concat()
        })
        .start();
        let four = server.addr(0);
        let six = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), four.port());
        Peer::online(four, "four.example").assert_quiet();
        Peer::online(six, "six.example").assert_quiet();
        assert_eq!(refused(four, &header("six.example")).condition, "host-unknown", "{other}");
        assert_eq!(refused(six, &header("four.example")).condition, "host-unknown", "{other}");
    }
}
