//! The addresses at which engines are searched for when none is configured.
//!
//! These are the default ports and the next ones on this machine and, inside WSL, on the Windows
//! host; never an address at which Crucible itself listens. An engine is recognised by its own
//! answer, whatever port it is on.

mod ollama_host;

use std::{
    env,
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use crucible_config::{
    Config,
    checked::{self, EngineKind},
    own_address,
};
use url::Url;

/// The time between searches at addresses where nothing was found.
pub const LOOK_EVERY: Duration = Duration::from_secs(10);

/// One address at which an engine is searched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchAddress {
    /// The kind of engine that listens there by default.
    pub kind: EngineKind,
    /// The address to ask.
    pub url: Url,
}

/// The environment variable that says where Ollama's own client connects to.
const OLLAMA_HOST: &str = "OLLAMA_HOST";

/// The addresses to search, first that of `OLLAMA_HOST` and then the usual ports, without those at
/// which Crucible itself listens. `root` is the root of the file system (`/`, or another one in
/// tests), whose `proc` says whether this is WSL and where the Windows host is.
pub fn places(root: &Path, listeners: &[SocketAddr]) -> Vec<SearchAddress> {
    let ollama_host = env::var(OLLAMA_HOST).unwrap_or_default();
    places_with(root, listeners, &ollama_host)
}

fn places_with(root: &Path, listeners: &[SocketAddr], ollama_host: &str) -> Vec<SearchAddress> {
    let told = ollama_host::connectable(ollama_host).map(|url| SearchAddress {
        kind: EngineKind::Ollama,
        url,
    });
    let mut hosts = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    let release = fs::read_to_string(root.join("proc/sys/kernel/osrelease")).unwrap_or_default();
    if is_wsl(&release) {
        let routes = fs::read_to_string(root.join("proc/net/route")).unwrap_or_default();
        hosts.extend(default_gateway(&routes).map(IpAddr::V4));
    }
    let usual = hosts
        .iter()
        .flat_map(|host| usual_ports().map(move |(kind, port)| (host, kind, port)))
        .filter_map(|(host, kind, port)| {
            let url = Url::parse(&format!("http://{host}:{port}")).ok()?;
            Some(SearchAddress { kind, url })
        })
        .filter(|place| told.as_ref() != Some(place));
    let mut all: Vec<SearchAddress> = usual.collect();
    all.splice(0..0, told);
    all.retain(|place| own_address::reached(listeners, &place.url).is_none());
    all
}

/// The addresses as one sentence for messages, such as `looked for LM Studio on
/// http://127.0.0.1:1234`.
pub fn describe(places: &[SearchAddress]) -> String {
    let beside =
        |a: &SearchAddress, b: &SearchAddress| a.kind == b.kind && a.url.host() == b.url.host();
    let each = places.chunk_by(beside).filter_map(|of| {
        let (first, more) = of.split_first()?;
        let url = first.url.as_str().trim_end_matches('/');
        let mut text = format!("{} on {url}", first.kind.profile().product);
        for port in more.iter().filter_map(|place| place.url.port()) {
            let _ = write!(text, " or {port}");
        }
        Some(text)
    });
    format!("looked for {}", each.collect::<Vec<_>>().join(", "))
}

/// The ports on which engines are looked for, each with the kind that usually listens there.
fn usual_ports() -> impl Iterator<Item = (EngineKind, u16)> {
    let of = |kind: EngineKind| {
        let ports = kind.profile().search_ports.iter();
        ports.map(move |port| (kind, *port))
    };
    EngineKind::ALL.into_iter().flat_map(of)
}

/// The configuration of a found engine: it is named after its kind and has the configured values of
/// its kind.
pub fn discovered(config: &Config, kind: EngineKind, url: Url) -> checked::EngineConfig {
    config.discovered(kind, kind.profile().word, url)
}

/// Whether a kernel release is WSL's.
fn is_wsl(osrelease: &str) -> bool {
    osrelease.to_ascii_lowercase().contains("microsoft")
}

