//! Who somebody is: one name has one spelling, no other name passes for it, and it is the stream header that says it.
//! Compared with two crates that others rely on: `idna` (UTS 46) and `jid` (RFC 7622, as xmpp-rs has it).
#![allow(clippy::unwrap_used, reason = "a test fails where one of its steps does")]

use std::collections::BTreeMap;

use enjamb_core::jid::{Jid, canonical_domain};
use enjamb_tests::peer::{Peer, refused};
use enjamb_tests::server::Config;
use enjamb_tests::sim::Random;
use enjamb_tests::wire::{Wire, digest, has_handshake, header};
use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

const HOST: &str = "host.example";

fn ours(name: &str) -> Option<String> {
    canonical_domain(name).ok().map(|name| name.into_owned())
}

/// The name as DNS carries it, which is what makes two spellings one name.
fn carried(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let ascii = Uts46::new().to_ascii(
        name.as_bytes(),
        AsciiDenyList::EMPTY,
        Hyphens::CheckFirstLast,
        DnsLength::Ignore,
    );
    ascii.ok().map(|name| name.into_owned())
}

/// Spellings that are one name each, the canonical one first.
const SPELLINGS: &[&[&str]] = &[
    &["comp.example", "COMP.example", "Comp.Example.", "comp.EXAMPLE"],
    &["a-b_c.example", "A-B_C.example."],
    &[
        "bücher.example",
        "BÜCHER.example",
        "xn--bcher-kva.example",
        "XN--BCHER-KVA.Example.",
        "Bu\u{308}cher.example",
    ],
    &["straße.example", "STRAẞE.example", "xn--strae-oqa.example"],
    &["σίσυφοσ.example", "ΣΊΣΥΦΟΣ.example", "Σι\u{301}συφοσ.example"],
    &["σίσυφος.example", "xn--kxa6ajbbmh.example", "σίσυφος.EXAMPLE"],
    &["日本.example", "xn--wgv71a.example", "XN--WGV71A.example"],
    &["i\u{307}stanbul.example", "İstanbul.example"],
    &["ıstanbul.example", "xn--stanbul-qfb.example"],
    &["한국.example", "\u{1112}\u{1161}\u{11AB}\u{1100}\u{116E}\u{11A8}.example"],
    &["אב.example", "xn--4dbc.example"],
    &["127.0.0.1", "127.0.0.1."],
    &["[::1]", "[0:0:0:0:0:0:0:1]", "[::0001]", "[0::1]"],
    &["[2001:db8::a]", "[2001:DB8::A]", "[2001:0db8:0:0::000a]"],
    &["[::ffff:127.0.0.1]", "[::FFFF:7f00:1]"],
];

/// What no component can have: dropped or replaced characters, masks, odd addresses, what IDNA or DNS refuses.
const REFUSED: &[&str] = &[
    // Dropped by IDNA's mapping: soft hyphen, joiners, zero width space, word joiner, variation selector.
    "co\u{AD}mp.example",
    "co\u{200D}mp.example",
    "co\u{200C}mp.example",
    "co\u{200B}mp.example",
    "co\u{2060}mp.example",
    "comp\u{FE0F}.example",
    "\u{FEFF}comp.example",
    "comp.exam\u{34F}ple",
    // Replaced by it: full width, other dots, compatibility forms, mathematical letters, the Kelvin sign.
    "ｃｏｍｐ.example",
    "comp。example",
    "comp．example",
    "comp｡example",
    "comp.example。",
    "①.example",
    "ﬁsh.example",
    "𝐜𝐨𝐦𝐩.example",
    "c℀.example",
    "ª.example",
    "comp…example",
    "Ⅳ.example",
    "ｘｎ--bcher-kva.example",
    // A-labels that stand for no U-label: upper case, decomposed, full width, soft hyphen, ASCII alone, an A-label,
    // bidi control, no punycode, nothing.
    "xn--bcher-2pa.example",
    "xn--bucher-xyd.example",
    "xn--omp-v76s.example",
    "xn--ab-5da.example",
    "xn--comp-.example",
    "xn--xn---3ra.example",
    "xn--ab-g4t.example",
    "xn--99999999.example",
    "xn--.example",
    "xn--a.example",
    "xn--\u{FC}.example",
    "xn--bcher-kva-.example",
    // The bidi rule (RFC 5893): left to right behind right to left, a digit first, marks last.
    "אa.example",
    "aא.example",
    "1א.example",
    "אב.1a\u{5D0}.example",
    "א\u{661}1.example",
    // A combining mark first; marks that show nothing; symbols that IDNA 2008 has not.
    "\u{301}a.example",
    "a.\u{308}b.example",
    "\u{115F}.example",
    "a\u{3164}.example",
    // Spellings of addresses that others resolve.
    "127.1",
    "0x7f.1",
    "0x7f000001",
    "2130706433",
    "0177.0.0.1",
    "127.0.0.01",
    "127.0.0.256",
    "1.2.3.4.5",
    "1.2",
    "::1",
    "[::1",
    "::1]",
    "[::1].",
    "[fe80::1%eth0]",
    "[fe80::1%25eth0]",
    "[127.0.0.1]",
    "[v1.x]",
    "[::1]:5347",
    "[]",
    "[1:2:3]",
    "[::g]",
    "[::1]x",
    "[12345::]",
    "[::127.1]",
    "[ ::1]",
    // What no name holds.
    "",
    ".",
    "..",
    ".comp.example",
    "comp..example",
    "comp.example..",
    "-comp.example",
    "comp-.example",
    "comp .example",
    "comp\t.example",
    "comp\u{0}.example",
    "comp:5347",
    "comp@example",
    "comp/example",
    "comp\\example",
    "comp%2eexample",
    "comp&#46;example",
    "*.example",
    "comp\u{2028}.example",
    "comp\u{202E}.example",
    "\u{FFFD}.example",
    "\u{E000}.example",
];

