/// Returns random numbers (`SplitMix64`), the same ones for the same seed, so that a failure can be repeated.
///
/// It is made for tests: its numbers are easy to predict.
///
/// ```
/// use memcached2_testkit::Rng;
///
/// let mut rng = Rng::new(7);
/// let key = format!("key{}", rng.below(100));
/// let verb = rng.pick(&["get", "set", "delete"]);
/// let mut same = Rng::new(7);
/// assert_eq!((key, verb), (format!("key{}", same.below(100)), same.pick(&["get", "set", "delete"])));
/// ```
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Returns a generator whose numbers depend on the seed alone.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Returns a number from 0 to `end - 1`.
    ///
    /// # Panics
    ///
    /// If `end` is 0.
    #[must_use = "the number is drawn to be used"]
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Returns `true` once in this many times, on average.
    ///
    /// # Panics
    ///
    /// If `times` is 0.
    #[must_use = "the number is drawn to be used"]
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// Returns one of the elements.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use = "the element is drawn to be used"]
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}
