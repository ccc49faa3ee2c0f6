//! The built-in profiles.

use serde::{Deserialize, Serialize};

/// The built-in profile that lies under the other layers.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ProfileName {
    /// The literal values of the 39 settings.
    #[default]
    Hybrid,
    /// `hybrid` for agents: a context of 32768 tokens, no sampling defaults, longer budgets.
    Agent,
}

// === impl ProfileName ===

impl ProfileName {
    /// The word in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hybrid => "hybrid",
            Self::Agent => "agent",
        }
    }
}