/// The gateway of the default route in `/proc/net/route`, whose addresses are little-endian hex.
fn default_gateway(routes: &str) -> Option<Ipv4Addr> {
    routes.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (destination, gateway) = (fields.next()?, fields.next()?);
        let address = u32::from_str_radix(gateway, 16).ok()?;
        (destination == "00000000" && address != 0).then(|| Ipv4Addr::from(address.swap_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "Iface\tDestination\tGateway\tFlags\n\
        eth0\t0000A8C0\t00000000\t0001\n\
        eth0\t00000000\t011AA8C0\t0003\n";

    #[test]
    fn the_gateway_is_that_of_the_default_route() {
        assert_eq!(
            default_gateway(ROUTES),
            Some(Ipv4Addr::new(192, 168, 26, 1))
        );
        assert_eq!(default_gateway("Iface\n"), None);
        assert_eq!(default_gateway("Iface\neth0\t00000000\tnonsense"), None);
    }

    #[test]
    fn inside_wsl_the_windows_host_is_looked_at_too() {
        let root = tempfile::tempdir().unwrap();
        let found = |root: &Path| places_with(root, &[], "");
        assert_eq!(found(root.path()).len(), usual_ports().count());
        fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
        fs::create_dir_all(root.path().join("proc/net")).unwrap();
        let release = root.path().join("proc/sys/kernel/osrelease");
        fs::write(&release, "5.15.1-microsoft-standard-WSL2\n").unwrap();
        fs::write(root.path().join("proc/net/route"), ROUTES).unwrap();
        let all = found(root.path());
        assert_eq!(all.len(), 2 * usual_ports().count());
        assert_eq!(
            all[usual_ports().count() + 2].url.as_str(),
            "http://192.168.26.1:11434/"
        );
        fs::write(&release, "6.1.0-generic\n").unwrap();
        assert_eq!(found(root.path()).len(), usual_ports().count());
    }

    #[test]
    fn the_message_names_every_place() {
        let text = describe(&places_with(Path::new("/nowhere"), &[], ""));
        assert_eq!(
            text,
            "looked for LM Studio on http://127.0.0.1:1234 or 1235, \
             Ollama on http://127.0.0.1:11434 or 11435 or 11436, \
             llama.cpp's server on http://127.0.0.1:8080 or 9931 or 8081"
        );
    }

    #[test]
    fn where_crucible_listens_is_no_engine() {
        for (listeners, missing) in [
            (&["127.0.0.1:11434"][..], &[11434][..]),
            (&["0.0.0.0:1234", "[::]:8080"], &[1234, 8080]),
            (&["[::1]:11434", "127.0.0.1:8484"], &[]),
        ] {
            let own: Vec<SocketAddr> = listeners.iter().map(|a| a.parse().unwrap()).collect();
            let found = places_with(Path::new("/nowhere"), &own, "");
            for (_, port) in usual_ports() {
                let there = found.iter().any(|place| place.url.port() == Some(port));
                assert_eq!(there, !missing.contains(&port), "{listeners:?} {port}");
            }
        }
    }

    #[test]
    fn where_ollamas_client_looks_is_looked_at_first() {
        let own = ["0.0.0.0:12001".parse().unwrap()];
        let found = |value: &str| places_with(Path::new("/nowhere"), &own, value);
        let first = |value: &str| found(value)[0].url.to_string();
        assert_eq!(first("0.0.0.0:12000"), "http://127.0.0.1:12000/");
        assert_eq!(found("0.0.0.0:12000").len(), usual_ports().count() + 1);
        assert_eq!(first("http://127.0.0.1:11434/"), "http://127.0.0.1:11434/");
        assert_eq!(found("127.0.0.1").len(), usual_ports().count());
        let text = describe(&found("127.0.0.1:12000"));
        assert!(text.starts_with("looked for Ollama on http://127.0.0.1:12000, LM Studio on"));
        // Crucible itself.
        for value in [
            "127.0.0.1:12001",
            "http://localhost:12001",
            "[::ffff:127.0.0.1]:12001",
        ] {
            assert_eq!(found(value).len(), usual_ports().count(), "{value}");
        }
    }
}
