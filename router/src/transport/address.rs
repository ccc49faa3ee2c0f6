//! The address of an engine: where it listens, and how it is reached there.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use crucible_config::CaFile;
use http::{HeaderValue, Uri, uri::PathAndQuery};
use rustls_pki_types::ServerName;
use url::Url;

use super::tls::TrustedAuthorities;

/// The address of an engine, with what is needed to connect to it; cheap to clone.
///
/// Made from a URL of one of three schemes: `http://host:port` (TCP), `https://host:port` (TLS 1.2 or
/// 1.3 over TCP) and `unix:/path` (a Unix socket, for a child of Crucible). A path of an `http` or
/// `https` URL stands before the path of every request.
#[derive(Clone, Debug)]
pub struct EngineAddress(Arc<AddressParts>);

#[derive(Debug)]
struct AddressParts {
    url: Url,
    host: HeaderValue,
    route: Route,
}

/// The kind of connection that an address asks for.
#[derive(Clone, Debug)]
pub(super) enum Route {
    /// TCP to the host and port of this URI.
    Tcp(Uri),
    /// TLS over TCP, with a certificate for that name.
    Tls(Uri, ServerName<'static>, TrustedAuthorities),
    /// A Unix socket at that path.
    Unix(PathBuf),
}

/// A URL that no connection can be made to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the address of an engine: {0}")]
pub struct AddressError(String);

// === impl EngineAddress ===

impl EngineAddress {
    /// The address of this URL. `ca_file` is looked at for `https` only, where its authorities are
    /// trusted beside those of the system.
    ///
    /// Errors: another scheme, or no host.
    pub fn new(url: Url, ca_file: Option<&CaFile>) -> Result<Self, AddressError> {
        let wrong = |why: &dyn std::fmt::Display| AddressError(why.to_string());
        let origin = || {
            let uri = Uri::builder().scheme(url.scheme());
            let uri = uri.authority(url.authority()).path_and_query("/");
            uri.build().map_err(|error| wrong(&error))
        };
        let route = match url.scheme() {
            "http" => Route::Tcp(origin()?),
            "https" => {
                let host = url.host_str().unwrap_or_default();
                // An IPv6 address stands in brackets in a URL, and in a certificate it does not.
                let name = host.trim_start_matches('[').trim_end_matches(']');
                let name = ServerName::try_from(name.to_owned()).map_err(|error| wrong(&error))?;
                let trust = TrustedAuthorities::new(ca_file).map_err(|error| wrong(&error))?;
                Route::Tls(origin()?, name, trust)
            }
            "unix" => {
                let path = url.to_file_path();
                Route::Unix(path.map_err(|()| wrong(&"it is not the path of a socket"))?)
            }
            other => return Err(wrong(&format!("its scheme is {other:?}"))),
        };
        let host = match route {
            Route::Unix(_) => HeaderValue::from_static("localhost"),
            Route::Tcp(_) | Route::Tls(..) => {
                HeaderValue::from_str(url.authority()).map_err(|error| wrong(&error))?
            }
        };
        Ok(Self(Arc::new(AddressParts { url, host, route })))
    }

    /// The address of the Unix socket at this absolute path.
    ///
    /// Errors: a path that is not absolute.
    pub fn unix(path: &Path) -> Result<Self, AddressError> {
        let wrong = |why: &str| AddressError(why.to_owned());
        let file = Url::from_file_path(path).map_err(|()| wrong("its path is not absolute"))?;
        let url = Url::parse(&format!("unix:{}", file.path()));
        Self::new(url.map_err(|_| wrong("its path makes no URL"))?, None)
    }

    /// The URL that the address was made from.
    pub fn url(&self) -> &Url {
        &self.0.url
    }

    /// The value of a request's `Host` header.
    pub fn host(&self) -> &HeaderValue {
        &self.0.host
    }

    /// The target of a request for this path, in the form that stands in a request line: the path of
    /// the address, then `path` (which may have a query).
    pub fn target(&self, path: &str) -> Result<Uri, http::Error> {
        let target = PathAndQuery::try_from([self.prefix(), path].concat())?;
        Ok(Uri::from(target))
    }

    /// The target as [`Self::target`] of a path that the program names; it is copied only where the
    /// address has a path of its own.
    pub fn fixed_target(&self, path: &'static str) -> Result<Uri, http::Error> {
        if !self.prefix().is_empty() {
            return self.target(path);
        }
        let target = PathAndQuery::from_maybe_shared(Bytes::from_static(path.as_bytes()))?;
        Ok(Uri::from(target))
    }

    /// The path of the address, which stands before the path of every request.
    fn prefix(&self) -> &str {
        match self.0.route {
            Route::Unix(_) => "",
            Route::Tcp(_) | Route::Tls(..) => self.0.url.path().trim_end_matches('/'),
        }
    }

    /// Returns the way in which a connection to the address is made: TCP, TLS or a Unix socket.
    pub(super) fn route(&self) -> &Route {
        &self.0.route
    }
}

impl PartialEq for EngineAddress {
    /// Whether a connection to one is a connection to the other. The same `https` URL with other
    /// authorities is another address.
    fn eq(&self, other: &Self) -> bool {
        let trusts_the_same = || match (&self.0.route, &other.0.route) {
            (Route::Tls(_, _, one), Route::Tls(_, _, other)) => one.is(other),
            _ => true,
        };
        Arc::ptr_eq(&self.0, &other.0) || (self.0.url == other.0.url && trusts_the_same())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Result<EngineAddress, AddressError> {
        EngineAddress::new(url.parse().unwrap(), None)
    }

    #[test]
    fn paths_follow_a_prefix() {
        for (url, path, target, host) in [
            ("http://h:1", "/v1/models", "/v1/models", "h:1"),
            (
                "http://h:1/gateway/",
                "/v1/models",
                "/gateway/v1/models",
                "h:1",
            ),
            ("https://h/", "/a?b=c", "/a?b=c", "h"),
            ("https://[::1]:8443", "/a", "/a", "[::1]:8443"),
            ("unix:/run/x.sock", "/slots", "/slots", "localhost"),
        ] {
            let address = address(url).unwrap();
            assert_eq!(address.target(path).unwrap(), target, "{url}");
            assert_eq!(address.fixed_target(path).unwrap(), target, "{url}");
            assert_eq!(address.host(), host, "{url}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_socket_may_have_any_path() {
        for path in ["/run/x.sock", "/Users/x/Application Support/50%/é.sock"] {
            let made = EngineAddress::unix(Path::new(path)).unwrap();
            for address in [address(made.url().as_str()).unwrap(), made] {
                assert!(
                    matches!(address.route(), Route::Unix(p) if p == Path::new(path)),
                    "{address:?}"
                );
            }
        }
        assert!(EngineAddress::unix(Path::new("x.sock")).is_err());
    }

    #[test]
    fn other_schemes_are_refused() {
        let error = address("ftp://h").unwrap_err().to_string();
        assert!(error.contains("ftp"), "{error}");
    }

    #[test]
    fn an_address_with_other_authorities_is_another_one() {
        assert_eq!(
            address("http://h:1").unwrap(),
            address("http://h:1").unwrap()
        );
        assert_ne!(
            address("http://h:1").unwrap(),
            address("http://h:2").unwrap()
        );
        let one = address("https://h:1").unwrap();
        assert_eq!(one, one.clone());
        assert_ne!(one, address("https://h:1").unwrap());
    }
}
