//! The items of a response's output, each at the place where it was announced.

/// The finished items of an output, as JSON, and the places of those that are not finished.
#[derive(Debug, Default)]
pub(super) struct OutputItems {
    items: Vec<Option<Vec<u8>>>,
}

// === impl OutputItems ===

impl OutputItems {
    /// Returns the place of the next item.
    pub(super) fn next_place(&mut self) -> usize {
        self.items.push(None);
        self.items.len() - 1
    }

    /// Puts a finished item at its place.
    pub(super) fn finished(&mut self, at: usize, item: Vec<u8>) {
        if let Some(place) = self.items.get_mut(at) {
            *place = Some(item);
        }
    }

    /// Reports whether this is the place of the last item.
    pub(super) fn is_last(&self, at: usize) -> bool {
        at + 1 == self.items.len()
    }

    /// Returns the finished items as the inside of the JSON list `output`, joined by commas.
    pub(super) fn joined(&self) -> Vec<u8> {
        let length: usize = self.items.iter().flatten().map(|item| item.len() + 1).sum();
        let mut joined = Vec::with_capacity(length);
        for item in self.items.iter().flatten() {
            if !joined.is_empty() {
                joined.push(b',');
            }
            joined.extend_from_slice(item);
        }
        joined
    }
}
