//! A configuration at whose path stands something else than a file with TOML in UTF-8.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crucible_tests::binary;
use tempfile::TempDir;

/// Far beyond what a command waits for a pipe, and far below endless.
const TOO_LONG: Duration = Duration::from_secs(60);

/// Exit code and stderr of a command with this configuration; none where it does not end.
fn run(command: &str, file: &Path) -> (Option<i32>, String) {
    let mut child = Command::new(binary::crucible())
        .args([command, "--config"])
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let begun = Instant::now();
    while child.try_wait().expect("a state").is_none() {
        if begun.elapsed() > TOO_LONG {
            child.kill().expect("killed");
            child.wait().expect("ended");
            return (None, String::new());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let out = child.wait_with_output().expect("its end");
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    (out.status.code(), told)
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn what_is_no_text_of_a_configuration_is_told_and_holds_up_nobody() {
    let folder = TempDir::new().expect("a folder");
    let pipe = folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    let written = |name: &str, bytes: Vec<u8>| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    };
    for (file, part) in [
        (pipe, "found a pipe that nobody writes to"),
        ("/dev/zero".into(), "found more than 16 MiB"),
        ("/dev/full".into(), "found more than 16 MiB"),
        (
            written("long", vec![b'#'; 17 << 20]),
            "found more than 16 MiB",
        ),
        (
            written("bom16", utf16("\u{feff}profile = \"agent\"\n")),
            "found text in UTF-16",
        ),
        (
            written("utf16", utf16("profile = \"agent\"\n")),
            "found text in UTF-16",
        ),
        (
            written("latin", b"# one\ndefault_model = \"caf\xe9\"\n".to_vec()),
            "found bytes in line 2 that are no UTF-8, expected text in UTF-8; save it as UTF-8",
        ),
        (
            written("quotes", "profile = \u{201c}agent\u{201d}\n".into()),
            "quotes:1: found the character U+201C, expected plain quotes",
        ),
        (
            written("space", "profile\u{a0}= \"agent\"\n".into()),
            "space:1: found the character U+00A0, expected plain spaces",
        ),
        (
            written(
                "returns",
                b"profile = \"agent\"\ron_exit = \"leave\"\r".to_vec(),
            ),
            "expected lines that end in LF or CRLF",
        ),
        (
            written("end", b"profile = \"agent\"\r\n\x1a".to_vec()),
            "end:2: found the character U+001A",
        ),
    ] {
        for command in ["check", "serve", "models"] {
            let (code, told) = run(command, &file);
            assert_eq!(code, Some(2), "{command} on {}: {told}", file.display());
            assert!(told.contains(part), "{part} in: {told}");
            assert_eq!(told.matches("error: ").count(), 1, "said once: {told}");
        }
    }
}

#[test]
fn a_pipe_that_is_written_slowly_is_read_to_its_end() {
    let folder = TempDir::new().expect("a folder");
    let pipe = folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    let script = "exec >\"$0\"; sleep 4; echo 'profile = \"agnet\"'";
    let mut writer = Command::new("sh")
        .args(["-c", script])
        .arg(&pipe)
        .spawn()
        .expect("sh");
    let (code, told) = run("check", &pipe);
    writer.wait().expect("ended");
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("did you mean \"agent\"?"), "{told}");
}

#[test]
fn serving_from_a_pipe_reads_it_once_and_tells_what_is_missing() {
    let folder = TempDir::new().expect("a folder");
    let pipe = folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    let mut child = Command::new(binary::crucible())
        .args(["serve", "--config"])
        .arg(&pipe)
        .env("CRUCIBLE_STATE_DIR", folder.path().join("state"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let engine = "[[engine]]\nname = \"l\"\nkind = \"llamacpp\"\nmodel_path = \"/absent.gguf\"\n";
    let text = format!("listen = \"127.0.0.1:0\"\n{engine}command = [\"sh\"]\n");
    std::fs::write(&pipe, text).expect("written");
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("read");
    child.kill().expect("killed");
    let err = child.wait_with_output().expect("ended").stderr;
    let err = String::from_utf8_lossy(&err);
    assert!(line.starts_with("listening on"), "{line:?}: {err}");
    assert!(err.contains("found /absent.gguf: No such file"), "{err}");
}

#[test]
fn texts_of_other_systems_are_read() {
    let folder = TempDir::new().expect("a folder");
    for text in [
        "",
        "\u{feff}",
        "\u{feff}profile = \"agent\"\r\n# \u{201c}caf\u{e9}\u{201d}\r\n",
        "default_model = \"\u{201c}\u{a0}\u{201d}\"\r\n",
    ] {
        let file = folder.path().join("crucible.toml");
        std::fs::write(&file, text).expect("written");
        let (code, told) = run("tunings", &file);
        assert_eq!(code, Some(0), "{text:?}: {told}");
    }
}

#[test]
fn no_address_is_shown_with_what_may_be_secret_in_it() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("crucible.toml");
    for url in [
        "http://user:s3cr3t@h:1",
        "http://s3cr3t@h:1",
        "http://u:s3cr3t%40h:1",
        "http://u:s3cr3t@h:99999",
        "http://h:1/v1?key=s3cr3t",
        "http://h:1?s3cr3t",
        "http://h:1/#s3cr3t",
        "http://h:1/s3cr3t/v1",
        "h:1?api_key=s3cr3t",
        "user:s3cr3t@h:1",
        "Bearer s3cr3t",
        "https://u:s3cr3t@h",
        "ftp://u:s3cr3t@h",
    ] {
        let text = format!("[[engine]]\nname = \"a\"\nkind = \"openai\"\nurl = \"{url}\"\n");
        std::fs::write(&file, text).expect("written");
        for command in ["check", "serve"] {
            let (code, told) = run(command, &file);
            assert_eq!(code, Some(2), "{url}: {told}");
            assert!(
                told.contains("crucible.toml:4: engine[0].url: found"),
                "{told}"
            );
            assert!(!told.contains("s3cr3t"), "{command}, {url}: {told}");
        }
    }
    for url in ["http://h:0", "http://*:1234"] {
        let text = format!("[[engine]]\nname = \"a\"\nkind = \"openai\"\nurl = \"{url}\"\n");
        std::fs::write(&file, text).expect("written");
        let (code, told) = run("check", &file);
        assert_eq!(code, Some(2), "{url}: {told}");
        assert!(told.contains(url), "{told}");
    }
}

#[test]
fn a_state_folder_that_cannot_be_one_is_told() {
    let folder = TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("plain"), "").expect("written");
    let file = folder.path().join("crucible.toml");
    for (name, is_refused) in [("plain", true), ("plain/below", true), ("new/below", false)] {
        let state = folder.path().join(name).display().to_string();
        std::fs::write(&file, format!("state_dir = {state:?}\n")).expect("written");
        let (code, told) = run("check", &file);
        assert_eq!(code == Some(2), is_refused, "{name}: {told}");
        let is_told = told.contains("crucible.toml:1: state_dir: found ")
            && told.contains("/plain, which is no folder");
        assert_eq!(is_told, is_refused, "{told}");
    }
}