/// Other names, however alike they look: never taken for comp.example, bound beside it at best.
const LOOK_ALIKES: &[&str] = &[
    "сomp.example",
    "cоmp.example",
    "comр.example",
    "comp.ехample",
    "ϲomp.example",
    "cᴏmp.example",
    "comp.examp1e",
    "c0mp.example",
    "cornp.example",
    "comp-example",
    "comp.example.evil.example",
    "evil-comp.example",
    "xcomp.example",
    "comp.exampl",
    "comp.example1",
    "çomp.example",
    "comp̣.example",
    "comp.exаmple",
    "xn--omp-xed.example",
    "comp_example",
    "sub.comp.example",
    "example",
    "comp",
    "ⅽomp.example",
];

#[test]
fn each_name_has_one_spelling() {
    let mut seen = BTreeMap::new();
    for spellings in SPELLINGS {
        for spelling in *spellings {
            assert_eq!(ours(spelling).as_deref(), Some(spellings[0]), "{spelling:?}");
        }
        assert_eq!(seen.insert(carried(spellings[0]), spellings[0]), None, "{} is another's", spellings[0]);
    }
}

#[test]
fn what_could_pass_for_another_name_is_refused() {
    for name in REFUSED {
        assert!(canonical_domain(name).is_err(), "{name:?} became {:?}", ours(name));
        // As the domain of an address, too, unless it is cut elsewhere there.
        if !name.contains(['@', '/']) {
            assert!(Jid::parse(&format!("user@{name}/res")).is_err(), "{name:?}");
        }
    }
    for name in LOOK_ALIKES {
        assert_ne!(ours(name).as_deref(), Some("comp.example"), "{name:?}");
    }
}

#[test]
fn names_are_as_long_as_they_may_be_and_no_longer() {
    let label = "x".repeat(63);
    assert_eq!(ours(&label).as_deref(), Some(&*label));
    assert_eq!(ours(&format!("{label}x")), None);
    // 63 bytes as DNS carries them, and one more.
    let wide = |n: usize| "ü".repeat(n);
    let most = (1..63).rev().find(|&n| carried(&wide(n)).is_some_and(|name| name.len() <= 63)).unwrap();
    assert!(ours(&wide(most)).is_some() && ours(&wide(most + 1)).is_none());
    let long = "x.".repeat(511) + "x";
    assert_eq!(
        (long.len(), ours(&long).is_some(), ours(&(long.clone() + ".")).is_some()),
        (1023, true, true)
    );
    assert_eq!(ours(&(long + "x")), None);
    // A name that is longer once it is written with U-labels.
    let grows = "xn--wgv71a.".repeat(150) + "example";
    assert!(grows.len() > 1023 && ours(&grows).is_none());
}

/// Letters, marks, digits and signs of all kinds, most of them in some way special to IDNA.
const POOL: &str = "abcxn--..zZAK019_üÜßẞΣςσİıſKÅé\u{301}\u{308}\u{307}\u{323}\u{AD}\u{200C}\u{200D}\u{FE0F}日本。．ｃｏ\u{3099}かが한\
    \u{1112}\u{1161}אבע\u{5B0}١٢۱ابﻻᏣꮳǅﬁ½²ªⅣ℀…·٠क्षकि\u{94D}ไทยĿ·l䐀\u{E000}\u{FFFD}😀\u{1F1E9}\u{E0100}𝐜";

fn random_name(random: &mut Random, pool: &[char]) -> String {
    let mut name: String = (0..=random.below(12)).map(|_| pool[random.below(pool.len())]).collect();
    match random.below(8) {
        0 => name.insert_str(0, "xn--"),
        1 => {
            // An A-label that is one, now and then with a letter changed.
            if let Some(ascii) = carried(&name) {
                name = ascii;
                if random.below(2) == 0 && name.is_char_boundary(5) && name.len() > 5 {
                    name.insert(5, char::from(b'a' + random.below(26) as u8));
                }
            }
        }
        2 => name = name.to_uppercase(),
        _ => {}
    }
    name
}

