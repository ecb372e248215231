//! What each server is told: one listener for components, one for clients if it has users, no other port, no shaper.

use std::fmt::Write as _;
use std::{fs, io};

use crate::settings::{DELEGATED, Kind, Settings, Users};

pub(crate) const JABBERD2: &str = "router.xml";
pub(crate) const EJABBERD: &str = "config.yml";
pub(crate) const PROSODY: &str = "config.lua";

/// The greatest stanza, of those servers that can be told: what a hostile stream is over by a little.
const STANZA: u32 = 262_144;

pub(crate) fn write(kind: Kind, settings: &Settings, users: Option<&Users>) -> io::Result<()> {
    let dir = &settings.dir;
    match kind {
        Kind::Jabberd2 => {
            fs::write(dir.join("users.xml"), "<users/>\n")?;
            fs::write(dir.join(JABBERD2), jabberd2(settings))
        }
        Kind::Ejabberd => fs::write(dir.join(EJABBERD), ejabberd(settings, users)),
        Kind::Prosody => {
            accounts_of_prosody(settings, users)?;
            fs::write(dir.join(PROSODY), prosody(settings, users, ""))
        }
        Kind::ProsodyTuned => {
            let tuned = "network_settings = { nagle = false }\ngc = { mode = 'generational' }\n";
            accounts_of_prosody(settings, users)?;
            fs::write(dir.join(PROSODY), prosody(settings, users, tuned))
        }
    }
}

/// Its store is a file for each account.
fn accounts_of_prosody(settings: &Settings, users: Option<&Users>) -> io::Result<()> {
    let dir = settings.dir.join("data").join(&settings.host).join("accounts");
    for name in users.iter().flat_map(|users| &users.names) {
        fs::create_dir_all(&dir)?;
        let account = format!("return {{ [\"password\"] = \"{}\" }};\n", settings.secret);
        fs::write(dir.join(format!("{name}.dat")), account)?;
    }
    Ok(())
}

fn jabberd2(settings: &Settings) -> String {
    let Settings { dir, addr, secret, .. } = settings;
    let (dir, ip, port) = (dir.display(), addr.ip(), addr.port());
    format!(
        "<router>\n\
         <id>router</id>\n\
         <pidfile>{dir}/pid</pidfile>\n\
         <log type='file'><file>{dir}/router.log</file></log>\n\
         <local><ip>{ip}</ip><port>{port}</port><users>{dir}/users.xml</users><secret>{secret}</secret></local>\n\
         <io><max_fds>16384</max_fds><limits><bytes>0</bytes><connects>0</connects></limits></io>\n\
         <check><interval>60</interval><keepalive>0</keepalive></check>\n\
         </router>\n"
    )
}

fn prosody(settings: &Settings, users: Option<&Users>, more: &str) -> String {
    let Settings { dir, addr, secret, host, domains, quiet } = settings;
    let (dir, ip, port) = (dir.display(), addr.ip(), addr.port());
    let level = if *quiet { "warn" } else { "info" };
    let clients = match users {
        Some(Users { addr, .. }) => format!(
            "modules_enabled = {{ 'ping', 'roster', 'saslauth' }}\n\
             modules_disabled = {{ 's2s', 'posix' }}\n\
             authentication = 'internal_plain'\n\
             allow_unencrypted_plain_auth = true\n\
             c2s_require_encryption = false\n\
             c2s_interfaces = {{ '{}' }}\n\
             c2s_ports = {{ {} }}\n",
            addr.ip(),
            addr.port()
        ),
        None => "modules_enabled = { 'ping' }\n\
                 modules_disabled = { 's2s', 'c2s', 'posix' }\n\
                 c2s_ports = {}\n"
            .to_owned(),
    };
    let mut text = format!(
        "run_as_root = true\n\
         pidfile = '{dir}/pid'\n\
         data_path = '{dir}/data'\n\
         log = {{ {{ levels = {{ min = '{level}' }}, to = 'console' }} }}\n\
         {clients}\
         s2s_ports = {{}}\n\
         component_interfaces = {{ '{ip}' }}\n\
         component_ports = {{ {port} }}\n\
         component_stanza_size_limit = {STANZA}\n\
         {more}\
         VirtualHost '{host}'\n"
    );
    let has_privileges = users.is_some_and(|users| users.has_privileges);
    let with_modules = "  modules_enabled = { 'privilege', 'delegation' }\n";
    if has_privileges {
        text.push_str(with_modules);
        for domain in domains {
            let delegations = DELEGATED.map(|namespace| format!("['{namespace}'] = {{ jid = '{domain}' }}"));
            let _ = writeln!(
                text,
                "  privileged_entities = {{ ['{domain}'] = {{ roster = 'get', message = 'outgoing' }} }}\n  \
                 delegations = {{ {} }}",
                delegations.join(", ")
            );
        }
    }
    for domain in domains {
        let _ = writeln!(text, "Component '{domain}'\n  component_secret = '{secret}'");
        if has_privileges {
            text.push_str(with_modules);
        }
    }
    text
}

/// With the backlog of 5 that it has by itself, connections that come at once wait for a second each.
fn ejabberd(settings: &Settings, users: Option<&Users>) -> String {
    let Settings { addr, secret, host, domains, quiet, .. } = settings;
    let (ip, port) = (addr.ip(), addr.port());
    let level = if *quiet { "warning" } else { "info" };
    let mut text = format!(
        "hosts: ['{host}']\n\
         loglevel: {level}\n\
         certfiles: []\n\
         modules:\n  mod_ping: {{}}\n"
    );
    if let Some(users) = users {
        text.push_str("  mod_roster: {}\n  mod_offline: {}\n");
        if users.has_privileges {
            text.push_str(
                "  mod_privilege:\n    roster:\n      get: all\n    message:\n      outgoing: all\n",
            );
            text.push_str("  mod_delegation:\n    namespaces:\n");
            for namespace in DELEGATED {
                let _ = writeln!(text, "      '{namespace}':\n        access: all");
            }
        }
    }
    text.push_str("listen:\n");
    if let Some(Users { addr, .. }) = users {
        let (ip, port) = (addr.ip(), addr.port());
        let _ = writeln!(text, "  -\n    port: {port}\n    ip: '{ip}'\n    module: ejabberd_c2s");
    }
    let _ = writeln!(
        text,
        "  -\n    port: {port}\n    ip: '{ip}'\n    module: ejabberd_service\n    backlog: 1024\n    access: all\n    global_routes: false\n    max_stanza_size: {STANZA}"
    );
    if domains.is_empty() {
        let _ = writeln!(text, "    password: '{secret}'");
    } else {
        text.push_str("    hosts:\n");
    }
    for domain in domains {
        let _ = writeln!(text, "      '{domain}':\n        password: '{secret}'");
    }
    text
}
