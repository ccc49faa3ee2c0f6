//! Numbers by seed.

use std::collections::BTreeMap;

/// `SplitMix64` (Steele, Lea, Flood 2014).
pub(super) struct Random(pub(super) u64);

// === impl Random ===

impl Random {
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }

    pub(super) fn index(&mut self, n: usize) -> usize {
        usize::try_from(self.below(n as u64)).unwrap()
    }

    pub(super) fn of<T>(&mut self, from: &BTreeMap<u64, T>) -> Option<u64> {
        let at = (!from.is_empty()).then(|| self.index(from.len()))?;
        from.keys().nth(at).copied()
    }
}