#[test]
fn random_names_agree_with_idna() {
    let pool: Vec<char> = POOL.chars().collect();
    let mut random = Random::new(0x1D4A);
    let mut by_dns: BTreeMap<String, String> = BTreeMap::new();
    let (mut accepted, mut stricter) = (0, 0);
    for _ in 0..300_000 {
        let name = random_name(&mut random, &pool);
        let Some(found) = ours(&name) else {
            stricter += u32::from(carried(&name).is_some());
            continue;
        };
        accepted += 1;
        // Taken by us means taken by IDNA, for the same name, and canonical names stay as they are.
        let dns = carried(&name).unwrap_or_else(|| panic!("{name:?} became {found:?}, and IDNA refuses it"));
        assert_eq!(carried(&found).as_ref(), Some(&dns), "{name:?} became {found:?}");
        assert_eq!(ours(&found).as_ref(), Some(&found), "{name:?}");
        // One name, one spelling.
        let first = by_dns.entry(dns.clone()).or_insert_with(|| found.clone());
        assert_eq!(*first, found, "{dns} has two spellings");
        // Nothing is dropped, and nothing but case and composition is replaced.
        let unchanged = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
        if !name.to_ascii_lowercase().contains("xn--") {
            let signs =
                |text: &str| text.trim_end_matches('.').chars().filter(|&c| unchanged(c)).collect::<String>();
            assert_eq!(signs(&name), signs(&found), "{name:?}");
        }
    }
    println!(
        "{accepted} of 300,000 accepted, {} different names; {stricter} refused that IDNA takes",
        by_dns.len()
    );
    assert!(accepted > 20_000 && stricter > 1000, "{accepted} accepted, {stricter} refused that IDNA takes");
}

/// The crate refuses, or keeps apart, what it is known to: names over 253 bytes, hyphens in the third and fourth place,
/// characters that Unicode 3.2 did not have.
#[test]
fn random_names_agree_with_the_jid_crate() {
    let pool: Vec<char> = POOL.chars().collect();
    let mut random = Random::new(0x01D);
    let (mut both, mut by_crate) = (0, BTreeMap::<String, String>::new());
    for _ in 0..200_000 {
        let name = random_name(&mut random, &pool);
        let Some(found) = ours(&name) else { continue };
        let Ok(theirs) = jid::DomainPart::new(&name) else {
            let hyphens = found.split('.').any(|label| label.chars().skip(2).take(2).eq("--".chars()));
            let newer = carried(&found).is_some_and(|dns| dns.contains("xn--"));
            assert!(hyphens || newer, "{name:?} is {found:?} here, and the crate refuses it");
            continue;
        };
        both += 1;
        // What it takes for one name is one name here, but for what IDNA 2003 folded and IDNA 2008 keeps apart.
        let first = by_crate.entry(theirs.as_str().to_owned()).or_insert_with(|| found.clone());
        let folds = |name: &str| name.contains(['ß', 'ς']);
        if !folds(first) && !folds(&found) {
            assert_eq!(*first, found, "one name to the crate: {:?}", theirs.as_str());
            assert_eq!(ours(theirs.as_str()).as_ref(), Some(&found), "{name:?}");
        }
    }
    println!("{both} of 200,000 accepted by both");
    assert!(both > 10_000, "{both}");
}

#[test]
fn whole_addresses_agree_with_the_jid_crate() {
    for address in [
        "user@comp.example/res",
        "User@COMP.example",
        "comp.example/a@b/c",
        "ü@bücher.example",
        "a@127.0.0.1",
        "a@[::1]/x",
    ] {
        let (theirs, found) = (jid::Jid::new(address).unwrap(), Jid::parse(address).unwrap());
        assert_eq!(theirs.domain().as_str(), found.domain());
        assert_eq!(theirs.node().map(|node| node.as_str().to_owned()), found.local().map(str::to_lowercase));
        assert_eq!(theirs.resource().map(|resource| resource.as_str()), found.resource());
    }
    for address in
        ["", "@comp.example", "comp.example/", "user@", "a b@comp.example", "a@b@c", "a\"b@c", "a@b\u{7}"]
    {
        assert!(jid::Jid::new(address).is_err() && Jid::parse(address).is_err(), "{address:?}");
    }
    // The crate takes any spelling of an IPv6 address for a name of its own; here they are one.
    assert_ne!(jid::Jid::new("[::1]").unwrap(), jid::Jid::new("[0::1]").unwrap());
}

