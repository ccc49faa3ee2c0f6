//! The part of Grafana's classic dashboard model (schema version 39) that the dashboards use.
//!
//! The generator fills these types and writes them as JSON. A test reads the committed files back into them;
//! since every type refuses unknown members, a misspelt member or one of another version fails that test.

use serde::{Deserialize, Serialize};

use crate::fields::{FieldConfig, Link, Transformation};

/// The version of the model: Grafana 10 and newer read it, and migrate it upwards themselves.
pub(crate) const SCHEMA_VERSION: u32 = 39;

/// One dashboard, as a provisioned file holds it: without `id`, which each Grafana gives itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Dashboard {
    pub(crate) uid: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) tags: Vec<String>,
    pub(crate) schema_version: u32,
    pub(crate) version: u32,
    pub(crate) editable: bool,
    /// 1: the crosshair is shared by all panels.
    pub(crate) graph_tooltip: u8,
    pub(crate) refresh: String,
    pub(crate) time: TimeRange,
    pub(crate) timezone: String,
    pub(crate) links: Vec<DashboardLink>,
    pub(crate) annotations: Annotations,
    pub(crate) templating: Templating,
    pub(crate) panels: Vec<Panel>,
}

/// The time that a dashboard shows when it is opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TimeRange {
    pub(crate) from: String,
    pub(crate) to: String,
}

/// A link in the head of a dashboard.
#[expect(clippy::struct_excessive_bools, reason = "Grafana has these members")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct DashboardLink {
    pub(crate) title: String,
    /// `dashboards` lists those with the tags, `link` goes to the URL.
    pub(crate) r#type: String,
    pub(crate) tags: Vec<String>,
    pub(crate) url: String,
    pub(crate) icon: String,
    pub(crate) tooltip: String,
    pub(crate) as_dropdown: bool,
    pub(crate) include_vars: bool,
    pub(crate) keep_time: bool,
    pub(crate) target_blank: bool,
}

/// The annotations of a dashboard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Annotations {
    pub(crate) list: Vec<Annotation>,
}

/// Moments that every panel over time shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Annotation {
    pub(crate) name: String,
    pub(crate) datasource: DataSource,
    pub(crate) enable: bool,
    pub(crate) hide: bool,
    pub(crate) icon_color: String,
    pub(crate) expr: String,
    pub(crate) step: String,
    pub(crate) title_format: String,
    pub(crate) text_format: String,
    /// Whether the value is the moment itself, in milliseconds.
    pub(crate) use_value_for_time: bool,
}

/// The variables of a dashboard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Templating {
    pub(crate) list: Vec<Variable>,
}

/// A variable, which a person chooses in the head of a dashboard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) description: String,
    pub(crate) r#type: VariableType,
    pub(crate) query: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) definition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) datasource: Option<DataSource>,
    /// 1: when the dashboard is loaded; 2: when the time changes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) refresh: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) include_all: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) multi: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) all_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) sort: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) regex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) current: Option<Chosen>,
    pub(crate) hide: u8,
}

/// The kinds of variables in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum VariableType {
    Datasource,
    Query,
    Textbox,
}

/// The value of a variable when the dashboard is opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Chosen {
    pub(crate) text: Vec<String>,
    pub(crate) value: Vec<String>,
}

/// A data source by its kind and its uid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataSource {
    pub(crate) r#type: String,
    pub(crate) uid: String,
}

/// A panel, or the head of a row of panels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Panel {
    pub(crate) id: u32,
    pub(crate) r#type: PanelType,
    pub(crate) title: String,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub(crate) description: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) datasource: Option<DataSource>,
    pub(crate) grid_pos: GridPosition,
    /// The variable for each of whose values a row is repeated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) repeat: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) collapsed: Option<bool>,
    /// The panels of a collapsed row.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) panels: Option<Vec<Panel>>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) targets: Vec<Target>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) options: Option<PanelOptions>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) field_config: Option<FieldConfig>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) transformations: Vec<Transformation>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) links: Vec<Link>,
}

