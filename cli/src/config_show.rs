//! The command `crucible config show`, which prints the configuration in effect.

use serde_json::{Map, Value, json};

use crate::{
    CommandFailure, CommonArgs, OutputArgs,
    output::{table, write_stdout},
    sources,
};

/// Runs `crucible config`: prints the configuration in effect as TOML or JSON. With `origin` each value comes with the layer that set it.
///
/// # Errors
/// Exit code 2 where the configuration is wrong.
pub fn run(common: &CommonArgs, origin: bool, output: OutputArgs) -> Result<(), CommandFailure> {
    let loaded = sources::loaded(common)?;
    if output.json {
        let values: Map<String, Value> = loaded
            .shown
            .iter()
            .map(|shown| {
                let value = if origin {
                    json!({ "value": shown.value, "origin": shown.origin })
                } else {
                    shown.value.clone()
                };
                (shown.path.clone(), value)
            })
            .collect();
        write_stdout(&Value::Object(values).to_string());
        return Ok(());
    }
    let rows: Vec<Vec<String>> = loaded
        .shown
        .iter()
        .map(|shown| {
            let mut row = vec![shown.path.clone(), shown.text.clone()];
            if origin {
                row.push(shown.origin.source.clone());
            }
            row
        })
        .collect();
    write_stdout(&table(&rows));
    Ok(())
}
