//! The questions and what answers teach.

use std::sync::Arc;

use proptest::prelude::*;

use crucible_config::checked::Device;

use super::*;
use crate::{
    client::ClientId,
    measurements::{AnswerSample, ModelRates, TimedTokens, file},
    plan::fixture::{engine, generation},
};

fn asked(prompt_tokens: u64) -> PredictionInput<'static> {
    static NOBODY: std::sync::LazyLock<ClientId> = std::sync::LazyLock::new(ClientId::default);
    PredictionInput {
        prompt_tokens,
        max_tokens: None,
        client: &NOBODY,
        before: 0,
    }
}

fn first_token(
    learned: &Measurements,
    engine: &EngineView,
    model: &ModelInfo,
    estimate: u64,
) -> Prediction {
    predict(learned, engine, model, &asked(estimate))
}

fn queue_wait(learned: &Measurements, engine: &EngineView, model: &str) -> PredictedTime {
    super::queue_wait(learned, engine, model, engine.queued)
}

fn permit_wait(learned: &Measurements, engine: &EngineView, model: &str) -> Duration {
    super::permit_wait(learned, engine, model, engine.queued)
}

fn nothing() -> Measurements {
    Measurements::default()
}

fn answer(
    prompt: impl Into<Option<TimedTokens>>,
    output: impl Into<Option<TimedTokens>>,
) -> AnswerSample {
    AnswerSample {
        engine: "e".into(),
        model: "m".into(),
        client: ClientId::default(),
        model_was_chosen: false,
        estimated_prompt_tokens: None,
        prompt_tokens: None,
        prompt_time: prompt.into(),
        cache_unknown: false,
        answer_length: None,
        output_time: output.into(),
        context_need: None,
        service_time: Duration::from_secs(4),
    }
}

fn pace(tokens: u64, millis: u64) -> TimedTokens {
    TimedTokens {
        tokens,
        took: Duration::from_millis(millis),
    }
}

fn taught(samples: impl IntoIterator<Item = AnswerSample>) -> Measurements {
    let mut learned = nothing();
    for sample in samples {
        learned.record_answer(&sample, Device::Cpu);
    }
    learned
}

fn near(found: Duration, wanted: f64) -> bool {
    (found.as_secs_f64() - wanted).abs() < 0.01 * wanted.max(0.01)
}

#[test]
fn what_cannot_have_been_read_in_the_time_was_cached() {
    let learned = taught(vec![answer(pace(1000, 10_000), None); 3]);
    let of = |tokens: u64, millis: u64| cached_tokens(&learned, "e", "m", pace(tokens, millis));
    assert_eq!(of(1000, 500), Some(950));
    assert_eq!(of(1000, 10_000), Some(0));
    // A little faster than usual is no cache.
    assert_eq!(of(1000, 8_000), Some(0));
    assert_eq!(of(1000, 0), Some(999));
    // Too short, or nothing was measured.
    assert_eq!(of(10, 0), None);
    assert_eq!(cached_tokens(&learned, "e", "other", pace(1000, 0)), None);
}

#[test]
fn a_resident_waits_for_its_prompt_only() {
    let gpu = engine("gpu", Device::Gpu, &["m"]).holding("m");
    let found = first_token(&nothing(), &gpu, &generation("m"), 2000);
    assert_eq!(found.first_token(), Duration::from_secs(2));
    assert_eq!(found.prefill.basis, PredictionBasis::Prior);
    assert_eq!(
        (found.queue, found.load),
        (PredictedTime::NONE, PredictedTime::NONE)
    );
}

#[test]
fn a_load_counts_by_size_and_device_until_one_was_measured() {
    let cpu = engine("e", Device::Cpu, &["m"]);
    let mut model = generation("m");
    let total = |learned: &Measurements, model: &ModelInfo, n| {
        first_token(learned, &cpu, model, n).first_token()
    };
    assert_eq!(total(&nothing(), &model, 0), Duration::from_secs(10));
    model.size_bytes = Some(1_000_000_000);
    assert_eq!(total(&nothing(), &model, 60), Duration::from_secs(3));
    let mut learned = nothing();
    learned.record_load(&"e".into(), &"m".into(), Duration::from_secs(7));
    assert_eq!(total(&learned, &model, 60), Duration::from_secs(8));
    let load = first_token(&learned, &cpu, &model, 60).load;
    assert_eq!(load.basis, PredictionBasis::Measured(1));
}

#[test]
fn no_load_is_counted_where_none_is_controlled() {
    let mut plain = engine("plain", Device::Gpu, &["m"]);
    plain.load_control = false;
    let found = first_token(&nothing(), &plain, &generation("m"), 0);
    assert_eq!(found.first_token(), Duration::ZERO);
}

