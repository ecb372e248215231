//! Stanzas with something wrong or odd in them.

use crate::cuts::Random;

/// What is put in, somewhere.
const PIECES: &[&str] = &[
    "<",
    ">",
    "/",
    "&",
    "'",
    "\"",
    "=",
    ":",
    "\r",
    "\r\n",
    "\n",
    "\t",
    " ",
    "\0",
    "\u{7f}",
    "\u{85}",
    "\u{b7}",
    "]]>",
    "]]",
    "]",
    "<![CDATA[",
    "<![CDATA[]]>",
    "<![CDATA[]]]]>",
    "<![CDATA[x\ry]]>",
    "]]><![CDATA[>",
    "<!--",
    "-->",
    "<!-- -->",
    "<?x?>",
    "<?xml version='1.0'?>",
    "<!DOCTYPE a>",
    "<!ENTITY a 'b'>",
    "</stream:stream>",
    "<stream:error/>",
    "<stream:stream>",
    "<stream:features/>",
    "<a/>",
    "<a>",
    "</a>",
    "<a></b>",
    "<b x='>'/>",
    "&amp;",
    "&lt;",
    "&gt;",
    "&apos;",
    "&quot;",
    "&#0;",
    "&#x0;",
    "&#x9;",
    "&#xA;",
    "&#xD;",
    "&#13;",
    "&#x20;",
    "&#x41;",
    "&#00000000000065;",
    "&#x000000041;",
    "&#xD800;",
    "&#xFFFE;",
    "&#xFFFF;",
    "&#x10FFFF;",
    "&#x110000;",
    "&#4294967361;",
    "&#x1F600;",
    "&foo;",
    "&;",
    "&#;",
    "&#x;",
    "&#xg;",
    "&#-1;",
    "&lt",
    " a='1'",
    " a='1' a='2'",
    " xml:lang='en'",
    " xml:foo='1'",
    " xmlns=''",
    " xmlns='urn:x'",
    " xmlns='jabber:client'",
    " xmlns='jabber:server'",
    " xmlns='jabber:component:accept'",
    " xmlns=\"http://etherx.jabber.org/streams\"",
    " xmlns='http://www.w3.org/2000/xmlns/'",
    " xmlns='http://www.w3.org/XML/1998/namespace'",
    " xmlns:p=''",
    " xmlns:p='urn:p'",
    " xmlns:q='urn:p'",
    " xmlns:p='urn:&#112;'",
    " xmlns:p='a b'",
    " xmlns:p='a&#10;b'",
    " xmlns:xml='urn:x'",
    " xmlns:xml='http://www.w3.org/XML/1998/namespace'",
    " xmlns:xmlns='urn:x'",
    " xmlns:p='http://www.w3.org/2000/xmlns/'",
    " xmlns:p='jabber:client'",
    " p:a='1'",
    " q:a='2'",
    "<p:x/>",
    "<p:x xmlns:p='urn:p' p:a='1'/>",
    "<stream:x/>",
    "<xml:x/>",
    "<xmlns:x/>",
    "p:",
    "xml:",
    "xmlns:",
    "::",
    "<p:message xmlns:p='jabber:client' to='a'>",
    " to='peer.example'",
    " to='PEER.example'",
    " from='a@b'",
    " from='\u{ff}'",
    " id='&#x22;'",
    " id='1'",
    " type='get'",
    " type='error'",
    "é",
    "漢",
    "€",
    "😀",
    "\u{feff}",
    "\u{fffd}",
    "\u{fffe}",
    "\u{ffff}",
    "\u{2028}",
    "\u{300}",
    "<é/>",
    "<€/>",
    "<a\u{b7}/>",
    "<\u{b7}a/>",
    "<a\u{300}/>",
    "<\u{131}\u{132}/>",
    "<\u{212b}/>",
    "<😀/>",
];

/// Bytes that are no UTF-8.
const BROKEN: &[&[u8]] = &[
    b"\xff",
    b"\xfe",
    b"\xc0\xbc",
    b"\xc3",
    b"\xe2\x82",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\x80",
    b"\xf0\x80\x80\xbc",
    b"\xc3<",
    b"\xe2>",
    b"\xf0\x9f'",
];

/// Changes a stanza in one to four places; `other` is one to take a part of.
#[must_use]
pub fn mutant(stanza: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = stanza.to_vec();
    for _ in 0..*random.one_of(&[1, 1, 1, 2, 2, 3, 4]) {
        let at = random.below(bytes.len() + 1);
        match random.below(16) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            1 => {
                let end = bytes.len().min(at + 1 + random.below(8));
                bytes.drain(at..end);
            }
            2 => {
                let end = bytes.len().min(at + random.below(40));
                let piece = bytes[at..end].to_vec();
                insert(&mut bytes, at, &piece);
            }
            3 => {
                let start = random.below(other.len());
                let end = other.len().min(start + random.below(60));
                insert(&mut bytes, at, &other[start..end]);
            }
            4 => insert(&mut bytes, at, BROKEN[random.below(BROKEN.len())]),
            // In front of a tag's end an attribute fits, behind one an element or text does.
            5..=8 => {
                let ends: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] == b'>').collect();
                if !ends.is_empty() {
                    let end = *random.one_of(&ends);
                    let slash = usize::from(bytes[..end].ends_with(b"/"));
                    let place = *random.one_of(&[end - slash, end + 1]);
                    insert(&mut bytes, place, random.one_of(PIECES).as_bytes());
                }
            }
            // Behind a quote: into a value, or where an attribute ends.
            9..=10 => {
                let quotes: Vec<usize> =
                    (0..bytes.len()).filter(|&at| matches!(bytes[at], b'\'' | b'"')).collect();
                if !quotes.is_empty() {
                    let place = random.one_of(&quotes) + 1;
                    insert(&mut bytes, place, random.one_of(PIECES).as_bytes());
                }
            }
            _ => insert(&mut bytes, at, random.one_of(PIECES).as_bytes()),
        }
    }
    bytes
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}
