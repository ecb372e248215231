//! See [`enjamb_fuzz::cost_is_counted`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| enjamb_fuzz::cost_is_counted(data));
