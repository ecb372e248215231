//! See [`enjamb_fuzz::config_or_reasons`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| enjamb_fuzz::config_or_reasons(data));
