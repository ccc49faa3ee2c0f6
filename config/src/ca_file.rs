//! The certificates of the authorities that may have signed an engine's certificate.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// The longest file that is read, in bytes: the bundle of a whole operating system has a quarter of
/// it.
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

/// The reason for which a file is no `ca_file`, in words for a message.
#[derive(Debug)]
pub(crate) struct NoCaFile {
    /// The words for what was found, such as the path and that nothing is there.
    pub(crate) found: String,
    /// The advice that mends it.
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

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    /// The certificate of a new authority.
    fn authority() -> String {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
            .pem()
    }

    fn read(text: &str) -> Result<CaFile, NoCaFile> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        fs::write(&path, text).unwrap();
        CaFile::read(&path)
    }

    #[test]
    fn each_certificate_of_the_file_counts_and_nothing_else_in_it() {
        let (one, other) = (authority(), authority());
        let key = KeyPair::generate().unwrap().serialize_pem();
        let both = read(&format!("the first:\n{one}{key}the second:\n{other}")).unwrap();
        assert_eq!(both.certificates().len(), 2);
        assert!(!format!("{both:?}").contains("BEGIN"), "{both:?}");
    }

    #[test]
    fn another_certificate_in_its_place_is_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            CaFile::read(&path).unwrap()
        };
        let (one, other) = (authority(), authority());
        let before = read(&one);
        assert_eq!(before, read(&format!("# a comment\n{one}")));
        assert_ne!(before, read(&other));
    }

    #[test]
    fn what_is_no_certificate_is_told() {
        let half = authority().replace("-----END", "AAAA\n-----END");
        for (text, expected) in [
            ("", "no certificate in it"),
            ("hello", "no certificate in it"),
            (
                &*KeyPair::generate().unwrap().serialize_pem(),
                "no certificate in it",
            ),
            (&*half, "cannot be read"),
        ] {
            let found = read(text).unwrap_err().found;
            assert!(found.contains(expected), "{text}: {found}");
        }
        let absent = CaFile::read(Path::new("/no/such/ca.pem"))
            .unwrap_err()
            .found;
        assert!(absent.contains("which is not there"), "{absent}");
        let folder = CaFile::read(Path::new("/")).unwrap_err().found;
        assert!(folder.contains("no file"), "{folder}");
    }
}
