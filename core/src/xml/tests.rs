//! Where a fault is: at its own byte, however the input is cut.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::XmlError;
use super::scan::{Progress, Scan};
use super::scope::Prefix;
use crate::limits::Limits;

fn limits() -> Limits {
    let mut limits = Limits::default();
    (limits.depth, limits.attributes, limits.name, limits.namespaces) = (3, 3, 8, 2);
    limits
}

/// Scans a first-level element that comes in these pieces.
fn scan<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Progress, XmlError> {
    let (limits, header): (_, [Prefix; 1]) =
        (limits(), [Prefix::new(Cow::Borrowed("x"), Cow::Borrowed("urn:x"))]);
    let (mut scan, mut input) = (Scan::default(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        let progress = scan.advance(&input, &limits, &header)?;
        if progress != Progress::Partial {
            return Ok(progress);
        }
    }
    Ok(Progress::Partial)
}

/// Holds that every cut says the same, and that nothing before the fault is one; gives the fault.
fn fault(input: &[u8]) -> Option<XmlError> {
    let shown = || String::from_utf8_lossy(input);
    let whole = scan([input]);
    for at in 1..input.len() {
        let (first, second) = input.split_at(at);
        assert_eq!(scan([first, second]), whole, "cut at {at}: {}", shown());
    }
    assert_eq!(scan(input.chunks(1)), whole, "byte by byte: {}", shown());
    let error = whole.err()?;
    assert!(error.at < input.len(), "{error}: {}", shown());
    if error.at > 0 {
        let before = scan([&input[..error.at]]);
        assert_eq!(before, Ok(Progress::Partial), "before {error}: {}", shown());
    }
    Some(error)
}

#[test]
fn fault_09_the_position_is_the_byte_at_fault() {
    // A ^ stands before the byte at fault.
    for marked in [
        // Tags.
        "<a to='x' ^to='y'/>",
        "<a to='x'^id='y'/>",
        "<a to='x' id^>",
        "<a to=^x>",
        "<a to='x' ^/id='y'>",
        "<a to='x^<b'/>",
        "<a ^<b/>",
        "<a ^1='<' />",
        "<^1a>",
        "<a ^1b='c'>",
        "<a ^=''>",
        "<^:a>",
        "<a:^>",
        "<a:^1>",
        "<x:b^:c/>",
        "<a^\u{20ac}/>",
        "<a^\u{203f}/>",
        "<a ^\u{d7}='b'/>",
        "<^1\u{20ac}/>",
        "<a b='c'><^1d>",
        "<a b='c'>text<d e='f'\n g=^h></d></a>",
        // End tags.
        "<a>text</^b>",
        "<a>text</a^b>",
        "<ab>text</^a>",
        "<a>text</a ^b>",
        "<a>text</a ^<b>",
        "<a>text</^b<c>",
        "<ab>text</a^<c>",
        "<a><b></^a></b>",
        "^</a>",
        // Text, sections and references.
        "<a>text]]^></a>",
        "<a>te^\u{1}xt</a>",
        "<a>te\u{e9}^\u{ffff}xt</a>",
        "<a>b &^; c</a>",
        "<a>b &amp^ c</a>",
        "<a>b ^&nbsp; c</a>",
        "<a>b ^&#0; c</a>",
        "<a>b &#^; c</a>",
        "<a>b &#x4^g; c</a>",
        "<a>b ^&#xffffffff; c</a>",
        "<a b='c ^&d; e'/>",
        "<a b='c &#x^;'/>",
        "<a b='^\u{1}'/>",
        "<a b='\u{e9}\u{e9}^\u{fffe}'/>",
        "<a><![CDATA[text ^\u{2}]]></a>",
        "<a>text^<!-- -->",
        "<a>text^<!DOCTYPE",
        "<a>text^<![cdata[",
        "<a>text^<?xml ?>",
        "<a>text^<?php ?>",
        // Namespaces.
        "<^p:a/>",
        "<a b='c' ^p:d='e'/>",
        "<a><b xmlns:p='urn:p' p:c=''/>text<^p:b/></a>",
        "<a ^xmlns:p=''/>",
        "<a b='c' ^xmlns:xml='urn:p'/>",
        "<a b='c' ^xmlns='http://www.w3.org/2000/xmlns/'/>",
        "<a xmlns='urn:^ b'/>",
        "<a xmlns:p='urn:&#x61;b^&#10;c'/>",
        "<a xmlns:p='urn:&amp;^\u{e9}'/>",
        "<^xmlns:a/>",
        "<a xmlns:p='urn:x' p:b='' ^x:b=''/>",
        "<a xmlns:p='urn:p'><b xmlns:q='urn:p' p:c='' ^q:c=''/></a>",
        // Limits.
        "<a><b><c>text^<d/></c></b></a>",
        "<a b='' c='' d='' ^e=''/>",
        "<a xmlns:p='urn:p' xmlns:q='urn:q'><b ^xmlns:r='urn:r'/></a>",
        "<a ^bcdefghij=''/>",
        "<a><^abcdefghi/>",
    ] {
        let (before, behind) = marked.split_once('^').unwrap();
        let error =
            fault(format!("{before}{behind}").as_bytes()).unwrap_or_else(|| panic!("{marked} passes"));
        assert_eq!(error.at, before.len(), "{marked}: {error}");
    }
    for (input, at) in [
        (&b"<a>\xc3\xa9\xc3</a>"[..], 5),
        (b"<a b='\xe2\x82'/>", 6),
        (b"<a b='c' d\xff='e'/>", 10),
        (b"<a><b></b>\xf0\x80\x80\x80</a>", 10),
        (b"<a><![CDATA[ \xff", 13),
    ] {
        assert_eq!(fault(input).map(|error| error.at), Some(at), "{}", String::from_utf8_lossy(input));
    }
    let long = format!("<a>text &{};</a>", "a".repeat(70));
    assert_eq!(fault(long.as_bytes()).map(|error| error.at), Some(8));
}

/// Stanzas with bytes changed, taken out, doubled.
#[test]
fn fault_09_no_cut_moves_a_fault() {
    let stanzas: [&[u8]; 3] = [
        "<message to='a' x:id='&amp;'\n><b xmlns:p='urn:p' p:c=\"\u{e9}\"/>t&#x41;\u{20ac}</message >"
            .as_bytes(),
        b"<iq xmlns='urn:q'><a>]]<![CDATA[<b>]]></a><c/></iq>",
        "<p:a xmlns:p='urn:p'><p:b \u{e9}='1' p:\u{e9}='2'/>&lt;\r\n</p:a>".as_bytes(),
    ];
    let pieces: [&[u8]; 16] = [
        b"<", b">", b"&", b"'", b"\"", b"/", b":", b";", b"=", b" ", b"\xff", b"\xc3", b"]]>", b"</a", b"&#",
        b"1",
    ];
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % limit
    };
    let mut faults = 0;
    for _ in 0..1500 {
        let mut input = stanzas[below(stanzas.len())].to_vec();
        for _ in 0..=below(2) {
            let at = below(input.len());
            let end = (at + below(3)).min(input.len());
            input.splice(at..end, pieces[below(pieces.len())].iter().copied());
        }
        input[0] = b'<';
        faults += u32::from(fault(&input).is_some());
    }
    assert!(faults > 700, "{faults} of 1500 are at fault");
}

