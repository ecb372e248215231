//! See [`enjamb_fuzz::server_is_as_the_model`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| enjamb_fuzz::server_is_as_the_model(data));
