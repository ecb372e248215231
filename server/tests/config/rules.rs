//! `[acl]`, `[access]` and `[shaper]`.

use enjamb_core::jid::Jid;

use crate::{clean, doubtful, faults, file_with, one_fault};

/// Whether the listener's rule `r`, in which the acl `a` is allowed, admits this sender.
fn admits(patterns: &str, sender: &str) -> bool {
    let lines =
        format!("access = 'r'\n[acl]\na = [{patterns}]\n[access]\nr = [{{acl = 'a', value = 'allow'}}]");
    let access = clean(&file_with(&lines)).listeners.remove(0).access;
    let sender = Jid::parse(sender).unwrap();
    access.allows(&sender, sender.domain() == "localhost")
}

/// Faults of a file whose acl `a`, which its listener uses, has this pattern; it stands in line 8 from column 6 on.
#[track_caller]
fn pattern_refused(pattern: &str, expected: &str) {
    let lines =
        format!("access = 'r'\n[acl]\na = [{pattern}]\n[access]\nr = [{{acl = 'a', value = 'allow'}}]");
    one_fault(&file_with(&lines), &format!("enjamb.toml:8:{expected}"));
}

#[test]
fn conditions_look_at_each_part_of_the_sender() {
    for (pattern, yes, no) in [
        ("{user = 'Alice'}", "alice@a.example", "bob@a.example"),
        ("{server = 'A.example.'}", "alice@a.example", "alice@b.example"),
        ("{resource = 'Home'}", "alice@a.example/Home", "alice@a.example/home"),
        ("{user_regexp = 'LI'}", "Alice@a.example", "bob@a.example"),
        ("{server_regexp = '^A'}", "alice@a.example", "alice@b.example"),
        ("{resource_regexp = '^r\\d$'}", "alice@a.example/r1", "alice@a.example/R1"),
        ("{user_glob = 'A*'}", "alice@a.example", "bob@a.example"),
        ("{server_glob = '*.example'}", "alice@a.example", "alice@a.example.org"),
        ("{resource_glob = 'r?'}", "alice@a.example/r1", "alice@a.example/r12"),
        ("{user = 'alice', server = 'a.example'}", "alice@a.example", "alice@b.example"),
        ("{user = 'alice'}, {user = 'bob'}", "bob@a.example", "carol@a.example"),
    ] {
        assert!(admits(pattern, yes), "{pattern} {yes}");
        assert!(!admits(pattern, no), "{pattern} {no}");
    }
}

#[test]
fn match_says_whose_senders_are_meant() {
    for (scope, host, foreign) in [
        ("all", true, true),
        ("current_domain", true, true),
        ("any_hosted_domain", true, false),
        ("none", false, false),
    ] {
        let pattern = format!("{{match = '{scope}'}}");
        assert_eq!(admits(&pattern, "user@localhost"), host, "{scope}");
        assert_eq!(admits(&pattern, "user@other.example"), foreign, "{scope}");
    }
    assert!(admits("{}", "user@other.example"), "a stanza to a component has no current domain");
    pattern_refused(
        "{match = 'any'}",
        "15: error: unknown scope `any` (one of: all, current_domain, any_hosted_domain, none)",
    );
    pattern_refused(
        "{match = 'curent_domain'}",
        "15: error: unknown scope `curent_domain` (did you mean `current_domain`?)",
    );
}

#[test]
fn the_first_clause_that_matches_decides_and_none_denies() {
    let lines = "access = 'component'\n[acl]\nblocked = [{user = 'spammer'}]\n[access]\n\
                 component = [{acl = 'blocked', value = 'deny'}, {acl = 'none', value = 'deny'}, \
                 {acl = 'all', value = 'allow'}]";
    let access = clean(&file_with(lines)).listeners.remove(0).access;
    assert!(!access.allows(&Jid::parse("spammer@x.example").unwrap(), false));
    assert!(access.allows(&Jid::parse("friend@x.example").unwrap(), false));
    assert!(!admits("", "anyone@x.example"));
}

#[test]
fn faults_of_patterns() {
    pattern_refused("{usr = 'a'}", "7: error: unknown key `usr` in `acl.a` (did you mean `user`?)");
    pattern_refused("{user = 1}", "14: error: `user` must be a string, and this is an integer");
    pattern_refused("'alice'", "6: error: `acl.a` must be a table, and this is a string");
    pattern_refused(
        "{user_regexp = '(a'}",
        "21: error: `(a` is no regexp that can be used here: unclosed group",
    );
    pattern_refused(
        "{user_regexp = '(?=a)'}",
        "21: error: `(?=a)` is no regexp that can be used here: \
         look-around, including look-ahead and look-behind, is not supported",
    );
    let huge = faults(&file_with(
        "access='r'\n[acl]\na = [{user_regexp = '(a{1000}){1000}'}]\n[access]\nr = [{acl = 'a', value = 'allow'}]",
    ));
    assert!(huge[0].contains("exceeds size limit"), "{huge:?}");
    let glob = faults(&file_with(
        "access='r'\n[acl]\na = [{user_glob = '[a'}]\n[access]\nr = [{acl = 'a', value = 'allow'}]",
    ));
    assert!(glob[0].starts_with("enjamb.toml:8:19: error: `[a` is no glob: "), "{glob:?}");
    let server = faults(&file_with("[acl]\na = [{server = 'a b'}]"));
    assert!(server[0].starts_with("enjamb.toml:7:16: warning: `a b` is no domain: "), "{server:?}");
}

