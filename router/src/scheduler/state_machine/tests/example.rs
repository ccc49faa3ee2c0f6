//! The worked example at the head of the scheduler's module: two models that do not fit together.

use super::*;

#[test]
fn of_two_models_that_do_not_fit_together_the_second_is_loaded_once_the_first_is_idle() {
    let mut engine = facts("e", "gpu");
    engine.max_loaded_models = 1;
    let mut scheduler = Scheduler::default();
    let now = Instant::now();
    let mut step = |input| {
        let mut actions = Vec::new();
        scheduler.step(input, now, &mut actions);
        actions
    };
    step(Input::Fleet(vec![engine]));

    // The engine loads `a`, and answers the request with ticket 1.
    let actions = step(Input::Arrive(permit_request(1, "e", "a", now).into()));
    assert!(matches!(&actions[..], [Action::Load(command)] if &*command.model == "a"));
    let actions = step(Input::Loaded("e".into(), info("a", 4096)));
    assert!(matches!(&actions[..], [Action::Emit(_), Action::Grant(grant)] if grant.ticket == 1));

    // A request for `b` waits, because nothing that runs is ever ended.
    let actions = step(Input::Arrive(permit_request(2, "e", "b", now).into()));
    assert!(actions.is_empty());

    // Once `a` is idle it is unloaded.
    let actions = step(Input::Released(1));
    assert!(matches!(&actions[..], [Action::Unload(_, resident)] if &*resident.model == "a"));

    // The room that was made is for `b`.
    let actions = step(Input::Unloaded("e".into(), true));
    let [
        Action::Emit(Event::Evicted { model, .. }),
        Action::Load(command),
    ] = &actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!((&**model, &*command.model), ("a", "b"));

    // The request that `b` was loaded for is granted.
    let actions = step(Input::Loaded("e".into(), info("b", 4096)));
    let [
        Action::Emit(Event::Load { outcome, .. }),
        Action::Grant(grant),
    ] = &actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!((*outcome, grant.ticket), (LoadOutcome::Ok, 2));
    assert!(grant.waited_for_load);
}
