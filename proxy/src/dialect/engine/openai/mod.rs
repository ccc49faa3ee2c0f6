//! Engines that speak OpenAI's chat format themselves: LM Studio, llama.cpp's server and
//! OpenAI-compatible servers.

mod lmstudio;
pub(crate) mod numbers;
pub mod passthrough;
pub mod request;
pub(crate) mod stop;
pub(crate) mod tool_choice;
pub(crate) mod tools;
mod unstreamed;
pub(crate) mod whole;
