use super::{
    bounds, compare, cost,
    page::{ratio, waited},
    traces, without_linger,
};

#[test]
fn alternating_models_wait_a_third_of_first_come_first_served() {
    let case = traces::all().into_iter().find(|c| c.name == "Alternating");
    let compared = compare(case.unwrap());
    let ours = compared.all(&compared.crucible);
    let strict = compared.all(&compared.strict);
    assert!(ratio(strict.p95, ours.p95) >= 3.0, "{ours:?} {strict:?}");
    assert_eq!((ours.rejected, strict.rejected), (0, 0));
    assert!(compared.crucible.loads.len() * 2 < compared.strict.loads.len());
}

#[test]
fn a_flood_for_one_model_neither_starves_the_other_nor_swaps_at_every_request() {
    let case = traces::all().into_iter().find(|c| c.name == "Flood");
    let compared = compare(case.unwrap());
    let ours = compared.all(&compared.crucible);
    let collated = compared.all(&compared.collated);
    assert!(ours.max < collated.max, "{ours:?} {collated:?}");
    assert!(compared.crucible.loads.len() * 4 < compared.strict.loads.len() * 3);
}

#[test]
fn two_agents_wait_no_longer_than_by_collating_and_nobody_starves() {
    let case = traces::all().into_iter().find(|c| c.name == "Two agents");
    let compared = compare(case.unwrap());
    let ours = compared.all(&compared.crucible);
    let collated = compared.all(&compared.collated);
    let strict = compared.all(&compared.strict);
    assert!(ratio(strict.p95, ours.p95) >= 3.0, "{ours:?} {strict:?}");
    assert!(ours.p50 <= collated.p50, "{ours:?} {collated:?}");
    assert!(ours.max < collated.max, "{ours:?} {collated:?}");
}

#[test]
fn a_person_beside_a_batch_does_not_wait_for_the_batch() {
    let case = traces::all().into_iter().find(|c| c.name == "Night");
    let compared = compare(case.unwrap());
    let ours = compared.people(&compared.crucible);
    let collated = compared.people(&compared.collated);
    assert!(ours.max * 4 < collated.p95, "{ours:?} {collated:?}");
}

#[test]
fn agents_that_call_tools_find_their_model_at_the_next_turn() {
    let case = traces::all().into_iter().find(|c| c.name == "Tool calls");
    let compared = compare(case.unwrap());
    let without = without_linger(&compared.case);
    let (ours, other) = (&compared.crucible, &without);
    assert_eq!(
        (compared.all(ours).rejected, compared.all(other).rejected),
        (0, 0)
    );
    let loads = (ours.loads.len(), other.loads.len());
    assert!(loads.0 * 2 < loads.1, "{loads:?}");
    // Fewer wait, though those for longer.
    let waits = (waited(ours), waited(other));
    assert!(waits.0 * 3 < waits.1 * 2, "{waits:?}");
    // In every other trace nobody comes back for an answer.
    for case in traces::all().into_iter().filter(|c| c.name != "Tool calls") {
        let without = without_linger(&case);
        assert_eq!(compare(case).crucible, without);
    }
}

#[test]
fn the_same_seeds_give_the_same_traces() {
    for (one, other) in traces::all().iter().zip(traces::all()) {
        assert_eq!(one.trace, other.trace);
        assert!(one.trace.requests().len() > 100);
    }
}

#[test]
fn a_decision_is_measured_only_while_the_queue_is_long() {
    let cost = cost::measure();
    assert!((100..2000).contains(&cost.inputs), "{}", cost.inputs);
    assert!(cost.p50 <= cost.p99);
}

#[test]
fn a_long_queue_is_not_served_in_order_of_arrival() {
    let case = traces::all().into_iter().find(|c| c.name == "Night");
    let compared = compare(case.unwrap());
    assert!(compared.crucible.loads.len() * 4 < compared.strict.loads.len());
}

#[test]
fn looser_bounds_are_shown_where_they_make_a_difference() {
    let compared: Vec<_> = traces::all().into_iter().map(compare).collect();
    let mut page = String::new();
    bounds::table(&mut page, &compared);
    let rows = |name: &str| page.matches(&format!("| {name} | ")).count();
    assert_eq!(
        (rows("Flood"), rows("Night"), rows("Alternating")),
        (4, 4, 0)
    );
    assert!(page.contains("| Flood | 8, 20 s | 73 |"), "{page}");
}
