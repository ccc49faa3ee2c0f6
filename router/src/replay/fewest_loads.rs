//! The fewest loads that any eviction could do on an order of requests that nobody changes (L. A.
//! Belady, 1966: evict what is needed last).
//!
//! A policy that reorders may need fewer; none that serves in this order can.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{machine::SimulatedMachine, trace::RequestTrace};
use crate::catalog::ModelKind;

/// The fewest loads of generation models over all engines whose loads Crucible orders.
///
/// An engine has as many slots as models that may be loaded at once, and no more than the smallest
/// models of the trace that fit the pool's budget together.
pub fn fewest_loads(trace: &RequestTrace, machine: &SimulatedMachine) -> usize {
    let budgets = machine.budgets();
    let facts = machine.facts();
    let controlled = facts.iter().filter(|f| f.load_control);
    controlled
        .map(|facts| {
            let asked: Vec<Arc<str>> = trace
                .requests()
                .iter()
                .filter(|r| r.engine == facts.name && r.kind == ModelKind::Generation)
                .map(|r| Arc::clone(&r.model))
                .collect();
            let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
            for model in &asked {
                let known = machine.engine(&facts.name).and_then(|e| e.model(model));
                sizes.insert(model, known.and_then(|m| m.bytes).unwrap_or(0));
            }
            let fit = budgets
                .get(&facts.pool)
                .map(|budget| together(sizes.into_values().collect(), *budget));
            loads(
                &asked,
                fit.unwrap_or(usize::MAX).min(facts.max_loaded_models),
            )
        })
        .sum()
}

/// The number of models that fit the budget, the smallest ones first.
fn together(mut sizes: Vec<u64>, budget: u64) -> usize {
    sizes.sort_unstable();
    let mut left = budget;
    sizes
        .into_iter()
        .take_while(|size| {
            let fits = *size <= left;
            left = left.saturating_sub(*size);
            fits
        })
        .count()
}

/// The loads that the best eviction needs for these requests with so many slots.
fn loads(asked: &[Arc<str>], slots: usize) -> usize {
    let mut later: HashMap<&str, usize> = HashMap::new();
    // Position of the next request for the same model, by position.
    let mut next = vec![usize::MAX; asked.len()];
    for (at, model) in asked.iter().enumerate().rev() {
        next[at] = later.insert(model, at).unwrap_or(usize::MAX);
    }
    let mut held: HashMap<&str, usize> = HashMap::new();
    let mut count = 0;
    for (at, model) in asked.iter().enumerate() {
        if !held.contains_key(&**model) {
            count += 1;
            if held.len() >= slots.max(1)
                && let Some(last) = held.iter().max_by_key(|(_, next)| **next).map(|(m, _)| *m)
            {
                held.remove(last);
            }
        }
        held.insert(model, next[at]);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(models: &str) -> Vec<Arc<str>> {
        models.chars().map(|c| Arc::from(c.to_string())).collect()
    }

    #[test]
    fn what_is_needed_last_goes() {
        // Two slots: c takes b's place, because a comes before b.
        assert_eq!(loads(&order("abcab"), 2), 4);
        assert_eq!(loads(&order("abcab"), 3), 3);
    }

    #[test]
    fn one_slot_loads_at_every_change() {
        assert_eq!(loads(&order("aabbab"), 1), 4);
        assert_eq!(loads(&[], 1), 0);
    }

    #[test]
    fn smallest_first_bounds_the_slots() {
        assert_eq!(together(vec![5, 1, 3], 4), 2);
        assert_eq!(together(vec![5], 4), 0);
    }
}
