//! See [`enjamb_fuzz::proxy_headers_end_where_they_say`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| enjamb_fuzz::proxy_headers_end_where_they_say(data));