/// Scans a whole element with the default limits and this header.
fn scan_whole(element: &str, header: &[Prefix]) -> Result<Progress, XmlError> {
    Scan::default().advance(element.as_bytes(), &Limits::default(), header)
}

#[test]
fn an_attribute_given_twice_is_found_among_any_number() {
    for count in 1..=100 {
        let names: Vec<String> = (0..count).map(|index| format!("a{:02}", index * 37 % 100)).collect();
        let tag = |prefix: &str, more: &str| {
            let attributes: String = names.iter().map(|name| format!(" {prefix}{name}=''")).collect();
            format!("<a xmlns:p='urn:p' xmlns:q='urn:p'{attributes}{more}/>")
        };
        for twice in [0, count / 2, count - 1].map(|index| names[index].clone()) {
            for (prefix, other) in [("", ""), ("p:", "p:"), ("p:", "q:")] {
                let tag = tag(prefix, &format!(" {other}{twice}=''"));
                let fault = scan_whole(&tag, &[]).unwrap_err();
                let at = tag.rfind(' ').unwrap() + 1;
                assert!(matches!(fault.fault, super::XmlFault::NotWellFormed(_)), "{fault}");
                assert_eq!(fault.at, at, "{tag}");
            }
        }
        for (prefix, more) in [("", " b=''"), ("p:", " q:b=''"), ("p:", " a00=''")] {
            let tag = tag(prefix, more);
            assert_eq!(scan_whole(&tag, &[]), Ok(Progress::Whole(tag.len())), "{tag}");
        }
    }
}

