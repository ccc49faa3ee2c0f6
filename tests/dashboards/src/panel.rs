//! Panels as a description writes them: a title, a sentence, queries, and what judges them.
//!
//! Two ways hide what says nothing. A chart over time hides a series that is 0 all the time that is shown (an
//! exception by the reducer `allIsZero`), so that a line that rises once is drawn whole, back down to 0. A list
//! of what is there now asks for values above 0.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{
    fields::{
        ByValue, Color, ConfigFromDataOptions, ConfigMapping, Custom, FieldConfig, FieldDefaults,
        HandlerArguments, HideFrom, Link, Matcher, MergeOptions, OrganizeOptions, Override,
        Property, Stacking, ThresholdColor, ThresholdsStyle, Transformation,
    },
    options,
    query::Expression,
    schema::{DataSource, GridPosition, Panel, PanelType, Target},
};

/// The name that the query of a limit has in the legend and in the transformation that makes a threshold of it.
const LIMIT: &str = "limit";

/// A panel that is being described.
#[derive(Clone, Debug)]
pub(crate) struct PanelDraft {
    pub(crate) panel: Panel,
    unit: Option<crate::query::PanelUnit>,
    families: Vec<(&'static str, &'static str)>,
}

/// The data source that the variable of the dashboard chooses.
pub(crate) fn datasource() -> DataSource {
    DataSource {
        r#type: "prometheus".into(),
        uid: "${datasource}".into(),
    }
}

/// A number, or one for each series.
pub(crate) fn stat(title: &str, says: &str, (w, h): (u32, u32)) -> PanelDraft {
    PanelDraft::new(PanelType::Stat, title, says, (w, h))
}

/// A chart over time.
pub(crate) fn chart(title: &str, says: &str, (w, h): (u32, u32)) -> PanelDraft {
    let mut draft = PanelDraft::new(PanelType::Timeseries, title, says, (w, h));
    draft.defaults().min = Some(0.0);
    draft.hide_zeros()
}

/// A heatmap of the buckets of a histogram.
pub(crate) fn heatmap(title: &str, says: &str, (w, h): (u32, u32)) -> PanelDraft {
    PanelDraft::new(PanelType::Heatmap, title, says, (w, h))
}

/// States over time.
pub(crate) fn timeline(title: &str, says: &str, (w, h): (u32, u32)) -> PanelDraft {
    PanelDraft::new(PanelType::StateTimeline, title, says, (w, h))
}

/// Horizontal bars.
pub(crate) fn bars(title: &str, says: &str, (w, h): (u32, u32)) -> PanelDraft {
    PanelDraft::new(PanelType::Bargauge, title, says, (w, h))
}

/// A table.
pub(crate) fn table(title: &str, says: &str, (w, h): (u32, u32)) -> PanelDraft {
    PanelDraft::new(PanelType::Table, title, says, (w, h))
}

/// The link to the entry of an alert in `docs/runbooks.md`.
pub(crate) fn runbook(alert: &str) -> Link {
    Link {
        title: format!("Runbook: {alert}"),
        url: format!("${{runbooks}}#{alert}"),
        target_blank: true,
    }
}

// === impl PanelDraft ===

impl PanelDraft {
    fn new(kind: PanelType, title: &str, says: &str, (w, h): (u32, u32)) -> Self {
        let defaults = FieldDefaults {
            color: Some(options::color(kind)),
            custom: options::custom(kind),
            ..FieldDefaults::default()
        };
        let panel = Panel {
            id: 0,
            r#type: kind,
            title: title.into(),
            description: says.into(),
            datasource: Some(datasource()),
            grid_pos: GridPosition { h, w, x: 0, y: 0 },
            repeat: None,
            collapsed: None,
            panels: None,
            targets: Vec::new(),
            options: options::options(kind),
            field_config: Some(FieldConfig {
                defaults,
                overrides: Vec::new(),
            }),
            transformations: Vec::new(),
            links: Vec::new(),
        };
        Self {
            panel,
            unit: None,
            families: Vec::new(),
        }
    }

    fn config(&mut self) -> &mut FieldConfig {
        self.panel.field_config.get_or_insert_with(|| FieldConfig {
            defaults: FieldDefaults::default(),
            overrides: Vec::new(),
        })
    }

    pub(crate) fn defaults(&mut self) -> &mut FieldDefaults {
        &mut self.config().defaults
    }

    pub(crate) fn custom(&mut self) -> &mut Custom {
        self.defaults().custom.get_or_insert_with(Custom::default)
    }

    fn exception(mut self, matcher: Matcher, properties: Vec<Property>) -> Self {
        self.config().overrides.push(Override {
            matcher,
            properties,
        });
        self
    }

    fn hide_zeros(self) -> Self {
        let always_zero = ByValue {
            reducer: "allIsZero".into(),
            op: "gte".into(),
            value: 0.0,
        };
        let hidden = HideFrom {
            legend: true,
            tooltip: true,
            viz: true,
        };
        self.exception(
            Matcher::ByValue(always_zero),
            vec![Property::HideFrom(hidden)],
        )
    }

    fn target(&mut self, expression: &Expression, legend: &str) -> &mut Target {
        for family in &expression.families {
            let entry = (family.name, family.help);
            if !self.families.contains(&entry) {
                self.families.push(entry);
            }
        }
        let kind = self.panel.r#type;
        let now = matches!(kind, PanelType::Table | PanelType::Bargauge);
        let format = match kind {
            PanelType::Table => "table",
            PanelType::Heatmap => "heatmap",
            _ => "time_series",
        };
        let letters = "ABCDEFGH";
        let at = self.panel.targets.len();
        self.panel.targets.push(Target {
            ref_id: letters[at..=at].to_owned(),
            datasource: datasource(),
            expr: expression.text.clone(),
            legend_format: legend.into(),
            format: format.into(),
            instant: now,
            range: !now,
        });
        &mut self.panel.targets[at]
    }

