//! The committed files: as generated, and of the model that Grafana reads.

use std::{collections::BTreeSet, fs, path::PathBuf};

use crate::{dashboards, folder, schema::Dashboard};

fn file(dashboard: &Dashboard) -> PathBuf {
    folder().join(format!("grafana/dashboards/{}.json", dashboard.uid))
}

#[test]
fn committed_dashboards_are_those_of_the_description() {
    for dashboard in dashboards() {
        let (path, mut text) = (
            file(&dashboard),
            serde_json::to_string_pretty(&dashboard).unwrap(),
        );
        text.push('\n');
        if std::env::var_os("UPDATE_DASHBOARDS").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == text,
            "{} is not up to date: UPDATE_DASHBOARDS=1 cargo test -p crucible-dashboards",
            path.display()
        );
    }
}

/// The types refuse what they do not know, so this reads nothing but the part of the model in use.
#[test]
fn committed_dashboards_hold_nothing_but_the_known_model() {
    for dashboard in dashboards() {
        let text = fs::read_to_string(file(&dashboard)).unwrap();
        let read: Dashboard = serde_json::from_str(&text).unwrap();
        assert!(read == dashboard, "{}", dashboard.title);
    }
}

#[test]
fn a_misspelt_member_is_refused() {
    let text = fs::read_to_string(file(&dashboards()[0])).unwrap();
    for (right, wrong) in [
        ("\"gridPos\"", "\"gridpos\""),
        ("\"graphTooltip\"", "\"graphTooltips\""),
        ("\"legendFormat\"", "\"legend\""),
        ("\"reduceOptions\"", "\"reduceOption\""),
        ("\"drawStyle\"", "\"drawstyle\""),
        ("\"steps\"", "\"step\""),
        ("\"allIsZero\"\n", "\"allIsZero\", \"reduce\": \"x\"\n"),
        ("\"excludeByName\"", "\"exclude\""),
    ] {
        assert!(
            !text.contains(right)
                || serde_json::from_str::<Dashboard>(&text.replace(right, wrong)).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn no_other_dashboard_lies_in_the_folder() {
    let found: BTreeSet<_> = fs::read_dir(folder().join("grafana/dashboards"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let known = dashboards().map(|dashboard| format!("{}.json", dashboard.uid));
    assert_eq!(found, BTreeSet::from(known));
}
