//! The client of the instance that runs at the configured address.
//!
//! A program is taken for a Crucible only if it answers with a document that parses: whatever else
//! listens there, and answers every path with some JSON, is none. What [`RunningInstance`] says later
//! is then believed.

mod events;

use std::{
    env,
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use crucible_config::{Config, tuning::TUNINGS};
use http::{Method, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

pub use self::events::{EventsFailure, InstanceEvent, InstanceEvents};
use crate::{
    ExplainDoc, StateDoc, VerifiedDoc,
    inspector::{InspectedDoc, InspectorDoc, InspectorSwitchDoc},
};

/// The longest wait for an answer: an instance asks its engines two times for at most 2 s, and is busy itself.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The environment variable with the client key of the commands that ask an instance.
pub const KEY_VARIABLE: &str = "CRUCIBLE_KEY";

/// The path of the inspector.
const INSPECTOR: &str = "/crucible/inspect";

/// The code of the refusal of a wrong or missing client key.
const INVALID_KEY: &str = "invalid_api_key";

/// The result of looking for an instance at the configured address.
#[derive(Debug)]
pub enum InstanceSearch {
    /// An instance of Crucible.
    Running(Box<RunningInstance>),
    /// An instance that answers only with a client key, in [`KEY_VARIABLE`].
    KeyWanted(String),
    /// An instance that refused the client key that it was given.
    KeyRefused(String),
    /// A program whose answer is no state of a Crucible.
    Foreign(String),
    /// Nothing that answers, or no address to ask at.
    Absent,
}

/// A Crucible that answered with its state.
#[derive(Debug)]
pub struct RunningInstance {
    /// The state of the instance when it was found.
    pub state: StateDoc,
    client: InstanceClient,
}

/// An instance refused a request that was sent for an explanation.
#[derive(Debug)]
pub struct InstanceRefusal {
    /// The answer's body, an error in the form of OpenAI.
    pub body: Value,
    /// The code of the error, such as `model_not_found`.
    pub code: String,
    /// The message of the error.
    pub message: String,
}

#[derive(Debug)]
struct InstanceClient {
    http: reqwest::Client,
    /// The URL of the instance, without a path.
    url: String,
    key: Option<String>,
}

/// An error in the form of OpenAI.
#[derive(Deserialize)]
struct ErrorDoc {
    error: ErrorBody,
}

#[derive(Deserialize)]
struct ErrorBody {
    code: String,
    #[serde(default)]
    message: String,
}

/// Looks for an instance at the first address of `listen`, with the key of the environment.
pub async fn find_instance(config: &Config) -> InstanceSearch {
    match local_url(config) {
        Some(url) => find_instance_at(&url, env::var(KEY_VARIABLE).ok()).await,
        None => InstanceSearch::Absent,
    }
}

/// The URL without a path at which a client on this machine reaches the first address of `listen`; `None`
/// where the system chooses its port.
pub fn local_url(config: &Config) -> Option<String> {
    let address = config.listen.first().filter(|addr| addr.port() != 0)?;
    Some(format!("http://{}", reachable(*address)))
}

/// Looks for an instance at a URL without a path, with this client key.
pub async fn find_instance_at(url: &str, key: Option<String>) -> InstanceSearch {
    let has_key = key.as_ref().is_some_and(|key| !key.is_empty());
    let Some(client) = InstanceClient::new(url, key) else {
        return InstanceSearch::Absent;
    };
    let Some((status, body)) = client
        .send(Method::GET, "/crucible/state", Bytes::new())
        .await
    else {
        return InstanceSearch::Absent;
    };
    if status.is_success()
        && let Ok(state) = serde_json::from_slice(&body)
    {
        return InstanceSearch::Running(Box::new(RunningInstance { state, client }));
    }
    let address = client.address().to_owned();
    match serde_json::from_slice::<ErrorDoc>(&body) {
        Ok(refused) if refused.error.code == INVALID_KEY && has_key => {
            InstanceSearch::KeyRefused(address)
        }
        Ok(refused) if refused.error.code == INVALID_KEY => InstanceSearch::KeyWanted(address),
        _ => InstanceSearch::Foreign(address),
    }
}

/// A text as a segment of a path.
fn escaped(text: &str) -> String {
    let mut path = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte) {
            path.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path
}

/// The address at which a client on this machine reaches a listener of all interfaces.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

// === impl RunningInstance ===

impl RunningInstance {
    /// The address at which it answered.
    pub fn address(&self) -> &str {
        self.client.address()
    }

    /// The settings as it finds them on its engines now; `None` if they do not come in time.
    pub async fn tunings(&self) -> Option<VerifiedDoc> {
        let tunings: VerifiedDoc = self.client.get("/crucible/tunings").await?;
        (tunings.report.tunings.len() == TUNINGS.len()).then_some(tunings)
    }

    /// The URL at which it answered.
    pub fn url(&self) -> &str {
        &self.client.url
    }

    /// Begins to read what happens there, from now on.
    ///
    /// # Errors
    /// The instance is gone, or refuses the key.
    pub async fn events(&self) -> Result<InstanceEvents, EventsFailure> {
        InstanceEvents::begin(&self.client.url, self.client.key.as_deref()).await
    }

    /// Asks the instance where it would send this request body and why. The inner error is its
    /// refusal of the request; `None` means that no answer came in time.
    pub async fn explain(&self, body: Bytes) -> Option<Result<ExplainDoc, InstanceRefusal>> {
        self.ask(Method::POST, "/crucible/explain", body).await
    }

    /// Asks for the inspector's state and list.
    pub async fn inspector(&self) -> Option<Result<InspectorDoc, InstanceRefusal>> {
        self.ask(Method::GET, INSPECTOR, Bytes::new()).await
    }

    /// Switches the inspector on for these minutes, or off with 0.
    pub async fn switch_inspector(
        &self,
        minutes: f64,
    ) -> Option<Result<InspectorDoc, InstanceRefusal>> {
        let body = serde_json::to_vec(&InspectorSwitchDoc { minutes }).ok()?;
        self.ask(Method::POST, INSPECTOR, body.into()).await
    }

    /// Asks for a request that the inspector keeps: by its id, the beginning of one, or `last`.
    pub async fn inspected(&self, id: &str) -> Option<Result<InspectedDoc, InstanceRefusal>> {
        let path = format!("{INSPECTOR}/{}", escaped(id));
        self.ask(Method::GET, &path, Bytes::new()).await
    }

    /// Asks for a document. The inner error is a refusal; `None` means that no answer came in time, or none that
    /// this version reads.
    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Option<Result<T, InstanceRefusal>> {
        let (status, body) = self.client.send(method, path, body).await?;
        if status.is_success() {
            return serde_json::from_slice(&body).ok().map(Ok);
        }
        let refused: ErrorDoc = serde_json::from_slice(&body).ok()?;
        Some(Err(InstanceRefusal {
            body: serde_json::from_slice(&body).ok()?,
            code: refused.error.code,
            message: refused.error.message,
        }))
    }
}

// === impl InstanceClient ===

impl InstanceClient {
    fn new(url: &str, key: Option<String>) -> Option<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(ANSWER_TIMEOUT)
            .build()
            .ok()?;
        let url = url.to_owned();
        Some(Self { http, url, key })
    }

    /// The URL without its scheme.
    fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Option<T> {
        let (status, body) = self.send(Method::GET, path, Bytes::new()).await?;
        let document = serde_json::from_slice(&body).ok()?;
        status.is_success().then_some(document)
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Option<(StatusCode, Bytes)> {
        let url = format!("{}{path}", self.url);
        let mut request = self.http.request(method, url).body(body);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let answer = request.send().await.ok()?;
        Some((answer.status(), answer.bytes().await.ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_all_interfaces_is_asked_on_the_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:8484", "127.0.0.1:8484"),
            ("[::]:8484", "[::1]:8484"),
            ("192.0.2.7:80", "192.0.2.7:80"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), asked);
        }
    }
}
