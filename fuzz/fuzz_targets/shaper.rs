//! See [`enjamb_fuzz::rate_is_kept`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| enjamb_fuzz::rate_is_kept(data));
