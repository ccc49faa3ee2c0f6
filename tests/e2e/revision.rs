//! The revision that a release build is marked with.

use std::{fs, path::Path};

use tempfile::TempDir;

#[path = "../../proxy/build/git.rs"]
mod git;

use git::revision;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, text).expect("written");
}

fn commit(root: &Path) -> Option<String> {
    revision(root).commit
}

#[test]
fn a_branch_a_packed_branch_and_a_single_commit_are_read() {
    let folder = TempDir::new().expect("a folder");
    let root = folder.path();
    let expected = Some("0123456789ab".to_owned());
    assert_eq!(commit(root), None, "a tarball has no revision");
    put(root, ".git/HEAD", "ref: refs/heads/main\n");
    assert_eq!(commit(root), None, "there is no commit yet");
    let packed = format!("# pack-refs with: peeled\n{COMMIT} refs/heads/main\n^{COMMIT}\n");
    put(root, ".git/packed-refs", &packed);
    assert_eq!(commit(root), expected);
    put(root, ".git/refs/heads/main", &"f".repeat(40));
    assert_eq!(commit(root), Some("f".repeat(12)), "a loose one is newer");
    put(root, ".git/HEAD", &format!("{COMMIT}\n"));
    assert_eq!(commit(root), expected);
    put(root, ".git/HEAD", "garbage\n");
    assert_eq!(commit(root), None);
}

#[test]
fn a_further_work_tree_shares_the_branches_of_the_first() {
    let folder = TempDir::new().expect("a folder");
    let root = folder.path();
    put(
        root,
        "first/.git/worktrees/second/HEAD",
        "ref: refs/heads/b\n",
    );
    put(root, "first/.git/worktrees/second/commondir", "../..\n");
    put(root, "first/.git/refs/heads/b", COMMIT);
    let own = root.join("first/.git/worktrees/second");
    put(root, "second/.git", &format!("gitdir: {}\n", own.display()));
    let found = revision(&root.join("second"));
    assert_eq!(found.commit.as_deref(), Some("0123456789ab"));
    assert!(found.files[0].ends_with("second/HEAD"), "{found:?}");
}
