//! See [`enjamb_fuzz::cuts_are_invisible`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| enjamb_fuzz::cuts_are_invisible(data));
