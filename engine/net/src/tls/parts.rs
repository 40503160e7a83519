//! What is to be written, in up to three parts.

/// Slices to be written one after the other.
#[derive(Default)]
pub(crate) struct Parts<'a> {
    slices: [&'a [u8]; 3],
}

impl<'a> Parts<'a> {
    pub(crate) fn new(slices: [&'a [u8]; 3]) -> Self {
        Self { slices }
    }

    pub(super) fn left(&self) -> usize {
        self.slices.iter().map(|slice| slice.len()).sum()
    }

    /// The first slice that is not empty.
    pub(super) fn first(&self) -> &'a [u8] {
        self.slices.iter().find(|slice| !slice.is_empty()).copied().unwrap_or_default()
    }

    pub(super) fn advance(&mut self, mut count: usize) {
        for slice in &mut self.slices {
            let skip = count.min(slice.len());
            *slice = &slice[skip..];
            count -= skip;
        }
    }
}
