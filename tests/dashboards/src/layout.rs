//! A dashboard from rows of panels: places, numbers, variables, annotations and links.

use crate::{
    panel::{PanelDraft, datasource},
    schema::{
        Annotation, Annotations, Chosen, Dashboard, DashboardLink, GridPosition, Panel, PanelType,
        SCHEMA_VERSION, Templating, TimeRange, Variable, VariableType,
    },
};

/// The width of the grid.
const WIDTH: u32 = 24;
/// The tag by which the dashboards link each other.
const TAG: &str = "crucible";
/// The variable `runbooks` at first: the page's place in this repository.
const RUNBOOKS: &str = "docs/runbooks.md";
/// All values of a variable; `.+` would leave out series that lack the label.
const ALL: &str = ".*";

/// A row: its title, its panels, and the variable that repeats it.
pub(crate) struct RowDraft {
    title: &'static str,
    repeat: Option<&'static str>,
    panels: Vec<PanelDraft>,
}

/// A row of panels, which flow from left to right and then down.
pub(crate) fn row(title: &'static str, panels: Vec<PanelDraft>) -> RowDraft {
    RowDraft {
        title,
        repeat: None,
        panels,
    }
}

/// A row that is there once for each value of a variable.
pub(crate) fn repeated(
    title: &'static str,
    variable: &'static str,
    panels: Vec<PanelDraft>,
) -> RowDraft {
    RowDraft {
        repeat: Some(variable),
        ..row(title, panels)
    }
}

/// A dashboard of these rows, with what all of ours have.
pub(crate) fn dashboard(
    uid: &str,
    title: &str,
    description: &str,
    rows: Vec<RowDraft>,
) -> Dashboard {
    Dashboard {
        uid: uid.into(),
        title: title.into(),
        description: description.into(),
        tags: vec![TAG.into()],
        schema_version: SCHEMA_VERSION,
        version: 1,
        editable: false,
        graph_tooltip: 1,
        refresh: "10s".into(),
        time: TimeRange {
            from: "now-1h".into(),
            to: "now".into(),
        },
        timezone: String::new(),
        links: links(),
        annotations: Annotations {
            list: annotations(),
        },
        templating: Templating { list: variables() },
        panels: placed(rows),
    }
}

fn placed(rows: Vec<RowDraft>) -> Vec<Panel> {
    let (mut panels, mut y) = (Vec::new(), 0);
    let mut id = 0;
    for row in rows {
        id += 1;
        panels.push(head(id, y, row.title, row.repeat));
        y += 1;
        let (mut x, mut height) = (0, 0);
        for draft in row.panels {
            let GridPosition { w, h, .. } = draft.panel.grid_pos;
            if x + w > WIDTH {
                y += height;
                (x, height) = (0, 0);
            }
            id += 1;
            panels.push(draft.finish(id, x, y));
            x += w;
            height = height.max(h);
        }
        y += height;
    }
    panels
}

fn head(id: u32, y: u32, title: &str, repeat: Option<&str>) -> Panel {
    Panel {
        id,
        r#type: PanelType::Row,
        title: title.into(),
        description: String::new(),
        datasource: None,
        grid_pos: GridPosition {
            h: 1,
            w: WIDTH,
            x: 0,
            y,
        },
        repeat: repeat.map(str::to_owned),
        collapsed: Some(false),
        panels: Some(Vec::new()),
        targets: Vec::new(),
        options: None,
        field_config: None,
        transformations: Vec::new(),
        links: Vec::new(),
    }
}

fn links() -> Vec<DashboardLink> {
    let link = |title: &str, kind: &str, url: &str, tags: Vec<String>| DashboardLink {
        title: title.into(),
        r#type: kind.into(),
        icon: "doc".into(),
        tooltip: String::new(),
        as_dropdown: false,
        include_vars: kind == "dashboards",
        keep_time: kind == "dashboards",
        target_blank: kind == "link",
        url: url.into(),
        tags,
    };
    vec![
        link("Crucible", "dashboards", "", vec![TAG.into()]),
        link("Runbooks", "link", "${runbooks}", Vec::new()),
    ]
}

fn annotations() -> Vec<Annotation> {
    let moment = |name: &str, color: &str, expr: &str, title: &str, is_time: bool| Annotation {
        name: name.into(),
        datasource: datasource(),
        enable: true,
        hide: false,
        icon_color: color.into(),
        expr: expr.into(),
        step: "15s".into(),
        title_format: title.into(),
        text_format: String::new(),
        use_value_for_time: is_time,
    };
    let chosen = r#"job=~"$job",instance=~"$instance""#;
    vec![
        moment(
            "Restarts",
            "blue",
            &format!("1000 * max by (instance) (process_start_time_seconds{{{chosen}}})"),
            "Crucible started: {{instance}}",
            true,
        ),
        moment(
            "Reloads",
            "purple",
            &format!(
                "1000 * max by (instance) (crucible_config_last_reload_timestamp_seconds{{{chosen}}})"
            ),
            "Configuration read: {{instance}}",
            true,
        ),
        moment(
            "Loads",
            "orange",
            &format!(
                r#"sum by (engine, model) (increase(crucible_model_loads_total{{{chosen},engine=~"$engine",model=~"$model",outcome="ok"}}[$__rate_interval])) > 0"#
            ),
            "Loaded {{model}} on {{engine}}",
            false,
        ),
    ]
}

fn variables() -> Vec<Variable> {
    let chosen = r#"job=~"$job",instance=~"$instance""#;
    vec![
        Variable {
            name: "datasource".into(),
            label: "Data source".into(),
            description: "The Prometheus that scrapes Crucible.".into(),
            r#type: VariableType::Datasource,
            query: "prometheus".into(),
            refresh: Some(1),
            ..text("", "", "", "")
        },
        query(
            "job",
            "Job",
            "The job under which Prometheus scrapes Crucible.",
            "crucible_build_info",
        ),
        query(
            "instance",
            "Instance",
            "The Crucible, by the address that is scraped.",
            r#"crucible_build_info{job=~"$job"}"#,
        ),
        query(
            "engine",
            "Engine",
            "A configured engine.",
            &format!("crucible_engine_up{{{chosen}}}"),
        ),
        query(
            "model",
            "Model",
            "A model that an engine lists; other is every name that no engine lists.",
            &format!(r#"crucible_tokens_total{{{chosen},engine=~"$engine"}}"#),
        ),
        text(
            "runbooks",
            "Runbooks",
            "Where docs/runbooks.md of Crucible's repository can be read; links to runbooks begin with it.",
            RUNBOOKS,
        ),
    ]
}

fn text(name: &str, label: &str, description: &str, value: &str) -> Variable {
    Variable {
        name: name.into(),
        label: label.into(),
        description: description.into(),
        r#type: VariableType::Textbox,
        query: value.into(),
        definition: None,
        datasource: None,
        refresh: None,
        include_all: None,
        multi: None,
        all_value: None,
        sort: None,
        regex: None,
        current: None,
        hide: 0,
    }
}

fn query(name: &str, label: &str, description: &str, series: &str) -> Variable {
    let query = format!("label_values({series}, {name})");
    Variable {
        r#type: VariableType::Query,
        definition: Some(query.clone()),
        query,
        datasource: Some(datasource()),
        refresh: Some(2),
        include_all: Some(true),
        multi: Some(true),
        all_value: Some(ALL.into()),
        sort: Some(1),
        regex: Some(String::new()),
        current: Some(Chosen {
            text: vec!["All".into()],
            value: vec!["$__all".into()],
        }),
        ..text(name, label, description, "")
    }
}
