//! Memory that is about to be used, asked for at once.
//!
//! With hundreds of exchanges under way the state of each has left the near caches when its turn comes. The turn would then wait for one line
//! after the other, as it comes by; asked for together, they come together.

/// Bytes of a line of the cache.
const LINE_BYTES: usize = 64;

/// A stretch of memory, only to be [prefetched](Extent::prefetch): it may be gone by then.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    address: *const u8,
    bytes: usize,
}

impl Extent {
    /// No memory.
    pub const NONE: Self = Self { address: std::ptr::null(), bytes: 0 };

    /// The first `bytes_max` bytes of what `value` refers to, at most.
    pub fn of<T: ?Sized>(value: &T, bytes_max: usize) -> Self {
        Self { address: (&raw const *value).cast(), bytes: size_of_val(value).min(bytes_max) }
    }

    /// Asks the processor for it, and does not wait. Nothing happens on a processor that is not known here.
    #[inline]
    pub fn prefetch(self) {
        let mut offset = 0;
        while offset < self.bytes {
            prefetch_line(self.address.wrapping_add(offset));
            offset += LINE_BYTES;
        }
    }
}

#[inline(always)]
fn prefetch_line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which reads nothing: of an address that is not mapped nothing comes, and no fault (Intel SDM, PREFETCHh).
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a hint, which reads nothing and faults on no address (Arm ARM, PRFM).
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) address, options(nostack, readonly, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use super::Extent;

    #[test]
    fn memory_that_is_gone_may_be_asked_for() {
        let extent = Extent::of(vec![0_u8; 100_000].as_slice(), 1_000_000);
        assert_eq!(extent.bytes, 100_000);
        extent.prefetch();
        Extent::NONE.prefetch();
        assert_eq!(Extent::of(&[0_u64; 8], 40).bytes, 40);
    }
}
