//! TLS in front of a simulated engine: an authority, certificates of it, and a listener that passes on
//! what it decrypts.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use tempfile::TempDir;
use tokio::{io::copy_bidirectional, net::TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::process::listen;

/// An authority that nobody knows, and its certificate in a file.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It holds now and for decades.
    Now,
    /// It ended some years ago.
    Expired,
    /// It begins in some decades.
    Later,
}

/// A TLS server before another server; ended when it is dropped.
pub struct TlsFront {
    address: SocketAddr,
    now: Arc<Mutex<Now>>,
    stop: CancellationToken,
}

/// The answer and the certificate that the next connection meets.
struct Now {
    server: TlsAcceptor,
    /// Cuts the connections that are open.
    cut: CancellationToken,
}

// === impl Authority ===

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// Never in practice.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let folder = TempDir::new().expect("a temporary folder");
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("written");
        Self { issuer, folder }
    }

    /// Its certificate in PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The file of its certificate.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The line of an `[[engine]]` block that trusts it.
    pub fn line(&self) -> String {
        format!("ca_file = {:?}\n", self.file().display().to_string())
    }

    /// Returns the settings of a server with a certificate for that host.
    ///
    /// # Panics
    /// Never in practice.
    pub fn server(&self, host: &str, validity: Validity) -> TlsAcceptor {
        let mut params = CertificateParams::new([host.to_owned()]).expect("a name");
        (params.not_before, params.not_after) = match validity {
            Validity::Now => (date_time_ymd(2020, 1, 1), date_time_ymd(2099, 1, 1)),
            Validity::Expired => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
            Validity::Later => (date_time_ymd(2098, 1, 1), date_time_ymd(2099, 1, 1)),
        };
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a usable certificate");
        TlsAcceptor::from(Arc::new(config))
    }
}

// === impl TlsFront ===

impl TlsFront {
    /// Takes TLS on a free port and passes it on in the clear to the server at this URL.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start(server: TlsAcceptor, to: &str) -> Self {
        let listener = listen().await;
        let address = listener.local_addr().expect("an address");
        let to = to.trim_start_matches("http://").to_owned();
        let cut = CancellationToken::new();
        let now = Arc::new(Mutex::new(Now { server, cut }));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (its_tasks, its_now) = (tasks.clone(), Arc::clone(&now));
        tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (server, cut) = {
                    let now = its_now.lock();
                    (now.server.clone(), now.cut.clone())
                };
                its_tasks.spawn(cut.run_until_cancelled_owned(pass(stream, server, to.clone())));
            }
        }));
        Self { address, now, stop }
    }

    /// Returns the address by number, `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Returns the address by name, `https://localhost:PORT`.
    pub fn named_url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Breaks every connection that is open, without a word of TLS.
    ///
    /// # Panics
    /// Never in practice.
    pub fn cut(&self) {
        let mut now = self.now.lock();
        std::mem::take(&mut now.cut).cancel();
    }

    /// Has another certificate from the next connection on.
    ///
    /// # Panics
    /// Never in practice.
    pub fn renew(&self, server: TlsAcceptor) {
        self.now.lock().server = server;
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.stop.cancel();
        self.cut();
    }
}

async fn pass(stream: TcpStream, server: TlsAcceptor, to: String) {
    let _ = stream.set_nodelay(true);
    let (Ok(mut secure), Ok(mut plain)) =
        (server.accept(stream).await, TcpStream::connect(&to).await)
    else {
        return;
    };
    let _ = plain.set_nodelay(true);
    // One side that is gone closes the other.
    let _ = copy_bidirectional(&mut secure, &mut plain).await;
}
