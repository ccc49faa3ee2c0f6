//! `docs/runbooks.md`: an entry for each alert, and entries that name panels which exist.

use std::fs;

use super::rule_files::alerts;
use crate::{dashboards, folder};

fn page() -> String {
    fs::read_to_string(folder().join("../docs/runbooks.md")).unwrap()
}

/// The entry of an alert: from its anchor to the next one.
fn entry<'a>(page: &'a str, alert: &str) -> &'a str {
    let start = format!("<a id=\"{alert}\"></a>\n\n## {alert}\n");
    let (_, rest) = page
        .split_once(&start)
        .unwrap_or_else(|| panic!("no entry {alert}"));
    rest.split("<a id=").next().unwrap_or_default()
}

#[test]
fn every_alert_has_an_entry_with_meaning_panel_and_remedy() {
    let page = page();
    for (alert, _) in alerts() {
        let entry = entry(&page, &alert);
        for part in ["**Meaning.** ", "**Look.** ", "**Do.** "] {
            assert!(entry.contains(part), "{alert}: {part}");
        }
    }
    let entries = page.matches("<a id=").count();
    assert_eq!(entries, alerts().len(), "an entry of no alert");
}

/// Panels are named as `*dashboard* > *panel*`, which may go over the end of a line.
#[test]
fn entries_name_panels_that_exist() {
    let page = page().split_whitespace().collect::<Vec<_>>().join(" ");
    let mut seen = 0;
    for (dashboard, name) in
        dashboards()
            .iter()
            .zip(["overview", "engines and models", "streams and faults"])
    {
        for rest in page.split(&format!("*{name}* > *")).skip(1) {
            let title = rest.split('*').next().unwrap_or_default();
            let known = dashboard.panels.iter().any(|panel| panel.title == title);
            assert!(known, "{} has no panel {title}", dashboard.title);
            seen += 1;
        }
    }
    assert!(seen >= alerts().len(), "each entry names a panel");
    assert_eq!(
        seen,
        page.matches("* > *").count(),
        "a panel of no dashboard"
    );
}

/// A word in code type is a value of a label, a key of the configuration or a code of an error.
#[test]
fn entries_use_words_that_exist() {
    let of_prometheus = ["runbook_url", "authorization"];
    let pages = ["metrics", "configuration", "tunings", "api"]
        .map(|page| fs::read_to_string(folder().join(format!("../docs/{page}.md"))).unwrap())
        .concat();
    let page = page();
    let words = page.split('`').skip(1).step_by(2);
    let mut seen = 0;
    for word in words.filter(|word| !of_prometheus.contains(word)) {
        let plain = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.';
        if word.chars().all(plain) {
            let key = word.rsplit('.').next().unwrap_or(word);
            assert!(pages.contains(&format!("`{key}`")), "no {word}");
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn panels_link_to_entries_that_exist() {
    let names: Vec<_> = alerts().into_iter().map(|(name, _)| name).collect();
    let mut linked = Vec::new();
    for dashboard in dashboards() {
        for link in dashboard.panels.iter().flat_map(|panel| &panel.links) {
            let alert = link
                .url
                .strip_prefix("${runbooks}#")
                .expect(&link.url)
                .to_owned();
            assert!(names.contains(&alert), "{alert}");
            linked.push(alert);
        }
    }
    for name in names {
        assert!(linked.contains(&name), "no panel links to {name}");
    }
}
