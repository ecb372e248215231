//! See [`enjamb_fuzz::header_is_read_as_expat_does`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| enjamb_fuzz::header_is_read_as_expat_does(data));
