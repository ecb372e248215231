use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::*;

fn canonical(raw: &str) -> String {
    canonical_domain(raw).unwrap_or_else(|error| panic!("{raw:?}: {error}")).into_owned()
}

#[test]
fn an_address_is_cut_at_the_first_slash_then_at_the_first_at() {
    let jid = Jid::parse("user@comp.example/a@b/c d").unwrap();
    assert_eq!((jid.local(), jid.domain(), jid.resource()), (Some("user"), "comp.example", Some("a@b/c d")));
    let jid = Jid::parse("comp.example/user@other").unwrap();
    assert_eq!((jid.local(), jid.domain(), jid.resource()), (None, "comp.example", Some("user@other")));
    let jid = Jid::parse("comp.example").unwrap();
    assert_eq!((jid.local(), jid.domain(), jid.resource()), (None, "comp.example", None));
}

#[test]
fn a_canonical_address_is_the_very_slice() {
    let text = String::from("Üser@comp.example/Büro");
    let jid = Jid::parse(&text).unwrap();
    assert!(jid.is_verbatim());
    assert_eq!(jid.as_str().as_ptr(), text.as_ptr());
    assert!(!jid.clone().into_owned().is_verbatim());
    assert_eq!(jid.clone().into_owned(), jid);
}

#[test]
fn only_the_domain_is_rewritten() {
    for (sent, domain) in
        [("User@COMP.Example./Res", "comp.example"), ("User@BÜCHER.example/Res", "bücher.example")]
    {
        let jid = Jid::parse(sent).unwrap();
        assert!(!jid.is_verbatim());
        assert_eq!(jid.to_string(), format!("User@{domain}/Res"));
        assert_eq!((jid.local(), jid.domain(), jid.resource()), (Some("User"), domain, Some("Res")));
    }
    let dotted = Jid::parse("comp.example.").unwrap();
    assert_eq!((dotted.as_str(), dotted.resource()), ("comp.example", None));
}

#[test]
fn announced_parts_are_not_empty() {
    assert_eq!(Jid::parse("@comp.example"), Err(JidError::Empty(JidPart::Local)));
    assert_eq!(Jid::parse("comp.example/"), Err(JidError::Empty(JidPart::Resource)));
    for no_domain in ["", "user@", "/res", "user@/res", "."] {
        assert_eq!(Jid::parse(no_domain), Err(JidError::Empty(JidPart::Domain)), "{no_domain:?}");
    }
}

#[test]
fn each_part_has_at_most_1023_bytes() {
    let (fits, over) = ("x".repeat(1023), "x".repeat(1024));
    assert!(Jid::parse(&format!("{fits}@c/{fits}")).is_ok());
    let too_long = |part| Err(JidError::TooLong { part, bytes: 1024 });
    assert_eq!(Jid::parse(&format!("{over}@c")), too_long(JidPart::Local));
    assert_eq!(Jid::parse(&format!("c/{over}")), too_long(JidPart::Resource));
    let fits = format!("{}x", "x.".repeat(511));
    assert_eq!(fits.len(), 1023);
    assert_eq!(canonical(&fits), fits);
    assert_eq!(canonical(&format!("{fits}.")), fits);
    assert_eq!(
        canonical_domain(&format!("{fits}x")),
        Err(JidError::TooLong { part: JidPart::Domain, bytes: 1024 })
    );
}

#[test]
fn a_local_part_holds_no_separator_blank_control_or_invisible_character() {
    let odd = "\"&':<> \t\n\u{0}\u{7F}\u{85}\u{A0}\u{AD}\u{200B}\u{200D}\u{2028}\u{202E}\u{2066}\u{3000}\u{3164}\u{34F}\u{FE0F}\u{FEFF}\u{FFF9}\u{110BD}\u{E0100}";
    for found in odd.chars() {
        let sent = format!("a{found}b@comp.example");
        assert_eq!(Jid::parse(&sent), Err(JidError::Forbidden { part: JidPart::Local, found }), "{sent:?}");
    }
    let second_at = Err(JidError::Forbidden { part: JidPart::Domain, found: '@' });
    assert_eq!(Jid::parse("a@b@comp.example"), second_at);
    for fine in ["Üser", "日本", "a+b=c%d\\20", "!#$*()[]{}|^`~;,?._-"] {
        assert_eq!(Jid::parse(&format!("{fine}@c")).unwrap().local(), Some(fine));
    }
}

