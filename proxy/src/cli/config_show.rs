//! `crucible config show`.

use serde_json::{Map, Value, json};

use super::{
    Common, Failure,
    output::{say, table},
    sources,
};

pub(super) fn run(common: &Common, origin: bool, as_json: bool) -> Result<(), Failure> {
    let loaded = sources::loaded(common)?;
    if as_json {
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
        say(&Value::Object(values).to_string());
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
    say(&table(&rows));
    Ok(())
}
