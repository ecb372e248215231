use super::*;

/// Reads as a server does, never more than is asked for; gives what came of it and how much was read.
fn read(bytes: &[u8]) -> (Result<Parsed, ProxyError>, usize) {
    let mut read = 0;
    loop {
        let parsed = parse(&bytes[..read]);
        match parsed {
            Ok(Parsed::Needs(n)) if read < bytes.len() => read = bytes.len().min(read + n),
            _ => return (parsed, read),
        }
    }
}

/// A whole header with something behind it, of which nothing is read.
#[track_caller]
fn whole(header: &[u8]) -> Option<SocketAddr> {
    let mut bytes = header.to_vec();
    bytes.extend_from_slice(b"<stream:stream to='\r\n");
    let (parsed, taken) = read(&bytes);
    assert_eq!(taken, header.len(), "{parsed:?}");
    assert_eq!(parse(&bytes), parsed, "cut or not");
    match parsed {
        Ok(Parsed::Whole { len, from }) if len == header.len() => from,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(bytes: &[u8], error: ProxyError) {
    assert_eq!(read(bytes).0, Err(error), "{}", bytes.escape_ascii());
    assert_eq!(parse(bytes), Err(error), "cut or not: {}", bytes.escape_ascii());
}

/// A header of version 2 with this much behind its fixed part.
fn v2_of(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
    let mut header = V2.to_vec();
    header.truncate(12);
    header.extend([command, family]);
    header.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
    header.extend_from_slice(content);
    header
}

const IP4: &[u8] = &[192, 0, 2, 7, 203, 0, 113, 1, 0xb2, 0x6e, 0x22, 0xb8];

fn ip6() -> Vec<u8> {
    let ip = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
    [&ip("2001:db8::7")[..], &ip("2001:db8::1"), &[0xb2, 0x6e, 0x22, 0xb8]].concat()
}

fn addr(text: &str) -> Option<SocketAddr> {
    Some(text.parse().unwrap())
}

#[test]
fn version_1_names_the_source() {
    assert_eq!(whole(b"PROXY TCP4 192.0.2.7 203.0.113.1 45678 8888\r\n"), addr("192.0.2.7:45678"));
    assert_eq!(whole(b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), addr("0.0.0.0:0"));
    assert_eq!(whole(b"PROXY TCP6 2001:db8::7 ::1 65535 1\r\n"), addr("[2001:db8::7]:65535"));
    let longest = b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert_eq!(whole(longest), addr("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"));
}

#[test]
fn version_1_may_not_know_it() {
    assert_eq!(whole(b"PROXY UNKNOWN\r\n"), None);
    let worst = b"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert_eq!(worst.len(), V1_LIMIT);
    assert_eq!(whole(worst), None);
    assert_eq!(whole(b"PROXY UNKNOWN whatever it says\r\n"), None);
}

#[test]
fn version_1_that_is_malformed_is_refused() {
    for line in [
        "TCP4 192.0.2.7 203.0.113.1 45678",
        "TCP4 192.0.2.7 203.0.113.1 45678 8888 ",
        "TCP4 192.0.2.7 203.0.113.1 45678 8888 9",
        "TCP4  192.0.2.7 203.0.113.1 45678 8888",
        "TCP4 192.0.2.07 203.0.113.1 45678 8888",
        "TCP4 192.0.2.7 203.0.113.256 45678 8888",
        "TCP4 2001:db8::7 ::1 45678 8888",
        "TCP6 192.0.2.7 203.0.113.1 45678 8888",
        "TCP4 192.0.2.7 203.0.113.1 +5678 8888",
        "TCP4 192.0.2.7 203.0.113.1 05678 8888",
        "TCP4 192.0.2.7 203.0.113.1 00 8888",
        "TCP4 192.0.2.7 203.0.113.1 45678 65536",
        "TCP4 192.0.2.7 203.0.113.1 45678 ",
        "TCP5 192.0.2.7 203.0.113.1 45678 8888",
        "unknown and more",
        "UNKNOWNandmore",
        "TCP4 192.0.2.7 203.0.113.1 \u{ff14} 8888",
    ] {
        let bytes = format!("PROXY {line}\r\n").into_bytes();
        assert!(matches!(parse(&bytes), Err(ProxyError::Line(_))), "{line}");
        assert!(matches!(read(&bytes).0, Err(ProxyError::Line(_))), "{line}");
    }
    let ending = ProxyError::Line("it does not end with CR LF, or is not ASCII");
    refused(b"PROXY TCP4 192.0.2.7 203.0.113.1 45678 8888\n", ending);
    refused(b"PROXY TCP4 192.0.2.7 203.0.113.1 45678 \xff888\r\n", ending);
    let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
    refused(&endless, ProxyError::TooLong(V1_LIMIT));
    assert_eq!(read(&endless).1, V1_LIMIT);
}

#[test]
fn version_2_names_the_source() {
    assert_eq!(whole(&v2_of(0x21, 0x11, IP4)), addr("192.0.2.7:45678"));
    assert_eq!(whole(&v2_of(0x21, 0x21, &ip6())), addr("[2001:db8::7]:45678"));
    let mut remarks = IP4.to_vec();
    remarks.extend(b"\x04\x00\x03xyz\xea\x00\x00\x20\x00\x01s");
    assert_eq!(whole(&v2_of(0x21, 0x11, &remarks)), addr("192.0.2.7:45678"));
}

#[test]
fn version_2_may_not_name_it() {
    assert_eq!(whole(&v2_of(0x20, 0x00, b"")), None);
    assert_eq!(whole(&v2_of(0x20, 0x11, IP4)), None, "LOCAL: its addresses mean nothing");
    assert_eq!(whole(&v2_of(0x20, 0xff, b"what is not understood")), None);
    assert_eq!(whole(&v2_of(0x21, 0x00, b"")), None);
    assert_eq!(whole(&v2_of(0x21, 0x31, &[b'/'; 216])), None);
}

#[test]
fn version_2_that_is_malformed_is_refused() {
    refused(&v2_of(0x11, 0x11, IP4), ProxyError::Command(0x11));
    refused(&v2_of(0x22, 0x11, IP4), ProxyError::Command(0x22));
    refused(&v2_of(0x21, 0x12, IP4), ProxyError::Family(0x12));
    refused(&v2_of(0x21, 0x41, IP4), ProxyError::Family(0x41));
    refused(&v2_of(0x21, 0x11, &IP4[..11]), ProxyError::TooShort);
    refused(&v2_of(0x21, 0x21, IP4), ProxyError::TooShort);
    for remarks in [&b"\x04"[..], b"\x04\x00", b"\x04\x00\x01", b"\x04\x00\x01a\x04\xff\xffb"] {
        refused(&v2_of(0x21, 0x11, &[IP4, remarks].concat()), ProxyError::TooShort);
    }
    let long = v2_of(0x21, 0x11, &[0; V2_LIMIT - V2_FIXED + 1]);
    refused(&long, ProxyError::TooLong(V2_LIMIT));
    assert_eq!(read(&long).1, V2_FIXED, "the rest of it is not waited for");
    // One remark that fills it up.
    let mut most = [IP4, b"\x05\x0f\xe1"].concat();
    most.resize(V2_LIMIT - V2_FIXED, 0);
    assert_eq!(whole(&v2_of(0x21, 0x11, &most)), addr("192.0.2.7:45678"));
}

#[test]
fn the_checksum_is_held_against_the_header() {
    // RFC 3720, B.4.
    assert_eq!(crc32c(&[0; 32], 0..0), 0x8A91_36AA);
    assert_eq!(crc32c(b"123456789", 0..0), 0xE306_9283);
    let with = |value: &[u8], behind: &[u8]| {
        let len = u8::try_from(value.len()).unwrap();
        v2_of(0x21, 0x11, &[IP4, b"\x03\x00", &[len], value, behind].concat())
    };
    let behind = b"\x04\x00\x02zz";
    let at = V2_FIXED + IP4.len() + 3;
    let right = crc32c(&with(&[1, 2, 3, 4], behind), at..at + 4).to_be_bytes();
    assert_eq!(whole(&with(&right, behind)), addr("192.0.2.7:45678"));
    refused(&with(&[1, 2, 3, 4], behind), ProxyError::Checksum);
    refused(&with(&right, b"\x04\x00\x02zy"), ProxyError::Checksum);
    refused(&with(&right[..3], behind), ProxyError::Checksum);
}

#[test]
fn what_begins_in_another_way_is_refused_with_its_first_byte() {
    refused(b"<?xml version='1.0'?>", ProxyError::Signature);
    refused(b"\x16\x03\x01", ProxyError::Signature);
    refused(b"proxy UNKNOWN\r\n", ProxyError::Signature);
    refused(b"PROXY\tUNKNOWN\r\n", ProxyError::Signature);
    refused(b"\r\n\r\n\0\r\nQUIT\r", ProxyError::Signature);
    refused(b"x", ProxyError::Signature);
    assert_eq!(parse(b""), Ok(Parsed::Needs(15)));
    assert_eq!(parse(b"PRO"), Ok(Parsed::Needs(12)));
    assert_eq!(parse(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"), Ok(Parsed::Needs(1)));
}

#[test]
fn any_cut_of_any_header_gives_the_same() {
    let headers = [
        b"PROXY TCP4 192.0.2.7 203.0.113.1 45678 8888\r\n<stream".to_vec(),
        b"PROXY UNKNOWN\r\n\x16\x03\x01".to_vec(),
        v2_of(0x21, 0x11, &[IP4, b"\x04\x00\x03xyz"].concat()),
        v2_of(0x20, 0x00, b""),
    ];
    for header in headers {
        let Ok(Parsed::Whole { len, .. }) = parse(&header) else { panic!("it is whole") };
        for cut in 0..len {
            match parse(&header[..cut]) {
                Ok(Parsed::Needs(n)) => assert!(n > 0 && cut + n <= len, "{cut} and {n} of {len}"),
                other => panic!("{cut}: {other:?}"),
            }
        }
    }
}