#[test]
fn a_load_under_way_counts_with_its_rest() {
    let mut gpu = engine("gpu", Device::Gpu, &["m", "n"]);
    let mut loading = LoadingView {
        model: "m".into(),
        since: Duration::from_secs(3),
        expected: Some(Duration::from_secs(4)),
    };
    let total =
        |gpu: &EngineView, model| first_token(&nothing(), gpu, &generation(model), 0).first_token();
    gpu.loading = Some(loading.clone());
    assert_eq!(total(&gpu, "m"), Duration::from_secs(1));
    assert_eq!(total(&gpu, "n"), Duration::from_secs(6));
    loading.expected = None;
    gpu.loading = Some(loading);
    assert_eq!(total(&gpu, "n"), Duration::from_secs(7));
}

#[test]
fn the_queue_counts_once_every_permit_is_out() {
    let mut gpu = engine("gpu", Device::Gpu, &["m"]).holding("m");
    gpu.permits = 2;
    (gpu.active, gpu.residents[0].active) = (3, 1);
    assert_eq!(queue_wait(&nothing(), &gpu, "m"), PredictedTime::NONE);
    gpu.residents[0].active = 2;
    gpu.queued = 4;
    let mean = mean_service(&nothing(), &gpu).time;
    assert_eq!(queue_wait(&nothing(), &gpu, "m").time, mean * 5 / 2);
    // A prior is no reason to send anybody away.
    assert_eq!(permit_wait(&nothing(), &gpu, "m"), Duration::ZERO);
}

#[test]
fn the_wait_for_a_permit_counts_what_is_measured() {
    let mut cpu = engine("e", Device::Cpu, &["m", "n"]).holding("m");
    (cpu.permits, cpu.residents[0].active, cpu.active, cpu.queued) = (2, 2, 2, 3);
    let mut learned = taught(vec![answer(None, None); 3]);
    assert!(near(permit_wait(&learned, &cpu, "m"), 8.0));
    cpu.loading = Some(LoadingView {
        model: "n".into(),
        since: Duration::from_secs(2),
        expected: None,
    });
    assert!(near(permit_wait(&learned, &cpu, "m"), 8.0));
    assert!(near(permit_wait(&learned, &cpu, "n"), 8.0));
    learned.record_load(&"e".into(), &"n".into(), Duration::from_secs(7));
    assert!(near(permit_wait(&learned, &cpu, "n"), 13.0));
}

#[test]
fn absurd_prompts_do_not_overflow() {
    let cpu = engine("e", Device::Cpu, &["m"]);
    let found = first_token(&nothing(), &cpu, &generation("m"), u64::MAX);
    assert!(found.first_token() > Duration::from_secs(1));
    let mut sample = answer(pace(1000, 10), None);
    (sample.estimated_prompt_tokens, sample.prompt_tokens) = (Some(500), Some(2000));
    let learned = taught(vec![sample; 3]);
    let found = first_token(&learned, &cpu, &generation("m"), u64::MAX);
    assert_eq!(found.prompt_tokens, u64::MAX);
    assert!(found.first_token() > Duration::from_secs(1));
}

#[test]
fn three_answers_replace_the_prior() {
    let cpu = engine("e", Device::Cpu, &["m"]).holding("m");
    let sample = answer(pace(500, 2000), pace(100, 5000));
    let two = taught(vec![sample.clone(); 2]);
    let found = first_token(&two, &cpu, &generation("m"), 600).prefill;
    assert_eq!(
        (found.time, found.basis),
        (Duration::from_secs(10), PredictionBasis::Prior)
    );
    let three = taught(vec![sample; 3]);
    let found = first_token(&three, &cpu, &generation("m"), 600).prefill;
    assert!(near(found.time, 2.4), "{found:?}");
    assert_eq!(found.basis, PredictionBasis::Measured(3));
    let rate = three
        .model_rates("e", "m")
        .unwrap()
        .output_per_s
        .if_enough();
    assert!(
        rate.is_some_and(|(rate, _)| (rate - 20.0).abs() < 0.1),
        "{rate:?}"
    );
    let mut busy = cpu;
    (busy.permits, busy.residents[0].active) = (1, 1);
    let wait = queue_wait(&three, &busy, "m");
    assert!(near(wait.time, 4.0), "{wait:?}");
    assert_eq!(wait.basis, PredictionBasis::Measured(3));
}

#[test]
fn bytes_per_token_come_from_prompts_that_are_long_enough() {
    let mut sample = answer(None, None);
    (sample.estimated_prompt_tokens, sample.prompt_tokens) = (Some(100), Some(127));
    let learned = taught(vec![sample.clone(); 5]);
    assert_eq!(prompt_tokens(&learned, "e", "m", 1000), 1000);
    (sample.estimated_prompt_tokens, sample.prompt_tokens) = (Some(1000), Some(2000));
    let learned = taught(vec![sample; 5]);
    let found = prompt_tokens(&learned, "e", "m", 1000);
    assert!((1999..=2001).contains(&found), "{found}");
    assert_eq!(prompt_tokens(&learned, "e", "other", 1000), 1000);
}

