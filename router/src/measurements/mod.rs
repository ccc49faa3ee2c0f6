//! The measurements of engines, models and clients that predictions and schedules rest on, kept
//! across restarts.
//!
//! [`Measurements`] is plain data: running means by engine, model and client, learned from finished
//! answers ([`AnswerSample`]) and loads. `MeasurementStore` owns it: readers take a snapshot, one
//! task writes the file `predictor.json` in `state_dir`. The questions that are asked of it are in
//! [`predict`](crate::predict).

mod client_measurements;
mod context_needs;
pub(crate) mod file;
#[expect(
    clippy::module_inception,
    reason = "the room is named by its main type"
)]
mod measurements;
mod per_client;
pub(crate) mod priors;
pub(crate) mod running_mean;
mod sample;
mod store;

pub(crate) use self::store::MeasurementStore;
pub use self::{
    measurements::{Measurements, ModelRates},
    priors::{load_time_prior, output_prior, prompt_prior},
    running_mean::RunningMean,
    sample::{AnswerLength, AnswerSample, TimedTokens},
};
