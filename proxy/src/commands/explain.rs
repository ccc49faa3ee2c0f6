//! The command `crucible explain`, which says where a request would go and why. It asks the running
//! instance, else the engines what they have, and sends no request.

mod show;

use std::io::Read as _;

use bytes::Bytes;
use clap::Args;
use crucible_cli::{
    CommandFailure, CommonArgs, OutputArgs, instance, look,
    output::{to_json, write_stdout},
    runtime, sources,
};
use crucible_documents::{ExplainDoc, running::InstanceRefusal};
use crucible_router::verify::probe;
use http::HeaderMap;
use serde_json::json;

use self::show::readable;
use crate::{
    admin,
    dialect::{self, openai},
    error::Error,
    guard::AdmittedClient,
};

/// The arguments of `crucible explain`, which says where a request would go and why.
#[derive(Args, Debug)]
pub(super) struct ExplainArgs {
    /// A model's name, or - for a request body on standard input
    #[arg(value_name = "MODEL | -")]
    subject: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs `crucible explain`: prints where the request would go and why. The error has the exit code
/// and the message for the user.
pub(super) fn run(common: &CommonArgs, args: &ExplainArgs) -> Result<(), CommandFailure> {
    let body = if args.subject == "-" {
        let mut body = Vec::new();
        std::io::stdin()
            .lock()
            .read_to_end(&mut body)
            .map_err(|e| CommandFailure::wrong(format!("standard input: {e}")))?;
        Bytes::from(body)
    } else {
        let body =
            json!({ "model": args.subject, "messages": [{ "role": "user", "content": "" }] });
        Bytes::from(body.to_string())
    };
    let config = sources::load(common)?;
    let runtime = runtime()?;
    let current = config.current();
    let running = runtime.block_on(async {
        let instance = instance::find(&current).await?;
        let explained = instance.explain(body.clone()).await;
        if explained.is_none() {
            let path = "POST /crucible/explain";
            instance::warn_unanswered(&instance, path, instance::ENGINES_ASKED);
        }
        explained
    });
    match running {
        Some(Ok(explained)) => return show(&explained, args.output),
        Some(Err(refusal)) => return Err(refused_by_instance(&refusal, args.output.json)),
        None => {}
    }
    let explained = runtime.block_on(look(&config, async |router| {
        let current = config.current();
        admin::explain(
            router,
            &current,
            &HeaderMap::new(),
            &probe::load(&current.state_dir),
            (dialect::of_body(&HeaderMap::new(), &body), &body),
            &AdmittedClient::default(),
            None,
        )
        .await
    }))?;
    let explained = explained.map_err(|error| refused(&error, args.output.json))?;
    show(&explained, args.output)
}

fn show(explained: &ExplainDoc, output: OutputArgs) -> Result<(), CommandFailure> {
    write_stdout(&if output.json {
        to_json(explained)?
    } else {
        readable(explained)
    });
    Ok(())
}

fn refused(error: &Error, as_json: bool) -> CommandFailure {
    if as_json {
        write_stdout(&openai::error_document(error).to_string());
    }
    CommandFailure::wrong(error.to_string())
}

fn refused_by_instance(refusal: &InstanceRefusal, as_json: bool) -> CommandFailure {
    if as_json {
        write_stdout(&refusal.body.to_string());
    }
    CommandFailure::wrong(format!("{}: {}", refusal.code, refusal.message))
}
