//! The table of `docs/prefix.md` that is made from the neutralisers.

use std::fmt::Write as _;

use super::NEUTRALISERS;

const HEAD: &str =
    "| what breaks the prefix | where | what is done | switch |\n|---|---|---|---|\n";

fn table() -> String {
    let mut table = HEAD.to_owned();
    for one in NEUTRALISERS {
        let (breaker, place, cure, switch) = (one.breaker, one.place, one.cure, one.switch);
        let _ = writeln!(table, "| {breaker} | {place} | {cure} | `{switch}` |");
    }
    table
}

#[test]
fn the_page_has_the_table_of_neutralisers() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/prefix.md");
    let page = std::fs::read_to_string(path).unwrap();
    let start = page.find(HEAD).unwrap();
    let length = page[start..].find("\n\n").unwrap() + 1;
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let mut page = page.clone();
        page.replace_range(start..start + length, &table());
        std::fs::write(path, page).unwrap();
    } else {
        assert_eq!(page[start..start + length], table());
    }
}

#[test]
fn every_switch_is_a_setting_that_is_on() {
    let shown = crucible_config::Config::builtin().prefix;
    let switches = NEUTRALISERS.map(|one| match one.switch {
        "prefix.billing_block" => shown.billing_block,
        "prefix.cache_control" => shown.cache_control,
        "prefix.later_system" => shown.later_system,
        _ => false,
    });
    assert_eq!(switches, [true; 3]);
}