#[test]
fn two_spellings_of_one_name_are_not_bound_twice() {
    let server = Config::new(&[HOST]).listener("").start();
    for spellings in SPELLINGS {
        let held = Peer::with_header(server.addr(0), spellings[0], &header(spellings[0]));
        for spelling in *spellings {
            let fault = refused(server.addr(0), &header(spelling));
            assert_eq!(fault.condition, "conflict", "{spelling:?} beside {}", held.domain);
        }
    }
    for name in ["HOST.example", "host.example.", "Host.Example"] {
        assert_eq!(
            refused(server.addr(0), &header(name)).condition,
            "conflict",
            "{name} is the server's own"
        );
    }
    for name in REFUSED.iter().filter(|name| !name.contains(['\0', '&'])) {
        let fault = refused(server.addr(0), &header(name));
        assert!(["host-unknown", "not-well-formed"].contains(&&*fault.condition), "{name:?}: {fault:?}");
    }
}

#[test]
fn no_look_alike_passes_check_from() {
    let server = Config::new(&[HOST]).listener("").start();
    let mut comp = Peer::online(server.addr(0), "comp.example");
    let mut other = Peer::online(server.addr(0), "other.example");
    let names = REFUSED.iter().chain(LOOK_ALIKES).filter(|name| !name.contains(['\0', '&', '\t']));
    for (n, name) in names.enumerate() {
        // The same name cut elsewhere: the domain is the component's own then.
        if Jid::parse(name).is_ok_and(|jid| jid.domain() == "comp.example") {
            continue;
        }
        for (m, from) in
            [(*name).to_owned(), format!("user@{name}"), format!("comp.example@{name}")].iter().enumerate()
        {
            let id = format!("{n}-{m}");
            comp.send(&format!("<message from='{from}' to='other.example' id='{id}'/>"));
            assert_eq!(comp.fault(&id).condition, "bad-request", "{from:?}");
        }
    }
    other.assert_quiet();
    for from in ["COMP.example", "comp.example.", "user@Comp.Example/res"] {
        comp.send(&format!("<message from='{from}' to='other.example' id='own'/>"));
        let came = other.stanza("own");
        assert!(came.attribute("from").is_some_and(|from| from.contains("comp.example")), "{}", came.xml);
    }
}

/// CVE-2018-10847 was of this kind: a later element changed whom the stream was for.
#[test]
fn nothing_but_the_header_says_whose_secret_and_whose_name_it_is() {
    let server = Config::new(&[HOST])
        .listener("domains = [\"one.example\"]")
        .listener("domains = [\"two.example\"]")
        .start();
    let attributes = [
        "to='two.example'",
        "from='two.example'",
        "domain='two.example'",
        "xml:lang='two.example'",
        "to='two.example' from='two.example' id='two.example'",
        "is_subdomain='true'",
        "to='two'  is_subdomain='true'",
    ];
    for attributes in attributes {
        let mut wire = Wire::connect(server.addr(0));
        let id = wire.open(header("one.example").as_bytes()).unwrap();
        wire.send(format!("<handshake {attributes}>{}</handshake>", digest(&id)).as_bytes(), None);
        assert!(wire.wait(std::time::Duration::from_secs(5), has_handshake), "{}", wire.text());
        // It is one.example and nobody else.
        let mut prober = Peer::online(server.addr(1), "two.example");
        wire.send(b"<message to='two.example' id='m'/>", None);
        assert_eq!(prober.stanza("m").attribute("from"), Some("one.example"), "{attributes}");
        prober.close();
        wire.finish();
    }
    // An id of the component's own choice proves nothing: the digest is of ours.
    for place in ["header", "handshake"] {
        let mut wire = Wire::connect(server.addr(0));
        let mine = "id='mine'";
        let opening = header("one.example");
        let opening =
            if place == "header" { opening.replace(" to=", &format!(" {mine} to=")) } else { opening };
        let id = wire.open(opening.as_bytes()).unwrap();
        assert_ne!(id, "mine");
        let attribute = if place == "handshake" { mine } else { "" };
        wire.send(format!("<handshake {attribute}>{}</handshake>", digest("mine")).as_bytes(), None);
        wire.wait(std::time::Duration::from_secs(5), |_| false);
        assert!(
            !has_handshake(wire.received()) && wire.text().contains("<not-authorized"),
            "{place}: {}",
            wire.text()
        );
    }
    // A second header, before or behind the handshake, opens nothing.
    let mut wire = Wire::connect(server.addr(0));
    let id = wire.open(header("one.example").as_bytes()).unwrap();
    let again = header("two.example").split_off("<?xml version='1.0'?>".len());
    wire.send(format!("{again}<handshake>{}</handshake>", digest(&id)).as_bytes(), None);
    wire.wait(std::time::Duration::from_secs(5), |_| false);
    assert!(!has_handshake(wire.received()), "{}", wire.text());
}