/// The kinds of panels in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PanelType {
    Row,
    Stat,
    Timeseries,
    Heatmap,
    #[serde(rename = "state-timeline")]
    StateTimeline,
    Bargauge,
    Table,
}

/// The place of a panel in a grid that is 24 units wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GridPosition {
    pub(crate) h: u32,
    pub(crate) w: u32,
    pub(crate) x: u32,
    pub(crate) y: u32,
}

/// One query of a panel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Target {
    pub(crate) ref_id: String,
    pub(crate) datasource: DataSource,
    pub(crate) expr: String,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub(crate) legend_format: String,
    /// `time_series`, `table` or `heatmap`.
    pub(crate) format: String,
    pub(crate) instant: bool,
    pub(crate) range: bool,
}

/// What a kind of panel has of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum PanelOptions {
    Stat(StatOptions),
    Timeseries(TimeseriesOptions),
    Heatmap(HeatmapOptions),
    StateTimeline(StateTimelineOptions),
    Bargauge(BargaugeOptions),
    Table(TableOptions),
}

/// Options of a panel that shows numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct StatOptions {
    pub(crate) color_mode: String,
    pub(crate) graph_mode: String,
    pub(crate) justify_mode: String,
    pub(crate) orientation: String,
    pub(crate) text_mode: String,
    pub(crate) reduce_options: ReduceOptions,
}

/// How a series becomes one number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReduceOptions {
    pub(crate) calcs: Vec<String>,
    pub(crate) fields: String,
    pub(crate) values: bool,
}

/// Options of a chart over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TimeseriesOptions {
    pub(crate) legend: Legend,
    pub(crate) tooltip: Tooltip,
}

/// The legend below a chart.
#[expect(clippy::struct_field_names, reason = "Grafana names them so")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Legend {
    pub(crate) display_mode: String,
    pub(crate) placement: String,
    pub(crate) show_legend: bool,
    pub(crate) calcs: Vec<String>,
}

/// The values under the pointer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tooltip {
    pub(crate) mode: String,
    pub(crate) sort: String,
}

/// Options of a heatmap over the buckets of a histogram.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct HeatmapOptions {
    pub(crate) calculate: bool,
    pub(crate) cell_gap: u8,
    pub(crate) color: HeatmapColor,
    pub(crate) filter_values: FilterValues,
    pub(crate) y_axis: HeatmapAxis,
    pub(crate) cell_values: HeatmapCells,
    pub(crate) legend: HeatmapLegend,
}

/// The colours of a heatmap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeatmapColor {
    pub(crate) mode: String,
    pub(crate) scheme: String,
    pub(crate) steps: u8,
}

/// The cells of a heatmap that are left out: those up to this value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilterValues {
    pub(crate) le: f64,
}

/// The vertical axis of a heatmap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeatmapAxis {
    pub(crate) unit: String,
}

/// The values of a heatmap's cells, in the scale of colours and in the tooltip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeatmapCells {
    pub(crate) unit: String,
}

/// The scale of colours below a heatmap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeatmapLegend {
    pub(crate) show: bool,
}

/// Options of a chart of states over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct StateTimelineOptions {
    pub(crate) merge_values: bool,
    pub(crate) row_height: f64,
    pub(crate) show_value: String,
    pub(crate) align_value: String,
    pub(crate) legend: Legend,
    pub(crate) tooltip: Tooltip,
}

/// Options of horizontal bars.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct BargaugeOptions {
    pub(crate) display_mode: String,
    pub(crate) orientation: String,
    pub(crate) value_mode: String,
    pub(crate) show_unfilled: bool,
    pub(crate) reduce_options: ReduceOptions,
}

/// Options of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct TableOptions {
    pub(crate) show_header: bool,
    pub(crate) cell_height: String,
    pub(crate) sort_by: Vec<SortBy>,
}

/// A column by which a table is sorted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct SortBy {
    pub(crate) display_name: String,
    pub(crate) desc: bool,
}
