//! Client keys: they are minted here, kept as SHA-256 only, and compared in constant time.

use std::{fmt::Write as _, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use crucible_config::checked::ClientKey;
use http::{HeaderMap, header::AUTHORIZATION};
use rand::{TryRngCore as _, rngs::OsRng};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// A new key, in its two halves: the secret goes to the client, the hash into the configuration.
#[derive(Clone, Debug)]
pub struct Minted {
    /// `crk-` and 43 characters, which hold 256 random bits.
    pub secret: String,
    /// `sha256:` and 64 hexadecimal digits.
    pub hash: String,
}

/// Mints a key from the operating system's randomness; the error is the system's.
pub fn mint() -> Result<Minted, rand::rand_core::OsError> {
    let mut bytes = [0_u8; 32];
    OsRng.try_fill_bytes(&mut bytes)?;
    let secret = format!("crk-{}", URL_SAFE_NO_PAD.encode(bytes));
    let hash = hash_text(&Sha256::digest(secret.as_bytes()));
    Ok(Minted { secret, hash })
}

/// A digest as the configuration writes it: `sha256:` and hexadecimal digits.
fn hash_text(digest: &[u8]) -> String {
    let mut text = "sha256:".to_owned();
    for byte in digest {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The key that a client presents in `Authorization: Bearer`, `x-api-key` or `api-key`, in this
/// order.
pub fn presented(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| {
            let (scheme, key) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
        });
    let plain = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    [bearer, plain("x-api-key"), plain("api-key")]
        .into_iter()
        .flatten()
        .find(|key| !key.is_empty())
}

/// The configured key with this secret. All keys are compared, each in constant time, so that the
/// time tells nothing about the secret.
pub fn recognise(secret: &str, keys: &[Arc<ClientKey>]) -> Option<Arc<ClientKey>> {
    let hash = Sha256::digest(secret.as_bytes());
    let mut found = None;
    for key in keys {
        if bool::from(hash.as_slice().ct_eq(&key.sha256)) {
            found = Some(Arc::clone(key));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn key(secret: &str) -> Arc<ClientKey> {
        Arc::new(ClientKey {
            name: "laptop".into(),
            sha256: Sha256::digest(secret.as_bytes()).into(),
            rate: None,
            tokens_per_day: None,
            class: crucible_config::checked::Class::default(),
            defaults: crucible_config::checked::ModelDefaults::default(),
            context: None,
        })
    }

    #[test]
    fn a_minted_key_is_recognised_by_its_hash_alone() {
        let minted = mint().unwrap();
        let mut other = mint().unwrap();
        let known = key(&minted.secret);
        assert_eq!(minted.hash, hash_text(&known.sha256));
        let keys = [known];
        assert!(recognise(&minted.secret, &keys).is_some());
        assert!(recognise(&other.secret, &keys).is_none());
        other.secret.clear();
        assert!(recognise(&other.secret, &keys).is_none());
    }

    #[test]
    fn three_headers_carry_a_key_and_an_empty_bearer_is_none() {
        for (name, value, want) in [
            ("authorization", "Bearer abc", Some("abc")),
            ("authorization", "bearer abc", Some("abc")),
            ("authorization", "Bearer ", None),
            ("authorization", "Basic abc", None),
            ("x-api-key", "abc", Some("abc")),
            ("api-key", "abc", Some("abc")),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            assert_eq!(presented(&headers), want, "{name}: {value}");
        }
    }
}
