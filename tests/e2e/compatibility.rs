//! The page that answers "does it work with my ...?" promises a test for each situation.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Adds the names of all test functions below `folder`, as `module::name` by their files.
fn collect(folder: &Path, module: &str, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("the tests are there") {
        let path = entry.expect("a folder can be listed").path();
        let stem = path.file_stem().and_then(|s| s.to_str()).expect("UTF-8");
        let inner = if module.is_empty() {
            stem.to_owned()
        } else {
            format!("{module}::{stem}")
        };
        if path.is_dir() {
            collect(&path, &inner, names);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).expect("source is UTF-8");
            let mut marked = false;
            for line in text.lines().map(str::trim) {
                if line.starts_with("#[tokio::test") || line == "#[test]" {
                    marked = true;
                } else if let Some((_, rest)) = line.split_once("fn ")
                    && marked
                {
                    let name: String = rest.chars().take_while(|c| *c != '(').collect();
                    names.insert(format!("{inner}::{name}"));
                    marked = false;
                }
            }
        }
    }
}

/// Every test that the page names exists, and every row names one.
#[test]
fn every_situation_of_the_page_names_a_test_that_exists() {
    let page = fs::read_to_string(root().join("docs/compatibility.md")).expect("the page is there");
    let mut known = BTreeSet::new();
    collect(&root().join("tests/e2e"), "", &mut known);
    for room in ["config", "router", "documents", "cli", "proxy"] {
        collect(&root().join(room).join("src"), room, &mut known);
    }
    let mut rows = 0;
    for line in page.lines().filter(|l| l.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [situation, does, tests] = cells[..] else {
            panic!("a row has three cells: {line}");
        };
        if situation == "situation" {
            continue;
        }
        assert!(!does.is_empty(), "{situation}: what does Crucible do?");
        for test in tests.split(", ") {
            let name = test.trim_matches('`');
            assert!(known.contains(name), "{situation}: there is no test {name}");
        }
        rows += 1;
    }
    assert!(rows > 30, "the page has {rows} rows");
}