#[test]
fn fault_02_a_joiner_stands_where_rfc_5892_allows_it() {
    for fine in [
        // Dual- and right-joining letters around a non-joiner, with marks between; a virama before it.
        "\u{646}\u{627}\u{645}\u{647}\u{200C}\u{627}\u{6CC}",
        "\u{628}\u{64E}\u{200C}\u{64E}\u{628}",
        "\u{915}\u{94D}\u{200C}\u{937}",
        "\u{915}\u{94D}\u{200D}\u{937}",
        "\u{915}\u{94D}\u{200D}",
    ] {
        let text = format!("{fine}@comp.example");
        let jid = Jid::parse(&text).unwrap();
        assert_eq!((jid.local(), jid.is_verbatim()), (Some(fine), true));
    }
    for odd in [
        "a\u{200C}b",
        "a\u{200D}b",
        "\u{200C}",
        "\u{200D}",
        "\u{628}\u{200C}",
        "\u{200C}\u{628}",
        // Alef joins to its right only, a mark to nothing.
        "\u{627}\u{200C}\u{628}",
        "\u{64E}\u{200C}\u{628}",
        "\u{628}\u{200D}\u{628}",
        "\u{628}\u{200C}\u{200C}\u{628}",
        "\u{1F468}\u{200D}\u{1F469}",
    ] {
        let found = if odd.contains('\u{200C}') { '\u{200C}' } else { '\u{200D}' };
        let forbidden = Err(JidError::Forbidden { part: JidPart::Local, found });
        assert_eq!(Jid::parse(&format!("{odd}@comp.example")), forbidden, "{odd:?}");
    }
}

#[test]
fn fault_02_what_shows_in_a_local_part_is_for_its_domain_to_judge() {
    // Symbols, compatibility characters, unassigned and private ones, the middle dot out of its context.
    for fine in
        ["#chan\u{1F40E}%irc", "\u{2163}\u{FF21}\u{FB01}", "\u{378}", "\u{E000}", "a\u{B7}b", "\u{17F}"]
    {
        assert_eq!(Jid::parse(&format!("{fine}@comp.example")).unwrap().local(), Some(fine));
    }
}

#[test]
fn a_resource_holds_anything_but_controls() {
    for found in "\t\n\u{0}\u{1F}\u{7F}\u{9F}".chars() {
        let sent = format!("c/a{found}b");
        assert_eq!(
            Jid::parse(&sent),
            Err(JidError::Forbidden { part: JidPart::Resource, found }),
            "{sent:?}"
        );
    }
    for fine in [" ", "a b", "<&'\">", "Büro 日本", "//@"] {
        assert_eq!(Jid::parse(&format!("c/{fine}")).unwrap().resource(), Some(fine));
    }
}

#[test]
fn canonical_ascii_is_borrowed() {
    for name in
        ["c", "comp.example", "a-b.c_d.example", "_x.localhost", "127.0.0.1", "[::1]", "ab--cd.example"]
    {
        assert!(matches!(canonical_domain(name), Ok(Cow::Borrowed(same)) if same == name), "{name}");
    }
    assert!(matches!(canonical_domain("comp.example."), Ok(Cow::Borrowed("comp.example"))));
    assert!(matches!(canonical_domain("bücher.example"), Ok(Cow::Borrowed("bücher.example"))));
}

