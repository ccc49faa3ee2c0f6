//! The file of the measurements: JSON with a version. Nothing in it is believed that no measurement
//! gives.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    client_measurements::{ClientMeasurements, MOST_CLIENTS},
    context_needs::ContextNeeds,
    measurements::{EngineMeasurements, Measurements, ModelRates},
    running_mean::RunningMean,
};
use crate::client::ClientId;

/// The name of the file in `state_dir`.
pub(super) const NAME: &str = "predictor.json";
/// The version of its format. A file of another version is not read.
const VERSION: u64 = 1;

/// The version alone, which is read first.
#[derive(Deserialize)]
struct FileVersion {
    /// The version of the format.
    version: u64,
}

/// The content of the file.
#[derive(Serialize, Deserialize)]
struct FileForm {
    /// The version of the format.
    version: u64,
    /// Engines by name.
    engines: BTreeMap<String, EngineRecord>,
    /// Clients by id.
    #[serde(default)]
    clients: BTreeMap<String, ClientRecord>,
}

/// The measurements of one engine in the file.
#[derive(Serialize, Deserialize)]
struct EngineRecord {
    /// The seconds of an answer.
    #[serde(default)]
    service_s: RunningMean,
    /// The models by name.
    #[serde(default)]
    models: BTreeMap<String, ModelRates>,
}

/// The measurements of one client in the file.
#[derive(Serialize, Deserialize)]
#[serde(default)]
#[derive(Default)]
struct ClientRecord {
    /// The number of its last answer among those of all clients.
    last: u64,
    /// The tokens of an answer.
    answer_tokens: RunningMean,
    /// The tokens of an answer by engine and model.
    engines: BTreeMap<String, BTreeMap<String, RunningMean>>,
    /// Needs by configured context.
    needs: ContextNeeds,
}

/// The text of the file.
pub(crate) fn write(learned: &Measurements) -> String {
    let engines = learned.engines.iter().map(|(name, engine)| {
        let models = engine.models.iter();
        let form = EngineRecord {
            service_s: engine.service_seconds,
            models: models.map(|(m, rates)| (m.to_string(), *rates)).collect(),
        };
        (name.to_string(), form)
    });
    let form = FileForm {
        version: VERSION,
        engines: engines.collect(),
        clients: learned
            .clients
            .iter()
            .map(|(id, client)| (id.to_string(), ClientRecord::from_client(client)))
            .collect(),
    };
    // Maps with text keys and finite numbers always have a JSON form.
    serde_json::to_string_pretty(&form).unwrap_or_default()
}

/// The measurements in the text of a file; an error says in words why it is not read.
pub(crate) fn read(text: &str) -> Result<Measurements, String> {
    let broken = |error: serde_json::Error| format!("it is no predictor's file ({error})");
    let FileVersion { version } = serde_json::from_str(text).map_err(broken)?;
    if version != VERSION {
        return Err(format!(
            "it has version {version}, this Crucible reads version {VERSION}"
        ));
    }
    let form: FileForm = serde_json::from_str(text).map_err(broken)?;
    let engines = form.engines.into_iter().map(|(name, engine)| {
        let models = engine.models.into_iter();
        let of_engine = EngineMeasurements {
            service_seconds: sound(engine.service_s),
            models: models
                .map(|(model, rates)| (Arc::from(model), rates.without_invalid()))
                .collect(),
        };
        (Arc::from(name), of_engine)
    });
    let mut clients: Vec<_> = form.clients.into_iter().collect();
    clients.sort_by_key(|(_, client)| std::cmp::Reverse(client.last));
    clients.truncate(MOST_CLIENTS);
    let last_answer = clients.first().map_or(0, |(_, client)| client.last);
    let clients = clients
        .into_iter()
        .map(|(id, client)| (ClientId::from_shown(&id), Arc::new(client.into_client())));
    Ok(Measurements {
        engines: engines.collect(),
        clients: clients.collect(),
        last_answer,
    })
}

/// The mean, or an empty one in place of numbers that no measurement gives.
fn sound(estimate: RunningMean) -> RunningMean {
    if estimate.is_valid() {
        estimate
    } else {
        RunningMean::default()
    }
}

// === impl ClientRecord ===

impl ClientRecord {
    /// The record of a client.
    fn from_client(client: &ClientMeasurements) -> Self {
        let engines = client.engines.iter().map(|(engine, models)| {
            let models = models.iter().map(|(m, tokens)| (m.to_string(), *tokens));
            (engine.to_string(), models.collect())
        });
        Self {
            last: client.last_answer,
            answer_tokens: client.answer_tokens,
            engines: engines.collect(),
            needs: client.context_needs.clone(),
        }
    }

    /// The client of a record, without numbers that no measurement gives.
    fn into_client(self) -> ClientMeasurements {
        let engines = self.engines.into_iter().map(|(engine, models)| {
            let models = models.into_iter();
            let models = models.map(|(model, tokens)| (Arc::from(model), sound(tokens)));
            (Arc::from(engine), models.collect())
        });
        ClientMeasurements {
            // More than this is no count, and could not grow.
            last_answer: self.last.min(u64::from(u32::MAX)),
            answer_tokens: sound(self.answer_tokens),
            engines: engines.collect(),
            context_needs: self.needs.without_absurd(),
        }
    }
}

// === impl ModelRates ===

impl ModelRates {
    /// The rates without numbers that no measurement gives.
    fn without_invalid(self) -> Self {
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
        let estimate = RunningMean {
            mean: 12.5,
            samples: 4,
        };
        let rates = ModelRates {
            load_s: estimate,
            ..ModelRates::default()
        };
        let mut learned = Measurements::default();
        let engine = learned.engines.entry("e".into()).or_default();
        engine.service_seconds = estimate;
        engine.models.insert("a/b:c".into(), rates);
        let place = (&Arc::from("e"), &Arc::from("a/b:c"));
        learned.record_client_answer(&ClientId::default(), None, |t| t.add_time(20.0));
        learned.record_client_answer(&ClientId::of_key("laptop"), Some(place), |t| {
            t.add_time(40.0);
        });
        learned.record_context_need(&ClientId::of_key("laptop"), 9700, 4096);
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
        assert_eq!(learned.model_rates("e", "m"), Some(&ModelRates::default()));
    }
}