#[test]
fn one_odd_answer_moves_little_and_a_lasting_change_is_followed() {
    let usual = answer(pace(1000, 10_000), None);
    let rate = |learned: &Measurements| learned.model_rates("e", "m").unwrap().prompt_per_s.mean;
    let mut learned = taught(vec![usual; 8]);
    learned.record_answer(&answer(pace(1000, 10_000_000), None), Device::Cpu);
    assert!(rate(&learned) > 80.0, "{}", rate(&learned));
    for _ in 0..40 {
        learned.record_answer(&answer(pace(1000, 1000), None), Device::Cpu);
    }
    assert!(rate(&learned) > 900.0, "{}", rate(&learned));
}

#[test]
fn a_prompt_from_the_cache_is_not_taken_for_a_fast_engine() {
    let mut cached = answer(pace(20_000, 100), None);
    cached.cache_unknown = true;
    let rate = |learned: &Measurements| learned.model_rates("e", "m").unwrap().prompt_per_s;
    assert_eq!(rate(&taught(vec![cached.clone(); 3])).samples, 0);
    let mut fresh = answer(pace(20_000, 100_000), None);
    fresh.cache_unknown = true;
    let learned = taught([vec![fresh; 3], vec![cached; 3]].concat());
    assert_eq!(rate(&learned).samples, 3);
}

#[test]
fn long_answers_weigh_by_their_length_in_a_queue() {
    let short = answer(None, None);
    let long = AnswerSample {
        context_need: None,
        service_time: Duration::from_secs(36),
        ..short.clone()
    };
    let learned = taught([short.clone(), long, short.clone(), short]);
    let (mean, samples) = learned.service_time("e").unwrap().if_enough().unwrap();
    assert_eq!(samples, 4);
    assert!((mean - 12.0).abs() < 0.01, "{mean}");
}

#[test]
fn what_is_too_small_teaches_nothing() {
    let mut sample = answer(pace(10, 1000), pace(3, 1000));
    sample.service_time = Duration::from_micros(300);
    let mut learned = taught(vec![sample, answer(pace(1000, 1), pace(1000, 1))]);
    learned.record_load(&"e".into(), &"m".into(), Duration::from_millis(1));
    assert_eq!(learned.model_rates("e", "m"), Some(&ModelRates::default()));
    assert_eq!(learned.service_time("e").unwrap().samples, 1);
}

#[test]
fn the_number_of_models_is_bounded() {
    let samples = (0..1500).map(|i| {
        let mut sample = answer(None, pace(100, 1000));
        sample.model = Arc::from(format!("m{i}"));
        sample
    });
    let learned = taught(samples);
    assert!(learned.model_rates("e", "m999").is_some());
    assert!(learned.model_rates("e", "m1000").is_none());
}

fn any_pace() -> impl Strategy<Value = Option<TimedTokens>> {
    let pace = (any::<u64>(), any::<u64>()).prop_map(|(tokens, nanos)| TimedTokens {
        tokens,
        took: Duration::from_nanos(nanos),
    });
    proptest::option::of(pace)
}

fn any_sample() -> impl Strategy<Value = AnswerSample> {
    let counts = (any::<Option<u64>>(), any::<Option<u64>>());
    let paces = (any_pace(), any_pace(), any::<bool>(), any::<u64>());
    (counts, paces).prop_map(
        |((estimate, prompt_tokens), (prompt, output, unknown, nanos))| AnswerSample {
            estimated_prompt_tokens: estimate,
            prompt_tokens,
            cache_unknown: unknown,
            context_need: None,
            service_time: Duration::from_nanos(nanos),
            ..answer(prompt, output)
        },
    )
}

proptest! {
    #[test]
    fn whatever_engines_tell_the_numbers_stay_sound_and_longer_prompts_take_longer(
        samples in proptest::collection::vec(any_sample(), 0..30),
        tokens in any::<u64>(),
        more in any::<u64>(),
    ) {
        let learned = taught(samples);
        let rates = learned.model_rates("e", "m").copied().unwrap_or_default();
        let all = [rates.prompt_per_s, rates.output_per_s, rates.bytes_per_token];
        for estimate in all {
            prop_assert!(estimate.samples == 0 || estimate.is_valid(), "{estimate:?}");
        }
        let read = file::read(&file::write(&learned)).unwrap();
        let samples = |l: &Measurements| l.model_rates("e", "m").map(|r| r.prompt_per_s.samples);
        prop_assert_eq!(samples(&read), samples(&learned));
        let cpu = engine("e", Device::Cpu, &["m"]).holding("m");
        let time = |n| first_token(&learned, &cpu, &generation("m"), n).first_token();
        prop_assert!(time(tokens.saturating_add(more)) >= time(tokens));
    }
}
