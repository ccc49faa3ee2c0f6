//! `crucible key new`.

use super::{Failure, output::say};
use crate::guard;

pub(super) fn run(name: &str) -> Result<(), Failure> {
    let valid = !name.is_empty() && !name.contains(['"', '\\', '\n']);
    if !valid {
        return Err(Failure::usage(format!(
            "--name: found {name:?}, expected a plain name such as laptop"
        )));
    }
    let minted = guard::mint()
        .map_err(|e| Failure::wrong(format!("the system gives no random numbers: {e}")))?;
    say(&format!(
        "The client's key, shown only now:\n\n    {}\n\nFor crucible.toml:\n\n[[key]]\nname = \"{name}\"\nhash = \"{}\"",
        minted.secret, minted.hash
    ));
    Ok(())
}
