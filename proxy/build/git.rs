//! The revision of a work tree, read from git's own files.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The digits of a revision that are kept, as many as tell all commits of a large project apart.
const DIGITS: usize = 12;

/// The revision of a work tree, and the files that change with it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Revision {
    /// The first twelve digits of the commit; `None` where this is no work tree of git, as in a tarball.
    pub(crate) commit: Option<String>,
    /// The files that a commit or a change of branch writes.
    pub(crate) files: Vec<PathBuf>,
}

/// Reads the revision of the work tree at `root`.
pub(crate) fn revision(root: &Path) -> Revision {
    let Some(own) = git_folder(root) else {
        return Revision::default();
    };
    let head = own.join("HEAD");
    let text = read(&head).unwrap_or_default();
    let Some(branch) = text.strip_prefix("ref: ") else {
        return Revision {
            commit: digits(&text),
            files: vec![head],
        };
    };
    // Further work trees share the branches of the first one.
    let shared = match read(&own.join("commondir")) {
        Some(folder) => own.join(folder),
        None => own,
    };
    let (loose, packed) = (shared.join(branch), shared.join("packed-refs"));
    let commit = read(&loose).or_else(|| in_packed(&read(&packed)?, branch));
    Revision {
        commit: commit.as_deref().and_then(digits),
        files: vec![head, loose, packed],
    }
}

/// The folder of git's files: `.git`, or the one that a file of that name tells.
fn git_folder(root: &Path) -> Option<PathBuf> {
    let git = root.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    let text = read(&git)?;
    Some(root.join(text.strip_prefix("gitdir: ")?))
}

fn in_packed(packed: &str, branch: &str) -> Option<String> {
    let lines = packed.lines().filter_map(|line| line.split_once(' '));
    let mut found = lines.filter(|(_, name)| *name == branch);
    found.next().map(|(commit, _)| commit.to_owned())
}

fn read(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn digits(commit: &str) -> Option<String> {
    let is_commit = commit.len() >= DIGITS && commit.bytes().all(|b| b.is_ascii_hexdigit());
    is_commit.then(|| commit.chars().take(DIGITS).collect())
}
