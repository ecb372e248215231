//! See [`enjamb_fuzz::component_says_one_document`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| enjamb_fuzz::component_says_one_document(data));
