//! What ends a negotiation, in every cut.

use super::*;

#[test]
fn each_fault_of_a_header_is_told_by_its_name() {
    let header = |attributes: &str| {
        alloc::format!(
            "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' to='comp.example' {attributes}>"
        )
    };
    let prefixes: String = (0..40).map(|n| alloc::format!(" xmlns:p{n}='urn:{n}'")).collect();
    let component = "xmlns='jabber:component:accept'";
    let mut wide = Limits::default();
    (wide.header, wide.negotiation) = (64 * 1024, 64 * 1024);
    let wide = Arc::new(wide);
    for (header, words) in [
        (
            header(&alloc::format!("{component}{prefixes}")),
            "policy-violation: the stream header declares more than ",
        ),
        (header("xmlns='http://www.w3.org/XML/1998/namespace'"), "not-well-formed: not well-formed: "),
        (
            header(&alloc::format!("{component} xmlns:a='urn:a' xmlns:b='urn:a' a:x='' b:x=''")),
            "not-well-formed: not well-formed: an attribute given twice under two prefixes",
        ),
        (
            header(&alloc::format!("{component} a:x=''")),
            "not-well-formed: not well-formed: a namespace prefix that is not declared",
        ),
        (
            header(&alloc::format!("{component} to=''")),
            "not-well-formed: not well-formed: an attribute given twice",
        ),
        (alloc::format!("<{}>", "n".repeat(9000)), "policy-violation: a name is longer than 256 bytes"),
        (
            header(&alloc::format!("{component} {}=''", "n".repeat(257))),
            "policy-violation: a name is longer than 256 bytes",
        ),
        (
            header(&alloc::format!("{component} xmlns:{}='urn:x'", "n".repeat(251))),
            "policy-violation: a name is longer than 256 bytes",
        ),
        (
            header(&alloc::format!("{component} a='&#x{}41;'", "0".repeat(8))),
            "restricted-xml: a reference of ",
        ),
        // Said before the tag is whole, or without one.
        ("<stream:stream <".into(), "not-well-formed: not well-formed: a '<' inside a tag"),
        ("<!--".into(), "restricted-xml: a comment"),
        ("<?php".into(), "restricted-xml: a processing instruction"),
        (" <?xml ".into(), "not-well-formed: not well-formed: an XML declaration"),
        ("<?xml version='1.1'?>".into(), "restricted-xml: "),
        ("<?xml version='1.0' encoding='us-ascii'?>".into(), "unsupported-encoding: "),
        ("<?xml version='1.0' encoding='ut?>".into(), "not-well-formed: "),
        ("GET / HTTP/1.1".into(), "not-well-formed: not well-formed: text before the root element"),
        ("\u{feff}<".into(), "not-well-formed: not well-formed: text before the root element"),
        ("<a>".into(), "invalid-namespace: the first element is not 'stream'"),
        (header("xmlns:x='a|b'"), "policy-violation: a namespace name has a character that no URI has"),
        (header("xmlns='a|b'"), "invalid-namespace: the default namespace"),
        (" ".repeat(64 * 1024), "policy-violation: the stream header is longer than 65536 bytes"),
        // What rxml says nothing of, or takes in upper case.
        ("<![CDATA[]]>".into(), "not-well-formed: not well-formed: a CDATA section before the root element"),
        (
            "<?xml version='1.0'?><![CDATA[]]>".into(),
            "not-well-formed: not well-formed: a CDATA section before the root element",
        ),
        (
            "<?xml version='1.0' encoding='utf-8' standalone='YES'?>".into(),
            "not-well-formed: not well-formed: a character that the XML declaration may not hold",
        ),
    ] {
        let told = ended(&header, &wide).0.unwrap();
        assert!(told.starts_with(words), "{header}: {told}");
    }
}

