//! What is handed on of frames behind a sieve, for the targets of brokers' protocols.

use bytes::BufMut;

use super::sifter::{Sieve, Sifter};

/// What is handed on of frames that come in these pieces, and what is wrong with them.
pub fn sifted<'a, S: Sieve + Default>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, Option<S::Malformed>) {
    let (mut sifter, mut out) = (Sifter::<S>::default(), Vec::new());
    for piece in pieces {
        sifter.buffer().extend_from_slice(piece);
        let looked = sifter.sift();
        while sifter.take(&mut (&mut out).limit(100)) > 0 {}
        if let Err(malformed) = looked {
            return (out, Some(malformed));
        }
    }
    (out, None)
}
