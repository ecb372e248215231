//! See [`enjamb_fuzz::scan_agrees_with_rxml`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| enjamb_fuzz::scan_agrees_with_rxml(data));
