//! See [`enjamb_fuzz::deliveries_are_portable`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| enjamb_fuzz::deliveries_are_portable(data));
