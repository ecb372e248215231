//! `[uplink.NAME]`: another XMPP server, to which Enjamb connects as the domains of components.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use enjamb_core::router::DomainPattern;
use tokio_rustls::rustls::pki_types::ServerName;

use super::address::{Addresses, HOST_AND_PORT, host_and_port};
use super::diagnostic::Faults;
use super::general::General;
use super::listener::{Password, STANZA_CEILING, STANZA_FLOOR};
use super::reader::{Section, Value};
use super::uplink_tls::{UplinkTls, tls};
use super::{advice, hold, secret};
use crate::nearest::{did_you_mean, nearest};
use crate::printable::{printable, quoted};

/// The longest name of an uplink, in bytes.
const NAME_CEILING: usize = 64;

/// One such section.
#[derive(Clone, Debug)]
pub struct Uplink {
    /// Its name in the file: ASCII letters, digits, `-` and `_`.
    pub name: String,
    /// `host:port`, to be resolved for each attempt.
    pub address: String,
    /// The secret of all domains that have none of their own for it.
    pub secret: Option<Password>,
    /// Whether it is connected from the start on, and not only while a component is.
    pub always: bool,
    /// Whether stanzas between two of its domains are routed here.
    pub local_routing: bool,
    /// How long stanzas for the other server wait while it is away.
    pub hold: Duration,
    /// The bytes of each domain that may wait then.
    pub hold_bytes: usize,
    /// The longest stanza that the other server gets, in bytes.
    pub max_stanza_size: usize,
    /// TLS from the first byte on.
    pub tls: Option<UplinkTls>,
}

impl Uplink {
    /// An uplink of which all but name and address is left out.
    #[must_use]
    pub fn new(name: String, address: String) -> Self {
        Self {
            name,
            address,
            secret: None,
            always: false,
            local_routing: true,
            hold: Duration::from_secs(10),
            hold_bytes: 1 << 20,
            max_stanza_size: 512 << 10,
            tls: None,
        }
    }
}

/// An uplink and what is to be known of it to check the domains that name it.
struct Entry {
    uplink: Uplink,
    /// Where its name is.
    place: Range<usize>,
    /// The value of `connect`.
    connect: Option<Range<usize>>,
    /// It has a secret, or one that is refused already.
    has_secret: bool,
    /// A domain names it, or most likely means it.
    is_used: bool,
}

/// All uplinks. One that was refused stays among them, so that the domains that name it are not refused, too.
pub(super) struct Uplinks {
    entries: Vec<Entry>,
    /// The domains that name one, and where.
    domains: Vec<(DomainPattern, Range<usize>)>,
}

impl Uplinks {
    /// Whether the section has any.
    pub(super) fn are_in(value: Option<&Value<'_>>) -> bool {
        value.and_then(|value| value.get_ref().as_table()).is_some_and(|table| !table.is_empty())
    }

    /// Reads the `[uplink]` section. `base`: where the files are that have no absolute path.
    pub(super) fn read(
        value: Option<&Value<'_>>,
        addresses: &Addresses,
        base: &Path,
        faults: &mut Faults,
    ) -> Self {
        let mut entries = Vec::new();
        let section = value.and_then(|value| Section::of("uplink", value, faults));
        for (key, value) in section.iter().flat_map(Section::entries) {
            let name: &str = key.get_ref();
            if !is_name(name) {
                faults
                    .error(key.span(), format!("{} is no name for an uplink", quoted(name)))
                    .help("1 to 64 ASCII letters, digits, `-` and `_`, as in [uplink.prosody]");
            }
            let mut entry = Entry {
                uplink: Uplink::new(name.to_owned(), String::new()),
                place: key.span(),
                connect: None,
                has_secret: true,
                is_used: false,
            };
            if let Some(section) = Section::of(format!("uplink.{}", printable(name)), value, faults) {
                entry.read(section, addresses, base, faults);
            }
            entries.push(entry);
        }
        Self { entries, domains: Vec::new() }
    }

    /// The index of the uplink that a domain names, at this place.
    pub(super) fn named(
        &mut self,
        name: &str,
        place: Range<usize>,
        domain: &DomainPattern,
        has_secret: bool,
        faults: &mut Faults,
    ) -> Option<usize> {
        self.domains.push((domain.clone(), place.clone()));
        let Some(index) = self.entries.iter().position(|entry| entry.uplink.name == name) else {
            self.unknown(name, place, faults);
            return None;
        };
        let entry = &mut self.entries[index];
        entry.is_used = true;
        let (uplink, domain_name) = (quoted(name), quoted(&domain.to_string()));
        if !has_secret && !entry.has_secret {
            faults
                .error(place.clone(), format!("the uplink {uplink} has no secret for {domain_name}"))
                .of_absence()
                .label(entry.place.clone(), "the uplink is here")
                .help(format!(
                    "add `secret` to [uplink.{name}], or `uplink_secret` to [domain.\"{domain}\"]"
                ));
        }
        if entry.uplink.always && matches!(domain, DomainPattern::Below(_)) {
            let message = format!(
                "the uplink {uplink} is always connected, and {domain_name} has no name of its own to connect as"
            );
            let fault = faults.error(place, message);
            if let Some(connect) = &entry.connect {
                fault.label(connect.clone(), "it is set here");
            }
            fault.help("connect = \"with-component\" connects as each component that is there");
        }
        Some(index)
    }

