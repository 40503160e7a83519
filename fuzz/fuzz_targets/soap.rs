//! SOAP envelopes: nothing that a client sends opens or closes an element.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_policies::fuzz::soap(data));
