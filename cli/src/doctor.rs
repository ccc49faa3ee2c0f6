//! The command `crucible doctor`, which shows the settings that are in effect and a remedy for
//! those that are not.

mod probe;
mod show;

use std::path::Path;

use clap::Args;
use crucible_config::{Config, LiveConfig, tuning::TuningState};
use crucible_documents::VerifiedDoc;
use crucible_router::verify::{self, UNUSABLE};

use self::show::readable;
use crate::{
    CommandFailure, CommonArgs, OutputArgs,
    engine_look::look,
    instance::{self, ENGINES_ASKED},
    output::{to_json, write_stdout},
    runtime::runtime,
    sources,
};

/// The arguments of `crucible doctor`, which says what is wrong with the engines and what to do.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Send a few prompts to the models that are loaded: what LM Studio makes of penalties, and
    /// whether the stated context is in effect
    #[arg(long)]
    probe: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs `crucible doctor`: looks at engines and settings and prints what is wrong with them and what mends
/// it.
///
/// # Errors
/// Exit code 1 where an engine cannot be used or a setting is not in effect.
pub fn run(common: &CommonArgs, args: &DoctorArgs) -> Result<(), CommandFailure> {
    let loaded = sources::loaded(common)?;
    let (verified, from_instance) = runtime()?.block_on(examine(&loaded.config, args.probe))?;
    write_stdout(&if args.output.json {
        to_json(&verified)?
    } else {
        readable(&verified, from_instance)
    });
    verdict(&verified)
}

/// Returns the rows and findings, and whether a running instance gave them.
async fn examine(config: &Config, probe: bool) -> Result<(VerifiedDoc, bool), CommandFailure> {
    let instance = instance::find(config).await;
    if probe {
        probe::run(config, instance.as_ref().map(|instance| &instance.state)).await?;
    }
    if let Some(instance) = instance {
        if let Some(verified) = instance.tunings().await {
            return Ok((verified, true));
        }
        instance::warn_unanswered(&instance, "GET /crucible/tunings", ENGINES_ASKED);
    }
    let live = LiveConfig::from_config(config.clone());
    let probes = verify::probe::load(&config.state_dir);
    let verified = look(&live, async |router| {
        let evidence = router
            .evidence(Path::new("/"), live.current(), None, probes)
            .await;
        VerifiedDoc::new(
            verify::verified(&evidence),
            verify::engine_faults(&evidence),
        )
    });
    Ok((verified.await?, false))
}

/// Returns exit code 1 where a fault keeps Crucible from doing what it is configured to do.
fn verdict(verified: &VerifiedDoc) -> Result<(), CommandFailure> {
    let count = |n: usize, one: &str, several: &str| match n {
        0 => None,
        1 => Some(format!("1 {one}")),
        n => Some(format!("{n} {several}")),
    };
    let rows = verified.report.tunings.iter();
    let failed = rows.filter(|row| row.state == Some(TuningState::NotInEffect));
    let findings = verified.findings.iter();
    let unusable = findings.filter(|finding| UNUSABLE.contains(&&*finding.fault));
    let mut unusable: Vec<&str> = unusable.map(|finding| &*finding.engine).collect();
    unusable.dedup();
    let wrong = [
        count(
            unusable.len(),
            "engine cannot be used",
            "engines cannot be used",
        ),
        count(
            failed.count(),
            "setting is not in effect",
            "settings are not in effect",
        ),
    ];
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(CommandFailure::wrong(wrong.join(", ")))
}
