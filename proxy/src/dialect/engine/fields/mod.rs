//! Members of a chat request that engines take in different spellings, and the spelling that each takes.

pub(crate) mod number_rules;
pub(crate) mod numbers;
mod rewritten;
pub(crate) mod stop;
pub(crate) mod tools;

pub(crate) use self::rewritten::RewrittenField;
