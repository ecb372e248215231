//! Names: the ones that MongooseIM knows and Enjamb passes over, and the known name nearest to a typing error.

use crate::printable::printable;

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

/// The known name that `name` is most likely a typing error of: at most one letter in three differs.
pub(super) fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    // Longer than any name worth comparing; the comparison takes quadratic time.
    if name.len() > 64 {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let wanted = plain(name);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &plain(candidate)), candidate))
        .filter(|&(distance, candidate)| distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// "did you mean ..." for [`nearest`].
pub(super) fn did_you_mean<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<String> {
    nearest(name, known).map(|near| format!("did you mean `{}`?", printable(near)))
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let known = ["password", "port", "proto"];
        assert_eq!(nearest("pasword", known), Some("password"));
        assert_eq!(nearest("Port", known), Some("port"));
        assert_eq!(nearest("prot", known), Some("port"));
        assert_eq!(nearest("banana", known), None);
        assert_eq!(nearest(&"p".repeat(1000), known), None);
        assert_eq!(nearest("check-from", ["check_from"]), Some("check_from"));
    }
}
