//! See [`enjamb_fuzz::canonical_is_canonical`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| enjamb_fuzz::canonical_is_canonical(data));
