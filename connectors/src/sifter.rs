//! What a broker sends, before its client library reads it: the buffer that all protocols share. What has come is looked at where it lies, and
//! copied once.
//!
//! ```text
//!   stream ─▶ buffer  │ sifted: may be taken │ begun: more of it has to come │
//!                          take ◀─┘                └─▶ sift, by the protocol's sieve
//! ```

use std::error::Error;

use bytes::{Buf, BufMut, BytesMut};

/// Room that is made for one read.
const READ_BYTES: usize = 16 * 1024;

/// Knows the frames of a protocol.
pub trait Sieve {
    /// Nothing behind it can be understood.
    type Malformed: Error + Send + Sync + 'static;

    /// Looks at what comes next, changes what the library must not see, and tells how many bytes it may. `None`: more of it has to be there.
    ///
    /// # Errors
    /// What comes is no frame.
    fn next(&mut self, bytes: &mut [u8]) -> Result<Option<usize>, Self::Malformed>;
}

/// Bytes on their way to the library.
#[derive(Debug, Default)]
pub struct Sifter<S> {
    sieve: S,
    /// What has come, and was not taken.
    held: BytesMut,
    /// How many bytes of it, from its beginning, may be.
    sifted: usize,
}

impl<S: Sieve> Sifter<S> {
    /// Where what comes is put, behind what is there; [`Sifter::sift`] looks at it.
    pub fn buffer(&mut self) -> &mut BytesMut {
        self.held.reserve(READ_BYTES);
        &mut self.held
    }

    /// Looks at what has come.
    ///
    /// # Errors
    /// Nothing behind it can be understood. What came before it may still be taken.
    pub fn sift(&mut self) -> Result<(), S::Malformed> {
        while let Some(count) = self.sieve.next(self.held.get_mut(self.sifted..).unwrap_or_default())? {
            self.sifted += count;
        }
        Ok(())
    }

    /// Hands on what may be, as far as there is room, and tells how many bytes that are.
    pub fn take(&mut self, into: &mut impl BufMut) -> usize {
        let count = self.sifted.min(into.remaining_mut());
        into.put((&mut self.held).take(count));
        self.sifted -= count;
        count
    }
}

/// What is handed on, three bytes at a time, of bytes that come one by one.
///
/// # Errors
/// They are no frames.
#[cfg(test)]
pub fn bytewise<S: Sieve + Default>(bytes: &[u8]) -> Result<Vec<u8>, S::Malformed> {
    let (mut sifter, mut out) = (Sifter::<S>::default(), Vec::new());
    for byte in bytes {
        sifter.buffer().put_u8(*byte);
        sifter.sift()?;
        while sifter.take(&mut (&mut out).limit(3)) > 0 {}
    }
    Ok(out)
}
