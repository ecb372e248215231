//! The configuration file: TOML that a MongooseIM operator already has.
//!
//! [`load`] reads all of it in one go and reports every fault with its place. What Enjamb does not have is passed
//! over with a warning; what nobody knows is refused.

mod access;
mod acl;
mod address;
mod advice;
mod diagnostic;
mod domain;
mod fingerprint;
mod general;
mod hold;
mod listen;
mod listener;
mod mask;
mod names;
mod reader;
mod recover;
mod secret;
mod shaper;
mod sources;
mod tls;
mod uplink;
mod uplink_tls;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use enjamb_core::jid::Domain;
use toml::de::DeTable;
use zeroize::Zeroizing;

pub(crate) use address::{host_and_port, is_loopback};
pub use diagnostic::{Diagnostic, Label, Severity, Source};
pub use domain::{DomainSection, DomainUplink};
pub use fingerprint::Fingerprint;
pub use listener::{
    CONNECTIONS_CEILING, Listener, Password, STANZA_CEILING, STANZA_FLOOR, TIME_CEILING, UNAUTHENTICATED,
};
pub use uplink::Uplink;
pub use uplink_tls::{ClientCertificate, UplinkTls};

use diagnostic::Faults;
use general::General;
use reader::Section;
use shaper::Shapers;
use uplink::Uplinks;

use crate::modes;

/// The port of the listener without a configuration file, unless `--port` gives another.
pub const DEFAULT_PORT: u16 = 8888;

/// All settings of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// The virtual hosts, none twice; at least one unless there is an uplink.
    pub hosts: Vec<Domain>,
    /// Where components connect; at least one, no two on one address.
    pub listeners: Vec<Listener>,
    /// Whether disco#items of the hosts holds the hidden components, too.
    pub users_can_see_hidden_services: bool,
    /// The bytes that may wait for all components together; the core's default when unset.
    pub max_queued_bytes: Option<usize>,
    /// What is configured for domains of components, whatever listener they come to.
    pub domains: Vec<DomainSection>,
    /// The servers to which Enjamb connects as some of these domains.
    pub uplinks: Vec<Uplink>,
}

impl Config {
    /// The settings of a server without a configuration file: host `localhost`, one listener on this port of loopback.
    ///
    /// # Panics
    ///
    /// Never: `localhost` is a domain.
    #[must_use]
    pub fn embedded_default(password: String, port: u16) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            hosts: vec![Domain::parse("localhost").expect("`localhost` is a domain")],
            listeners: vec![Listener::new(address, Password::new(password))],
            users_can_see_hidden_services: false,
            max_queued_bytes: None,
            domains: Vec::new(),
            uplinks: Vec::new(),
        }
    }

    /// The uplink of a domain, if it has one, and what the domain proves there.
    #[must_use]
    pub fn uplink_of<'c>(&'c self, domain: &'c DomainSection) -> Option<(&'c Uplink, &'c Password)> {
        let named = domain.uplink.as_ref()?;
        let uplink = self.uplinks.get(named.index)?;
        Some((uplink, named.secret.as_ref().or(uplink.secret.as_ref())?))
    }

    /// Names the server to a connection that is turned away before it says what it looks for: the first host, or
    /// `localhost` if there is none.
    ///
    /// # Panics
    ///
    /// Never: `localhost` is a domain.
    #[must_use]
    pub fn server_name(&self) -> Domain {
        let localhost = || Domain::parse("localhost").expect("`localhost` is a domain");
        self.hosts.first().cloned().unwrap_or_else(localhost)
    }
}

/// What became of a file.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings; none if there was any error.
    pub config: Option<Config>,
    /// All faults, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
    /// Remarks for the log, about what is as it should be and may surprise.
    pub notes: Vec<String>,
    /// The file with its secrets blotted out, to show faults in.
    pub source: Source,
    /// What the file says, to be compared with another.
    pub fingerprint: Fingerprint,
}

impl Loaded {
    /// How many faults of this severity there are.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|fault| fault.severity == severity).count()
    }

    /// All faults with their excerpts, for a terminal.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        self.diagnostics.iter().map(|fault| self.source.render(fault, colour) + "\n\n").collect()
    }
}

