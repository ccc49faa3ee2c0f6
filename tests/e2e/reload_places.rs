//! Where a configuration may be: behind links, in mounts, or not there yet.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crucible_sim::Options;
use crucible_tests::{
    Crucible, binary,
    chat::{body, post},
    engines::{Both, engine, start},
    rest::{eventually, logged},
};
use tempfile::TempDir;

const ALIAS: &str = "\n[[model]]\nname = \"qwen\"\naliases = [\"late\"]\n";
const OTHER: &str = "\n[[model]]\nname = \"qwen\"\naliases = [\"later\"]\n";

async fn answers(crucible: &Crucible, model: &str) {
    eventually(model, || async {
        let answer = post(crucible, &body(model, "repeat 1")).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

/// The text of a file.
fn read(file: &Path) -> String {
    std::fs::read_to_string(file).expect("readable")
}

/// Puts a link in the place of whatever is there.
fn link(to: &Path, at: &Path) {
    let new = PathBuf::from(format!("{}.next", at.display()));
    std::os::unix::fs::symlink(to, &new).expect("linked");
    std::fs::rename(new, at).expect("renamed");
}

#[tokio::test]
async fn a_change_behind_links_is_seen() {
    let both = Both::start().await;
    let file = both.crucible.config();
    let text = read(&file);
    let elsewhere = TempDir::new().expect("a folder");
    let at = |name: &str| elsewhere.path().join(name);
    for version in ["v1", "v2"] {
        std::fs::create_dir(at(version)).expect("a folder");
    }
    std::fs::write(at("v1/crucible.toml"), &text).expect("written");
    // As Kubernetes mounts a ConfigMap: the file is a link into `..data`, itself a link.
    link(&at("v1"), &at("..data"));
    link(&at("..data/crucible.toml"), &file);
    std::fs::write(at("v1/crucible.toml"), format!("{text}{ALIAS}")).expect("written");
    answers(&both.crucible, "late").await;
    std::fs::write(at("v2/crucible.toml"), format!("{text}{OTHER}")).expect("written");
    link(&at("v2"), &at("..data"));
    answers(&both.crucible, "later").await;
    // An editor that writes a new file beside the target and renames it.
    std::fs::write(at("v2/new"), format!("{text}{ALIAS}")).expect("written");
    std::fs::rename(at("v2/new"), at("v2/crucible.toml")).expect("renamed");
    answers(&both.crucible, "late").await;
    let from = format!("configuration reloaded from {}", file.display());
    logged(&both.crucible, &from).await;
}

#[tokio::test]
async fn a_file_that_is_mounted_by_itself_is_seen_when_it_is_written_and_told_when_it_is_replaced()
{
    let sim = start(Options::lmstudio(&["qwen=1GB"])).await;
    // In mounts of its own, as a container has them; without root in a namespace of users too.
    let mount = "if [ -z \"$INSIDE\" ]; then export INSIDE=1; mkdir \"$3.d\"; cp \"$3\" \"$3.d/host\"\n\
                 [ \"$(id -u)\" = 0 ] || more=-r\n\
                 exec unshare $more -m sh -c 'mount --bind \"$3.d/host\" \"$3\"; exec \"$0\" \"$@\"' \"$0\" \"$@\"\nfi";
    let crucible = Crucible::start_in_shell(&engine("lmstudio", "lmstudio", &sim.url()), mount, "");
    let inside = crucible.config();
    let host = PathBuf::from(format!("{}.d/host", inside.display()));
    let text = read(&host);
    std::fs::write(&host, format!("{text}{ALIAS}")).expect("written");
    answers(&crucible, "late").await;
    let new = host.with_extension("new");
    std::fs::write(&new, &text).expect("written");
    std::fs::rename(new, &host).expect("renamed");
    logged(&crucible, "replaced where it is mounted from").await;
    logged(&crucible, "mount its folder instead of the file").await;
}

/// An instance that was told no file, in folders of its own; its log is a file.
struct Alone {
    child: Child,
    folder: TempDir,
}

impl Alone {
    fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let log = std::fs::File::create(folder.path().join("log")).expect("a file");
        let child = Command::new(binary::crucible())
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(["--engine", "gone=openai@http://127.0.0.1:1"])
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .env_remove("XDG_CONFIG_HOME")
            .env("XDG_STATE_HOME", folder.path().join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("it starts");
        Self { child, folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        read(&self.at("log"))
    }

    async fn hang_up_and_see(&self, times: usize, text: &str) {
        eventually(text, || async {
            // Until its handler stands, the signal would end it: the first line tells that it does.
            if self.log().is_empty() {
                return None;
            }
            if self.log().matches(text).count() < times {
                let pid = self.child.id().to_string();
                let sent = Command::new("kill").args(["-HUP", &pid]).status();
                assert!(sent.is_ok_and(|status| status.success()), "{}", self.log());
                tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            }
            (self.log().matches(text).count() >= times).then_some(())
        })
        .await;
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_signal_searches_a_file_that_was_not_there_at_the_start() {
    let alone = Alone::start();
    let none =
        "no configuration file was found, the built-in profile stays; searched: crucible.toml, ";
    alone.hang_up_and_see(1, none).await;
    assert!(
        !alone.log().contains("configuration reloaded"),
        "{}",
        alone.log()
    );
    let user = alone.at(".config/crucible/crucible.toml");
    std::fs::create_dir_all(user.parent().expect("a folder")).expect("made");
    std::fs::write(&user, "default_model = \"a\"\n").expect("written");
    let from_user = format!("configuration reloaded from {}", user.display());
    alone.hang_up_and_see(1, &from_user).await;
    // From then on it is watched.
    std::fs::write(&user, "defualt_model = \"a\"\n").expect("written");
    eventually("the mistake to be told", || async {
        alone
            .log()
            .contains("did you mean \"default_model\"?")
            .then_some(())
    })
    .await;
    // Gone, without another: the old one stays. With another: that is read.
    std::fs::remove_file(&user).expect("removed");
    eventually("the loss to be told", || async {
        alone.log().contains("No such file").then_some(())
    })
    .await;
    std::fs::write(alone.at("crucible.toml"), "default_model = \"b\"\n").expect("written");
    alone
        .hang_up_and_see(1, "configuration reloaded from crucible.toml")
        .await;
}
