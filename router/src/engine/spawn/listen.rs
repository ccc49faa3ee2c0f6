//! The address at which a llama.cpp server that is about to start is told to listen: a Unix socket
//! where that is sure to work, else a port of the loopback interface.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{io::AsyncReadExt as _, net::TcpListener, process::Command, time::timeout};
use url::Url;

use super::{children::Children, sockets::ChildSocket};
use crate::{engine::EngineError, transport::EngineAddress};

/// The time that a program has to write its help.
const HELP_BUDGET: Duration = Duration::from_secs(10);
/// The number of bytes of help that are read; llama.cpp's server writes some 60 KB.
const HELP_LIMIT: u64 = 1 << 20;
/// The name of llama.cpp's server, which may be followed by a version or an ending.
const PROGRAM: &str = "llama-server";

/// The address at which a child listens.
#[derive(Debug)]
pub(super) enum ListenAddress {
    /// A port of 127.0.0.1 that was free a moment ago.
    Port(u16),
    /// A file that is removed when the child has ended.
    Socket(ChildSocket),
}

// === impl ListenAddress ===

impl ListenAddress {
    /// Chooses an address for a child that is started with this command for the engine of this name.
    ///
    /// A socket is chosen where `children` has a folder for one, the program is llama.cpp's server
    /// itself, its help says that a host may be the path of a socket, and the command names no host or
    /// port of its own. A wrapper (a shell, a container, another machine's) is never asked: it need not
    /// share the file system with Crucible.
    ///
    /// Errors: no port is free.
    pub(super) async fn choose(
        children: &Children,
        engine: &str,
        command: &[String],
    ) -> Result<Self, EngineError> {
        if let Some(folder) = children.sockets()
            && let Some(program) = command.first().filter(|program| is_llama_server(program))
            && !command.iter().any(|word| names_address(word))
            && help(children, program)
                .await
                .is_some_and(|help| takes_sockets(&help))
        {
            match folder.take(engine).await {
                Ok(socket) => return Ok(Self::Socket(socket)),
                Err(error) => {
                    tracing::debug!(engine, %error, "it gets a port, as no socket can be had");
                }
            }
        }
        free_port().await.map(Self::Port)
    }

    /// Adds the flags that make llama.cpp's server listen there.
    pub(super) fn add_to(&self, command: &mut Command) {
        match self {
            Self::Port(port) => {
                command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
            }
            Self::Socket(socket) => {
                command.arg("--host").arg(socket.path());
            }
        }
    }

    /// The same address for those who connect to it.
    pub(super) fn address(&self) -> Result<EngineAddress, EngineError> {
        match self {
            Self::Port(port) => {
                let url = Url::parse(&format!("http://127.0.0.1:{port}"))
                    .map_err(|error| EngineError::Unexpected(error.to_string()))?;
                Ok(EngineAddress::new(url, None)?)
            }
            Self::Socket(socket) => Ok(EngineAddress::unix(socket.path())?),
        }
    }

    /// The socket, where it is one.
    pub(super) fn into_socket(self) -> Option<ChildSocket> {
        match self {
            Self::Port(_) => None,
            Self::Socket(socket) => Some(socket),
        }
    }
}

/// A port that was free a moment ago. The child is told one, because it cannot tell Crucible which one
/// it chose itself.
pub(super) async fn free_port() -> Result<u16, EngineError> {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    listener
        .and_then(|l| l.local_addr())
        .map(|a| a.port())
        .map_err(|e| EngineError::Unexpected(format!("no free port: {e}")))
}

fn is_llama_server(program: &str) -> bool {
    let name = Path::new(program).file_name();
    name.is_some_and(|name| name.to_string_lossy().starts_with(PROGRAM))
}

/// Whether a word of a command says where to listen.
fn names_address(word: &str) -> bool {
    let flag = word.split_once('=').map_or(word, |(flag, _)| flag);
    matches!(flag, "--host" | "--port")
}

/// The help of a program; `None` where it does not write it in time.
async fn help(children: &Children, program: &str) -> Option<String> {
    let mut command = Command::new(program);
    command
        .arg("--help")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let (mut child, _hold) = children.start(&mut command).ok()?;
    let mut out = child.stdout.take()?.take(HELP_LIMIT);
    let mut text = Vec::new();
    let read = async {
        out.read_to_end(&mut text).await.ok()?;
        // One that has more to say ends at the closed pipe.
        drop(out);
        child.wait().await.ok()
    };
    timeout(HELP_BUDGET, read).await.ok()??;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// Whether the help of llama.cpp's server says of `--host` that a path ending in `.sock` is a Unix
/// socket.
fn takes_sockets(help: &str) -> bool {
    let mut lines = help.lines().skip_while(|line| !line.starts_with("--host "));
    let Some(first) = lines.next() else {
        return false;
    };
    let more = lines.take_while(|line| line.starts_with(' '));
    let words: Vec<_> = std::iter::once(first).chain(more).collect();
    let words = words.join(" ").to_ascii_lowercase();
    words.contains("unix socket") && words.contains(".sock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_says_whether_a_host_may_be_a_socket() {
        // Build 11434, and one of 2025.
        let new = "--port PORT    port to listen on (default: 8080)\n\
                   --host HOST                             IP addresses to listen on, comma-separated, or UNIX socket paths\n\
                   \x20                                       ending in .sock; with multiple TCP addresses, :: binds IPv6 only;\n\
                   --port PORT";
        let older = "--host HOST       ip address to listen, or bind to an UNIX socket if the\n\
                     \x20                 address ends with .sock (default: 127.0.0.1)\n";
        let oldest = "--host HOST       ip address to listen (default: 127.0.0.1)\n\
                      --unix PATH       a UNIX socket, such as x.sock\n";
        for (help, sure) in [(new, true), (older, true), (oldest, false), ("", false)] {
            assert_eq!(takes_sockets(help), sure, "{help}");
        }
    }

    #[test]
    fn only_the_server_itself_without_an_address_of_its_own_is_asked() {
        for (program, itself) in [
            ("llama-server", true),
            ("/opt/llama/llama-server-b11434", true),
            ("llama-server.exe", true),
            ("python3", false),
            ("/llama-server/run.sh", false),
        ] {
            assert_eq!(is_llama_server(program), itself, "{program}");
        }
        for (word, named) in [("--host", true), ("--port=1", true), ("--hostile", false)] {
            assert_eq!(names_address(word), named, "{word}");
        }
    }
}