#[test]
fn equal_names_have_one_spelling() {
    for (sent, expected) in [
        ("COMP.Example", "comp.example"),
        ("comp.example.", "comp.example"),
        ("BÜCHER.example", "bücher.example"),
        ("xn--bcher-kva.example", "bücher.example"),
        ("XN--BCHER-KVA.EXAMPLE.", "bücher.example"),
        ("Bu\u{308}cher.example", "bücher.example"),
        ("ΣΊΣΥΦΟΣ.example", "σίσυφοσ.example"),
        ("straße.example", "straße.example"),
        ("a_b.bücher.example", "a_b.bücher.example"),
        ("日本.example", "日本.example"),
        ("ᏣᎳᎩ.example", "ᏣᎳᎩ.example"),
        ("[0:0:0:0:0:0:0:1]", "[::1]"),
        ("[2001:DB8::A]", "[2001:db8::a]"),
    ] {
        let once = canonical(sent);
        assert_eq!(once, expected, "{sent:?}");
        assert!(matches!(canonical_domain(&once), Ok(Cow::Borrowed(twice)) if twice == once), "{once:?}");
    }
}

#[test]
fn labels_are_checked() {
    for name in [".comp.example", "comp..example", "comp.example..", "..", ".bücher", "bücher..example"] {
        let empty = [JidError::EmptyLabel, JidError::Empty(JidPart::Domain)];
        assert!(empty.contains(&canonical_domain(name).unwrap_err()), "{name:?}");
    }
    for name in ["-a.example", "a-.example", "-", "comp-", "-ü.example", "ü-.example"] {
        assert_eq!(canonical_domain(name), Err(JidError::LabelHyphen), "{name:?}");
    }
    let label = "x".repeat(63);
    assert_eq!(canonical(&format!("{label}.example")), format!("{label}.example"));
    assert_eq!(canonical_domain(&format!("{label}x.example")), Err(JidError::LabelTooLong { bytes: 64 }));
    let wide =
        canonical_domain("üüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüü");
    assert!(matches!(wide, Err(JidError::LabelTooLong { bytes: 64.. })), "{wide:?}");
}

#[test]
fn a_domain_holds_no_blank_control_or_sign() {
    for found in " \t\n\r\u{0}\u{1F}\u{7F}\"&'/:<>@!#$%()*+,;=?\\]^`{|}~[".chars() {
        let sent = format!("a{found}b.example");
        assert_eq!(
            canonical_domain(&sent),
            Err(JidError::Forbidden { part: JidPart::Domain, found }),
            "{sent:?}"
        );
        assert!(canonical_domain(&format!("ü{found}b.example")).is_err(), "{sent:?} behind a letter");
    }
}

#[test]
fn numbers_alone_are_an_ipv4_address_in_its_one_spelling() {
    for name in [
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f.0.0.1",
        "0X7F.1",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.01",
        "0x.0.0.1",
        "127.0.0.256",
        "1.2.3.4.5",
        "0",
        "127.0.0.0x1.",
    ] {
        assert_eq!(canonical_domain(name), Err(JidError::NotIpv4), "{name:?}");
        assert_eq!(Jid::parse(&format!("user@{name}/res")), Err(JidError::NotIpv4), "{name:?}");
    }
    assert_eq!(canonical("127.0.0.1."), "127.0.0.1");
}

#[test]
fn fault_01_a_name_may_end_in_numbers() {
    for name in [
        "127.0.0.1",
        "1.2.3.4.example",
        "0x7f.example",
        "a.3com",
        "4.3.2.1.in-addr.arpa",
        "0xg",
        "a1",
        "x.0y",
        "muclight.10.211.55.9",
        "a.b.127.0.0.1",
        "comp.127.1",
        "comp.0",
        "a.0xff",
        "comp.example.007",
        "1.a.2",
        "0.0.0.0x_",
        "b\u{fc}cher.10.0.0.1",
    ] {
        assert!(matches!(canonical_domain(name), Ok(Cow::Borrowed(same)) if same == name), "{name:?}");
        assert!(Jid::parse(&format!("user@{name}/res")).is_ok_and(|jid| jid.is_verbatim()), "{name:?}");
    }
    for (sent, domain) in [("MUClight.10.211.55.9.", "muclight.10.211.55.9"), ("A.0XFF", "a.0xff")] {
        assert_eq!(canonical(sent), domain);
    }
    let host = Domain::parse("10.211.55.9").unwrap();
    let under = |prefix| Domain::under(&Domain::parse(prefix).unwrap(), &host);
    assert_eq!(under("muclight").unwrap().as_str(), "muclight.10.211.55.9");
    assert_eq!(under("1.2.3.4"), Err(JidError::NotIpv4));
}

