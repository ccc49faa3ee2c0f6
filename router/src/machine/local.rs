//! Addresses of this machine itself.

use url::{Host, Url};

use super::Readable;

/// Returns the port of an engine's address if it is one of this machine, else why it is not.
pub(crate) fn local_port(url: &str) -> Readable<u16> {
    let url = Url::parse(url).map_err(|_| "its process is not running".to_owned())?;
    if url.scheme() == "unix" {
        return Err("it listens on a Unix socket and has no port".to_owned());
    }
    if !is_local(&url) {
        return Err("it runs on another machine".to_owned());
    }
    url.port_or_known_default()
        .ok_or_else(|| "its address has no port".to_owned())
}

/// Returns whether an engine's address is one of this machine: its loopback, or a Unix socket.
pub(crate) fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback() || ip.is_unspecified(),
        Some(Host::Ipv6(ip)) => ip.is_loopback() || ip.is_unspecified(),
        None => url.scheme() == "unix",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_processes_of_this_machine_are_looked_at() {
        assert_eq!(local_port("http://127.0.0.1:11434"), Ok(11434));
        assert_eq!(local_port("http://[::1]:1"), Ok(1));
        assert_eq!(local_port("http://localhost"), Ok(80));
        let why = local_port("unix:/run/x.sock").unwrap_err();
        assert_eq!(why, "it listens on a Unix socket and has no port");
        let why = local_port("http://192.168.1.5:11434").unwrap_err();
        assert_eq!(why, "it runs on another machine");
    }
}
