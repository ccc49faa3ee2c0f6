//! Virtual models: the models that they stand for, and the choice among these.
//!
//! A configured list keeps its order. The built-in names go by device: `fast` has the engines on a
//! GPU first, `quality` those of another memory pool than `fast`, and `auto` has all of them.
//!
//! The choice is made by the first of these that applies: a `[[rule]]`; for `auto` the model of the
//! earlier turns, then a built-in word rule, then the earliest predicted end of the answer; for
//! other names their order. A small request may leave a busy GPU to others (`small_model`).

use std::{cmp::Reverse, time::Duration};

use crucible_config::{checked::Device, glob};

use super::{
    Reason, builtin,
    names::{stem, virtual_name},
    order::{self, append, is_available, is_held, one_per_engine},
    rules,
    scope::{ModelMatch, NameMatch, PlanScope},
    sticky::EngineModel,
};
use crate::{
    catalog::ModelKind,
    predict::{self, Prediction, PredictionInput},
    refusal::Refusal,
};

// === impl PlanScope ===

impl<'a> PlanScope<'a> {
    /// Returns the models to ask for the virtual model `name`, the chosen one first; never empty.
    /// `sticky` is the model of the conversation's earlier turns. The errors are those of
    /// [`Self::viable`].
    pub(super) fn choose(
        &self,
        name: &'a str,
        sticky: Option<&EngineModel>,
    ) -> Result<Vec<ModelMatch<'a>>, Refusal> {
        let own = self.expand(name);
        if let Some(rule) = rules::first_match(name, self.demand, self.config) {
            let mut hits = self.rule_target(&rule.target);
            for hit in &mut hits {
                hit.reason = Reason::Rule;
            }
            append(&mut hits, own);
            return self.viable(hits);
        }
        let mut hits = self.viable(own)?;
        if name.eq_ignore_ascii_case("auto") {
            self.decide_auto(&mut hits, sticky);
        }
        self.prefer_trained(&mut hits);
        self.spare_the_gpu(&mut hits);
        Ok(hits)
    }

    /// Returns the models that a virtual model stands for, in its order, whether they can answer
    /// now or not.
    pub(super) fn expand(&self, name: &'a str) -> Vec<ModelMatch<'a>> {
        let mut hits = Vec::new();
        self.expand_into(name, &mut Vec::new(), &mut hits);
        hits
    }

    /// Returns the best model of each engine that matches a pattern, `engine/model-glob` or
    /// `model-glob`.
    pub(super) fn expand_glob(&self, pattern: &str) -> Vec<ModelMatch<'a>> {
        let of_engine = pattern.split_once('/').is_some_and(|(prefix, _)| {
            let mut engines = self.view.engines.iter();
            engines.any(|engine| engine.name.eq_ignore_ascii_case(prefix))
        });
        self.best(|hit| {
            let (engine, model) = (&hit.engine.name, &hit.model.id);
            (!of_engine && self.config.glob_matches(pattern, model))
                || self
                    .config
                    .glob_matches(pattern, &format!("{engine}/{model}"))
        })
    }

    fn expand_into(&self, name: &'a str, open: &mut Vec<&'a str>, hits: &mut Vec<ModelMatch<'a>>) {
        // A list that contains itself adds nothing the second time.
        if open.contains(&name) {
            return;
        }
        let Some(patterns) = self.config.virtual_models.get(name) else {
            append(hits, self.by_device(name));
            return;
        };
        open.push(name);
        for pattern in patterns {
            if glob::is_glob(pattern) {
                append(hits, self.expand_glob(pattern));
            } else if let Some(known) = virtual_name(pattern, self.config) {
                self.expand_into(known, open, hits);
            } else {
                self.named_into(pattern, open, hits);
            }
        }
        open.pop();
    }

    /// Returns the models that the target of a rule means: a virtual model, a glob, a model or an
    /// engine.
    fn rule_target(&self, target: &'a str) -> Vec<ModelMatch<'a>> {
        if let Some(known) = virtual_name(target, self.config) {
            return self.expand(known);
        }
        if glob::is_glob(target) {
            return self.expand_glob(target);
        }
        let mut hits = Vec::new();
        self.named_into(target, &mut Vec::new(), &mut hits);
        hits
    }

    /// Appends the models that a name means; where it is no model's, the best model of the engine
    /// of that name.
    fn named_into(&self, name: &str, open: &mut Vec<&'a str>, hits: &mut Vec<ModelMatch<'a>>) {
        match self.resolve(name) {
            NameMatch::Models(mut found) => {
                order::settle(&mut found);
                let found = found.into_iter().map(|hit| ModelMatch {
                    reason: Reason::Device,
                    ..hit
                });
                append(hits, found);
            }
            NameMatch::Virtual(known) => self.expand_into(known, open, hits),
            NameMatch::WrongKind | NameMatch::Away(_) | NameMatch::Absent => {
                let of_engine = self.best(|hit| hit.engine.name.eq_ignore_ascii_case(name));
                append(hits, of_engine);
            }
        }
    }

    /// Returns the models of a built-in virtual model, one for each engine.
    fn by_device(&self, name: &str) -> Vec<ModelMatch<'a>> {
        let mut hits = self.best(|_| true);
        if name.eq_ignore_ascii_case("quality") {
            let fast = hits.iter().find(|hit| is_available(hit.engine));
            if let Some(fast) = fast.map(|hit| hit.engine.pool.clone()) {
                hits.sort_by_key(|hit| hit.engine.pool == fast);
            }
        }
        hits
    }

    /// Returns the best model of each engine among those that pass, engines on a GPU first. On one
    /// engine a model that can do what is asked comes first, then one that is trained for tools, is
    /// loaded, is pinned; then the name decides, and of one model's quantizations the preferred
    /// one.
    fn best(&self, pass: impl Fn(&ModelMatch<'a>) -> bool) -> Vec<ModelMatch<'a>> {
        let mut hits: Vec<ModelMatch<'a>> = self
            .models()
            .filter(|(_, model)| model.kind == self.demand.kind)
            .map(|(engine, model)| ModelMatch {
                engine,
                model,
                reason: Reason::Device,
            })
            .filter(|hit| pass(hit) && !self.pinned_away(&hit.engine.name, &hit.model.id))
            .collect();
        hits.sort_by_cached_key(|hit| {
            let (engine, model) = (hit.engine, hit.model);
            let settings = self.config.model_settings(&engine.name, &model.id);
            (
                engine.device == Device::Cpu,
                self.lacks(model).is_some() || !self.fits(hit),
                self.is_untrained(model),
                !is_held(engine, model),
                !settings.is_some_and(|block| block.pin),
                stem(&model.id).to_lowercase(),
                Reverse(self.is_preferred(model)),
                model.id.clone(),
            )
        });
        one_per_engine(hits)
    }

    /// Puts the choice of `auto` first and sorts the others by [`Self::rank`].
    fn decide_auto(&self, hits: &mut Vec<ModelMatch<'a>>, sticky: Option<&EngineModel>) {
        let rank = |hit: &ModelMatch<'_>| self.rank(hit);
        if let Some(place) = sticky.filter(|_| self.demand.later_turn)
            && self.stick(hits, place)
        {
            hits[1..].sort_by_cached_key(rank);
            return;
        }
        if hits.len() < 2 {
            return;
        }
        if let Some(hit) = self.keyword(hits) {
            let at = hits.iter().position(|h| h.engine.name == hit.engine.name);
            hits[..=at.unwrap_or_default()].rotate_right(1);
            hits[0].reason = Reason::Keyword;
            hits[1..].sort_by_cached_key(rank);
            return;
        }
        hits.sort_by_cached_key(rank);
        hits[0].reason = Reason::Predicted;
    }

    /// Puts the model of the earlier turns first and returns true, where it can still answer and
    /// its engine is among those of `auto`.
    fn stick(&self, hits: &mut Vec<ModelMatch<'a>>, (engine, model): &EngineModel) -> bool {
        let in_policy = hits.iter().any(|hit| hit.engine.name == *engine);
        let mut places = self.models().map(|(engine, model)| ModelMatch {
            engine,
            model,
            reason: Reason::Sticky,
        });
        let found = places.find(|hit| hit.engine.name == *engine && hit.model.id == *model);
        let is_able = |hit: &ModelMatch<'_>| {
            hit.model.kind == self.demand.kind
                && self.can_answer(hit)
                && !self.pinned_away(engine, model)
        };
        let Some(hit) = found.filter(|hit| in_policy && is_able(hit)) else {
            return false;
        };
        hits.retain(|other| other.engine.name != hit.engine.name);
        hits.insert(0, hit);
        true
    }

    /// Returns the model of a built-in word rule where the predictions leave the choice open: the
    /// answers of `fast` and `quality` end within a factor of 2 of each other, and the chosen model
    /// does not miss the time for a first token (`routing.first_token`) that the other meets.
    fn keyword(&self, hits: &[ModelMatch<'a>]) -> Option<ModelMatch<'a>> {
        if !self.config.builtin_rules || self.demand.kind != ModelKind::Generation {
            return None;
        }
        let target = builtin::matched(&self.demand.last_user)?;
        let best = |name: &str| {
            let known = virtual_name(name, self.config)?;
            let is_hit =
                |h: &ModelMatch<'_>| hits.iter().any(|hit| hit.engine.name == h.engine.name);
            self.expand(known).into_iter().find(is_hit)
        };
        let (fast, quality) = (best("fast")?, best("quality")?);
        let (a, b) = (self.prediction(&fast), self.prediction(&quality));
        let near = a.end() <= b.end().saturating_mul(2) && b.end() <= a.end().saturating_mul(2);
        let (chosen, it, other) = match target {
            builtin::VirtualTarget::Fast => (fast, a, b),
            builtin::VirtualTarget::Quality => (quality, b, a),
        };
        let budget = self.config.routing.first_token;
        let in_budget = it.first_token() <= budget || other.first_token() > budget;
        (near && in_budget && fast.engine.name != quality.engine.name).then_some(chosen)
    }

    /// Returns the sort key of a match for `auto`. Matches whose first token is predicted within
    /// `routing.first_token` come first, by the end of the answer; the others follow by their first
    /// token.
    fn rank(&self, hit: &ModelMatch<'_>) -> (bool, Duration) {
        let predicted = self.prediction(hit);
        if predicted.first_token() <= self.config.routing.first_token {
            (false, predicted.end())
        } else {
            (true, predicted.first_token())
        }
    }

    /// Predicts length and times of the answer that this model would give to the request.
    pub(super) fn prediction(&self, hit: &ModelMatch<'_>) -> Prediction {
        let demand = self.demand;
        let asked = PredictionInput {
            prompt_tokens: demand.prompt_tokens,
            max_tokens: demand.max_tokens,
            client: &demand.client,
            before: self.view.turns_before(hit.engine, &demand.client),
        };
        predict::predict(&self.view.measurements, hit.engine, hit.model, &asked)
    }
}