#[test]
fn brackets_hold_an_ipv6_address_and_nothing_else() {
    for name in ["[", "[]", "[::1", "[::1].", "[127.0.0.1]", "[::1]x", "[fe80::1%eth0]", "[comp.example]"] {
        assert_eq!(canonical_domain(name), Err(JidError::NotIpv6), "{name:?}");
    }
    assert!(canonical_domain("::1").is_err());
}

#[test]
fn what_shows_nothing_is_refused_not_dropped() {
    for odd in "\u{AD}\u{34F}\u{180B}\u{200B}\u{200C}\u{200D}\u{200E}\u{202E}\u{2060}\u{2066}\u{FE0F}\u{FEFF}\u{E0100}"
        .chars()
    {
        for name in [format!("comp{odd}.example"), format!("{odd}comp.example"), format!("a{odd}b.example")] {
            assert!(matches!(canonical_domain(&name), Err(JidError::Idna { .. })), "{name:?}");
        }
    }
}

#[test]
fn what_would_be_replaced_is_refused() {
    for name in [
        "ｃomp.example",
        "ＣＯＭＰ.example",
        "comp。example",
        "comp．example",
        "comp｡example",
        "comp.example。",
        "①.example",
        "ﬁsh.example",
        "x².example",
        "\u{85}.example",
        "a\u{A0}b.example",
        "a\u{2028}b.example",
        "a\u{FFFD}.example",
    ] {
        assert!(matches!(canonical_domain(name), Err(JidError::Idna { .. })), "{name:?}");
    }
}

#[test]
fn a_sign_that_composition_makes_of_another_is_refused() {
    // NFC makes a semicolon and a grave accent of these, and a name with one would be none when it is read again.
    for name in ["a\u{37E}.example", "\u{37E}", "a\u{1FEF}", "\u{1FEF}a.example"] {
        assert!(matches!(canonical_domain(name), Err(JidError::Idna { .. })), "{name:?}");
        assert!(Jid::parse(&format!("user@{name}/resource")).is_err(), "{name:?}");
    }
}

#[test]
fn an_a_label_stands_for_a_u_label_only() {
    for name in ["xn--comp-", "comp.xn--", "comp.example.xn--", "xn--", "xn--a", "XN--A", "xn--99999999"] {
        assert!(canonical_domain(name).is_err(), "{name:?} became {:?}", canonical_domain(name));
        assert!(canonical_domain(&format!("{name}.example")).is_err(), "{name:?}.example");
    }
    // Punycode of labels that are no U-labels: upper case, soft hyphen, joiner, decomposed, full-width, bidi
    // control, and an A-label's own prefix.
    for name in [
        "xn--bcher-2pa",
        "xn--ab-5da",
        "xn--ab-m1t",
        "xn--bucher-xyd",
        "xn--omp-v76s",
        "xn--ab-g4t",
        "xn--xn---3ra",
    ] {
        assert!(canonical_domain(name).is_err(), "{name:?} became {:?}", canonical_domain(name));
    }
}

#[test]
fn canonicalising_twice_changes_nothing() {
    let pool: Vec<char> = "aZ0-_.xnüÜßẞΣςσİıſKÅéé\u{301}\u{308}\u{AD}\u{200D}日ｃ。אبᏣꮳǅﬁ½".chars().collect();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut accepted = 0;
    for _ in 0..20_000 {
        let mut name = String::new();
        loop {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            name.push(pool[(state >> 33) as usize % pool.len()]);
            if (state >> 20).is_multiple_of(5) {
                break;
            }
        }
        if let Ok(once) = canonical_domain(&name) {
            accepted += 1;
            assert_eq!(canonical_domain(&once).as_deref(), Ok(&*once), "{name:?}");
        }
    }
    assert!(accepted > 1000, "{accepted} names were accepted");
}

