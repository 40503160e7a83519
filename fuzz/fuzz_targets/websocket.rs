//! WebSocket frames: the result does not depend on how the bytes are cut, nor on whether they are compressed.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_wire::fuzz::websocket(data));
