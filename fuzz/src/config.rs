//! A configuration is read, or refused with reasons.

use enjamb_server::config::{Severity, load};

/// Reads `data` as a configuration file.
///
/// # Panics
/// It has settings and errors, or neither; a fault lies outside the text or can't be shown; a password is shown.
pub fn config_or_reasons(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let loaded = load("enjamb.toml", text);
    let errors = loaded.count(Severity::Error);
    assert_eq!(loaded.config.is_none(), errors > 0, "settings or errors, and never both");
    for fault in &loaded.diagnostics {
        assert!(!fault.message.is_empty());
        assert!(text.get(fault.span.start.min(text.len())..fault.span.end.min(text.len())).is_some());
        assert!(loaded.source.position(fault.span.start).0 >= 1);
        assert!(!loaded.source.line(fault).contains('\n'), "one fault, one line of the log");
    }
    let shown = [loaded.render(false), loaded.render(true), loaded.notes.concat()].concat();
    let Some(config) = &loaded.config else { return };
    assert!(!config.hosts.is_empty() || !config.uplinks.is_empty());
    assert!(!config.listeners.is_empty());
    let debug = format!("{config:?}");
    for listener in &config.listeners {
        let password = listener.password.expose();
        // A short one may stand in a word, and one that is a name, too, where the name is shown.
        if password.len() >= 12 && text.matches(password).count() == 1 {
            assert!(!shown.contains(password), "the password is shown: {shown}");
            assert!(!debug.contains(password), "the password is shown: {debug}");
        }
    }
}