#[test]
fn messages_name_the_rule_and_never_echo() {
    let message = Jid::parse("a\u{202E}b@comp.example").unwrap_err().to_string();
    assert_eq!(message, "the local part holds U+202E, which is not allowed there");
    let message = Jid::parse(&format!("c/{}", "\u{1F600}".repeat(256))).unwrap_err().to_string();
    assert_eq!(message, "the resource has 1024 bytes, more than 1023");
}

#[test]
fn each_fault_of_an_address_has_its_words() {
    let long = "a".repeat(64);
    for (address, words) in [
        ("@a", "the local part is empty"),
        ("", "the domain is empty"),
        ("a/", "the resource is empty"),
        ("a:b@c", "the local part holds U+003A, which is not allowed there"),
        ("a..b", "the domain has an empty label"),
        (&long, "a label of the domain has 64 bytes as DNS carries it, more than 63"),
        ("-a", "a label of the domain begins or ends with a hyphen"),
        ("[::g]", "the domain is in brackets, and no IPv6 address"),
        ("127.1", "the domain consists of numbers alone, and is no IPv4 address of four decimal numbers"),
        ("a\u{2028}b", "the domain (5 bytes) is no valid internationalised domain name"),
    ] {
        assert_eq!(Jid::parse(address).unwrap_err().to_string(), words, "{address:?}");
    }
}

#[test]
fn a_domain_and_an_address_are_shown_as_they_are_written() {
    let domain = Domain::parse("BÜCHER.example").unwrap();
    assert_eq!(domain.to_string(), "bücher.example");
    assert_eq!(format!("{domain:?}"), "\"bücher.example\"");
    assert_eq!(AsRef::<str>::as_ref(&domain), "bücher.example");
    let named: alloc::collections::BTreeSet<_> = [domain].into();
    assert!(named.contains("bücher.example"), "a set of domains is asked by name");
    assert_eq!(Jid::parse("a@B.example/r").unwrap().to_string(), "a@b.example/r");
}

/// The lower case of some letters is longer than they are.
#[test]
fn a_domain_that_grows_over_the_limit_is_too_long() {
    let domain = |labels: usize| alloc::vec!["\u{23a}".repeat(20); labels].join(".");
    assert!(domain(17).len() < 1023);
    let bytes = 17 * 61 - 1;
    assert_eq!(canonical_domain(&domain(17)), Err(JidError::TooLong { part: JidPart::Domain, bytes }));
    assert_eq!(canonical(&domain(16)).len(), 16 * 61 - 1);
}

/// A name made of two canonical ones is the name that parsing gives, and no other is taken.
#[test]
fn name_under_a_host_is_the_parsed_name() {
    let long = |letter: &str, labels: usize| alloc::vec![letter.repeat(60); labels].join(".");
    let names = [
        "a",
        "muc",
        "a.b",
        "1",
        "1.2",
        "a1",
        "_x",
        "a-b",
        "b\u{fc}cher",
        "\u{5d0}\u{5d1}",
        "a\u{5d0}",
        "\u{627}1",
        "\u{4f8b}",
        "10.211.55.9",
        "[::1]",
        "xn--a",
        "\u{301}a",
        "0x7f",
        "e\u{301}",
        "\u{13a0}",
        "\u{1e900}",
    ];
    let long = [long("x", 8), long("y", 9), long("z", 16)];
    let names: Vec<Domain> = names
        .into_iter()
        .chain(long.iter().map(String::as_str))
        .filter_map(|name| Domain::parse(name).ok())
        .collect();
    let mut made = 0;
    for (prefix, host) in names.iter().flat_map(|prefix| names.iter().map(move |host| (prefix, host))) {
        let parsed = Domain::parse(&format!("{prefix}.{host}"));
        made += usize::from(parsed.is_ok());
        assert_eq!(Domain::under(prefix, host), parsed, "{prefix} under {host}");
    }
    assert!((100..names.len() * names.len()).contains(&made), "{made} of {}", names.len());
}
