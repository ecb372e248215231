//! The skipper ends where the scan does, however what it is shown is cut.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;

use super::*;
use crate::limits::Limits;
use crate::xml::scan::{Progress, Scan};
use crate::xml::scope::Prefix;

fn scan(scan: &mut Scan, input: &[u8]) -> Result<Progress, XmlError> {
    scan.advance(input, &Limits::default(), &[Prefix::new(Cow::Borrowed("x"), Cow::Borrowed("urn:x"))])
}

/// Where the skipper ends in these pieces, counted from the first of them.
fn skip<'a>(
    mut skipper: Skipper,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Option<usize>, XmlError> {
    let mut before = 0;
    for piece in pieces {
        if let Some(end) = skipper.advance(piece)? {
            return Ok(Some(before + end));
        }
        before += piece.len();
    }
    Ok(None)
}

/// Holds that the skipper ends with `element`, from its first byte on and from wherever the scan leaves it.
fn ends_as_the_scan(element: &str) {
    let whole = scan(&mut Scan::default(), element.as_bytes());
    assert_eq!(whole, Ok(Progress::Whole(element.len())), "{element}");
    let input = [element.as_bytes(), b"<a>]]>'</a>"].concat();
    let end = Ok(Some(element.len()));
    let fresh = Skipper::default;
    assert_eq!(skip(fresh(), [&input[..]]), end, "{element}");
    assert_eq!(skip(fresh(), input.chunks(1)), end, "byte by byte: {element}");
    for cut in 1..element.len() {
        let (first, second) = input.split_at(cut);
        assert_eq!(skip(fresh(), [first, second]), end, "cut at {cut}: {element}");
        let mut left = Scan::default();
        assert_eq!(scan(&mut left, first), Ok(Progress::Partial));
        if left.head().end > 0 {
            let end = Ok(Some(element.len() - cut));
            assert_eq!(skip(left.leave(first).unwrap(), [second]), end, "left at {cut}: {element}");
            assert_eq!(skip(left.leave(first).unwrap_or_default(), []), Ok(None));
            assert!(!left.is_inside() && left.reach() == 0);
        }
    }
}

/// Numbers that are the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

fn push_element(chance: &mut Chance, depth: usize, out: &mut String) {
    let name = chance.of(&["a", "x:b", "message", "\u{e9}t\u{e9}", "_-.1"]);
    *out += &format!("<{name}");
    for (number, name) in ["to", "x:y", "xmlns"].into_iter().enumerate() {
        if chance.below(3) == 0 {
            let value = if number == 2 {
                chance.of(&["urn:a", "urn:/"])
            } else {
                chance.of(&["", ">", "/", "/>", "]]>", "&lt;!--", "other\"quote", "&apos;", "\u{20ac}=\n"])
            };
            let blank = chance.of(&[" ", "\n\t", " \r "]);
            let equals = chance.of(&["=", " = "]);
            *out += &format!("{blank}{name}{equals}'{value}'");
            if chance.below(2) == 0 && !value.contains('"') {
                *out += &format!(" other{number}=\"it's{value}\"");
            }
        }
    }
    *out += chance.of(&["", " ", "\n"]);
    if chance.below(4) == 0 {
        *out += "/>";
        return;
    }
    *out += ">";
    for _ in 0..chance.below(4) {
        match chance.below(4) {
            0 if depth > 0 => push_element(chance, depth - 1, out),
            1 => *out += chance.of(&["text", " > ", "]", "]]", "'", "\"/", "&amp;", "=/> ", "\u{1f600}"]),
            2 => {
                let content = chance.of(&["", "]", "]]", "]>", "<a>", "</a>", "<!--", "&", "'", "<![CDATA["]);
                *out += &format!("<![CDATA[{content}]]>");
            }
            _ => push_element(chance, 0, out),
        }
    }
    *out += &format!("</{name}{}>", chance.of(&["", " ", "\r\n"]));
}

#[test]
fn u4_skipper_ends_with_usual_stanzas() {
    for element in [
        "<a/>",
        "<a />",
        "<a></a>",
        "<message to='a.example' from='b.example' id='1'><a/>b<c/></message>",
        "<iq type='get' id='1' from='a.example' to='a.example'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<presence type='subscribe'><status>a > b</status></presence>",
        "<message><body>]] &gt; ]</body><x:y z='/>'/><b><b><b/></b></b></message>",
        "<a b=\"it's\" c='\"'><![CDATA[</a>]]]]><![CDATA[>]]]></a >",
    ] {
        ends_as_the_scan(element);
    }
}

#[test]
fn u4_skipper_ends_where_the_scan_ends() {
    let mut chance = Chance(1);
    let mut element = String::new();
    for _ in 0..2000 {
        element.clear();
        push_element(&mut chance, 3, &mut element);
        if element.len() < 600 {
            ends_as_the_scan(&element);
        }
    }
}

#[test]
fn u4_skipper_refuses_markup_at_the_byte_that_the_scan_names() {
    // A ^ stands before the byte at fault.
    for marked in [
        "<a>text^<!-- -->",
        "<a><b/>text^<!DOCTYPE",
        "<a>text^<![cdata[",
        "<a>text^<![CDATA]",
        "<a>text^<!>",
        "<a>text^<?php ?>",
        "<a ^<b/>",
        "<a/^<b/>",
        "<a b='c' ^/id='y'>",
        "<a><^ b>",
        "<a><^>",
        "<a><^<",
        "<a>text</a^<b>",
    ] {
        let (before, behind) = marked.split_once('^').unwrap();
        let input = format!("{before}{behind}");
        let fault = scan(&mut Scan::default(), input.as_bytes()).expect_err(marked);
        assert_eq!(fault.at, before.len(), "{marked}: {fault}");
        assert_eq!(skip(Skipper::default(), [input.as_bytes()]), Err(fault), "{marked}");
        assert_eq!(skip(Skipper::default(), input.as_bytes().chunks(1)), Err(fault), "{marked}");
    }
    // In a value the scan refuses it; here it is no markup.
    assert_eq!(skip(Skipper::default(), [&b"<a b='</a><!--'></a>"[..]]), Ok(Some(20)));
    // Nothing is open.
    assert!(skip(Skipper::default(), [&b"</a>"[..]]).is_err());
}

#[test]
fn u4_skipper_counts_what_it_does() {
    for (piece, least, most) in [
        ("text".repeat(1000), 60, 70),
        ("<a>".repeat(1000), 3000, 4000),
        (format!("<{}", "a".repeat(8000)), 1000, 1010),
        (format!("<a>{}", "<![CDATA[]]]]]>".repeat(100)), 1000, 2000),
    ] {
        let mut skipper = Skipper::default();
        assert_eq!(skipper.advance(piece.as_bytes()), Ok(None));
        let work = skipper.take_work();
        assert!((least..=most).contains(&work), "{work}: {}", &piece[..20.min(piece.len())]);
        assert_eq!(skipper.take_work(), 0);
    }
}
