//! What an expression may take. Each bound is checked where it would be passed; passing it is a [`Problem`](crate::Problem) when a text is
//! compiled and an [`EvalError`](crate::EvalError) when it is evaluated.

/// Bytes of a template's text.
pub const TEMPLATE_BYTES_MAX: usize = 1 << 20;

/// Expressions `{#...}` of one template.
pub const PIECES_MAX: usize = 1024;

/// Operators, names, literals and calls of one template.
pub const NODES_MAX: usize = 4096;

/// How deep an expression may be nested; a chain of operators, such as `a + b + c`, counts each of them.
pub const DEPTH_MAX: u16 = 100;

/// Bytes that a compiled regular expression may take.
pub const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Steps of a JSON path.
pub const PATH_STEPS_MAX: usize = 64;

/// Steps of one evaluation: one for each operator, name, literal and call, and one for each item of a list or map that is looked at.
pub const STEPS_MAX: u32 = 200_000;

/// Bytes of text and lists that one evaluation may make, its result included.
pub const BYTES_MAX: usize = 4 << 20;

/// Values of a JSON document that one evaluation may read.
pub const JSON_VALUES_MAX: u32 = 100_000;
