//! The pairing of two lists of messages: which stayed, which changed, which came and went.

use super::parts::PromptPiece;

/// The most cells of the table by which the longest common subsequence is found. Longer lists, of which little is the
/// same at both ends, are paired by their places.
const MOST_CELLS: usize = 1 << 21;

/// One step of the pairing. The numbers are places in the old and in the new list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PiecePair {
    /// Both lists have it.
    Same,
    /// It is there with other bytes.
    Changed(usize, usize),
    /// Only the old list has it.
    Removed(usize),
    /// Only the new list has it.
    Added(usize),
}

/// Pairs two lists, in the order of the new one.
pub(super) fn aligned(old: &[PromptPiece<'_>], new: &[PromptPiece<'_>]) -> Vec<PiecePair> {
    let shorter = old.len().min(new.len());
    let prefix = (0..shorter).take_while(|at| old[*at] == new[*at]).count();
    let ends = old[prefix..].iter().rev().zip(new[prefix..].iter().rev());
    let suffix = ends.take_while(|(old, new)| old == new).count();
    let mut pairs = vec![PiecePair::Same; prefix];
    let (old_end, new_end) = (old.len() - suffix, new.len() - suffix);
    let (mut at_old, mut at_new) = (prefix, prefix);
    let anchors = anchors(&old[prefix..old_end], &new[prefix..new_end]);
    for (anchor_old, anchor_new) in anchors {
        let (to_old, to_new) = (prefix + anchor_old, prefix + anchor_new);
        pair_gap(&mut pairs, (old, new), at_old..to_old, at_new..to_new);
        pairs.push(PiecePair::Same);
        (at_old, at_new) = (to_old + 1, to_new + 1);
    }
    pair_gap(&mut pairs, (old, new), at_old..old_end, at_new..new_end);
    pairs.extend(std::iter::repeat_n(PiecePair::Same, suffix));
    pairs
}

/// Pairs what stands between two equal pieces: those of one author are changed, the others came or went.
fn pair_gap(
    pairs: &mut Vec<PiecePair>,
    (old, new): (&[PromptPiece<'_>], &[PromptPiece<'_>]),
    mut of_old: std::ops::Range<usize>,
    mut of_new: std::ops::Range<usize>,
) {
    let both = of_old.len().min(of_new.len());
    for (before, after) in of_old.by_ref().take(both).zip(of_new.by_ref()) {
        if old[before].is_of_the_same_author(&new[after]) {
            pairs.push(PiecePair::Changed(before, after));
        } else {
            pairs.push(PiecePair::Removed(before));
            pairs.push(PiecePair::Added(after));
        }
    }
    pairs.extend(of_old.map(PiecePair::Removed));
    pairs.extend(of_new.map(PiecePair::Added));
}

/// The pairs of equal pieces of a longest common subsequence.
fn anchors(old: &[PromptPiece<'_>], new: &[PromptPiece<'_>]) -> Vec<(usize, usize)> {
    let columns = new.len() + 1;
    if old.is_empty() || new.is_empty() {
        return Vec::new();
    }
    if (old.len() + 1).saturating_mul(columns) > MOST_CELLS {
        let places = 0..old.len().min(new.len());
        return places
            .filter(|at| old[*at] == new[*at])
            .map(|at| (at, at))
            .collect();
    }
    let is_same = |i: usize, j: usize| old[i].hash() == new[j].hash();
    let mut longest = vec![0_u32; (old.len() + 1) * columns];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            longest[i * columns + j] = if is_same(i, j) {
                longest[(i + 1) * columns + j + 1] + 1
            } else {
                longest[(i + 1) * columns + j].max(longest[i * columns + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut found = Vec::new();
    while i < old.len() && j < new.len() {
        if is_same(i, j) {
            found.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if longest[(i + 1) * columns + j] >= longest[i * columns + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    found
}