/// Elements that come and go declare some of thirty prefixes; each of them is looked up at each place.
#[test]
fn a_prefix_is_what_the_innermost_of_many_declarations_says() {
    let header: Vec<Prefix> =
        (0..30).step_by(3).map(|index| Prefix::new(format!("p{index}").into(), "urn:h".into())).collect();
    let header = super::scope::HeaderPrefixes::from(
        header.iter().map(|prefix| (prefix.name.clone(), prefix.uri.clone())).collect::<Vec<_>>(),
    );
    let mut state = 7_u64;
    let mut below = |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % limit
    };
    // One namespace for each prefix as it is declared; two prefixes of one namespace can't have one attribute.
    let (mut element, mut open) = (String::from("<a>"), Vec::<Vec<(u64, u64)>>::new());
    for _ in 0..600 {
        if open.len() > 20 || (!open.is_empty() && below(3) == 0) {
            element += "</a>";
            open.pop();
        } else {
            let mut declared: Vec<(u64, u64)> = Vec::new();
            for _ in 0..below(6) {
                let prefix = below(30);
                if declared.iter().all(|&(other, _)| other != prefix) {
                    declared.push((prefix, below(2)));
                }
            }
            let written: String =
                declared.iter().map(|(prefix, uri)| format!(" xmlns:p{prefix}='urn:{uri}'")).collect();
            element += &format!("<a{written}>");
            open.push(declared);
        }
        let means = |prefix: u64| {
            let inner = open.iter().rev().flatten().find(|&&(declared, _)| declared == prefix);
            inner.map(|&(_, uri)| uri).or(prefix.is_multiple_of(3).then_some(2))
        };
        let (one, other) = (below(30), below(30));
        let asked = format!("<a p{one}:b='' p{other}:b=''/>");
        let whole = format!("{element}{asked}{}</a>", "</a>".repeat(open.len()));
        let fits = one != other && means(one).zip(means(other)).is_some_and(|(one, other)| one != other);
        let scanned = scan_whole(&whole, header.as_slice());
        assert_eq!(scanned.is_ok(), fits, "{whole}: {scanned:?}");
    }
}

#[test]
fn a_name_is_too_long_as_soon_as_it_is() {
    let limit = Limits::default().name;
    for (front, back) in [("<", "/>"), ("<a ", "=''/>"), ("<x:", "/>"), ("<a x:", "=''/>")] {
        let name = |length: usize, end: &str| {
            let fixed = front.len() - front.rfind(['<', ' ']).unwrap() - 1;
            format!("{front}{}{end}", "b".repeat(length - fixed))
        };
        let header = [Prefix::new("x".into(), "urn:x".into())];
        assert!(scan_whole(&name(limit, back), &header).is_ok(), "{front}");
        let start = front.rfind(['<', ' ']).unwrap() + 1;
        for end in ["", back, "\u{20ac}", "::"] {
            let long = name(limit + 5, end);
            let error = scan_whole(&long, &header).unwrap_err();
            assert_eq!(error, super::XmlFault::LongName { limit }.at(start), "{long}");
        }
    }
    let long = format!("<a xmlns='{}'/>", "u".repeat(257));
    assert_eq!(scan_whole(&long, &[]), Err(super::XmlFault::LongName { limit: 256 }.at(10)));
    assert!(scan_whole(&long.replacen("uu", "u", 1), &[]).is_ok());
}