    fn unknown(&mut self, name: &str, place: Range<usize>, faults: &mut Faults) {
        let known: Vec<_> = self.entries.iter().map(|entry| entry.uplink.name.as_str()).collect();
        let near = nearest(name, known.iter().copied());
        let help = did_you_mean(name, known.iter().copied())
            .unwrap_or_else(|| "define it: [uplink.NAME] with `address` and `secret`".to_owned());
        let near = near.and_then(|near| known.iter().position(|known| *known == near));
        let fault = faults.error(place, format!("no uplink is named {}", quoted(name)));
        fault.of_absence().help(help);
        if let Some(entry) = near.and_then(|near| self.entries.get_mut(near)) {
            entry.is_used = true;
            fault.label(entry.place.clone(), "the nearest name is here");
        }
    }

    /// All uplinks, once all domains are read.
    pub(super) fn finish(self, general: &General, faults: &mut Faults) -> Vec<Uplink> {
        for entry in self.entries.iter().filter(|entry| !entry.is_used) {
            let name = &entry.uplink.name;
            faults
                .warning(entry.place.clone(), format!("no domain uses uplink {}", quoted(name)))
                .of_absence()
                .help(format!("name it by uplink = \"{}\" in a [domain]", printable(name)));
        }
        for (host, place) in general.hosts.iter().zip(&general.host_places) {
            advice::host_of_another(host, place.clone(), &self.domains, faults);
        }
        self.entries.into_iter().map(|entry| entry.uplink).collect()
    }
}

fn is_name(name: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=NAME_CEILING).contains(&name.len()) && name.bytes().all(is_of_name)
}

impl Entry {
    fn read(
        &mut self,
        mut section: Section<'_, '_>,
        addresses: &Addresses,
        base: &Path,
        faults: &mut Faults,
    ) {
        let uplink = &mut self.uplink;
        let address = address(&mut section, &mut uplink.address, faults);
        let given = secret::of_uplink(&mut section, ["secret", "secret_file"], base, faults);
        self.has_secret = given.key.is_some();
        uplink.secret = given.secret;
        if let Some((text, value)) = section.string("connect", faults) {
            self.connect = Some(value.span());
            match text {
                "always" => uplink.always = true,
                "with-component" => {}
                _ => {
                    let help = did_you_mean(text, ["always", "with-component"])
                        .unwrap_or_else(|| "\"with-component\" or \"always\"".to_owned());
                    faults.error(value.span(), format!("`connect` can't be {}", quoted(text))).help(help);
                }
            }
        }
        uplink.local_routing = section.boolean("local_routing", uplink.local_routing, faults);
        hold::read(&mut section, &mut uplink.hold, &mut uplink.hold_bytes, faults);
        let range = STANZA_FLOOR as u64..=STANZA_CEILING as u64;
        if let Some(bytes) = section.integer("max_stanza_size", range, "bytes", faults) {
            uplink.max_stanza_size = usize::try_from(bytes).unwrap_or(STANZA_CEILING);
        }
        let host = address.as_ref().map(|(host, ..)| host.clone());
        let host = host.unwrap_or_else(|| Ipv4Addr::LOCALHOST.into());
        uplink.tls = tls(&mut section, &host, base, faults);
        if let Some((host, port, place)) = address {
            let is_plain = section.take("tls").is_none();
            if let Some((listener, listens)) = addresses.reached_by(&host, port) {
                advice::own_address(&uplink.address, place, listener, listens, faults);
            } else if is_plain {
                advice::plain_uplink(&uplink.name, &uplink.address, &host, place, faults);
            }
        }
        section.finish(&[], faults);
    }
}

/// Reads `address` into the setting; gives its parts and its place.
fn address(
    section: &mut Section<'_, '_>,
    setting: &mut String,
    faults: &mut Faults,
) -> Option<(ServerName<'static>, u16, Range<usize>)> {
    let Some(value) = section.take("address") else {
        section.missing("address", HOST_AND_PORT, faults);
        return None;
    };
    let (text, _) = section.string("address", faults)?;
    match host_and_port(text) {
        Ok((host, port)) => {
            text.clone_into(setting);
            Some((host, port, value.span()))
        }
        Err(message) => {
            faults.error(value.span(), message).help(HOST_AND_PORT);
            None
        }
    }
}
