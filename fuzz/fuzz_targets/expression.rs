//! Expressions: any text compiles or is refused at a place, and what compiles is evaluated within bounds.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_expression::fuzz::expression(data));