#[test]
fn only_a_handshake_comes_before_authentication() {
    let header = core::str::from_utf8(HEADER).unwrap();
    let blanks = " ".repeat(Limits::default().negotiation);
    for (behind, words) in [
        ("<handshake/>", "not-authorized: the handshake is not the SHA-1"),
        ("<handshake>a<x>", "not-authorized: the first element must be a handshake"),
        ("<message><!--", "not-authorized: the first element must be a handshake"),
        ("<handshake xmlns='jabber:client'>", "not-authorized: the first element must be a handshake"),
        ("<stream:stream>", "not-authorized: the first element must be a handshake"),
        ("<handshake></x>", "not-well-formed: "),
        ("<handshake>&x;", "restricted-xml: an entity "),
        (" <![CDATA[", "bad-format: "),
        ("words", "bad-format: "),
        (&*blanks, "policy-violation: more than 16384 bytes came before the handshake was done"),
        (&*alloc::format!("<handshake>{blanks}"), "policy-violation: more than 16384 bytes"),
    ] {
        let (told, out) = ended(&alloc::format!("{header}{behind}"), &Arc::default());
        assert!(told.as_ref().is_some_and(|told| told.starts_with(words)), "{behind}: {told:?}");
        assert!(out.ends_with("</stream:error></stream:stream>"), "{out}");
    }
    for end in ["</stream:stream>", " <stream:error>", "<error xmlns='http://etherx.jabber.org/streams'/>"] {
        let (told, out) = ended(&alloc::format!("{header}{end}"), &Arc::default());
        assert!(told.is_none() && out.ends_with(" id='abc'></stream:stream>"), "{end}: {told:?}: {out}");
    }
    let (told, out) = ended(&header.replace('>', "/>"), &Arc::default());
    assert!(told.is_none() && out.ends_with(" id='abc'></stream:stream>"), "{told:?}: {out}");
}

#[test]
fn a_negotiation_that_has_failed_stays_so() {
    let id = StreamId::from_text("abc").unwrap();
    let mut acceptor = Acceptor::new(domain("host.example"), id, Arc::default(), T);
    let late = acceptor.poll_timeout();
    let mut out = Vec::new();
    assert_eq!(acceptor.handle_timeout(T, &mut out), Ok(()));
    let error = acceptor.handle_timeout(late, &mut out).unwrap_err();
    assert_eq!(alloc::format!("{error}"), "connection-timeout: the stream header did not come within 5s");
    let said = out.clone();
    assert_eq!(acceptor.handle_timeout(late, &mut out), Err(error.clone()));
    let (consumed, next) = acceptor.process(T, HEADER, &mut out);
    assert!(matches!(next, Handshake::Failed(again) if again == error));
    assert_eq!((consumed, out), (0, said), "it is said once");
}

#[test]
fn header_prefixes_add_at_most_a_kilobyte_to_a_stanza() {
    let header = |count: usize, uri: &dyn Fn(usize) -> String| -> String {
        let prefixes: String = (0..count).map(|n| alloc::format!(" xmlns:p{n}='{}'", uri(n))).collect();
        core::str::from_utf8(HEADER).unwrap().replace(" to=", &alloc::format!("{prefixes} to="))
    };
    let usual = header(20, &|n| alloc::format!("http://jabber.org/protocol/name{n}"));
    let used: String = (0..20).map(|n| alloc::format!(" p{n}:a=''")).collect();
    let stanza = alloc::format!("<message to='comp.example'><x{used}/></message>");
    let (delivered, _) = all_cuts(usual.as_bytes(), stanza.as_bytes());
    let added = delivered.len() - stanza.len() - " from='comp.example'".len();
    assert!((900..=1024).contains(&added), "{added} bytes were added");
    for (count, length) in [(31, 22), (5, 222)] {
        let refused = header(count, &|_| "u".repeat(length));
        let (error, _) = ended(&refused, &Arc::new(Limits::default()));
        let words = "policy-violation: the namespace prefixes of the stream header take more than 1024 bytes";
        assert!(error.as_ref().is_some_and(|error| error.starts_with(words)), "{refused}: {error:?}");
    }
}
