//! The peak memory of a process group, from Linux's `/proc`.

use std::{fs, path::Path};

/// Returns the peak memory of the process group of `leader` in bytes: the sum of its members'
/// `VmHWM` (proc(5)). The whole group counts, because a command may be a script that starts the
/// server. The result is `None` where `proc` does not say.
#[expect(clippy::cast_precision_loss, reason = "bytes of memory are below 2^53")]
pub(super) fn peak(proc: &Path, leader: u32) -> Option<f64> {
    let entries = fs::read_dir(proc).ok()?;
    let bytes: u64 = entries
        .filter_map(|entry| {
            let folder = entry.ok()?.path();
            let stat = fs::read_to_string(folder.join("stat")).ok()?;
            let status = fs::read_to_string(folder.join("status")).ok()?;
            (group(&stat)? == leader).then(|| high_water(&status))?
        })
        .sum();
    (bytes > 0).then_some(bytes as f64)
}

/// Returns the process group, which is the fifth field of `stat`. The second field is a name in
/// brackets, which may contain any character.
fn group(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(2)?.parse().ok()
}

fn high_water(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kb: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kb * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_group_counts_and_nobody_else() {
        let root = tempfile::tempdir().unwrap();
        for (pid, name, group, kb) in [
            (7, "sh", 7, 1000),
            (8, "a (b) c", 7, 2000),
            (9, "other", 9, 4000),
        ] {
            let folder = root.path().join(pid.to_string());
            fs::create_dir(&folder).unwrap();
            let stat = format!("{pid} ({name}) S 1 {group} {group} 0 -1");
            fs::write(folder.join("stat"), stat).unwrap();
            let status = format!("Name:\t{name}\nVmHWM:\t    {kb} kB\nVmRSS:\t 1 kB\n");
            fs::write(folder.join("status"), status).unwrap();
        }
        fs::write(root.path().join("uptime"), "1").unwrap();
        assert_eq!(peak(root.path(), 7), Some(3_072_000.0));
        assert_eq!(peak(root.path(), 10), None);
        assert_eq!(peak(&root.path().join("none"), 7), None);
    }
}
