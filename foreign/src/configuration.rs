//! What each server is told: one listener for components, no other port, no shaper.

use std::fmt::Write as _;
use std::{fs, io};

use crate::settings::{Kind, Settings};

pub(crate) const JABBERD2: &str = "router.xml";
pub(crate) const EJABBERD: &str = "config.yml";
pub(crate) const PROSODY: &str = "config.lua";

/// The greatest stanza, of those servers that can be told: what a hostile stream is over by a little.
const STANZA: u32 = 262_144;

pub(crate) fn write(kind: Kind, settings: &Settings) -> io::Result<()> {
    let dir = &settings.dir;
    match kind {
        Kind::Jabberd2 => {
            fs::write(dir.join("users.xml"), "<users/>\n")?;
            fs::write(dir.join(JABBERD2), jabberd2(settings))
        }
        Kind::Ejabberd => fs::write(dir.join(EJABBERD), ejabberd(settings)),
        Kind::Prosody => fs::write(dir.join(PROSODY), prosody(settings, "")),
        Kind::ProsodyTuned => {
            let tuned = "network_settings = { nagle = false }\ngc = { mode = 'generational' }\n";
            fs::write(dir.join(PROSODY), prosody(settings, tuned))
        }
    }
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

fn prosody(settings: &Settings, more: &str) -> String {
    let Settings { dir, addr, secret, host, domains, quiet } = settings;
    let (dir, ip, port) = (dir.display(), addr.ip(), addr.port());
    let level = if *quiet { "warn" } else { "info" };
    let mut text = format!(
        "run_as_root = true\n\
         pidfile = '{dir}/pid'\n\
         data_path = '{dir}/data'\n\
         log = {{ {{ levels = {{ min = '{level}' }}, to = 'console' }} }}\n\
         modules_enabled = {{ 'ping' }}\n\
         modules_disabled = {{ 's2s', 'c2s', 'posix' }}\n\
         c2s_ports = {{}}\n\
         s2s_ports = {{}}\n\
         component_interfaces = {{ '{ip}' }}\n\
         component_ports = {{ {port} }}\n\
         component_stanza_size_limit = {STANZA}\n\
         {more}\
         VirtualHost '{host}'\n"
    );
    for domain in domains {
        let _ = writeln!(text, "Component '{domain}'\n  component_secret = '{secret}'");
    }
    text
}

/// With the backlog of 5 that it has by itself, connections that come at once wait for a second each.
fn ejabberd(settings: &Settings) -> String {
    let Settings { addr, secret, host, domains, quiet, .. } = settings;
    let (ip, port) = (addr.ip(), addr.port());
    let level = if *quiet { "warning" } else { "info" };
    let mut text = format!(
        "hosts: ['{host}']\n\
         loglevel: {level}\n\
         certfiles: []\n\
         modules:\n  mod_ping: {{}}\n\
         listen:\n  -\n    port: {port}\n    ip: '{ip}'\n    module: ejabberd_service\n    backlog: 1024\n    access: all\n    global_routes: false\n    max_stanza_size: {STANZA}\n"
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
