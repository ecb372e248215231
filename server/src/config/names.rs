//! The names that MongooseIM knows and Enjamb passes over.

/// Keys of `[general]` that belong to other parts of MongooseIM, 5.0 to 6.8.
pub(super) const GENERAL: &[&str] = &[
    "all_metrics_are_global",
    "component_backend",
    "default_server_domain",
    "domain_certfile",
    "hide_service_name",
    "host_types",
    "http_server_name",
    "instrumentation",
    "language",
    "loglevel",
    "max_users_per_domain",
    "mongooseimctl_access_commands",
    "pgsql_users_number_estimate",
    "rdbms_server_type",
    "registration_timeout",
    "replaced_wait_timeout",
    "route_subdomains",
    "routing_modules",
    "s2s_backend",
    "sm_backend",
];

/// Sections that MongooseIM has and Enjamb does not.
pub(super) const SECTIONS: &[&str] =
    &["auth", "host_config", "instrumentation", "internal_databases", "outgoing_pools", "s2s", "services"];

/// Listeners that MongooseIM has and Enjamb does not.
pub(super) const LISTENERS: &[&str] = &["c2s", "http", "s2s"];

/// Keys of `[modules.mod_disco]` that Enjamb passes over.
pub(super) const MOD_DISCO: &[&str] = &["extra_domains", "iqdisc", "server_info", "urls"];

/// MongooseIM's modules beside `mod_disco`. Its operators may have more of their own.
pub(super) const MODULES: &[&str] = &[
    "mod_adhoc",
    "mod_amp",
    "mod_auth_token",
    "mod_bind2",
    "mod_blocking",
    "mod_blocklist",
    "mod_bosh",
    "mod_broadcast",
    "mod_cache_users",
    "mod_caps",
    "mod_carboncopy",
    "mod_csi",
    "mod_domain_isolation",
    "mod_event_pusher",
    "mod_extdisco",
    "mod_external_filter",
    "mod_fast_auth_token",
    "mod_global_distrib",
    "mod_http_upload",
    "mod_inbox",
    "mod_invites",
    "mod_jingle_sip",
    "mod_keystore",
    "mod_last",
    "mod_mam",
    "mod_muc",
    "mod_muc_light",
    "mod_muc_log",
    "mod_offline",
    "mod_offline_chatmarkers",
    "mod_offline_stub",
    "mod_ping",
    "mod_presence",
    "mod_privacy",
    "mod_private",
    "mod_pubsub",
    "mod_push_service_mongoosepush",
    "mod_register",
    "mod_roster",
    "mod_sasl2",
    "mod_shared_roster_ldap",
    "mod_sic",
    "mod_smart_markers",
    "mod_stanzaid",
    "mod_stream_management",
    "mod_time",
    "mod_vcard",
    "mod_version",
    "mod_websockets",
];

/// Keys that other servers for components have in a listener, and where their meaning is here.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "hosts",
        "`domains` lists the names that may connect; the hosts of this server are `hosts` of [general]",
    ),
    ("host", "`domains` lists the names that may connect; the hosts of this server are `hosts` of [general]"),
    ("ip", "`ip_address` is the address that it listens on"),
    ("interface", "`ip_address` is the address that it listens on"),
    (
        "interfaces",
        "`ip_address` is the address that it listens on; each address is a [[listen.service]] of its own",
    ),
    ("secret", "`password` is the secret"),
    ("component_secret", "`password` is the secret"),
    ("certfile", "TLS has a table of its own: [listen.service.tls] with `certfile` and `keyfile`"),
    ("keyfile", "TLS has a table of its own: [listen.service.tls] with `certfile` and `keyfile`"),
    ("module", "it is ejabberd's; take it out: `service` says what listens"),
    ("use_proxy_protocol", "`proxy_protocol` is its name here"),
];

/// Keys that one may look for in an uplink, and where their meaning is.
const ELSEWHERE_IN_UPLINKS: &[(&str, &str)] = &[
    ("host", "`address` is host:port"),
    ("port", "`address` is host:port"),
    ("password", "`secret` is the secret"),
    ("domain", "each [domain] names its uplink: uplink = \"NAME\""),
    ("domains", "each [domain] names its uplink: uplink = \"NAME\""),
    ("cacertfile", "TLS has a table of its own: [uplink.NAME.tls]"),
    ("server_name", "TLS has a table of its own: [uplink.NAME.tls]"),
    ("certfile", "TLS has a table of its own: [uplink.NAME.tls]"),
    ("keyfile", "TLS has a table of its own: [uplink.NAME.tls]"),
];

/// What to write for a key that belongs elsewhere, or that another server has in a listener.
pub(super) fn elsewhere(section: &str, key: &str) -> Option<&'static str> {
    let is_uplink = || section.strip_prefix("uplink.").is_some_and(|name| !name.contains('.'));
    let list = match section {
        "listen.service" | "listen.component" => ELSEWHERE,
        _ if is_uplink() => ELSEWHERE_IN_UPLINKS,
        _ => return None,
    };
    list.iter().find(|(name, _)| *name == key).map(|(_, help)| *help)
}
