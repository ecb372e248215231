//! See [`enjamb_fuzz::forwarding_keeps_the_meaning`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| enjamb_fuzz::forwarding_keeps_the_meaning(data));
