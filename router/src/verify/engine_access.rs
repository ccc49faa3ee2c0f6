//! The access to an engine of the view for questions of the checks: its address, its token and the
//! authorities that it trusts.

use crucible_config::Config;
use url::Url;

use crate::{
    engine::{self, EngineEndpoint, EngineError},
    transport::EngineAddress,
    view::EngineView,
};

/// Reads the token of an engine from the environment variable that its block, or its kind, names.
pub(super) fn token(config: &Config, engine: &EngineView) -> Option<String> {
    let variable = match config.engine(&engine.name) {
        Some(configured) => configured.token_variable(),
        None => engine.kind.profile().token_variable,
    };
    engine::token_in(&std::env::var(variable?).ok()?)
}

/// Makes the endpoint of an engine of the view, with its own token and authorities.
pub(super) fn endpoint(
    config: &Config,
    engine: &EngineView,
) -> Result<EngineEndpoint, EngineError> {
    let client = engine::client(config.timeouts.connect);
    let url = Url::parse(&engine.url).map_err(|e| EngineError::Unexpected(e.to_string()))?;
    let configured = config.engine(&engine.name);
    let ca_file = configured.and_then(|engine| engine.ca_file.as_ref());
    let address = EngineAddress::new(url, ca_file)?;
    let token = token(config, engine);
    Ok(EngineEndpoint::new(client, address, token.as_deref()))
}
