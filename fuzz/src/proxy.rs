//! PROXY headers: read as a server reads them, none is read too far.

use enjamb_server::proxy::{Parsed, V1_LIMIT, V2_LIMIT, parse};

/// A reader that takes no more than it is told to, comes to what the whole gives, and never takes a byte of what is
/// behind the header.
///
/// # Panics
/// Where that does not hold.
pub fn proxy_headers_end_where_they_say(data: &[u8]) {
    let of_all = parse(data);
    let mut read = 0;
    let of_parts = loop {
        match parse(&data[..read]) {
            Ok(Parsed::Needs(n)) if read < data.len() => {
                assert!(n > 0, "it needs nothing and is not whole");
                read = data.len().min(read + n);
            }
            other => break other,
        }
    };
    assert!(read <= V1_LIMIT.max(V2_LIMIT), "{read} bytes were read");
    match of_all {
        Ok(Parsed::Whole { len, .. }) => {
            assert_eq!((of_parts, read), (of_all, len), "read to its end and no further");
            for cut in 0..len {
                let part = parse(&data[..cut]);
                let within = matches!(part, Ok(Parsed::Needs(n)) if (1..=len - cut).contains(&n));
                assert!(within, "{cut} bytes of {len} give {part:?}");
            }
        }
        Ok(Parsed::Needs(_)) => assert_eq!(of_parts, of_all),
        // A part may be refused for less than the whole is, and has to be refused.
        Err(_) => assert!(of_parts.is_err(), "{of_parts:?} of a part, {of_all:?} of all"),
    }
}
