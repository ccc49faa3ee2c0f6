//! Every key of `crucible.toml`: its name, what it takes, its default and its documentation.
//!
//! A key is one entry of one table, and everything else is made from it: the walk over a file, the
//! environment names, the JSON schema, the reference page, and a constant with the Rust type of its
//! values by which the checks read it. So a mistyped name does not compile:
//!
//! ```text
//! keys! {
//!     /// Keys of `[timeouts]`: time budgets, each of which has an error of its own.
//!     FixedKey timeouts at "timeouts" = TIMEOUTS_KEYS;
//!
//!     /// Request sent to first token.
//!     FIRST_TOKEN "first_token": Duration = TIME, "300s", agent "900s";
//! }
//!
//! let budget: Duration = settings.get(&timeouts::FIRST_TOKEN.path(), report);
//! ```
//!
//! The keys of `[tuning.*]` are made from [`TUNINGS`](crate::tuning::TUNINGS).

#[macro_use]
mod typed;

mod engines;
mod planning;
mod server;
mod shape;
mod top;

pub(crate) use self::{
    engines::{engine, model, pool, sampling},
    planning::{context, prefix, routing, rule, scheduler, when},
    server::{client, guard, limits, log, otlp, startup, timeouts},
    shape::join,
    top::{ROOT, root},
    typed::{FixedKey, KeyPath, SubTable},
};
pub use self::{
    shape::{KeyShape, SettingKey},
    top::{fixed, variable},
};

#[cfg(test)]
mod tests;
