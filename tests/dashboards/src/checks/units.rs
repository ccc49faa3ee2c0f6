//! Whether a reader can tell what each number is: axes with a unit or with what they count, cells of heatmaps with a
//! unit, and states in words.

use super::lint::each;
use crate::{
    fields::{Mapping, Matcher, Property},
    schema::{Panel, PanelOptions, PanelType, Target},
};

/// The unit of numbers that have none.
const PLAIN: &str = "short";
/// The families whose values are states, with the values that they have.
const STATES: [(&str, &[&str]); 4] = [
    ("crucible_engine_up", &["0", "1"]),
    ("crucible_engine_breaker_state", &["0", "1", "2"]),
    ("crucible_config_last_reload_success", &["0", "1"]),
    ("crucible_model_loaded", &["1"]),
];

fn unit(panel: &Panel) -> &str {
    panel
        .field_config
        .as_ref()
        .map_or("", |config| &config.defaults.unit)
}

/// The words of a query's values: those of its own series, else those of the panel.
fn words<'a>(panel: &'a Panel, target: &Target) -> Vec<&'a Mapping> {
    let Some(config) = &panel.field_config else {
        return Vec::new();
    };
    let own = config.overrides.iter().filter(|exception| {
        matches!(&exception.matcher, Matcher::ByName(name) if *name == target.legend_format)
    });
    let mapped =
        own.flat_map(|exception| &exception.properties)
            .find_map(|property| match property {
                Property::Mappings(mappings) => Some(mappings),
                _ => None,
            });
    mapped.unwrap_or(&config.defaults.mappings).iter().collect()
}

fn has_word(words: &[&Mapping], value: &str) -> bool {
    words.iter().any(|mapping| match mapping {
        Mapping::Value(all) => all.get(value).is_some_and(|word| word.text.is_some()),
        Mapping::Range(_) => false,
    })
}

/// Numbers beside an axis have their unit; where they count, Grafana writes beside the axis what.
#[test]
fn axes_have_a_unit_or_say_what_they_count() {
    each(|_, panel, at| {
        if panel.r#type != PanelType::Timeseries {
            return;
        }
        let custom = panel
            .field_config
            .as_ref()
            .and_then(|c| c.defaults.custom.as_ref());
        let label = custom.and_then(|custom| custom.axis_label.as_deref());
        let counts = label.is_some_and(|label| !label.is_empty());
        assert_eq!(
            unit(panel) == PLAIN,
            counts,
            "{at}: an axis without a unit, or with two"
        );
    });
}

#[test]
fn heatmaps_have_a_unit_for_the_axis_and_one_for_the_cells() {
    each(|_, panel, at| {
        if let Some(PanelOptions::Heatmap(options)) = &panel.options {
            for unit in [&options.y_axis.unit, &options.cell_values.unit] {
                assert!(!unit.is_empty() && unit != PLAIN, "{at}");
            }
        }
    });
}

/// Bars and numbers have a unit, or a name or a word for what they count.
#[test]
fn numbers_have_a_unit_or_words() {
    each(|_, panel, at| {
        let plain = unit(panel) == PLAIN;
        match panel.r#type {
            PanelType::Bargauge => assert!(!plain, "{at}: bars without a unit"),
            PanelType::Stat if plain => {
                for target in &panel.targets {
                    assert!(
                        has_word(&words(panel, target), "0"),
                        "{at}: {}",
                        target.legend_format
                    );
                }
            }
            _ => {}
        }
    });
}

/// A state is told in words, each of its values.
#[test]
fn states_are_told_in_words() {
    let mut seen = 0;
    each(|_, panel, at| {
        if !matches!(panel.r#type, PanelType::Stat | PanelType::StateTimeline) {
            return;
        }
        for target in &panel.targets {
            let words = words(panel, target);
            let is_timeline = panel.r#type == PanelType::StateTimeline;
            assert!(
                !is_timeline || !words.is_empty(),
                "{at}: states without words"
            );
            for (family, values) in STATES {
                if !target.expr.contains(&format!("{family}{{")) {
                    continue;
                }
                seen += 1;
                for value in values {
                    assert!(
                        has_word(&words, value),
                        "{at}: no word for {value} of {family}"
                    );
                }
            }
        }
    });
    assert!(seen >= STATES.len(), "{seen}");
}
