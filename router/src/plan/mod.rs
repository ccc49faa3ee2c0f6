//! Demand to plan: the ordered candidates, each with a reason from one closed enum.

pub mod listing;
pub mod sticky;

pub use listing::{Listed, listing};

use std::{fmt, sync::Arc, time::Duration};

use crucible_config::checked::{Config, Device};
use serde::Serialize;

use self::sticky::Place;
use crate::{
    catalog::ModelInfo,
    demand::Demand,
    predict,
    refusal::Refusal,
    view::{Breaker, EngineView, Health, View},
};

/// Why a candidate was chosen. The same word stands in header, log, metric and `explain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The name is a model's, and only one engine has it.
    Exact,
    /// `engine/model`.
    Prefixed,
    /// An alias of the configuration.
    Alias,
    /// `default_model` took an unknown name.
    DefaultModel,
    /// `[[model]] engine` pins it.
    Pinned,
    /// Several engines have it; this one holds it loaded.
    Resident,
    /// Several engines have it; its device decided (GPU first), or a virtual model's order did.
    Device,
    /// A rule of the configuration or the built-in set.
    Rule,
    /// A built-in word rule broke a tie.
    Keyword,
    /// The conversation's earlier turns were answered there.
    Sticky,
    /// The predicted time to first token decided.
    Predicted,
    /// The only one that can (tools, images, context).
    Capability,
    /// A configured `fallback`.
    Fallback,
    /// A configured `fallback`, because the wait was too long.
    Overload,
}

impl Reason {
    /// All of them, for pre-created metric labels.
    pub const ALL: [Self; 14] = [
        Self::Exact,
        Self::Prefixed,
        Self::Alias,
        Self::DefaultModel,
        Self::Pinned,
        Self::Resident,
        Self::Device,
        Self::Rule,
        Self::Keyword,
        Self::Sticky,
        Self::Predicted,
        Self::Capability,
        Self::Fallback,
        Self::Overload,
    ];

    /// The one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Prefixed => "prefixed",
            Self::Alias => "alias",
            Self::DefaultModel => "default_model",
            Self::Pinned => "pinned",
            Self::Resident => "resident",
            Self::Device => "device",
            Self::Rule => "rule",
            Self::Keyword => "keyword",
            Self::Sticky => "sticky",
            Self::Predicted => "predicted",
            Self::Capability => "capability",
            Self::Fallback => "fallback",
            Self::Overload => "overload",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One place where a request may go.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Engine's name.
    pub engine: Arc<str>,
    /// The engine's exact name of the model.
    pub model: Arc<str>,
    /// Why it stands here.
    pub reason: Reason,
    /// Expected time to first token, queue and load included.
    pub predicted_first_token: Option<Duration>,
}

/// The ordered candidates for a request; never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Best first.
    pub candidates: Vec<Candidate>,
}

