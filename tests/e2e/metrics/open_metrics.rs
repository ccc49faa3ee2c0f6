//! A strict reader of `OpenMetrics` 1.0.0: the rules of the specification that a lenient scraper forgives.

use std::collections::{BTreeMap, BTreeSet};

/// A whole exposition: the value of each sample, by its name and labels as they are written.
pub(super) type Samples = BTreeMap<String, f64>;

/// The family that samples may belong to now.
#[derive(Debug, Default)]
struct Open {
    name: String,
    kind: String,
}

/// Reads an exposition.
pub(super) fn parse(text: &str) -> Result<Samples, String> {
    let body = text
        .strip_suffix("# EOF\n")
        .ok_or("it does not end in # EOF")?;
    let (mut samples, mut families) = (Samples::new(), BTreeSet::new());
    let mut open = Open::default();
    for line in body.lines() {
        match line.strip_prefix("# ") {
            Some(comment) => metadata(comment, &mut open, &mut families),
            None => sample(line, &open).and_then(|(name, value)| {
                let before = samples.insert(name.to_owned(), value);
                before.map_or(Ok(()), |_| Err("it is there twice".to_owned()))
            }),
        }
        .map_err(|why| format!("{line}: {why}"))?;
    }
    Ok(samples)
}

fn metadata(comment: &str, open: &mut Open, families: &mut BTreeSet<String>) -> Result<(), String> {
    let mut words = comment.splitn(3, ' ');
    let (what, name) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let rest = words.next().ok_or("it says nothing")?;
    match what {
        "TYPE" => {
            if !families.insert(name.to_owned()) {
                return Err("the family was there before".to_owned());
            }
            if !["counter", "gauge", "histogram"].contains(&rest) || name.ends_with("_total") {
                return Err("no such type or name".to_owned());
            }
            *open = Open {
                name: name.to_owned(),
                kind: rest.to_owned(),
            };
        }
        "UNIT" if name.ends_with(&format!("_{rest}")) => {}
        "HELP" => unescaped(rest)?,
        _ => return Err("no such metadata".to_owned()),
    }
    (open.name == name)
        .then_some(())
        .ok_or_else(|| format!("it is within {}", open.name))
}

fn sample<'a>(line: &'a str, open: &Open) -> Result<(&'a str, f64), String> {
    let (series, value) = line.rsplit_once(' ').ok_or("no value")?;
    let (name, labels) = match series.split_once('{') {
        Some((name, rest)) => (name, rest.strip_suffix('}').ok_or("no end of labels")?),
        None => (series, ""),
    };
    let suffix = name.strip_prefix(&open.name).ok_or("another family")?;
    let allowed: &[&str] = match open.kind.as_str() {
        "counter" => &["_total"],
        "histogram" => &["_bucket", "_count", "_sum"],
        _ => &[""],
    };
    if !allowed.contains(&suffix) {
        return Err(format!("a {} has no {suffix}", open.kind));
    }
    let mut names = BTreeSet::new();
    for (label, value) in pairs(labels)? {
        let bound = value.parse::<f64>();
        if label == "le" && !(bound.is_ok() && value.contains(['.', 'I', 'e'])) {
            return Err("a bound is a decimal".to_owned());
        }
        if !names.insert(label) {
            return Err("a label is there twice".to_owned());
        }
    }
    if (suffix == "_bucket") != names.contains("le") {
        return Err("only buckets have bounds".to_owned());
    }
    let value = value.parse().map_err(|_| "the value is no number")?;
    Ok((series, value))
}

/// The labels of a sample.
fn pairs(mut text: &str) -> Result<Vec<(&str, &str)>, String> {
    let mut found = Vec::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"").ok_or("a label without a value")?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(format!("'{name}' is no name of a label"));
        }
        let end = end_of_string(rest).ok_or("a value without an end")?;
        unescaped(&rest[..end])?;
        found.push((name, &rest[..end]));
        let rest = &rest[end + 1..];
        text = match rest.strip_prefix(',') {
            Some(more) if !more.is_empty() => more,
            None if rest.is_empty() => rest,
            _ => return Err("labels are not divided by a comma".to_owned()),
        };
    }
    Ok(found)
}

/// The place of the quote that ends a string.
fn end_of_string(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

/// Whether quotes are escaped, and nothing but what may be is.
fn unescaped(text: &str) -> Result<(), String> {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let fine = match c {
            '\\' => matches!(chars.next(), Some('\\' | '"' | 'n')),
            '"' => false,
            _ => true,
        };
        if !fine {
            return Err("wrongly escaped".to_owned());
        }
    }
    Ok(())
}

#[test]
fn what_the_specification_forbids_is_refused() {
    let whole = "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds x \\\"y\\\".\n\
                 a_seconds_total{b=\"c\\\"\\\\\",d=\"e,\"} 1\n# EOF\n";
    assert_eq!(parse(whole).map(|samples| samples.len()), Ok(1));
    for (from, to) in [
        ("# EOF\n", ""),
        ("# EOF\n", "# EOF"),
        ("# EOF\n", "# EOF\n\n"),
        ("a_seconds_total{", "a_seconds{"),
        ("a_seconds_total{", "b_total{"),
        ("TYPE a_seconds counter", "TYPE a_seconds counters"),
        ("UNIT a_seconds seconds", "UNIT a_seconds second"),
        ("\\\"y\\\"", "\"y\""),
        ("c\\\"\\\\", "c\\d"),
        ("d=", "b="),
        (" 1\n", " one\n"),
        ("e,\"}", "e,\",}"),
        ("d=\"e,\"", "le=\"1.0\""),
    ] {
        assert!(whole.contains(from), "{from}");
        assert!(parse(&whole.replace(from, to)).is_err(), "{from} to {to}");
    }
}