/// Reads a configuration. `name` is the file's path, for messages and for the files that it names. Any text gives
/// an answer.
#[must_use]
pub fn load(name: &str, text: &str) -> Loaded {
    load_at(Path::new(name).parent().unwrap_or(Path::new("")), name, text, None)
}

/// `exposed` says who else may use the file, which holds secrets.
fn load_at(base: &Path, name: &str, text: &str, exposed: Option<String>) -> Loaded {
    let mut faults = Faults::default();
    if let Some(exposed) = exposed {
        let message = format!("the file {exposed}, and it holds secrets");
        faults.warning(0..0, message).help("chmod 0640, or 0600");
    }
    let (root, syntax) = DeTable::parse_recoverable(text);
    let masked = mask::mask(text, root.get_ref(), syntax.is_empty());
    let config = if syntax.is_empty() {
        Some(read(root.get_ref(), base, &mut faults))
    } else {
        read_broken(base, text, &masked, &mut faults);
        None
    };
    if faults.strict {
        faults.list.iter_mut().for_each(|fault| fault.severity = Severity::Error);
    }
    let config = config.filter(|_| !faults.any_error());
    faults.list.sort_by_key(|fault| fault.span.start);
    let (source, fingerprint) = (Source::new(name, masked), Fingerprint::of(root.get_ref()));
    Loaded { config, diagnostics: faults.list, notes: faults.notes, source, fingerprint }
}

/// Finds all faults of a text that is no TOML everywhere.
fn read_broken(base: &Path, text: &str, masked: &str, faults: &mut Faults) {
    let (rest, syntax) = recover::recover(text);
    let (root, left) = DeTable::parse_recoverable(&rest);
    if left.is_empty() {
        read(root.get_ref(), base, faults);
    } else {
        faults.note("there are more faults than are shown");
    }
    // What is not there may stand in what could not be read, and a secret that is open goes on anywhere.
    let is_masked = |span: std::ops::Range<usize>| masked.get(span.clone()) != text.get(span);
    faults.list.retain(|fault| !fault.of_absence && !is_masked(fault.span.clone()));
    for (span, message) in syntax {
        faults.error(span, format!("this is no TOML: {message}"));
    }
}

/// Reads a configuration file. Bytes that are no UTF-8 are a fault like any other.
///
/// # Errors
///
/// Where the file can't be read.
pub fn load_file(path: &Path) -> std::io::Result<Loaded> {
    let (name, base) = (path.display().to_string(), path.parent().unwrap_or(Path::new("")));
    // The file holds secrets: no copy of it is left behind.
    let bytes = Zeroizing::new(std::fs::read(path)?);
    let exposed = modes::exposed(path);
    Ok(match std::str::from_utf8(&bytes) {
        Ok(text) => load_at(base, &name, text, exposed),
        Err(error) => {
            let valid = error.valid_up_to();
            let text = Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
            let mut loaded = load_at(base, &name, &text, exposed);
            let mut faults = Faults::default();
            faults.error(valid..valid + 1, "this is no UTF-8").help("TOML files are UTF-8: save it as that");
            loaded.config = None;
            loaded.diagnostics = faults.list;
            loaded
        }
    })
}

fn read(root: &DeTable<'_>, base: &Path, faults: &mut Faults) -> Config {
    let listen = root.get("listen");
    let general = General::read(root.get("general"), Uplinks::are_in(root.get("uplink")), faults);
    faults.strict = general.strict;
    let shapers = Shapers::read(root.get("shaper"), faults);
    let named = listen::named_rules(listen);
    let rules = access::Rules::read(root.get("access"), root.get("acl"), &named, faults);
    let context = listen::Context { general: &general, shapers: &shapers, rules: &rules, base };
    let (listeners, addresses) = listen::listeners(listen, &context, faults);
    let users_can_see_hidden_services = general::users_can_see_hidden_services(root.get("modules"), faults);
    let mut uplinks = Uplinks::read(root.get("uplink"), &addresses, base, faults);
    let domains = domain::read(root.get("domain"), &general, &listeners, &mut uplinks, base, faults);
    let uplinks = uplinks.finish(&general, faults);
    general::other_sections(Section::root(root), root, faults);
    let (hosts, max_queued_bytes) = (general.hosts, general.max_queued_bytes);
    Config { hosts, listeners, users_can_see_hidden_services, max_queued_bytes, domains, uplinks }
}