/// Where a request may go, best first. Names: `engine/model`, exact, `:latest`, any case, alias,
/// then `default_model`; the virtual models go by device.
pub fn plan(
    view: &View,
    demand: &Demand,
    config: &Config,
    sticky: Option<&Place>,
) -> Result<Plan, Refusal> {
    let cloud = |e: &EngineView| config.engine(&e.name).is_some_and(|c| c.allow_cloud);
    let find = |name: &str| -> Vec<(&EngineView, &ModelInfo, Reason)> {
        let all = || {
            view.engines
                .iter()
                .flat_map(|e| e.models.iter().map(move |m| (e, m)))
                .filter(|(e, m)| m.kind == demand.kind && (!m.cloud || cloud(e)))
        };
        let pick = |reason, test: &dyn Fn(&EngineView, &ModelInfo) -> bool| -> Vec<_> {
            all()
                .filter(|(e, m)| test(e, m))
                .map(|(e, m)| (e, m, reason))
                .collect()
        };
        let same = |a: &str, b: &str| a == b || a.strip_suffix(":latest") == Some(b);
        let mut hits = pick(Reason::Exact, &|_, m| &*m.id == name);
        if hits.is_empty()
            && let Some((engine, rest)) = name.split_once('/')
        {
            hits = pick(Reason::Prefixed, &|e, m| {
                &*e.name == engine && same(&m.id, rest)
            });
        }
        if hits.is_empty() {
            hits = pick(Reason::Exact, &|_, m| same(&m.id, name));
        }
        if hits.is_empty() {
            let lower = name.to_ascii_lowercase();
            hits = pick(Reason::Exact, &|_, m| {
                same(&m.id.to_ascii_lowercase(), &lower)
            });
        }
        hits
    };
    let alias = |name: &str| {
        let globbed =
            |a: &String| globset::Glob::new(a).is_ok_and(|g| g.compile_matcher().is_match(name));
        let literal = config
            .models
            .iter()
            .find(|m| m.aliases.iter().any(|a| a == name));
        literal.or_else(|| config.models.iter().find(|m| m.aliases.iter().any(globbed)))
    };
    let name = demand.model.as_str();
    let mut hits = find(name);
    if hits.is_empty() && matches!(name, "auto" | "fast" | "quality") {
        hits = view
            .engines
            .iter()
            .flat_map(|e| e.models.iter().map(move |m| (e, m, Reason::Device)))
            .filter(|(e, m, _)| m.kind == demand.kind && (!m.cloud || cloud(e)))
            .collect();
        let quality = name == "quality";
        let late = |e: &EngineView, m: &ModelInfo| {
            name == "auto"
                && predict::first_token(e, m, demand.prompt_tokens) > config.routing.first_token
        };
        let held = |e: &EngineView, m: &ModelInfo| e.residents.iter().any(|r| r.info.model == m.id);
        hits.sort_by_key(|(e, m, _)| {
            (
                late(e, m),
                (e.device != Device::Cpu) == quality,
                !held(e, m),
                m.id.clone(),
            )
        });
        if let Some(at) = sticky
            .filter(|_| name == "auto" && demand.later_turn)
            .and_then(|p| {
                hits.iter()
                    .position(|(e, m, _)| e.name == p.0 && m.id == p.1)
            })
        {
            let hit = hits.remove(at);
            hits.insert(0, (hit.0, hit.1, Reason::Sticky));
        }
    } else {
        if hits.is_empty()
            && let Some(model) = alias(name)
        {
            hits = find(&model.name)
                .into_iter()
                .map(|h| (h.0, h.1, Reason::Alias))
                .collect();
        }
        if hits.is_empty()
            && let Some(default) = &config.default_model
        {
            hits = find(default)
                .into_iter()
                .map(|h| (h.0, h.1, Reason::DefaultModel))
                .collect();
        }
        if hits.len() > 1 {
            let held = |h: &(&EngineView, &ModelInfo, Reason)| {
                h.0.residents.iter().any(|r| r.info.model == h.1.id)
            };
            hits.sort_by_key(|h| (!held(h), h.0.device == Device::Cpu));
            for h in &mut hits {
                if h.2 == Reason::Exact {
                    h.2 = if held(h) {
                        Reason::Resident
                    } else {
                        Reason::Device
                    };
                }
            }
        }
    }
    if hits.is_empty() {
        if !view.any_up() {
            return Err(Refusal::NoEngine {
                model: name.into(),
                detail: "no engine is up".into(),
                retry_after: 5,
            });
        }
        let mut nearest: Vec<String> = view
            .engines
            .iter()
            .flat_map(|e| e.models.iter().map(|m| m.id.to_string()))
            .collect();
        nearest.sort_by(|a, b| {
            strsim::jaro_winkler(b, name).total_cmp(&strsim::jaro_winkler(a, name))
        });
        nearest.dedup();
        nearest.truncate(3);
        let target = nearest.first().map_or("a-model", String::as_str);
        let hint = format!("[[model]] name = {target:?}, aliases = [{name:?}]");
        return Err(Refusal::UnknownModel {
            name: name.into(),
            nearest,
            hint,
        });
    }
    let able = |m: &ModelInfo| {
        !(demand.tools && m.capabilities.tools == Some(false)
            || demand.images && m.capabilities.vision == Some(false))
    };
    hits.retain(|h| able(h.1));
    if hits.is_empty() {
        let needs = if demand.images { "images" } else { "tools" };
        return Err(Refusal::Incapable {
            model: name.into(),
            needs,
        });
    }
    hits.retain(|h| h.0.health != Health::Down && h.0.breaker != Breaker::Open);
    if hits.is_empty() {
        return Err(Refusal::NoEngine {
            model: name.into(),
            detail: "its engine is down".into(),
            retry_after: 5,
        });
    }
    let candidates = hits
        .into_iter()
        .map(|(e, m, reason)| Candidate {
            engine: e.name.clone(),
            model: m.id.clone(),
            reason,
            predicted_first_token: Some(predict::first_token(e, m, demand.prompt_tokens)),
        })
        .collect();
    Ok(Plan { candidates })
}

/// Names that the policy resolves even where nothing is configured.
const BUILTIN_VIRTUAL: [&str; 3] = ["auto", "fast", "quality"];

/// Whether the policy looks at the prompt of a request for this name.
pub fn is_virtual(name: &str, config: &Config) -> bool {
    BUILTIN_VIRTUAL.iter().any(|v| v.eq_ignore_ascii_case(name))
        || config
            .virtual_models
            .keys()
            .any(|v| v.eq_ignore_ascii_case(name))
}
