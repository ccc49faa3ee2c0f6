//! The body of a request: it is collected under a cap ([`decode`]), its top-level keys are read
//! ([`peek`]), and it is edited by splicing ([`edit`], with a worked example).
//!
//! Bytes stay bytes: only top-level keys are looked at, and every byte outside an edited value reaches
//! the engine as the client wrote it, so the order of keys and the text of numbers survive.

pub mod decode;
pub mod edit;
pub(crate) mod number;
pub(crate) mod object;
mod pace;
pub mod peek;
pub mod prompt;
pub(crate) mod scan;
mod string;
pub(crate) mod surrogates;
mod weight;
pub(crate) mod word_search;
