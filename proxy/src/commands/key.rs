//! The command `crucible key new`, which makes a client key.

use crucible_cli::{CommandFailure, output::write_stdout};

use crate::guard;

/// Runs `crucible key new`: prints a new random key, and the table for the configuration file with
/// its hash. The error is a name with quotes, backslashes or line breaks, or an empty one.
pub(super) fn run(name: &str) -> Result<(), CommandFailure> {
    let valid = !name.is_empty() && !name.contains(['"', '\\', '\n']);
    if !valid {
        return Err(CommandFailure::usage(format!(
            "--name: found {name:?}, expected a plain name such as laptop"
        )));
    }
    let minted = guard::mint()
        .map_err(|e| CommandFailure::wrong(format!("the system gives no random numbers: {e}")))?;
    write_stdout(&format!(
        "The client's key, shown only now:\n\n    {}\n\nFor crucible.toml:\n\n[[key]]\nname = \"{name}\"\nhash = \"{}\"",
        minted.secret, minted.hash
    ));
    Ok(())
}