#[test]
fn a_regexp_that_only_mongooseim_can_run_is_no_error_where_it_decides_nothing() {
    one_fault(
        &file_with("[acl]\na = [{user_regexp = '(a)\\1'}]"),
        "enjamb.toml:7:21: warning: `(a)\\1` is no regexp that can be used here: backreferences are not supported",
    );
}

#[test]
fn an_unknown_acl_never_matches_and_is_refused_where_it_would_deny() {
    let lines = |value: &str| {
        format!(
            "access = 'r'\n[acl]\nblocked = [{{user = 'spammer'}}]\n[access]\n\
             r = [{{acl = 'blokced', value = '{value}'}}, {{acl = 'blocked', value = 'deny'}}, {{acl = 'all', value = 'allow'}}]"
        )
    };
    let near = "no acl is named `blokced`: this clause never matches (did you mean `blocked`?)";
    one_fault(&file_with(&lines("deny")), &format!("enjamb.toml:10:13: error: {near}"));
    one_fault(&file_with(&lines("allow")), &format!("enjamb.toml:10:13: warning: {near}"));
    let access = doubtful(&lines("allow")).access;
    assert!(!access.allows(&Jid::parse("spammer@x.example").unwrap(), false));
    assert!(access.allows(&Jid::parse("friend@x.example").unwrap(), false));
    // A rule that no listener names decides nothing.
    let unused = lines("deny").replacen("access = 'r'", "", 1);
    one_fault(&file_with(&unused), &format!("enjamb.toml:10:13: warning: {near}"));
}

#[test]
fn only_a_rule_that_a_listener_names_must_give_allow_or_deny() {
    clean(&file_with("[access]\nr = [{acl = 'all', value = 10}, {acl = 'all', value = 'fast'}]"));
    let expected = "error: a rule that a listener names must give \"allow\" or \"deny\"";
    one_fault(
        &file_with("access = 'r'\n[access]\nr = [{acl = 'all', value = 10}]"),
        &format!("enjamb.toml:8:28: {expected}"),
    );
    one_fault(
        &file_with("access = 'r'\n[access]\nr = [{acl = 'all', value = 'alow'}]"),
        &format!("enjamb.toml:8:28: {expected} (did you mean `allow`?)"),
    );
}

#[test]
fn faults_of_clauses() {
    let refused = |rule: &str, expected: &str| {
        one_fault(&file_with(&format!("[access]\nr = {rule}")), &format!("enjamb.toml:7:{expected}"));
    };
    let help = "(a clause is {acl = \"...\", value = \"allow\"})";
    refused("[{value = 'allow'}]", &format!("6: error: `access.r` has no `acl`, which is mandatory {help}"));
    refused("[{acl = 'all'}]", &format!("6: error: `access.r` has no `value`, which is mandatory {help}"));
    refused(
        "[{acl = 'all', value = true}]",
        "28: error: `value` must be a string or an integer, and this is a boolean",
    );
    refused("[{acl = 1, value = 1}]", "13: error: `acl` must be a string, and this is an integer");
    refused("'allow'", "5: error: `access.r` must be an array, and this is a string");
    refused(
        "[{acl = 'all', value = 1, vlaue = 2}]",
        "31: error: unknown key `vlaue` in `access.r` (did you mean `value`?)",
    );
}

#[test]
fn predefined_names_can_not_be_redefined() {
    let loaded = faults(&file_with(
        "access = 'none'\n[acl]\nall = []\n[access]\nnone = [{acl = 'all', value = 10}]\n[shaper.none]\nmax_rate = 1",
    ));
    assert_eq!(
        loaded,
        [
            "enjamb.toml:8:1: warning: the acl `all` is predefined: this definition has no effect (give it another name)",
            "enjamb.toml:10:1: warning: the access rule `none` is predefined: this definition has no effect (give it another name)",
            "enjamb.toml:11:9: warning: the shaper `none` is predefined: this definition has no effect (give it another name)",
        ]
    );
}

#[test]
fn faults_of_shapers() {
    let refused =
        |lines: &str, expected: &str| one_fault(&file_with(lines), &format!("enjamb.toml:{expected}"));
    let range = "(from 1 to 9223372036854775807 bytes per second)";
    for wrong in ["0", "-1", "9223372036854775808"] {
        refused(
            &format!("shaper = 'a'\n[shaper.a]\nmax_rate = {wrong}"),
            &format!("8:12: error: `max_rate` is out of range {range}"),
        );
    }
    refused(
        "[shaper.a]",
        "6:1: error: `shaper.a` has no `max_rate`, which is mandatory (bytes per second, as in max_rate = 50_000)",
    );
    refused(
        "[shaper.a]\nmax_rate = 1\nmax_rat = 1",
        "8:1: error: unknown key `max_rat` in `shaper.a` (did you mean `max_rate`?)",
    );
    refused("[shaper]\na = 1", "7:5: error: `shaper.a` must be a table, and this is an integer");
}
