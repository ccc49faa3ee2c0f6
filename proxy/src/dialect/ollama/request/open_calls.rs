//! The calls of tools that wait for their results.

use std::collections::{HashMap, VecDeque};

/// A call: its id and the name of its tool, both as JSON.
pub(super) type WaitingCall = (String, String);

/// The calls of one message that have no result yet. Each is found by its id, by its tool or by its place, at
/// a cost that does not grow with their number.
#[derive(Default)]
pub(super) struct OpenCalls {
    calls: Vec<Option<WaitingCall>>,
    /// No call before this place is open.
    first: usize,
    by_id: HashMap<String, VecDeque<usize>>,
    by_tool: HashMap<String, VecDeque<usize>>,
}

// === impl OpenCalls ===

impl OpenCalls {
    /// Adds a call.
    pub(super) fn push(&mut self, id: String, tool: &str) {
        let at = self.calls.len();
        self.by_id.entry(id.clone()).or_default().push_back(at);
        self.by_tool
            .entry(tool.to_owned())
            .or_default()
            .push_back(at);
        self.calls.push(Some((id, tool.to_owned())));
    }

    /// Takes the first open call with this id.
    pub(super) fn with_id(&mut self, id: &str) -> Option<WaitingCall> {
        take(&mut self.calls, self.by_id.get_mut(id)?)
    }

    /// Takes the first open call of this tool.
    pub(super) fn of_tool(&mut self, tool: &str) -> Option<WaitingCall> {
        take(&mut self.calls, self.by_tool.get_mut(tool)?)
    }

    /// Takes the first open call.
    pub(super) fn first(&mut self) -> Option<WaitingCall> {
        while let Some(call) = self.calls.get_mut(self.first) {
            self.first += 1;
            if let Some(call) = call.take() {
                return Some(call);
            }
        }
        None
    }
}

/// Takes the first call of these places that is still open.
fn take(calls: &mut [Option<WaitingCall>], places: &mut VecDeque<usize>) -> Option<WaitingCall> {
    while let Some(at) = places.pop_front() {
        if let Some(call) = calls.get_mut(at).and_then(Option::take) {
            return Some(call);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_results_in_reverse_cost_no_more_each_than_a_few() {
        let began = std::time::Instant::now();
        let mut open = OpenCalls::default();
        for at in 0..20_000 {
            open.push(format!("id{at}"), &format!("f{at}"));
        }
        for at in (2..20_000).rev() {
            let call = if at % 2 == 0 {
                open.of_tool(&format!("f{at}"))
            } else {
                open.with_id(&format!("id{at}"))
            };
            assert_eq!(call, Some((format!("id{at}"), format!("f{at}"))));
        }
        assert!(began.elapsed().as_secs() < 2, "{:?}", began.elapsed());
        assert_eq!(open.of_tool("f7"), None);
        assert_eq!(open.with_id("id7"), None);
        let rest = [open.first(), open.first(), open.first()];
        assert_eq!(
            rest.map(|call| call.map(|(id, _)| id)),
            [Some("id0".to_owned()), Some("id1".to_owned()), None]
        );
    }
}
