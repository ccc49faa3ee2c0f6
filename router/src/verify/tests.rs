//! Every row in a world where it is right and in one where it is wrong.

mod environment;
mod lmstudio;
mod memory;
mod ollama;
mod policy;

use std::{collections::BTreeMap, sync::Arc};

use crucible_config::{
    checked::{Device, EngineKind},
    tuning::{
        TUNINGS,
        TuningId::*,
        TuningState::{self, InEffect, NotApplicable, NotInEffect, Superseded, Unverifiable},
    },
};

use super::{
    probe::context::{ContextProbe, ContextVerdict},
    testing::{all_right, held, model, runner},
    *,
};
use crate::catalog::ModelKind;

type Change = fn(&mut Evidence);

/// One state of the world and what is said of a row in it.
struct Case {
    id: TuningId,
    change: Change,
    state: TuningState,
    /// Part of the evidence.
    says: &'static str,
    /// Part of the advice; empty: not looked at.
    fix: &'static str,
}

const fn right(id: TuningId, change: Change, state: TuningState, says: &'static str) -> Case {
    Case {
        id,
        change,
        state,
        says,
        fix: "",
    }
}

const fn wrong(id: TuningId, change: Change, says: &'static str, fix: &'static str) -> Case {
    Case {
        id,
        change,
        state: NotInEffect,
        says,
        fix,
    }
}

const fn hidden(id: TuningId, change: Change, says: &'static str, fix: &'static str) -> Case {
    Case {
        id,
        change,
        state: Unverifiable,
        says,
        fix,
    }
}

const NOTHING: Change = |_| {};
const TWO_NODES: Change = |e| e.machine.nodes = Some(2);
const NO_PROCESS: Change = |e| {
    let why = "it runs on another machine".to_owned();
    e.processes.insert("ollama".into(), Err(why));
};

/// `doctor --probe` found this of an instance that stated so much.
fn contexts(e: &mut Evidence, engine: &str, instance: &str, stated: u64, verdict: ContextVerdict) {
    let probe = ContextProbe {
        stated,
        verdict,
        words: "so it was".to_owned(),
    };
    let found = BTreeMap::from([(instance.to_owned(), probe)]);
    e.contexts.insert(engine.to_owned(), found);
}

fn cases() -> impl Iterator<Item = &'static Case> {
    [
        lmstudio::CASES,
        memory::CASES,
        policy::CASES,
        ollama::CASES,
        environment::CASES,
    ]
    .into_iter()
    .flatten()
}

#[test]
fn each_row_says_what_is_right_and_what_is_wrong() {
    for case in cases() {
        let mut evidence = all_right();
        (case.change)(&mut evidence);
        let finding = verify(case.id, &evidence);
        let told = finding.evidence();
        assert_eq!(finding.state, case.state, "{}: {told}", case.id);
        assert!(told.contains(case.says), "{}: {told}", case.id);
        let fix = finding.fix.unwrap_or_default();
        assert!(fix.contains(case.fix), "{}: {fix}", case.id);
    }
}

#[test]
fn no_row_is_without_both_cases() {
    let cases: Vec<&Case> = cases().collect();
    for row in &TUNINGS {
        let of = |state: TuningState| {
            let of = move |c: &&Case| c.id == row.id && c.state == state;
            cases.iter().copied().filter(of)
        };
        // LM Studio tells nobody its switch, so it is shown neither right nor wrong.
        if row.id == LmstudioAutoEvict {
            assert!(of(Unverifiable).count() >= 2, "{}", row.id);
            continue;
        }
        let right = match row.superseded_by {
            Some(_) => of(Superseded).count(),
            None => of(InEffect).count(),
        };
        assert!(right >= 1, "{} is never right", row.id);
        assert!(of(NotInEffect).count() >= 1, "{} is never wrong", row.id);
        for case in of(NotInEffect) {
            let words = (case.says, case.fix);
            assert!(!case.says.is_empty() && !case.fix.is_empty(), "{words:?}");
        }
        for case in of(InEffect).chain(of(Superseded)) {
            assert!(!case.says.is_empty(), "{}", row.id);
        }
    }
}

