//! The 39 settings of the hybrid profile: one [table], and everything that is made from it.
//!
//! An entry of the table exists once. Its identifier is a variant of [`TuningId`], its value a typed
//! field of [`Tuning`], its description a [`TuningRow`] in [`TUNINGS`]:
//!
//! ```
//! use crucible_config::{Config, tuning::TuningId};
//!
//! let config = Config::builtin();
//! assert_eq!(config.tuning.lmstudio.model_ttl.as_secs(), 300);
//!
//! let id = TuningId::LmstudioModelTtl;
//! assert_eq!((id.number(), id.as_str()), (5, "lmstudio.model_ttl"));
//! assert_eq!(id.path(), "tuning.lmstudio.model_ttl");
//! assert_eq!(id.row().hybrid, "300s");
//! assert_eq!(config.tuning.value(id), 300);
//! ```
//!
//! The keys of the file, their environment variables, the JSON schema, the reference pages and the
//! [report](crate::Config::tuning_report) are derived from the rows. Whether a setting is in effect on
//! a running engine is the matter of `crucible_router::verify`, which matches on [`TuningId`].

#[macro_use]
mod macros;

mod id;
mod profile;
mod report;
mod row;
mod shown;
pub mod table;

pub(crate) use self::row::TuningSource;
pub use self::{
    profile::ProfileName,
    report::{ReportedTuning, TuningReport, TuningState},
    row::{TuningGroup, TuningMechanism, TuningRow},
    table::{EnvironmentTuning, LmstudioTuning, OllamaTuning, TUNINGS, Tuning, TuningId},
};

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn twenty_and_eleven_and_eight() {
        let count = |group| TUNINGS.iter().filter(|row| row.group == group).count();
        assert_eq!(count(TuningGroup::Lmstudio), 20);
        assert_eq!(count(TuningGroup::Ollama), 11);
        assert_eq!(count(TuningGroup::Environment), 8);
    }

    #[test]
    fn numbers_and_ids_are_unique_and_in_order() {
        let ids: HashSet<_> = TUNINGS.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids.len(), 39);
        for (i, row) in TUNINGS.iter().enumerate() {
            assert_eq!(usize::from(row.id.number()), i + 1, "{}", row.id);
            assert_eq!(row.id.row().id, row.id);
            let whole = format!("{}.{}", row.group.as_str(), row.id.key());
            assert_eq!(row.id.as_str(), whole);
            assert_eq!(row.id.path(), format!("tuning.{whole}"));
        }
    }

    #[test]
    fn every_literal_is_a_value_of_its_kind() {
        for row in &TUNINGS {
            for profile in [ProfileName::Hybrid, ProfileName::Agent] {
                if let Some(text) = row.literal(profile) {
                    assert!(row.kind.read_text(text).is_ok(), "{} = {text}", row.id);
                }
            }
        }
    }

    #[test]
    fn the_five_knobs_that_do_not_exist_name_the_real_one() {
        let fiction: Vec<u8> = TUNINGS
            .iter()
            .filter(|row| row.superseded_by.is_some())
            .map(|row| row.id.number())
            .collect();
        assert_eq!(fiction, [31, 32, 33, 38, 39]);
    }

    #[test]
    fn an_identifier_is_written_and_read_as_its_text() {
        for id in TuningId::ALL {
            let text = serde_json::to_string(&id).unwrap();
            assert_eq!(text, format!("\"{id}\""));
            assert_eq!(serde_json::from_str::<TuningId>(&text).unwrap(), id);
        }
        let unknown = serde_json::from_str::<TuningId>("\"ollama.num_thread\"").unwrap_err();
        assert!(
            unknown
                .to_string()
                .contains("no setting is named \"ollama.num_thread\"")
        );
    }
}
