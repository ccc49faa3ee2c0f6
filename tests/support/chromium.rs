//! A headless Chromium, driven over its `DevTools` protocol
//! (<https://chromedevtools.github.io/devtools-protocol/>), for what only a browser can tell of a page.

mod accessibility;

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::{SinkExt as _, StreamExt as _, stream::SplitSink};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    sync::{Mutex as AsyncMutex, oneshot},
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};
use tokio_util::task::TaskTracker;

use crate::rest::eventually;

/// The line of stderr that names the address of the protocol begins with this.
const LISTENING: &str = "DevTools listening on ";

/// A browser that ends with its test.
pub struct Chromium {
    child: Child,
    socket: AsyncMutex<SplitSink<WebSocketStream<TcpStream>, Message>>,
    heard: Arc<Heard>,
    next: AtomicU64,
    _folder: TempDir,
}

/// A tab of the browser.
pub struct Tab<'a> {
    browser: &'a Chromium,
    session: String,
}

/// The window in which a page is shown.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The width in CSS pixels.
    pub width: u32,
    /// The height in CSS pixels.
    pub height: u32,
    /// Whether the page is asked for dark colours.
    pub dark: bool,
}

/// What came from the browser.
#[derive(Default)]
struct Heard {
    answers: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    /// Errors of pages: exceptions, console errors, refused resources.
    errors: Mutex<Vec<String>>,
    /// The addresses that pages asked for.
    fetched: Mutex<Vec<String>>,
}

/// The folder that `TEST_PICTURES` names, where pages are drawn for the docs.
pub fn pictures() -> Option<PathBuf> {
    std::env::var_os("TEST_PICTURES").map(PathBuf::from)
}

// === impl Window ===

impl Window {
    /// A light window on a desk.
    pub const DESK: Self = Self {
        width: 1280,
        height: 900,
        dark: false,
    };

    /// A dark window on a phone.
    pub const PHONE: Self = Self {
        width: 390,
        height: 844,
        dark: true,
    };
}

// === impl Chromium ===

impl Chromium {
    /// Starts the browser that `TEST_BROWSER` names; `None` where it names none, which under CI is an error.
    ///
    /// # Panics
    /// If `TEST_BROWSER` is not set under CI, or the browser does not start.
    pub async fn named() -> Option<Self> {
        let named = std::env::var("TEST_BROWSER").ok().filter(|b| !b.is_empty());
        let under_ci = std::env::var_os("CI").is_some();
        assert!(
            named.is_some() || !under_ci,
            "TEST_BROWSER is not set: install Debian's package `chromium`"
        );
        Some(Self::start(&named?).await)
    }

