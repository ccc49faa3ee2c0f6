//! A live page that stays open: it is cut off and comes back, and its numbers grow older.

use std::sync::Arc;

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{body, post},
    chromium::{Chromium, Tab, Window},
    engines::{engine, start},
    process::listen,
    rest::{eventually, ready},
};
use parking_lot::Mutex;
use tokio::{
    io::copy_bidirectional,
    net::TcpStream,
    task::{JoinHandle, JoinSet},
};

/// Connections to an instance that can be cut without its knowledge.
struct Cable {
    url: String,
    open: Arc<Mutex<JoinSet<()>>>,
    task: JoinHandle<()>,
}

// === impl Cable ===

impl Cable {
    async fn to(instance: &Crucible) -> Self {
        let listener = listen().await;
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let open = Arc::new(Mutex::new(JoinSet::new()));
        let (here, there) = (Arc::clone(&open), instance.addr().to_owned());
        let task = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let there = there.clone();
                here.lock().spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(there).await {
                        // Either end may close.
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
        Self { url, open, task }
    }

    fn cut(&self) {
        self.open.lock().abort_all();
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn one_model() -> (crucible_sim::Sim, Crucible) {
    let sim = start(Options::lmstudio(&["one=4GB"])).await;
    let crucible = Crucible::start(&engine("gpu", "lmstudio", &sim.url()));
    ready(&crucible).await;
    (sim, crucible)
}

async fn timeline_is(tab: &Tab<'_>, wanted: &str) {
    eventually(&format!("the timeline has {wanted}"), || async {
        let label = "document.querySelector('#timeline svg')?.getAttribute('aria-label') ?? ''";
        let label = tab.eval(label).await;
        let label = label.as_str().unwrap_or_default();
        label.starts_with(wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_page_that_was_cut_off_tells_each_answer_once_by_the_clock_of_the_instance() {
    let Some(browser) = Chromium::named().await else {
        return;
    };
    let (_sim, crucible) = one_model().await;
    let cable = Cable::to(&crucible).await;
    let ask = async || {
        let answer = post(&crucible, &body("one", "repeat 3")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    };
    ask().await;
    let tab = browser.open(&cable.url, Window::DESK).await;
    timeline_is(&tab, "1 answers, 1 loads").await;
    // The clock of this browser is an hour ahead from now on.
    tab.eval("Date.now = (now => () => now() + 3600000)(Date.now)")
        .await;
    cable.cut();
    tab.shows("not reached").await;
    tab.shows("live").await;
    ask().await;
    timeline_is(&tab, "2 answers, 1 loads").await;
}

#[tokio::test]
async fn a_model_that_nobody_asks_grows_older_on_an_open_page() {
    let Some(browser) = Chromium::named().await else {
        return;
    };
    let (_sim, crucible) = one_model().await;
    let tab = browser.open(&crucible.at("/"), Window::DESK).await;
    tab.shows("live").await;
    let answer = post(&crucible, &body("one", "repeat 3")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    eventually("it has been idle for longer than the last state says", || async {
        let idle = tab
            .eval("Number(/idle ([0-9.]+) s/.exec(document.getElementById('pools').innerText)?.[1] ?? 0)")
            .await;
        (idle.as_f64().unwrap_or_default() > 5.0).then_some(())
    })
    .await;
}
