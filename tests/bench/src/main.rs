//! Measures Crucible beside nginx and no proxy at all, in one run:
//! `cargo run --release -p crucible-bench`.
//!
//! A fake upstream and the load share core 0, the subject has core 1. CPU is the subject's own
//! process time; times are medians of interleaved rounds. Machines are noisy, so ratios to
//! nginx beside it count, never numbers of another day. Linux only: it reads /proc.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program"
)]
#![expect(
    clippy::cast_precision_loss,
    reason = "what is measured is far below 2^52"
)]

mod case;
mod format;
mod load;
mod process;
mod report;
mod schedule;
mod shape;
mod stats;
mod subject;
mod upstream;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
};

use anyhow::{Context, bail, ensure};
use clap::{Parser, Subcommand, ValueEnum as _};
use tokio::process::Command;

use crate::{
    case::Case,
    load::{Order, Sample},
    process::{keep_awake, on_path, pin, pinned, rss, start_listening},
    report::Results,
    subject::{BenchSubject, LOAD_CORE, SUBJECT_CORE, Subject},
};

/// Measures direct, nginx and Crucible in one run and prints a Markdown table.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    /// About a tenth of the load, and two rounds.
    #[arg(long)]
    quick: bool,
    /// Interleaved rounds [default: 5, quick: 2].
    #[arg(long)]
    rounds: Option<usize>,
    /// Also write every sample there.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The subjects that are measured.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "direct,nginx,crucible,translated,responses,messages"
    )]
    subjects: Vec<BenchSubject>,
    /// The cases that are measured, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = Case::value_variants().iter().copied())]
    cases: Vec<Case>,
    /// The binary to measure [default: built with cargo, release profile].
    #[arg(long, value_name = "PATH")]
    crucible: Option<PathBuf>,
    /// Let the CPUs halt between requests (default: idle-priority loops keep them awake).
    #[arg(long)]
    no_awake: bool,
}

/// Other things to do than the measurement.
#[derive(Subcommand)]
enum Part {
    /// Simulate the load scheduler beside simple policies; prints a page of Markdown.
    Schedule,
    /// Serves as the fake upstream.
    #[command(hide = true)]
    Upstream,
    /// Runs as the load generator.
    #[command(hide = true)]
    Load {
        /// The order of the run, as JSON.
        order: String,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match &cli.part {
            Some(Part::Upstream) => upstream::serve().await.map(|()| ExitCode::SUCCESS),
            Some(Part::Load { order }) => {
                let sample = load::run(serde_json::from_str(order)?).await?;
                println!("{}", serde_json::to_string(&sample)?);
                Ok(ExitCode::SUCCESS)
            }
            Some(Part::Schedule) => {
                print!("{}", schedule::page());
                Ok(ExitCode::SUCCESS)
            }
            None => cli.measure().await,
        }
    })
}

/// Fails where the machine cannot measure: another system, a tool that is missing, a single core.
fn machine_suffices() -> anyhow::Result<()> {
    ensure!(
        cfg!(target_os = "linux"),
        "the benchmark reads /proc, so it needs Linux"
    );
    for tool in ["taskset", "chrt", "setpriv"] {
        ensure!(
            on_path(tool),
            "{tool} is missing (Debian: apt install util-linux)"
        );
    }
    let cores = std::thread::available_parallelism()?.get();
    ensure!(
        cores > 1,
        "two cores are needed: one for load and upstream, one for the subject"
    );
    Ok(())
}

// === impl Results ===

impl Results {
    /// Notes the time to readiness and the memory of a subject that has just started.
    fn started(&mut self, subject: &Subject) {
        if subject.kind == BenchSubject::Direct {
            return;
        }
        let ready = self.ready.entry(subject.kind).or_default();
        ready.push(subject.ready.as_secs_f64());
        let idle = self.idle.entry(subject.kind).or_default();
        idle.push(rss(&subject.pids) as f64);
    }
}

// === impl Cli ===

