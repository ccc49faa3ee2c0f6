//! The predictor's file: JSON with a version, read with suspicion.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    clients::{MOST_CLIENTS, OfClient},
    needs::Needs,
    rates::{Estimate, Learned, OfEngine, Rates},
};
use crate::client::ClientId;

/// Its name in `state_dir`.
pub(super) const NAME: &str = "predictor.json";
/// Another version is not read.
const VERSION: u64 = 1;

#[derive(Deserialize)]
struct Version {
    version: u64,
}

#[derive(Serialize, Deserialize)]
struct Form {
    version: u64,
    engines: BTreeMap<String, EngineForm>,
    #[serde(default)]
    clients: BTreeMap<String, ClientForm>,
}

#[derive(Serialize, Deserialize)]
struct EngineForm {
    #[serde(default)]
    service_s: Estimate,
    #[serde(default)]
    models: BTreeMap<String, Rates>,
}

#[derive(Serialize, Deserialize)]
#[serde(default)]
#[derive(Default)]
struct ClientForm {
    last: u64,
    answer_tokens: Estimate,
    engines: BTreeMap<String, BTreeMap<String, Estimate>>,
    needs: Needs,
}

/// The text of the file.
pub(super) fn write(learned: &Learned) -> String {
    let engines = learned.engines.iter().map(|(name, engine)| {
        let models = engine.models.iter();
        let form = EngineForm {
            service_s: engine.service_s,
            models: models.map(|(m, rates)| (m.to_string(), *rates)).collect(),
        };
        (name.to_string(), form)
    });
    let form = Form {
        version: VERSION,
        engines: engines.collect(),
        clients: learned
            .clients
            .iter()
            .map(|(id, client)| (id.to_string(), ClientForm::of(client)))
            .collect(),
    };
    // Maps with text keys and finite numbers always have a JSON form.
    serde_json::to_string_pretty(&form).unwrap_or_default()
}

/// What the file says; an error says in words why it is not read.
pub(super) fn read(text: &str) -> Result<Learned, String> {
    let broken = |error: serde_json::Error| format!("it is no predictor's file ({error})");
    let Version { version } = serde_json::from_str(text).map_err(broken)?;
    if version != VERSION {
        return Err(format!(
            "it has version {version}, this Crucible reads version {VERSION}"
        ));
    }
    let form: Form = serde_json::from_str(text).map_err(broken)?;
    let engines = form.engines.into_iter().map(|(name, engine)| {
        let models = engine.models.into_iter();
        let of_engine = OfEngine {
            service_s: sound(engine.service_s),
            models: models
                .map(|(model, rates)| (Arc::from(model), rates.sound()))
                .collect(),
        };
        (Arc::from(name), of_engine)
    });
    let mut clients: Vec<_> = form.clients.into_iter().collect();
    clients.sort_by_key(|(_, client)| std::cmp::Reverse(client.last));
    clients.truncate(MOST_CLIENTS);
    let clients = clients
        .into_iter()
        .map(|(id, client)| (ClientId::named(&id), Arc::new(client.sound())));
    Ok(Learned {
        engines: engines.collect(),
        clients: clients.collect(),
    })
}

/// A number that no measurement gives is none.
fn sound(estimate: Estimate) -> Estimate {
    if estimate.is_sound() {
        estimate
    } else {
        Estimate::default()
    }
}

// === impl ClientForm ===

impl ClientForm {
    fn of(client: &OfClient) -> Self {
        let engines = client.engines.iter().map(|(engine, models)| {
            let models = models.iter().map(|(m, tokens)| (m.to_string(), *tokens));
            (engine.to_string(), models.collect())
        });
        Self {
            last: client.last,
            answer_tokens: client.answer_tokens,
            engines: engines.collect(),
            needs: client.needs.clone(),
        }
    }

    fn sound(self) -> OfClient {
        let engines = self.engines.into_iter().map(|(engine, models)| {
            let models = models.into_iter();
            let models = models.map(|(model, tokens)| (Arc::from(model), sound(tokens)));
            (Arc::from(engine), models.collect())
        });
        OfClient {
            // More than this is no count, and could not grow.
            last: self.last.min(u64::from(u32::MAX)),
            answer_tokens: sound(self.answer_tokens),
            engines: engines.collect(),
            needs: self.needs.sound(),
        }
    }
}

// === impl Rates ===

impl Rates {
    fn sound(self) -> Self {
        Self {
            prompt_per_s: sound(self.prompt_per_s),
            output_per_s: sound(self.output_per_s),
            load_s: sound(self.load_s),
            bytes_per_token: sound(self.bytes_per_token),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let estimate = Estimate {
            mean: 12.5,
            samples: 4,
        };
        let rates = Rates {
            load_s: estimate,
            ..Rates::default()
        };
        let mut learned = Learned::default();
        let engine = learned.engines.entry("e".into()).or_default();
        engine.service_s = estimate;
        engine.models.insert("a/b:c".into(), rates);
        let place = (&Arc::from("e"), &Arc::from("a/b:c"));
        learned.learn_client(&ClientId::default(), None, |t| t.take_time(20.0));
        learned.learn_client(&ClientId::of_key("laptop"), Some(place), |t| {
            t.take_time(40.0);
        });
        learned.learn_need(&ClientId::of_key("laptop"), 9700, 4096);
        assert_eq!(read(&write(&learned)), Ok(learned));
    }

    #[test]
    fn broken_foreign_and_impossible_files_are_not_believed() {
        for text in ["", "{", "[]", "{\"version\":1}", "{\"version\":\"1\"}"] {
            assert!(read(text).is_err(), "{text}");
        }
        let newer = read("{\"version\":2,\"shape\":\"new\"}").unwrap_err();
        assert!(newer.contains("version 2"), "{newer}");
        let odd = "{\"version\":1,\"engines\":{\"e\":{\"models\":{\"m\":\
                   {\"load_s\":{\"mean\":-3.0,\"samples\":9}}}}}}";
        let learned = read(odd).unwrap();
        assert_eq!(learned.rates("e", "m"), Some(&Rates::default()));
    }
}
