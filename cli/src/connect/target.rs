//! The Crucible that a client is pointed at: its address, its key, and what it says of the models.

use bytes::Bytes;
use clap::Args;
use crucible_config::Config;
use crucible_documents::{
    StateDoc,
    explain::ContextDoc,
    running::{InstanceSearch, RunningInstance, find_instance_at},
};
use crucible_router::{catalog::ModelKind, view::Health};
use serde_json::json;

use super::{
    client_program::ClientProgram,
    client_settings::{ASSUMED_CONTEXT, ChosenModel, ClientSettings},
};
use crate::{
    CommandFailure,
    instance::{self, InstanceArgs},
};

/// The virtual model that every Crucible answers to.
const AUTOMATIC: &str = "auto";

/// The tokens that an agent wants beside its first prompt, for answers and the next turns.
const ROOM: u64 = 4096;

/// The bytes of a prompt that are counted as a token.
const BYTES_PER_TOKEN: usize = 4;

/// The arguments that say which Crucible and which models a client is given.
#[derive(Args, Clone, Debug)]
pub(crate) struct TargetArgs {
    /// Model that the client begins with; more of them are listed where the client has a list
    /// [default: `default_model`, else a loaded one, else the first, else auto]
    #[arg(long, value_name = "NAME")]
    model: Vec<String>,
    #[command(flatten)]
    instance: InstanceArgs,
}

/// The settings for clients, and the way in which they were found.
#[derive(Debug)]
pub(crate) struct ConnectTarget {
    /// The values.
    pub(crate) settings: ClientSettings,
    /// The instance that said so, where one runs.
    pub(crate) running: Option<RunningInstance>,
    /// The facts that a person should know, one sentence each.
    pub(crate) notes: Vec<String>,
}

// === impl ConnectTarget ===

impl ConnectTarget {
    /// Looks for the Crucible of these arguments and asks it for models and contexts.
    ///
    /// # Errors
    /// The address is no URL, or the running instance does not know a model.
    pub(crate) async fn find(
        config: &Config,
        args: &TargetArgs,
        client: &ClientProgram,
    ) -> Result<Self, CommandFailure> {
        let url = args.instance.url(config)?;
        let key = args.instance.key();
        let mut notes = Vec::new();
        let running = running(&url, key.clone(), &mut notes).await;
        let names = if args.model.is_empty() {
            vec![usual_model(
                config,
                running.as_ref().map(|running| &running.state),
            )]
        } else {
            args.model.clone()
        };
        let mut models = Vec::new();
        for name in names {
            let context = match &running {
                Some(running) => context(running, &name, client, &mut notes).await?,
                None => None,
            };
            models.push(ChosenModel { name, context });
        }
        let model = models.remove(0);
        if model.context.is_none() {
            notes.push(assumed(&model.name));
        }
        Ok(Self {
            settings: ClientSettings {
                url,
                key,
                model,
                others: models,
            },
            running,
            notes,
        })
    }
}

/// The instance at this address; a note says why there is none.
async fn running(
    url: &str,
    key: Option<String>,
    notes: &mut Vec<String>,
) -> Option<RunningInstance> {
    match find_instance_at(url, key).await {
        InstanceSearch::Running(instance) => return Some(*instance),
        other => notes.extend(instance::why_none(url, &other)),
    }
    None
}

/// Says that the context of a model is not known.
fn assumed(model: &str) -> String {
    let chosen = if model == AUTOMATIC {
        "; auto lets Crucible choose the model, --model names one"
    } else {
        ""
    };
    format!("the context of {model} is not known: {ASSUMED_CONTEXT} is assumed{chosen}")
}

/// The model of someone who names none.
fn usual_model(config: &Config, state: Option<&StateDoc>) -> String {
    let resident = |state: &StateDoc| {
        let answers = |engine: &str, model: &str| {
            let engine = state.engines.iter().find(|e| *e.name == *engine);
            let listed = engine.and_then(|e| e.catalog.iter().find(|m| *m.model == *model));
            listed.is_none_or(|model| model.kind == ModelKind::Generation)
        };
        let residents = state.pools.iter().flat_map(|pool| &pool.residents);
        let answering = residents.filter(|r| answers(&r.engine, &r.model));
        let last_used = answering.min_by(|a, b| a.idle_s.total_cmp(&b.idle_s));
        last_used.map(|resident| resident.model.to_string())
    };
    let first = |state: &StateDoc| {
        let up = state
            .engines
            .iter()
            .filter(|engine| engine.state == Health::Up);
        let mut models = up.flat_map(|engine| &engine.catalog);
        let found = models.find(|model| model.kind == ModelKind::Generation);
        found.map(|model| model.model.to_string())
    };
    let configured = config.default_model.clone();
    configured
        .or_else(|| state.and_then(resident))
        .or_else(|| state.and_then(first))
        .unwrap_or_else(|| AUTOMATIC.to_owned())
}

/// The context that this client's prompts get: what a short prompt gets where that is enough, else what a
/// prompt of the client's length gets. A note says where that is too little.
async fn context(
    running: &RunningInstance,
    model: &str,
    client: &ClientProgram,
    notes: &mut Vec<String>,
) -> Result<Option<u64>, CommandFailure> {
    let short = explained(running, model, 0)
        .await
        .map_err(|words| CommandFailure::wrong(format!("{model}: {words}")))?;
    let Some(short) = short else {
        return Ok(None);
    };
    let prompt = client.prompt.tokens();
    if prompt == 0 || short.given >= prompt + ROOM {
        return Ok(Some(short.given));
    }
    let long = explained(running, model, prompt + ROOM / 2).await;
    let given = match long {
        Ok(Some(long)) => long.given.max(short.given),
        Ok(None) | Err(_) => short.given,
    };
    if given < prompt + ROOM / 2 {
        notes.push(format!(
            "{title} begins with a prompt of some {prompt} tokens, and {model} has {given} here. Give it \
             more in crucible.toml: profile = \"agent\", or below [[model]] name = \"{model}\" context = \
             {wanted}",
            title = client.title,
            wanted = (2 * prompt).next_power_of_two(),
        ));
    } else if given > short.given {
        notes.push(format!(
            "{model} is loaded with {} tokens at first, and once again with {given} when {} sends its first \
             prompt; [[model]] context = {given} in crucible.toml saves that load",
            short.given, client.title
        ));
    }
    Ok(Some(given))
}

/// Asks the running instance to explain a chat with a prompt of so many tokens; `Err` holds the
/// words of its refusal.
async fn explained(
    running: &RunningInstance,
    model: &str,
    tokens: u64,
) -> Result<Option<ContextDoc>, String> {
    let tokens = usize::try_from(tokens).unwrap_or_default();
    // Text that no tokenizer shortens much.
    let text = "word".repeat(tokens * BYTES_PER_TOKEN / 4);
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": text }] });
    match running.explain(Bytes::from(body.to_string())).await {
        Some(Ok(explained)) => Ok(explained.context),
        Some(Err(refusal)) => Err(refusal.message),
        None => Ok(None),
    }
}
