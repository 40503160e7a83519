//! The words that the engine and its extensions share.
