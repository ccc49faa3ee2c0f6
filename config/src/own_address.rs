//! The test whether an address is one at which Crucible itself listens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};

use url::{Host, Url};

/// The listener of Crucible that a connection to this URL reaches, if it reaches one.
///
/// A name is resolved, and an address is compared with those of this machine, only where the port is
/// one of Crucible's.
pub fn reached(listeners: &[SocketAddr], url: &Url) -> Option<SocketAddr> {
    let port = url.port_or_known_default()?;
    if !listeners.iter().any(|own| own.port() == port) {
        return None;
    }
    let ips = match url.host()? {
        Host::Ipv4(ip) => vec![IpAddr::V4(ip)],
        Host::Ipv6(ip) => vec![IpAddr::V6(ip)],
        Host::Domain(name) => {
            let found = (name, port).to_socket_addrs();
            found.map_or_else(|_| Vec::new(), |all| all.map(|at| at.ip()).collect())
        }
    };
    let here = |ip| UdpSocket::bind((ip, 0)).is_ok();
    ips.into_iter()
        .find_map(|ip| reached_at(listeners, ip, port, here))
}

/// `here` tells whether an address is this machine's.
fn reached_at(
    listeners: &[SocketAddr],
    ip: IpAddr,
    port: u16,
    here: impl Fn(IpAddr) -> bool,
) -> Option<SocketAddr> {
    // To connect to "any address" is to connect to this machine.
    let ip = match ip.to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let takes = |own: &&SocketAddr| {
        let at = own.ip().to_canonical();
        let any = at.is_unspecified() && (at.is_ipv6() || ip.is_ipv4());
        own.port() == port && (at == ip || any && (ip.is_loopback() || here(ip)))
    };
    listeners.iter().find(takes).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_ours_where_a_listener_takes_connections_to_it() {
        let here = |ip: IpAddr| ip.to_string() == "192.168.1.5" || ip.to_string() == "fd00::5";
        for (listener, ip, ours) in [
            ("127.0.0.1:11434", "127.0.0.1", true),
            ("127.0.0.1:11434", "0.0.0.0", true),
            ("127.0.0.1:11434", "::ffff:127.0.0.1", true),
            ("127.0.0.1:11434", "::1", false),
            ("127.0.0.1:11434", "127.0.0.2", false),
            ("127.0.0.1:11434", "192.168.1.5", false),
            ("127.0.0.1:1234", "127.0.0.1", false),
            ("[::1]:11434", "::1", true),
            ("[::1]:11434", "::", true),
            ("[::1]:11434", "127.0.0.1", false),
            ("0.0.0.0:11434", "127.0.0.1", true),
            ("0.0.0.0:11434", "127.0.0.2", true),
            ("0.0.0.0:11434", "192.168.1.5", true),
            ("0.0.0.0:11434", "192.168.1.6", false),
            ("0.0.0.0:11434", "::1", false),
            ("[::]:11434", "127.0.0.1", true),
            ("[::]:11434", "::1", true),
            ("[::]:11434", "192.168.1.5", true),
            ("[::]:11434", "fd00::5", true),
            ("[::]:11434", "fd00::6", false),
            ("192.168.1.5:11434", "192.168.1.5", true),
            ("192.168.1.5:11434", "127.0.0.1", false),
        ] {
            let listeners = [listener.parse().unwrap()];
            let found = reached_at(&listeners, ip.parse().unwrap(), 11434, here);
            assert_eq!(found.is_some(), ours, "{listener} {ip}");
        }
    }

    #[test]
    fn names_of_this_machine_are_resolved() {
        let any = |port: u16| [SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 0], port))];
        let at = |url: &str, port| reached(&any(port), &Url::parse(url).unwrap()).is_some();
        assert!(at("http://localhost:11434", 11434));
        assert!(!at("http://localhost:11434", 11435));
        assert!(!at("http://no-such-host.invalid:11434", 11434));
        assert!(at("http://127.0.0.1", 80));
    }
}