    /// One more query; all of a panel have one unit.
    pub(crate) fn query(mut self, expression: &Expression, legend: &str) -> Self {
        let title = self.panel.title.clone();
        let unit = *self.unit.get_or_insert(expression.unit);
        let is_chart = self.panel.r#type == PanelType::Timeseries;
        // What is counted stands beside an axis; a number has its own name.
        let fits = unit == expression.unit || (!is_chart && unit.id() == expression.unit.id());
        assert!(fits, "{title}: two units");
        self.defaults().unit = unit.id().into();
        if is_chart {
            self.custom().axis_label = unit.counted().map(str::to_owned);
        }
        if unit == crate::query::PanelUnit::Share && is_chart {
            self.defaults().decimals = Some(0);
        }
        self.target(expression, legend);
        self
    }

    /// Whether a query has this legend.
    pub(crate) fn has_legend(&self, legend: &str) -> bool {
        self.panel
            .targets
            .iter()
            .any(|target| target.legend_format == legend)
    }

    /// The queries ask for the last moment only.
    pub(crate) fn now(mut self) -> Self {
        for target in &mut self.panel.targets {
            (target.instant, target.range) = (true, false);
        }
        self
    }

    /// A limit that is a metric: it becomes a threshold, so that it does not flatten what it limits.
    pub(crate) fn limit(mut self, expression: &Expression) -> Self {
        let title = &self.panel.title;
        assert_eq!(self.unit, Some(expression.unit), "{title}: another unit");
        let id = self.target(expression, LIMIT).ref_id.clone();
        self.custom().thresholds_style = Some(ThresholdsStyle {
            mode: "dashed".into(),
        });
        let color = ThresholdColor {
            color: "red".into(),
        };
        self.panel
            .transformations
            .push(Transformation::ConfigFromData(ConfigFromDataOptions {
                config_ref_id: id,
                mappings: vec![ConfigMapping {
                    field_name: LIMIT.into(),
                    handler_key: "threshold1".into(),
                    reducer_id: "lastNotNull".into(),
                    handler_arguments: HandlerArguments { threshold: color },
                }],
            }));
        self
    }

    /// The name and the colour of one series.
    pub(crate) fn named(self, series: &str, name: &str, color: &str) -> Self {
        let color = Color {
            mode: "fixed".into(),
            fixed_color: Some(color.into()),
        };
        self.exception(
            Matcher::ByName(series.into()),
            vec![Property::DisplayName(name.into()), Property::Color(color)],
        )
    }

    /// The text where there are no data.
    pub(crate) fn nothing(mut self, text: &str) -> Self {
        self.defaults().no_value = Some(text.into());
        self
    }

    /// The series lie on each other.
    pub(crate) fn stacked(mut self) -> Self {
        let custom = self.custom();
        custom.fill_opacity = Some(60);
        custom.line_width = Some(0);
        custom.stacking = Some(Stacking {
            mode: "normal".into(),
            group: "A".into(),
        });
        self
    }

    /// Bars in place of lines: for events that are rare.
    pub(crate) fn drawn_as_bars(mut self) -> Self {
        self = self.stacked();
        self.custom().draw_style = Some("bars".into());
        self.nothing("none")
    }

    /// The most that a bar can be.
    pub(crate) fn up_to(mut self, max: f64) -> Self {
        let defaults = self.defaults();
        (defaults.min, defaults.max) = (Some(0.0), Some(max));
        self
    }

    /// Digits after the point.
    pub(crate) fn decimals(mut self, decimals: u8) -> Self {
        self.defaults().decimals = Some(decimals);
        self
    }

    /// A link on every value.
    pub(crate) fn value_link(mut self, title: &str, url: &str) -> Self {
        self.defaults().links.push(Link {
            title: title.into(),
            url: url.into(),
            target_blank: false,
        });
        self
    }

    /// The runbooks of the alerts that watch what the panel shows.
    pub(crate) fn runbooks(mut self, alerts: &[&str]) -> Self {
        self.panel.links.extend(alerts.iter().copied().map(runbook));
        self
    }

    /// The columns of a table, in this order, by their labels and names.
    pub(crate) fn columns(mut self, columns: &[(&str, &str)], hidden: &[&str]) -> Self {
        if self.panel.targets.len() > 1 {
            self.panel
                .transformations
                .push(Transformation::Merge(MergeOptions {}));
        }
        let mut organized = OrganizeOptions::default();
        for (&(label, name), at) in columns.iter().zip(0..) {
            organized.index_by_name.insert(label.into(), at);
            organized.rename_by_name.insert(label.into(), name.into());
        }
        for &label in hidden {
            organized.exclude_by_name.insert(label.into(), true);
        }
        self.panel
            .transformations
            .push(Transformation::Organize(organized));
        self
    }

    /// One column of a table, as it is painted.
    pub(crate) fn column(self, name: &str, properties: Vec<Property>) -> Self {
        self.exception(Matcher::ByName(name.into()), properties)
    }

    /// The panel with its place, and the meaning of every metric that it reads at the end of its description.
    pub(crate) fn finish(mut self, id: u32, x: u32, y: u32) -> Panel {
        let about: BTreeMap<_, _> = self.families.iter().copied().collect();
        for (name, help) in about {
            // Writing to a string cannot fail.
            let _ = write!(self.panel.description, "\n\n`{name}`: {help}");
        }
        self.panel.id = id;
        self.panel.grid_pos.x = x;
        self.panel.grid_pos.y = y;
        self.panel
    }
}
