//! The certificates of the authorities that may have signed an engine's certificate.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// Longest file that is read, in bytes: the bundle of a whole operating system has a quarter of it.
const LONGEST: u64 = 1 << 20;

/// The content of a `ca_file` as it was when the configuration was read: at least one certificate, each
/// of which can be trusted as an authority.
///
/// Two are equal if their certificates are, so that a reload notices a file that was renewed in its
/// place.
#[derive(Clone, PartialEq)]
pub struct CaFile {
    path: PathBuf,
    certificates: Arc<[CertificateDer<'static>]>,
}

/// Why a file is no `ca_file`: what was found, and what mends it.
#[derive(Debug)]
pub(crate) struct NoCaFile {
    pub(crate) found: String,
    pub(crate) hint: &'static str,
}

// === impl CaFile ===

impl CaFile {
    /// Reads a file of certificates in PEM; what else stands in it (a key, a comment) is passed over.
    pub(crate) fn read(path: &Path) -> Result<Self, NoCaFile> {
        let text = text(path).map_err(|error| NoCaFile {
            found: match error.kind() {
                io::ErrorKind::NotFound => format!("{}, which is not there", path.display()),
                _ => format!("{}: {error}", path.display()),
            },
            hint: "correct the path, or put the file there; a relative path begins in the folder of \
                   the configuration file",
        })?;
        let mut certificates = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let certificate = certificate.map_err(|_| broken(path))?;
            webpki::anchor_from_trusted_cert(&certificate).map_err(|_| broken(path))?;
            certificates.push(certificate);
        }
        if certificates.is_empty() {
            return Err(NoCaFile {
                found: format!("{}, with no certificate in it", path.display()),
                hint: "it begins with -----BEGIN CERTIFICATE-----; `openssl x509 -inform der -in FILE` \
                       writes one of the binary form anew",
            });
        }
        Ok(Self {
            path: path.to_owned(),
            certificates: certificates.into(),
        })
    }

    /// The file, absolute or as it is seen from the working directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The authorities' certificates, in the order of the file.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }
}

impl fmt::Debug for CaFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaFile")
            .field("path", &self.path)
            .field("certificates", &self.certificates.len())
            .finish()
    }
}

fn broken(path: &Path) -> NoCaFile {
    NoCaFile {
        found: format!("{}, with a certificate that cannot be read", path.display()),
        hint: "copy the file anew; `openssl x509 -noout -text -in FILE` shows a certificate that is whole",
    }
}

/// A pipe or a device would keep the reader waiting, so only a plain file is read.
fn text(path: &Path) -> io::Result<Vec<u8>> {
    let about = fs::metadata(path)?;
    if !about.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    if about.len() > LONGEST {
        return Err(io::Error::other("it is longer than 1 MiB"));
    }
    fs::read(path)
}
