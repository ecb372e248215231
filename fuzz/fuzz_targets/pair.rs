//! See [`enjamb_fuzz::pair_says_all_in_order`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| enjamb_fuzz::pair_says_all_in_order(data));
