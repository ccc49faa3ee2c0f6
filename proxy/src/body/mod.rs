//! A request's body: collected under a cap, peeked at, edited by splicing.
//!
//! Bytes stay bytes: only top-level keys are looked at, and every byte outside an edited value
//! reaches the engine as the client wrote it.

pub mod decode;
pub mod edit;
pub(crate) mod number;
mod pace;
pub mod peek;
pub mod prompt;
pub(crate) mod scan;
mod string;
pub(crate) mod surrogates;
mod weight;
pub(crate) mod word_search;
