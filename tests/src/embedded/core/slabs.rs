//! How much memory an item takes, and of which slab class it is.

/// What memcached spends on an item besides its key and value: the header, the cas and the CRLF.
const HEADER: usize = 48 + 8 + 2;
/// Space for the client flags, which is taken unless they are zero.
const FLAGS: usize = 4;
/// Larger items are stored in chunks and are no numbers.
pub(super) const CHUNK_MAX: usize = 512 * 1024;

/// The bytes an item takes as memcached counts them.
pub(super) fn size(key: &[u8], flags: u32, value: usize) -> usize {
    HEADER + key.len() + 1 + if flags == 0 { 0 } else { FLAGS } + value
}

/// The chunk sizes of the slab classes, from class 1 on.
#[derive(Debug)]
pub(super) struct SlabClasses(Vec<usize>);

impl Default for SlabClasses {
    fn default() -> Self {
        let factor = 1.25;
        let mut sizes = Vec::new();
        let mut size = 96;
        while (size as f64) < CHUNK_MAX as f64 / factor {
            size = usize::next_multiple_of(size, 8);
            sizes.push(size);
            size = (size as f64 * factor) as usize;
        }
        sizes.push(CHUNK_MAX);
        Self(sizes)
    }
}

impl SlabClasses {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns the class of an item of this [`size`].
    pub(super) fn of(&self, size: usize) -> usize {
        self.0.iter().position(|chunk| size <= *chunk).unwrap_or(self.0.len() - 1) + 1
    }

    pub(super) fn chunk_size(&self, class: usize) -> usize {
        self.0[class - 1]
    }
}
