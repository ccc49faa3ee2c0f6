//! The check of `ca_file`, the certificates that an engine's certificate is checked against.

use std::path::Path;

use url::Url;

use super::paths;
use crate::{
    ca_file::CaFile,
    keys::engine,
    settings::{ProblemReport, Settings},
};

/// Reads the `ca_file` of engine number `i` (from 0), relative to `folder`. A file that cannot be
/// read is an error; for an engine at an `http` address the key has no use and is reported as a
/// warning. `None` in both cases, and where it is not set.
pub(super) fn ca_file(
    settings: &Settings,
    i: usize,
    folder: Option<&Path>,
    url: Option<&Url>,
    report: &mut ProblemReport,
) -> Option<CaFile> {
    let key = engine::CA_FILE.item(i);
    let path = paths::path(settings, &key, report)?;
    let source = settings.source(&key);
    if let Some(url) = url.filter(|url| url.scheme() != "https") {
        let found = format!("a ca_file for an engine at {}://", url.scheme());
        let expected = "one for an engine at https:// only";
        let hint = "write https:// in url if the engine speaks TLS, else remove the line";
        report.warn(&key, &source, &found, expected, hint);
        return None;
    }
    let path = folder.map_or_else(|| path.clone(), |folder| folder.join(&path));
    match CaFile::read(&path) {
        Ok(authorities) => Some(authorities),
        Err(no) => {
            let expected = "a file of certificates (PEM) that can be read";
            report.error(&key, &source, &no.found, expected, no.hint);
            None
        }
    }
}
