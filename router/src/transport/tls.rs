//! TLS to engines: whom their certificates may be signed by, and what to do about one that is refused.
//!
//! Certificates are always checked; there is no switch that turns it off. Trusted are the authorities
//! of the operating system, as `rustls-native-certs` finds them (on Linux in the usual bundles, or where
//! `SSL_CERT_FILE` and `SSL_CERT_DIR` say), and those of an engine's `ca_file`.

use std::{
    fmt, io,
    sync::{Arc, LazyLock},
    time::Duration,
};

use crucible_config::CaFile;
use rustls::{CertificateError, ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::UnixTime;
use tokio_rustls::TlsConnector;

use super::ConnectError;

/// The authorities that an engine's certificate may be signed by; cheap to clone.
#[derive(Clone)]
pub(super) struct TrustedAuthorities(Arc<ClientConfig>);

/// The operating system's authorities, read once, when the first engine with TLS is built.
static SYSTEM: LazyLock<RootCertStore> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (_, unusable) = store.add_parsable_certificates(found.certs);
    let errors = found.errors.len() + unusable;
    if store.is_empty() || errors > 0 {
        let authorities = store.len();
        tracing::warn!(
            authorities,
            errors,
            "certificates of the system's authorities"
        );
    }
    store
});

// === impl TrustedAuthorities ===

impl TrustedAuthorities {
    /// Trusts the system's authorities and those of `ca_file`.
    pub(super) fn new(ca_file: Option<&CaFile>) -> Result<Self, rustls::Error> {
        let mut store = SYSTEM.clone();
        for certificate in ca_file.into_iter().flat_map(CaFile::certificates) {
            store.add(certificate.clone())?;
        }
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(store)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    /// Returns a connector that trusts these authorities.
    pub(super) fn connector(&self) -> TlsConnector {
        TlsConnector::from(Arc::clone(&self.0))
    }

    /// Whether both are the same, not whether they hold the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for TrustedAuthorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedAuthorities").finish_non_exhaustive()
    }
}

/// The reason why a TLS handshake failed.
pub(super) fn refused(error: &io::Error) -> ConnectError {
    let cause = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(error)) => {
            ConnectError::Tls(certificate(error))
        }
        Some(rustls::Error::InvalidMessage(_)) => ConnectError::Tls(
            "it does not speak TLS; write http:// in its `url` if it is plain HTTP".to_owned(),
        ),
        Some(error) => ConnectError::Tls(format!("{error}; its log may say more")),
        None if error.kind() == io::ErrorKind::UnexpectedEof => ConnectError::Tls(
            "it closed the connection in the TLS handshake; write http:// in its `url` if it is plain \
             HTTP"
                .to_owned(),
        ),
        None => ConnectError::Failed(error.to_string()),
    }
}

/// The fault of a certificate and, after a semicolon, the step that mends it.
fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "its certificate is signed by an authority that is not trusted here; \
             name that authority's certificate in the engine's `ca_file`"
            .to_owned(),
        CertificateError::Expired => "its certificate expired; renew it on the engine".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => {
            let ago = apart(*not_after, *time);
            format!("its certificate expired {ago} ago; renew it on the engine, or set this machine's clock")
        }
        CertificateError::NotValidYet => {
            "its certificate is not valid yet; set the clock of this machine or of the engine's".to_owned()
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            let ahead = apart(*time, *not_before);
            format!("its certificate is valid only {ahead} from now; set the clock of this machine or of the engine's")
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let (expected, presented) = (expected.to_str(), names(presented));
            format!(
                "its certificate is for {presented} and not for {expected}; write a name that it is for into `url`, \
                 or give the engine one for {expected}"
            )
        }
        CertificateError::NotValidForName => {
            "its certificate is for another host; write the name that it is for into `url`".to_owned()
        }
        CertificateError::BadSignature => "its certificate has a signature that is not its authority's; \
             `ca_file` may hold an older certificate of the same authority"
            .to_owned(),
        // A self-signed certificate of `openssl req -x509` says that it is an authority's.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "its certificate is an authority's own and no server's; have one signed for the engine, or make it anew \
             with basicConstraints=CA:FALSE"
                .to_owned()
        }
        other => format!("its certificate is not accepted: {other}; have a new one made for it"),
    }
}

/// The names that a certificate is for.
fn names(presented: &[String]) -> String {
    // As webpki writes them: `DnsName("a.b")`, `IpAddress(127.0.0.1)`.
    let plain = |name: &String| {
        let inner = name.split_once('(').map_or(&**name, |(_, rest)| rest);
        inner.trim_end_matches(')').trim_matches('"').to_owned()
    };
    match presented {
        [] => "no host at all".to_owned(),
        some => some.iter().map(plain).collect::<Vec<_>>().join(", "),
    }
}

/// The time from one moment to a later one, in its largest unit.
fn apart(from: UnixTime, to: UnixTime) -> String {
    let seconds = to.as_secs().saturating_sub(from.as_secs());
    let span = Duration::from_secs(seconds);
    let (count, unit) = match span.as_secs() {
        s if s >= 86_400 => (s / 86_400, "day"),
        s if s >= 3600 => (s / 3600, "hour"),
        s if s >= 60 => (s / 60, "minute"),
        s => (s, "second"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}
