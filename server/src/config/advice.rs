//! Settings that are valid and yet may be a mistake: the server starts with them, and `check` and `serve` warn alike.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use enjamb_core::jid::Domain;
use enjamb_core::router::DomainPattern;
use tokio_rustls::rustls::pki_types::ServerName;

use super::address::is_loopback;
use super::diagnostic::Faults;
use super::listener::{Listener, Password};
use super::reader::Section;
use crate::printable::{printable, quoted};

/// A secret shorter than this, in characters, is warned of.
const SHORT_SECRET: usize = 16;
/// A secret of fewer different characters is warned of.
const FEW_CHARACTERS: usize = 6;

const BETTER_SECRET: &str = "use 16 or more ASCII letters and digits";

/// What examples and defaults of other programs have for a secret.
const PLACEHOLDERS: [&str; 18] = [
    "admin",
    "changeit",
    "changeme",
    "component",
    "default",
    "enjamb",
    "example",
    "jabber",
    "letmein",
    "mysecret",
    "passw0rd",
    "password",
    "placeholder",
    "qwerty",
    "replaceme",
    "secret",
    "test",
    "xmpp",
];

/// What there is to say of a secret that components prove.
pub(super) fn secret(key: &str, secret: &str, span: Range<usize>, faults: &mut Faults) {
    weakness(key, secret, span.clone(), faults);
    if !secret.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        faults
            .warning(span, format!("`{key}` holds other characters than ASCII letters and digits"))
            .help("some client libraries hash or escape them in ways of their own, and can't log in");
    }
}

/// Whether a secret can be guessed.
pub(super) fn weakness(key: &str, secret: &str, span: Range<usize>, faults: &mut Faults) {
    let mut characters: Vec<char> = secret.chars().collect();
    let length = characters.len();
    characters.sort_unstable();
    characters.dedup();
    let weakness = if is_placeholder(secret) {
        Some("is a placeholder: it is the first that others try")
    } else if characters.len() == 1 {
        Some("is one character again and again: it can be guessed")
    } else if length < SHORT_SECRET {
        Some("is shorter than 16 characters: it can be guessed")
    } else if characters.len() < FEW_CHARACTERS {
        Some("has very few different characters: it can be guessed")
    } else {
        None
    };
    if let Some(weakness) = weakness {
        faults.warning(span, format!("`{key}` {weakness}")).help(BETTER_SECRET);
    }
}

/// A placeholder, in any case, with other characters and digits behind it, once or several times.
fn is_placeholder(secret: &str) -> bool {
    let plain: String = secret.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_lowercase();
    let word = plain.trim_end_matches(|c: char| c.is_ascii_digit());
    PLACEHOLDERS.iter().any(|known| !word.is_empty() && word.replace(known, "").is_empty())
}

/// The secrets of the listeners read so far.
#[derive(Default)]
pub(super) struct Secrets(Vec<(Password, u16, Range<usize>)>);

impl Secrets {
    /// Notes a listener's secret. That listeners on one port share it is no mistake: they are one on two addresses.
    pub(super) fn add(&mut self, secret: &Password, port: u16, span: Range<usize>, faults: &mut Faults) {
        let same =
            |(other, other_port, _): &&(Password, u16, Range<usize>)| other == secret && *other_port != port;
        if let Some((_, _, first)) = self.0.iter().find(same) {
            faults
                .warning(span.clone(), "two listeners have the same secret: who knows it may use either")
                .label(first.clone(), "the first one is here")
                .help("give each its own");
        }
        self.0.push((secret.clone(), port, span));
    }
}

/// The `domains` of the listeners read so far, with their secrets.
#[derive(Default)]
pub(super) struct Listed(Vec<(Vec<DomainPattern>, Password, Range<usize>)>);

impl Listed {
    /// Notes a listener's `domains`. A name that two listeners with different secrets list is anyone's who knows either.
    pub(super) fn add(
        &mut self,
        domains: &[DomainPattern],
        secret: &Password,
        span: Range<usize>,
        faults: &mut Faults,
    ) {
        for (others, _, first) in self.0.iter().filter(|(_, other, _)| other != secret) {
            let both = |one: &DomainPattern| {
                others.iter().find(|two| one.overlaps(two)).map(|two| (one.clone(), two))
            };
            let Some((one, two)) = domains.iter().find_map(both) else { continue };
            let which = if one == *two { format!("`{one}`") } else { format!("`{one}` and `{two}`") };
            let message = format!(
                "two listeners with different secrets list {which}: a component of either may take the name"
            );
            faults
                .warning(span.clone(), message)
                .label(first.clone(), "the first list is here")
                .help("list each name once");
        }
        self.0.push((domains.to_vec(), secret.clone(), span));
    }
}

