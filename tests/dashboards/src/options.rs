//! The options that all panels of one kind share.

use crate::{
    fields::{Color, Custom},
    query::PanelUnit,
    schema::{
        BargaugeOptions, FilterValues, HeatmapAxis, HeatmapCells, HeatmapColor, HeatmapLegend,
        HeatmapOptions, Legend, PanelOptions, PanelType, ReduceOptions, StatOptions,
        StateTimelineOptions, TableOptions, TimeseriesOptions, Tooltip,
    },
};

fn last() -> ReduceOptions {
    ReduceOptions {
        calcs: vec!["lastNotNull".into()],
        fields: String::new(),
        values: false,
    }
}

fn legend(shown: bool) -> Legend {
    Legend {
        display_mode: "list".into(),
        placement: "bottom".into(),
        show_legend: shown,
        calcs: Vec::new(),
    }
}

fn tooltip() -> Tooltip {
    Tooltip {
        mode: "multi".into(),
        sort: "desc".into(),
    }
}

fn heat() -> HeatmapOptions {
    HeatmapOptions {
        calculate: false,
        cell_gap: 1,
        color: HeatmapColor {
            mode: "scheme".into(),
            scheme: "Oranges".into(),
            steps: 64,
        },
        filter_values: FilterValues { le: 1e-9 },
        y_axis: HeatmapAxis { unit: "s".into() },
        cell_values: HeatmapCells {
            unit: PanelUnit::PerMinute.id().into(),
        },
        legend: HeatmapLegend { show: true },
    }
}

/// The options of a kind of panel; a row has none.
pub(crate) fn options(kind: PanelType) -> Option<PanelOptions> {
    Some(match kind {
        PanelType::Row => return None,
        PanelType::Stat => PanelOptions::Stat(StatOptions {
            color_mode: "background".into(),
            graph_mode: "none".into(),
            justify_mode: "auto".into(),
            orientation: "auto".into(),
            text_mode: "auto".into(),
            reduce_options: last(),
        }),
        PanelType::Timeseries => PanelOptions::Timeseries(TimeseriesOptions {
            legend: legend(true),
            tooltip: tooltip(),
        }),
        PanelType::Heatmap => PanelOptions::Heatmap(heat()),
        PanelType::StateTimeline => PanelOptions::StateTimeline(StateTimelineOptions {
            merge_values: true,
            row_height: 0.8,
            show_value: "auto".into(),
            align_value: "left".into(),
            legend: legend(false),
            tooltip: tooltip(),
        }),
        PanelType::Bargauge => PanelOptions::Bargauge(BargaugeOptions {
            display_mode: "basic".into(),
            orientation: "horizontal".into(),
            value_mode: "text".into(),
            show_unfilled: true,
            reduce_options: last(),
        }),
        PanelType::Table => PanelOptions::Table(TableOptions {
            show_header: true,
            cell_height: "sm".into(),
            sort_by: Vec::new(),
        }),
    })
}

/// The colour of a kind of panel.
pub(crate) fn color(kind: PanelType) -> Color {
    let mode = match kind {
        PanelType::Timeseries | PanelType::Heatmap | PanelType::Row => "palette-classic",
        PanelType::Stat | PanelType::StateTimeline | PanelType::Bargauge | PanelType::Table => {
            "thresholds"
        }
    };
    Color {
        mode: mode.into(),
        fixed_color: None,
    }
}

/// How a kind of panel draws its fields.
pub(crate) fn custom(kind: PanelType) -> Option<Custom> {
    match kind {
        PanelType::Timeseries => Some(Custom {
            draw_style: Some("line".into()),
            line_interpolation: Some("linear".into()),
            line_width: Some(1),
            fill_opacity: Some(10),
            show_points: Some("never".into()),
            ..Custom::default()
        }),
        PanelType::StateTimeline => Some(Custom {
            line_width: Some(0),
            fill_opacity: Some(80),
            ..Custom::default()
        }),
        PanelType::Table => Some(Custom {
            align: Some("left".into()),
            filterable: Some(false),
            ..Custom::default()
        }),
        PanelType::Row | PanelType::Stat | PanelType::Heatmap | PanelType::Bargauge => None,
    }
}
