//! What Crucible relies on in an engine, as one list of behaviours for every engine: the
//! simulators always, the real ones where the environment names them (see `target`).
//!
//! The table at the end says which behaviour is asked of which engine. `docs/engines.md` says
//! what was proved on which version.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod answers;
mod control;
mod ollama;
mod refusals;

use crucible_tests::target::Target;
use serde_json::{Value, json};

/// Writes on until it is stopped: `repeat` for the simulators, prose for the others.
fn endless(target: &Target) -> Value {
    let mut body = ask(target, "Tell a story about the sea. repeat 5000");
    if target.real() {
        // A small model would end its story early; a schema does not let it.
        body["response_format"] = json!({ "type": "json_schema", "json_schema": {
            "name": "story", "schema": {
                "type": "array", "items": { "enum": ["far out in the ocean, where the water is blue"] },
                "minItems": 1000, "maxItems": 1001,
            },
        } });
    }
    body
}

/// A request for a few dozen tokens that comes out the same each time.
fn ask(target: &Target, text: &str) -> Value {
    json!({
        "model": target.model,
        "messages": [{ "role": "user", "content": text }],
        "temperature": 0,
        "seed": 7,
        "max_tokens": 24,
    })
}

macro_rules! conformance {
    ($($target:ident: $($part:ident { $($behaviour:ident)+ })+;)+) => {$(
        mod $target {
            $($(
                #[tokio::test]
                async fn $behaviour() {
                    if let Some(target) = super::Target::$target().await {
                        super::$part::$behaviour(&target).await;
                    }
                }
            )+)+
        }
    )+};
}

conformance! {
    simulated_ollama:
        control {
            it_lists_models_and_version
            a_load_has_the_context_that_was_asked_for
            an_unload_is_confirmed
            nothing_is_loaded_twice
        }
        answers {
            a_whole_answer_is_well_formed
            a_streamed_answer_is_well_formed
            a_stop_text_ends_the_answer
            a_token_limit_ends_the_answer_with_length
            the_answer_follows_a_json_schema
            a_client_that_leaves_frees_the_engine
            a_prompt_beyond_the_context_is_refused
            an_error_in_the_middle_is_told
            an_unknown_field_is_ignored
        }
        ollama {
            native_streams_have_this_shape
            native_answers_have_this_shape
            an_empty_prompt_loads_and_keep_alive_zero_unloads
            another_context_loads_again
            overflow_is_silent_unless_truncate_is_false
            options_are_checked_by_type_and_unknown_ones_ignored
            refusals_have_these_texts
            its_own_openai_layer_has_this_shape
            thinking_is_off_where_the_model_cannot
        }
        refusals {
            a_chat_is_refused_in_these_words
            other_bodies_are_refused_in_these_words
            its_openai_layer_refuses_in_these_words
            odd_values_are_taken
            hosts_and_origins_are_these
            paths_and_methods_are_these
        };
    simulated_lmstudio:
        control {
            it_lists_models_and_version
            a_load_has_the_context_that_was_asked_for
            an_unload_is_confirmed
            nothing_is_loaded_twice
        }
        answers {
            a_whole_answer_is_well_formed
            a_streamed_answer_is_well_formed
            a_stop_text_ends_the_answer
            a_token_limit_ends_the_answer_with_length
            the_answer_follows_a_json_schema
            a_client_that_leaves_frees_the_engine
            a_prompt_beyond_the_context_is_refused
            an_error_in_the_middle_is_told
            an_unknown_field_is_ignored
        };
    simulated_openai:
        control {
            it_lists_models_and_version
        }
        answers {
            a_whole_answer_is_well_formed
            a_streamed_answer_is_well_formed
            a_stop_text_ends_the_answer
            a_token_limit_ends_the_answer_with_length
            the_answer_follows_a_json_schema
            a_client_that_leaves_frees_the_engine
            a_prompt_beyond_the_context_is_refused
            an_error_in_the_middle_is_told
            an_unknown_field_is_ignored
        };
    real_ollama:
        control {
            it_lists_models_and_version
            a_load_has_the_context_that_was_asked_for
            an_unload_is_confirmed
            nothing_is_loaded_twice
        }
        answers {
            a_whole_answer_is_well_formed
            a_streamed_answer_is_well_formed
            a_stop_text_ends_the_answer
            a_token_limit_ends_the_answer_with_length
            the_answer_follows_a_json_schema
            a_client_that_leaves_frees_the_engine
            a_prompt_beyond_the_context_is_refused
            an_unknown_field_is_ignored
            a_seed_repeats_the_answer
        }
        ollama {
            native_streams_have_this_shape
            native_answers_have_this_shape
            an_empty_prompt_loads_and_keep_alive_zero_unloads
            another_context_loads_again
            overflow_is_silent_unless_truncate_is_false
            options_are_checked_by_type_and_unknown_ones_ignored
            refusals_have_these_texts
            its_own_openai_layer_has_this_shape
            thinking_is_off_where_the_model_cannot
        }
        refusals {
            a_chat_is_refused_in_these_words
            other_bodies_are_refused_in_these_words
            its_openai_layer_refuses_in_these_words
            odd_values_are_taken
            hosts_and_origins_are_these
            paths_and_methods_are_these
        };
    real_llamacpp:
        control {
            it_lists_models_and_version
            a_load_has_the_context_that_was_asked_for
            an_unload_is_confirmed
        }
        answers {
            a_whole_answer_is_well_formed
            a_streamed_answer_is_well_formed
            a_stop_text_ends_the_answer
            a_token_limit_ends_the_answer_with_length
            the_answer_follows_a_json_schema
            a_client_that_leaves_frees_the_engine
            a_prompt_beyond_the_context_is_refused
            an_unknown_field_is_ignored
            a_seed_repeats_the_answer
        };
    real_lmstudio:
        control {
            it_lists_models_and_version
            a_load_has_the_context_that_was_asked_for
            an_unload_is_confirmed
        }
        answers {
            a_whole_answer_is_well_formed
            a_streamed_answer_is_well_formed
            a_stop_text_ends_the_answer
            a_token_limit_ends_the_answer_with_length
            the_answer_follows_a_json_schema
            a_prompt_beyond_the_context_is_refused
            an_unknown_field_is_ignored
            a_seed_repeats_the_answer
        };
}
