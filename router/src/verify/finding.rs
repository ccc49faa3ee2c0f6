//! The result of checking one setting, and the joining of results from several engines and
//! residents.

use crucible_config::{checked::EngineKind, tuning::TuningState};

use super::{evidence::Evidence, start_advice::start};
use crate::{
    catalog::ModelKind,
    view::{EngineView, ResidentView},
};

/// The words for a setting that Crucible itself enforces, where no instance runs.
pub(super) const NOBODY: &str =
    "Crucible itself does this, and no instance is running at the configured address";

/// The result of checking one setting: what was asked for, what was found and where, and what mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether the setting is in effect, as far as the evidence shows it.
    pub state: TuningState,
    /// The value that the configuration asks for, after clamping; empty where the setting does not
    /// apply.
    pub asked: String,
    /// The value that was found, or the reason why none could be read.
    pub found: String,
    /// The source that the value was read from, such as `/proc/7/cmdline`.
    pub read_at: String,
    /// One command, setting or click that mends it; `None` where nothing is wrong or nothing is
    /// known to help.
    pub fix: Option<String>,
}

// === impl Finding ===

impl Finding {
    fn new(
        state: TuningState,
        asked: impl Into<String>,
        found: impl Into<String>,
        at: &str,
    ) -> Self {
        Self {
            state,
            asked: asked.into(),
            found: found.into(),
            read_at: at.to_owned(),
            fix: None,
        }
    }

    /// Makes the finding that a setting is in effect: `found` is what was read at `at`.
    pub(super) fn right(asked: impl Into<String>, found: impl Into<String>, at: &str) -> Self {
        Self::new(TuningState::InEffect, asked, found, at)
    }

    /// Makes the finding that a setting is not in effect, with the command or click that mends it.
    pub(super) fn wrong(
        asked: impl Into<String>,
        found: impl Into<String>,
        at: &str,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            fix: Some(fix.into()),
            ..Self::new(TuningState::NotInEffect, asked, found, at)
        }
    }

    /// Makes the finding that the effect of a setting cannot be read; `why` says the reason.
    pub(super) fn unknown(asked: impl Into<String>, why: impl Into<String>, at: &str) -> Self {
        Self::new(TuningState::Unverifiable, asked, why, at)
    }

    /// Makes the finding that a setting means nothing for the engines that are there; `why` says
    /// the reason.
    pub(super) fn not_applicable(why: impl Into<String>, at: &str) -> Self {
        Self::new(TuningState::NotApplicable, "", why, at)
    }

    /// Adds the command or click that mends it.
    pub(super) fn with_fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// Marks a setting in effect as superseded: the option that its name promises does not exist in
    /// the engine, and `knob` has its effect.
    pub(super) fn superseded_by(mut self, knob: &str) -> Self {
        if self.state == TuningState::InEffect {
            self.state = TuningState::Superseded;
            self.found = format!("superseded by {knob}: {}", self.found);
        }
        self
    }

    /// Returns one line of evidence, such as `asked 8; found 16; read from /proc/7/cmdline`.
    pub fn evidence(&self) -> String {
        let asked = match &*self.asked {
            "" => String::new(),
            asked => format!("asked {asked}; "),
        };
        let found = match self.state {
            TuningState::Unverifiable | TuningState::NotApplicable => self.found.clone(),
            _ => format!("found {}", self.found),
        };
        format!("{asked}{found}; read from {}", self.read_at)
    }
}

/// Checks every engine of a kind and joins the findings with [`worst`]. An engine that is down
/// counts as not verifiable; without an engine of that kind the setting does not apply.
pub(super) fn each(
    evidence: &Evidence,
    kind: EngineKind,
    check: impl Fn(&EngineView) -> Finding,
) -> Finding {
    let product = kind.profile().product;
    let engines: Vec<_> = evidence
        .view
        .engines
        .iter()
        .filter(|e| e.kind == kind)
        .collect();
    let several = engines.len() > 1;
    let findings = engines.iter().map(|engine| {
        let mut finding = if engine.is_up() {
            check(engine)
        } else {
            let error = engine.error.as_deref().unwrap_or("has not answered yet");
            Finding::unknown("", format!("{} is down: {error}", engine.name), &engine.url)
                .with_fix(start(evidence, engine))
        };
        if several {
            finding.found = format!("{}: {}", engine.name, finding.found);
        }
        finding
    });
    worst(findings).unwrap_or_else(|| {
        Finding::not_applicable(format!("there is no {product} engine"), "the engines found")
    })
}

/// Checks every loaded model that generates text and joins the findings with [`worst`]. Where
/// `check` returns nothing for any, the setting counts as not verifiable; `at` is the source that
/// would have shown it.
pub(super) fn residents(
    engine: &EngineView,
    at: &str,
    check: impl Fn(&ResidentView) -> Option<Finding>,
) -> Finding {
    let generation = engine
        .residents
        .iter()
        .filter(|r| r.info.kind == ModelKind::Generation);
    worst(generation.filter_map(check)).unwrap_or_else(|| {
        Finding::unknown("", "no generation model is loaded that could show it", at)
            .with_fix("send a request, then look again")
    })
}

/// Joins findings: the worst state counts, with the texts of all that share it. `None` without any
/// finding.
pub(super) fn worst(findings: impl Iterator<Item = Finding>) -> Option<Finding> {
    const ORDER: [TuningState; 5] = [
        TuningState::NotInEffect,
        TuningState::Unverifiable,
        TuningState::InEffect,
        TuningState::Superseded,
        TuningState::NotApplicable,
    ];
    let mut all: Vec<Finding> = findings.collect();
    let state = ORDER
        .into_iter()
        .find(|state| all.iter().any(|f| f.state == *state))?;
    all.retain(|f| f.state == state);
    let mut all = all.into_iter();
    let mut first = all.next()?;
    for next in all {
        if !first.found.contains(&next.found) {
            first.found = format!("{}, {}", first.found, next.found);
        }
        if !first.asked.contains(&next.asked) {
            first.asked = format!("{}, {}", first.asked, next.asked);
        }
        if !first.read_at.contains(&next.read_at) {
            first.read_at = format!("{}, {}", first.read_at, next.read_at);
        }
    }
    Some(first)
}

/// Whether the engine lists an embedding model.
pub(super) fn has_embedding(engine: &EngineView) -> bool {
    engine.models.iter().any(|m| m.kind == ModelKind::Embedding)
}
