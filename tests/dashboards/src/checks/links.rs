//! Links among the dashboards, and the annotations.

use std::collections::BTreeSet;

use super::{
    expressions::{family, selectors},
    lint::each,
};
use crate::{dashboards, substitute};

#[test]
fn links_go_to_dashboards_that_exist() {
    let uids = dashboards().map(|dashboard| dashboard.uid);
    let mut seen = BTreeSet::new();
    each(|_, panel, at| {
        for link in &panel.field_config.as_ref().expect(at).defaults.links {
            let uid = link
                .url
                .strip_prefix("/d/")
                .expect(at)
                .split('?')
                .next()
                .expect(at);
            assert!(uids.contains(&uid.to_owned()), "{at}: {uid}");
            assert!(
                link.url.contains("${__url_time_range}"),
                "{at}: the time is lost"
            );
            seen.insert(uid.to_owned());
        }
    });
    assert_eq!(seen.len(), 2, "the overview leads to both others");
    for dashboard in dashboards() {
        let lists = dashboard
            .links
            .iter()
            .any(|l| l.r#type == "dashboards" && l.tags == dashboard.tags);
        assert!(lists, "{}", dashboard.title);
    }
}

#[test]
fn restarts_reloads_and_loads_are_annotated() {
    for dashboard in dashboards() {
        let names: Vec<_> = dashboard
            .annotations
            .list
            .iter()
            .map(|a| a.name.as_str())
            .collect();
        assert_eq!(names, ["Restarts", "Reloads", "Loads"]);
        for annotation in &dashboard.annotations.list {
            for found in selectors(&substitute(&annotation.expr)) {
                assert!(family(found.name()).is_some(), "{}", annotation.expr);
            }
        }
    }
}