impl Cli {
    async fn measure(&self) -> anyhow::Result<ExitCode> {
        machine_suffices()?;
        let crucible = self.binary().await?;
        let _awake = if self.no_awake {
            None
        } else {
            Some((keep_awake(LOAD_CORE)?, keep_awake(SUBJECT_CORE)?))
        };
        let this = env::current_exe()?;
        let mut command = pinned(LOAD_CORE, &this);
        command.arg("upstream");
        let (upstream, address, _stdout) = start_listening(command).await.context("upstream")?;
        let pid = upstream.id().context("the upstream ended")?;

        let rounds = self.rounds.unwrap_or(if self.quick { 2 } else { 5 });
        let mut results = Results::default();
        for round in 1..=rounds {
            for cases in [&[Case::Idle1000][..], &Case::LOADED] {
                let mut subjects = Vec::new();
                for kind in &self.subjects {
                    let subject = Subject::start(*kind, &address, pid, crucible.as_deref()).await?;
                    results.started(&subject);
                    subjects.push(subject);
                }
                for case in cases.iter().filter(|case| self.cases.contains(case)) {
                    for subject in subjects.iter().filter(|s| case.applies_to(s.kind)) {
                        eprintln!(
                            "round {round}/{rounds}: {}, {}",
                            case.name(),
                            subject.kind.name()
                        );
                        let sample = self.sample(&this, *case, subject).await?;
                        results
                            .samples
                            .entry((*case, subject.kind))
                            .or_default()
                            .push(sample);
                    }
                }
            }
        }
        drop(upstream);
        self.report(&results, rounds)
    }

    /// One case on one subject, by a load process of its own.
    async fn sample(&self, this: &Path, case: Case, subject: &Subject) -> anyhow::Result<Sample> {
        let moves = case.on_one_core() && subject.kind != BenchSubject::Direct;
        if moves {
            pin(&subject.pids, LOAD_CORE).await?;
        }
        let order: Order = case.order(subject, self.quick);
        let output = pinned(LOAD_CORE, this)
            .args(["load", &serde_json::to_string(&order)?])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .output()
            .await?;
        if moves {
            pin(&subject.pids, SUBJECT_CORE).await?;
        }
        ensure!(
            output.status.success(),
            "the load generator failed: {}",
            output.status
        );
        let sample: Sample =
            serde_json::from_slice(&output.stdout).context("the load generator's sample")?;
        // Else a subject that died would look like one that costs nothing.
        let name = subject.kind.name();
        ensure!(
            order.hold || sample.cpu_us > 0.0,
            "{}: {name} used no CPU",
            case.name()
        );
        Ok(sample)
    }

    /// The binary to measure, built if none is named and one is needed.
    async fn binary(&self) -> anyhow::Result<Option<PathBuf>> {
        if !self.subjects.iter().any(|kind| kind.is_crucible()) {
            return Ok(None);
        }
        if let Some(path) = &self.crucible {
            ensure!(path.is_file(), "no such file: {}", path.display());
            return Ok(Some(std::path::absolute(path)?));
        }
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["build", "--release", "-p", "crucible"])
            .status()
            .await?;
        ensure!(status.success(), "crucible could not be built");
        // target/PROFILE/crucible-bench -> target/release/crucible
        let this = env::current_exe()?;
        let built = this
            .parent()
            .and_then(Path::parent)
            .map(|t| t.join("release/crucible"));
        match built {
            Some(path) if path.is_file() => Ok(Some(path)),
            _ => bail!("the built crucible was not found; name it with --crucible"),
        }
    }

    fn report(&self, results: &Results, rounds: usize) -> anyhow::Result<ExitCode> {
        println!(
            "Medians (min..max) of {rounds} interleaved rounds{}; upstream and load on core \
             {LOAD_CORE}, the subject on core {SUBJECT_CORE}; CPUs {}.\n",
            if self.quick { ", quick" } else { "" },
            if self.no_awake {
                "may halt"
            } else {
                "kept awake by idle-priority loops"
            },
        );
        print!("{}", results.markdown());
        if cfg!(debug_assertions) {
            println!("\nA debug build of the harness: the numbers say nothing.");
        }
        if let Some(file) = &self.json {
            fs::write(file, serde_json::to_string_pretty(results)?)?;
        }
        let errors = results.errors();
        for error in &errors {
            eprintln!("{error}");
        }
        Ok(if errors.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