/// What there is to say of who can reach a listener, and of whom its components may pass for.
pub(super) fn exposure(section: &mut Section<'_, '_>, listener: &Listener, faults: &mut Faults) {
    if let Some(value) = section.take("check_from").filter(|_| !listener.check_from) {
        faults
            .warning(value.span(), "check_from is off: components of this listener may send as anybody")
            .help("leave it on, unless all of them are trusted with every address");
    }
    if listener.reuse_port {
        faults.note(format!(
            "reuse_port at {}: if another process listens there, too, connections are split between the two, \
             and a component of the one does not reach those of the other",
            listener.address
        ));
    }
    let is_plain = section.take("tls").is_none();
    let Some(value) = section.take("ip_address") else { return };
    let ip = listener.address.ip();
    if is_plain && is_reachable(ip) {
        let message =
            format!("it listens on {ip} without TLS: others on the network can read all that passes");
        faults
            .warning(value.span(), message)
            .help("add a `tls` table, or listen on a loopback or private address");
    }
    if listener.proxy_protocol && ip.is_unspecified() {
        faults
            .warning(
                value.span(),
                "`proxy_protocol` on all addresses: anyone who reaches the port may claim any source address",
            )
            .help("listen on the address that the proxy connects to, and let nobody else reach it");
    }
}

/// A host of ours above a domain of another server: the users of that one are not here.
pub(super) fn host_of_another(
    host: &Domain,
    place: Range<usize>,
    uplinked: &[(DomainPattern, Range<usize>)],
    faults: &mut Faults,
) {
    let below = DomainPattern::Below(host.clone());
    let is_below = |domain: &DomainPattern| match domain {
        DomainPattern::Exact(name) => below.matches(name.as_str()),
        DomainPattern::Below(name) => name == host || below.matches(name.as_str()),
    };
    let Some((domain, names)) = uplinked.iter().find(|(domain, _)| is_below(domain)) else { return };
    let host = quoted(host.as_str());
    let message = format!(
        "{host} is in `hosts`, and that is where the users of the other server are: \
         stanzas to them would be answered here"
    );
    faults
        .warning(place, message)
        .label(names.clone(), format!("{} has an uplink", quoted(&domain.to_string())))
        .help("take it out of `hosts`, which are domains of Enjamb itself");
}

/// An uplink to one of our own listeners.
pub(super) fn own_address(
    address: &str,
    place: Range<usize>,
    listener: SocketAddr,
    listens: Range<usize>,
    faults: &mut Faults,
) {
    let own = if listener.to_string() == address { String::new() } else { format!(", at {listener}") };
    faults
        .warning(place, format!("the uplink connects to {address}, where Enjamb itself listens{own}: a loop"))
        .label(listens, "this listener")
        .help("`address` is that of the other server");
}

/// An uplink without TLS that leaves this machine.
pub(super) fn plain_uplink(
    name: &str,
    address: &str,
    host: &ServerName<'_>,
    place: Range<usize>,
    faults: &mut Faults,
) {
    if is_loopback(host) {
        return;
    }
    let message = format!(
        "it connects to {address} without TLS: others on the network can read the secret's digest and all that passes"
    );
    faults
        .warning(place, message)
        .help(format!("add [uplink.{}.tls], or connect to a loopback address", printable(name)));
}

/// All addresses, or one of the public internet.
fn is_reachable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !(ip.is_loopback() || ip.is_private() || ip.is_link_local()),
        IpAddr::V6(ip) => !(ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_found_in_other_spellings_and_no_random_secret_is_one() {
        for secret in
            ["changeme", "ChangeMe", "change-me", "secret123", "secretsecret", "CHANGEME_changeme_1", "test"]
        {
            assert!(is_placeholder(secret), "{secret}");
        }
        for secret in ["", "12345", "9Zu4hWq7TnPz3kLs", "xsecretx", "secretary", "changemenot"] {
            assert!(!is_placeholder(secret), "{secret}");
        }
    }
}