#[test]
fn what_is_wrong_tells_asked_found_where_and_one_fix() {
    for case in cases().filter(|c| c.state == NotInEffect) {
        let mut evidence = all_right();
        (case.change)(&mut evidence);
        let mut shown = verified(&evidence).tunings.into_iter();
        let shown = shown.find(|one| one.id == case.id).unwrap();
        assert_eq!(shown.state, Some(NotInEffect), "{}", case.id);
        let told = shown.evidence.unwrap();
        let parts: Vec<&str> = ["asked ", "; found ", "; read from "]
            .into_iter()
            .filter(|part| !told.contains(part))
            .collect();
        assert!(parts.is_empty(), "{}: {parts:?}: {told}", case.id);
        // The advice of a wrong row is its fix, not the profile's general words.
        assert!(
            shown.advice.is_some_and(|a| a.contains(case.fix)),
            "{}",
            case.id
        );
    }
}

#[test]
fn every_finding_says_where_it_was_read() {
    for change in [NOTHING, NO_PROCESS, (|e| e.counters = None) as Change] {
        let mut evidence = all_right();
        change(&mut evidence);
        for id in TuningId::ALL {
            let finding = verify(id, &evidence);
            assert!(
                !finding.found.is_empty() && !finding.read_at.is_empty(),
                "{id}"
            );
            if finding.state == NotInEffect {
                assert!(finding.fix.is_some(), "{id}");
            }
        }
    }
}

#[test]
fn over_plain_http_the_states_are_the_honest_ones() {
    let mut evidence = all_right();
    evidence.config().pools.clear();
    evidence.lmstudio().budget = None;
    evidence.listed.clear();
    NO_PROCESS(&mut evidence);
    let report = verified(&evidence);
    let numbers = |state: TuningState| -> Vec<u8> {
        let rows = report.tunings.iter().filter(|r| r.state == Some(state));
        rows.map(|r| r.number).collect()
    };
    assert_eq!(
        numbers(InEffect),
        [
            3, 5, 7, 8, 11, 12, 13, 14, 15, 17, 18, 19, 21, 22, 23, 24, 27, 28
        ]
    );
    assert_eq!(numbers(Superseded), [31, 32, 33, 38]);
    assert_eq!(numbers(NotApplicable), [20, 26, 39]);
    assert_eq!(numbers(Unverifiable).len(), 14);
}

#[test]
fn an_engine_that_is_down_or_missing_is_told() {
    let mut evidence = all_right();
    evidence.lmstudio().health = crate::view::Health::Down;
    evidence.lmstudio().error = Some("unreachable: refused".to_owned());
    Arc::make_mut(&mut evidence.view).engines.pop();
    let of = |id| verify(id, &evidence);
    assert_eq!(of(LmstudioBatchSize).state, Unverifiable);
    assert!(
        of(LmstudioBatchSize)
            .found
            .contains("lmstudio is down: unreachable: refused")
    );
    assert_eq!(of(OllamaContextSize).state, NotApplicable);
    assert_eq!(of(OllamaContextSize).found, "there is no Ollama engine");
}

#[test]
fn of_two_engines_the_worse_is_told_with_its_name() {
    let mut evidence = all_right();
    let mut second = evidence.ollama().clone();
    second.name = "second".into();
    second.residents[0].info.context = Some(1024);
    Arc::make_mut(&mut evidence.view).engines.push(second);
    let finding = verify(OllamaContextSize, &evidence);
    assert_eq!(finding.state, NotInEffect);
    assert_eq!(finding.found, "second: 1024 on llama:3b");
}

#[test]
fn embedding_runners_have_their_own_batch_and_slots() {
    let mut evidence = all_right();
    let embedding = runner("--model /b/sha256-2 --embedding -np 1 -b 2048 -t 8");
    evidence.process().runners.push(embedding);
    for id in [OllamaNumParallel, OllamaBatchSize] {
        assert_eq!(verify(id, &evidence).state, InEffect);
    }
}
