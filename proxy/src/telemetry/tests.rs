use tracing_subscriber::filter::Targets;

use super::*;

fn enabled(targets: &Targets, target: &str) -> Option<LevelFilter> {
    [
        Level::TRACE,
        Level::DEBUG,
        Level::INFO,
        Level::WARN,
        Level::ERROR,
    ]
    .into_iter()
    .find(|level| targets.would_enable(target, level))
    .map(LevelFilter::from_level)
}

#[test]
fn a_level_counts_for_all_targets_and_a_target_for_itself() {
    for (level, own, fleet, library) in [
        (
            "info",
            Some(LevelFilter::INFO),
            Some(LevelFilter::INFO),
            Some(LevelFilter::INFO),
        ),
        (
            "TRACE",
            Some(LevelFilter::TRACE),
            Some(LevelFilter::TRACE),
            Some(LevelFilter::TRACE),
        ),
        ("off", None, None, None),
        (
            "warn, crucible_router::fleet=error",
            Some(LevelFilter::WARN),
            Some(LevelFilter::ERROR),
            Some(LevelFilter::WARN),
        ),
        ("hyper=debug", None, None, Some(LevelFilter::DEBUG)),
    ] {
        let targets = targets(level);
        assert_eq!(enabled(&targets, "crucible::edge"), own, "{level}");
        assert_eq!(
            enabled(&targets, "crucible_router::fleet"),
            fleet,
            "{level}"
        );
        assert_eq!(enabled(&targets, "hyper::proto"), library, "{level}");
    }
}
