//! See [`enjamb_fuzz::outage_loses_nothing`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| enjamb_fuzz::outage_loses_nothing(data));
