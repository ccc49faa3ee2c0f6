//! The member `think` of Ollama's chats, made of a wish about thinking in any API's words.

use crucible_router::catalog::Capabilities;
use serde_json::Value;

use crate::dialect::chat::thinking::{ThinkingMode, ThinkingRequest, ThinkingWish};

/// Returns `think`. Ollama (0.33) answers 400 to a model that is asked to think and cannot, and older
/// versions to a level where a model knows only on and off.
pub(super) fn think(
    thinking: &ThinkingRequest,
    capabilities: Capabilities,
    notes: &mut Vec<String>,
) -> Option<Value> {
    for path in &thinking.unknown {
        notes.push(format!("{path} is dropped: it says nothing that is known"));
    }
    let ThinkingWish { wish, path } = thinking.asked?;
    let cannot = capabilities.thinking == Some(false);
    match wish {
        // It does so anyway.
        ThinkingMode::Off if cannot => None,
        ThinkingMode::Off => Some(false.into()),
        _ if cannot => {
            notes.push(format!("{path} is dropped: the model cannot think"));
            None
        }
        ThinkingMode::On => Some(true.into()),
        ThinkingMode::Level(level) if capabilities.thinking_levels == Some(true) => {
            Some(level.word().into())
        }
        ThinkingMode::Level(level) => {
            let word = level.word();
            notes.push(format!(
                "{path} {word} is sent as on: the model knows no levels of thinking"
            ));
            Some(true.into())
        }
    }
}