    async fn start(program: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let mut child = Command::new(program)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--hide-scrollbars",
                "--remote-debugging-port=0",
            ])
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a browser");
        let stderr = child.stderr.take().expect("stderr is piped");
        let url = tokio::task::spawn_blocking(move || {
            let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
            let url = lines.find_map(|line| line.strip_prefix(LISTENING).map(str::to_owned));
            // The rest is read to its end, so that the browser never waits for its log.
            std::thread::spawn(move || lines.for_each(drop));
            url
        })
        .await
        .expect("it was read")
        .expect("the address of the protocol");
        let address = url.trim_start_matches("ws://");
        let address = address.split('/').next().expect("an address");
        let tcp = TcpStream::connect(address).await.expect("the protocol");
        let (socket, _) = client_async(&url, tcp).await.expect("a WebSocket");
        let (sink, mut stream) = socket.split();
        let heard = Arc::new(Heard::default());
        let hearing = Arc::clone(&heard);
        let tasks = TaskTracker::new();
        tasks.spawn(async move {
            while let Some(Ok(message)) = stream.next().await {
                if let Ok(value) = serde_json::from_str(message.to_text().unwrap_or_default()) {
                    hearing.take(&value);
                }
            }
        });
        Self {
            child,
            socket: AsyncMutex::new(sink),
            heard,
            next: AtomicU64::new(1),
            _folder: folder,
        }
    }

    async fn call(&self, session: Option<&str>, method: &str, params: Value) -> Value {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (send, answer) = oneshot::channel();
        self.heard.answers.lock().insert(id, send);
        let mut request = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            request["sessionId"] = session.into();
        }
        let text = Message::text(request.to_string());
        self.socket.lock().await.send(text).await.expect("sent");
        let answer = answer.await.expect("an answer of the browser");
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Opens a page in a window of its own.
    ///
    /// # Panics
    /// If the browser opens none.
    pub async fn open(&self, url: &str, window: Window) -> Tab<'_> {
        let target = self
            .call(None, "Target.createTarget", json!({ "url": "about:blank" }))
            .await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.call(None, "Target.attachToTarget", attach).await;
        let tab = Tab {
            browser: self,
            session: session["sessionId"].as_str().expect("a session").to_owned(),
        };
        for domain in [
            "Page.enable",
            "Runtime.enable",
            "Network.enable",
            "Log.enable",
        ] {
            tab.call(domain, json!({})).await;
        }
        tab.resize(window).await;
        tab.call("Page.navigate", json!({ "url": url })).await;
        tab
    }

    /// Errors of all pages so far.
    pub fn errors(&self) -> Vec<String> {
        self.heard.errors.lock().clone()
    }

    /// The addresses that all pages asked for so far.
    pub fn fetched(&self) -> Vec<String> {
        self.heard.fetched.lock().clone()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

// === impl Tab ===

impl Tab<'_> {
    async fn call(&self, method: &str, params: Value) -> Value {
        self.browser.call(Some(&self.session), method, params).await
    }

    /// Shows the page in a window of another size or colour.
    pub async fn resize(&self, window: Window) {
        let metrics = json!({
            "width": window.width, "height": window.height, "deviceScaleFactor": 1,
            "mobile": window.width < 500,
        });
        self.call("Emulation.setDeviceMetricsOverride", metrics)
            .await;
        let scheme = if window.dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", media).await;
    }

    /// The value of an expression in the page; promises are waited for.
    ///
    /// # Panics
    /// If the expression throws.
    pub async fn eval(&self, expression: &str) -> Value {
        let params = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true,
        });
        let found = self.call("Runtime.evaluate", params).await;
        assert!(found["exceptionDetails"].is_null(), "{expression}: {found}");
        found["result"]["value"].clone()
    }

    /// The text that a person sees.
    pub async fn text(&self) -> String {
        let text = self
            .eval("document.body ? document.body.innerText : ''")
            .await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page shows a text.
    ///
    /// # Panics
    /// If it never does.
    pub async fn shows(&self, part: &str) {
        eventually(&format!("the page shows {part:?}"), || async {
            self.text().await.contains(part).then_some(())
        })
        .await;
    }

    /// A picture of the whole page as a PNG.
    ///
    /// # Panics
    /// If the browser makes none.
    pub async fn picture(&self) -> Vec<u8> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};

        let params = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.call("Page.captureScreenshot", params).await;
        let data = picture["data"].as_str().expect("a picture");
        STANDARD.decode(data).expect("base64")
    }
}

// === impl Heard ===

impl Heard {
    fn take(&self, value: &Value) {
        if let Some(id) = value["id"].as_u64() {
            if let Some(waits) = self.answers.lock().remove(&id) {
                drop(waits.send(value.clone()));
            }
            return;
        }
        let params = &value["params"];
        match value["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => self.errors.lock().push(params.to_string()),
            "Runtime.consoleAPICalled" if params["type"] == "error" => {
                self.errors.lock().push(params.to_string());
            }
            "Log.entryAdded" if params["entry"]["level"] == "error" => {
                self.errors.lock().push(params["entry"].to_string());
            }
            "Network.requestWillBeSent" => {
                let url = params["request"]["url"].as_str().unwrap_or_default();
                self.fetched.lock().push(url.to_owned());
            }
            _ => {}
        }
    }
}
