//! How Grafana's model describes the fields of a panel: unit, colours, words, and what is done to the data
//! before it is shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Unit, thresholds and words for all fields of a panel, and exceptions for some.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldConfig {
    pub(crate) defaults: FieldDefaults,
    pub(crate) overrides: Vec<Override>,
}

/// The settings that hold for all fields of a panel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct FieldDefaults {
    pub(crate) unit: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) decimals: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) max: Option<f64>,
    /// The text where there is no value.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) no_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) color: Option<Color>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) thresholds: Option<Thresholds>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) mappings: Vec<Mapping>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) links: Vec<Link>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) custom: Option<Custom>,
}

/// The colour of a field: `fixed`, `thresholds` or a palette.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Color {
    pub(crate) mode: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) fixed_color: Option<String>,
}

/// Bounds from which on a value has another colour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Thresholds {
    pub(crate) mode: String,
    pub(crate) steps: Vec<Step>,
}

/// One bound; the lowest has no value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    pub(crate) color: String,
    pub(crate) value: Option<f64>,
}

/// Words in place of values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "options", rename_all = "lowercase")]
pub(crate) enum Mapping {
    Value(BTreeMap<String, Word>),
    Range(RangeWord),
}

/// The word for a span of values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RangeWord {
    pub(crate) from: Option<f64>,
    pub(crate) to: Option<f64>,
    pub(crate) result: Word,
}

/// A word with its colour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Word {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) text: Option<String>,
    pub(crate) color: String,
    pub(crate) index: u8,
}

/// A link on a panel or on a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Link {
    pub(crate) title: String,
    pub(crate) url: String,
    pub(crate) target_blank: bool,
}

/// The way in which a kind of panel draws a field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Custom {
    /// The text beside the vertical axis.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) axis_label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) draw_style: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) line_interpolation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) line_width: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) fill_opacity: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) show_points: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) stacking: Option<Stacking>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) thresholds_style: Option<ThresholdsStyle>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) axis_soft_min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) scale_distribution: Option<ScaleDistribution>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) align: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) filterable: Option<bool>,
}

/// Whether series lie on each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stacking {
    pub(crate) mode: String,
    pub(crate) group: String,
}

/// Whether a chart shows its thresholds: `off`, `dashed`, `area`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ThresholdsStyle {
    pub(crate) mode: String,
}

/// The scale of the vertical axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScaleDistribution {
    pub(crate) r#type: String,
    pub(crate) log: u8,
}

/// An exception for some fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Override {
    pub(crate) matcher: Matcher,
    pub(crate) properties: Vec<Property>,
}

/// The fields that an exception is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "id", content = "options", rename_all = "camelCase")]
pub(crate) enum Matcher {
    ByName(String),
    ByValue(ByValue),
}

/// Fields by a number that is made from their values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ByValue {
    pub(crate) reducer: String,
    pub(crate) op: String,
    pub(crate) value: f64,
}

/// One setting that an exception changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "id", content = "value", rename_all = "camelCase")]
pub(crate) enum Property {
    DisplayName(String),
    Color(Color),
    Links(Vec<Link>),
    Mappings(Vec<Mapping>),
    Unit(String),
    #[serde(rename = "custom.hideFrom")]
    HideFrom(HideFrom),
    #[serde(rename = "custom.cellOptions")]
    CellOptions(CellOptions),
    #[serde(rename = "custom.width")]
    Width(u32),
    #[serde(rename = "custom.lineStyle")]
    LineStyle(LineStyle),
}

/// The dashes of a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LineStyle {
    pub(crate) fill: String,
    pub(crate) dash: Vec<u8>,
}

/// Where a field is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HideFrom {
    pub(crate) legend: bool,
    pub(crate) tooltip: bool,
    pub(crate) viz: bool,
}

/// The way in which a cell of a table is painted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CellOptions {
    pub(crate) r#type: String,
}

/// A change of the data before they are shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "id", content = "options", rename_all = "camelCase")]
pub(crate) enum Transformation {
    /// Joins the rows of several tables.
    Merge(MergeOptions),
    /// Hides, orders and renames columns.
    Organize(OrganizeOptions),
    /// Makes a threshold from the value of a query, which is not drawn itself.
    ConfigFromData(ConfigFromDataOptions),
}

/// A merge has no options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MergeOptions {}

/// The columns of a table.
#[expect(clippy::struct_field_names, reason = "Grafana names them so")]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct OrganizeOptions {
    pub(crate) exclude_by_name: BTreeMap<String, bool>,
    pub(crate) index_by_name: BTreeMap<String, u32>,
    pub(crate) rename_by_name: BTreeMap<String, String>,
}

/// The query whose value becomes a threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ConfigFromDataOptions {
    pub(crate) config_ref_id: String,
    pub(crate) mappings: Vec<ConfigMapping>,
}

/// The field of that query and what it becomes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ConfigMapping {
    pub(crate) field_name: String,
    pub(crate) handler_key: String,
    pub(crate) reducer_id: String,
    pub(crate) handler_arguments: HandlerArguments,
}

/// The colour from a threshold on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HandlerArguments {
    pub(crate) threshold: ThresholdColor,
}

/// A colour by its name in Grafana, or the way in which one is chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ThresholdColor {
    pub(crate) color: String,
}
