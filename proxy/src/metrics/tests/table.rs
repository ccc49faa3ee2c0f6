//! The table of families against what is exported.

use crucible_router::machine::readings::{
    CardReading, EnergyInterface, EnergyReading, HostMemory, PowerReadings, ProcessReading,
};

use super::*;

fn power() -> PowerReadings {
    PowerReadings {
        cards: vec![CardReading {
            memory_total: Some(1000),
            memory_used: Some(500),
            utilization: Some(0.5),
            celsius: Some(60.0),
            watts: Some(100.0),
            joules: Some(7.0),
        }],
        energy: vec![EnergyReading {
            source: "gpu0".to_owned(),
            interface: EnergyInterface::Nvml,
            joules: 2.5,
        }],
    }
}

#[test]
fn what_cannot_be_read_of_the_machine_is_absent() {
    let metrics = metrics();
    metrics.update_power(&power(), 0.8);
    metrics.update_memory(Some(HostMemory { total: 2, used: 1 }));
    for (name, expected) in [
        (r#"crucible_gpu_memory_limit_bytes{gpu="0"}"#, 800.0),
        (r#"crucible_gpu_utilization_ratio{gpu="0"}"#, 0.5),
        (r#"crucible_energy_joules_total{source="gpu0"}"#, 2.5),
        ("crucible_host_memory_used_bytes", 1.0),
    ] {
        assert_eq!(value(&metrics, name), Some(expected), "{name}");
    }
    metrics.update_power(&PowerReadings::default(), 0.8);
    metrics.update_memory(None);
    metrics.update_process(None);
    for family in FAMILIES.iter().filter(|family| {
        family.kind == FamilyType::Gauge
            && matches!(family.emitter, Emitter::Machine | Emitter::Process)
    }) {
        let lines = series(&metrics);
        let shown = lines.iter().find(|line| line.starts_with(family.name));
        assert_eq!(shown, None);
    }
}

#[test]
fn exported_families_are_the_table() {
    let metrics = metrics();
    metrics.update_view(&view("ollama", &names("m", 1), &names("m", 1)));
    metrics.update_process(Some(ProcessReading {
        cpu_seconds: Some(0.25),
        resident_bytes: Some(1),
        virtual_bytes: Some(1),
        open_fds: Some(1),
        max_fds: Some(1),
        start_seconds: Some(1.0),
        threads: Some(1),
    }));
    metrics.update_memory(Some(HostMemory { total: 2, used: 1 }));
    metrics.update_power(&power(), 0.8);
    let exported: BTreeSet<(String, String)> = text(&metrics)
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect();
    let table = FAMILIES
        .iter()
        .map(|f| (f.name.to_owned(), f.kind.as_str().to_owned()))
        .collect();
    assert_eq!(exported, table);
}

#[test]
fn table_follows_naming_rules() {
    let mut seen = BTreeSet::new();
    for family in FAMILIES {
        let name = family.name;
        assert!(seen.insert(name), "{name} twice");
        assert!(
            name.starts_with("crucible_") || family.is_process(),
            "{name}"
        );
        assert_eq!(
            name.ends_with("_total"),
            family.kind == FamilyType::Counter,
            "{name}"
        );
        assert_eq!(
            !family.buckets.is_empty(),
            family.kind == FamilyType::Histogram,
            "{name}"
        );
        assert!(family.buckets.is_sorted(), "{name}");
        assert!(
            !family.help.is_empty() && family.help.ends_with('.'),
            "{name}"
        );
        for wrong in ["_ms", "_milliseconds", "_count", "_sum", "_bucket"] {
            assert!(!name.ends_with(wrong), "{name}");
        }
        let ends = match family.unit {
            Unit::None => "",
            Unit::Seconds | Unit::UnixSeconds => "_seconds",
            Unit::Bytes => "_bytes",
            Unit::Tokens => "_tokens",
            Unit::TokensPerSecond => "_tokens_per_second",
            Unit::Ratio => "_ratio",
            Unit::Celsius => "_celsius",
            Unit::Watts => "_watts",
            Unit::Joules => "_joules",
        };
        let stem = name
            .trim_end_matches("_total")
            .trim_end_matches("_estimated");
        assert!(stem.ends_with(ends), "{name}: {:?}", family.unit);
        for label in family.label_names() {
            assert!(
                ![
                    "le", "quantile", "id", "path", "key", "user", "job", "instance"
                ]
                .contains(&label),
                "{name}: {label}"
            );
        }
    }
}

#[test]
fn unregistered_status_is_folded_into_its_class() {
    for (code, label) in [
        (200, "200"),
        (499, "499"),
        (599, "5xx"),
        (287, "2xx"),
        (999, "other"),
    ] {
        assert_eq!(status(&StatusCode::from_u16(code).unwrap()), label);
    }
}

#[test]
fn series_and_size_stay_within_the_bars() {
    let metrics = metrics();
    for name in ENGINES {
        let models = names(name, 10);
        metrics.update_view(&view(name, &models, &models));
        for model in &models {
            metrics.request(&RequestRecord {
                engine: Some(name),
                ..record(model)
            });
        }
    }
    let count = series(&metrics).len();
    let size = text(&metrics).len();
    assert!(count <= 2_500, "{count} series");
    assert!(size <= 200_000, "{size} bytes");
}

#[test]
fn every_exported_label_has_a_value_of_its_set() {
    let metrics = metrics();
    let models = names("m", 2);
    metrics.update_view(&view("ollama", &models, &models));
    metrics.request(&record("m0"));
    metrics.rejected(
        Some("ollama"),
        ErrorKind::QueueFull,
        StatusCode::TOO_MANY_REQUESTS,
    );
    metrics.config_reloaded(Outcome::Error, SystemTime::UNIX_EPOCH);
    let mut seen = 0;
    for gathered in metrics.inner.registry.gather() {
        let family = FAMILIES
            .iter()
            .find(|family| family.name == gathered.name());
        let family = family.unwrap_or_else(|| panic!("{}", gathered.name()));
        for pair in gathered
            .get_metric()
            .iter()
            .flat_map(prometheus::proto::Metric::get_label)
        {
            let label = family.labels.iter().find(|label| label.name == pair.name());
            let label = label.unwrap_or_else(|| panic!("{}: {}", family.name, pair.name()));
            let (name, value) = (family.name, pair.value());
            assert!(
                label.values.allows(value),
                "{name}: {} = {value}",
                label.name
            );
            seen += usize::from(matches!(label.values, LabelValues::Words(_)));
        }
    }
    assert!(seen > 200, "{seen} labels with words");
}
