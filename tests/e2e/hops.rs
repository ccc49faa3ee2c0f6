//! Crucibles that have each other, or themselves, as engines.

use std::net::SocketAddr;

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{body, get, post},
    engines::{client, engine, start},
    rest::eventually,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

const HOPS: &str = "x-crucible-hops";

/// A port that leads elsewhere, as a port forward or a second address does.
struct Forward {
    url: String,
    to: watch::Sender<Option<SocketAddr>>,
    task: JoinHandle<()>,
}

// === impl Forward ===

impl Forward {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (to, target) = watch::channel(None::<SocketAddr>);
        #[expect(clippy::disallowed_methods, reason = "aborted when this is dropped")]
        let task = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let Some(to) = *target.borrow() else { continue };
                #[expect(clippy::disallowed_methods, reason = "ends with its connection")]
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(to).await else {
                        return;
                    };
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { url, to, task }
    }

    fn lead_to(&self, crucible: &Crucible) {
        let address = crucible.addr().parse().expect("an address");
        self.to.send_replace(Some(address));
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listed(crucible: &Crucible) -> Vec<String> {
    let list = get(crucible, "/v1/models").await.json;
    let ids = list["data"].as_array().expect("a list").iter();
    let mut ids: Vec<String> = ids
        .filter_map(|m| m["id"].as_str())
        .map(|id| id.trim_end_matches(":latest").to_owned())
        .filter(|id| !["auto", "fast", "quality"].contains(&id.as_str()))
        .collect();
    ids.sort();
    ids
}

async fn lists(crucible: &Crucible, wanted: &[&str]) {
    eventually(&format!("{wanted:?} in the list"), || async {
        (listed(crucible).await == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn two_that_have_each_other_share_their_models_and_no_request_goes_round() {
    let (mine, yours) = (
        start(Options::ollama(&["mine=1GB", "both=1GB"])).await,
        start(Options::lmstudio(&["yours=1GB", "both=1GB"])).await,
    );
    let forward = Forward::start().await;
    let a = Crucible::start(&format!(
        "{}\n{}",
        engine("own", "ollama", &mine.url()),
        engine("other", "openai", &forward.url)
    ));
    let b = Crucible::start(&format!(
        "{}\n{}",
        engine("own", "lmstudio", &yours.url()),
        engine("other", "openai", a.url())
    ));
    forward.lead_to(&b);
    for crucible in [&a, &b] {
        lists_all(crucible).await;
        for name in ["mine", "yours", "both", "other/both", "own/both"] {
            let answer = post(crucible, &body(name, "repeat 2")).await;
            assert_eq!(answer.status, 200, "{name}: {}", answer.text);
            assert_eq!(answer.content(), "word0 word1");
        }
    }
    // A name that is deleted does not live on in the two lists.
    mine.delete("mine");
    for crucible in [&a, &b] {
        eventually("the name to be gone", || async {
            let ids = listed(crucible).await;
            (!ids.iter().any(|id| id.ends_with("mine"))).then_some(())
        })
        .await;
        let answer = post(crucible, &body("mine", "repeat 1")).await;
        assert_eq!(answer.status, 404, "{}", answer.text);
    }
}

async fn lists_all(crucible: &Crucible) {
    eventually("the models of both", || async {
        let ids = listed(crucible).await;
        let has = |name: &str| ids.iter().any(|id| id == name);
        (has("mine") && has("yours") && has("both")).then_some(())
    })
    .await;
}

/// The address is another than the listeners', so that only an answer can tell.
#[tokio::test]
async fn one_that_is_its_own_engine_says_so_and_serves_what_else_it_has() {
    let sim = start(Options::ollama(&["mine=1GB"])).await;
    for kind in ["openai", "lmstudio", "ollama", "llamacpp"] {
        let forward = Forward::start().await;
        let crucible = Crucible::start(&format!(
            "{}\n{}",
            engine("own", "ollama", &sim.url()),
            engine("itself", kind, &forward.url)
        ));
        forward.lead_to(&crucible);
        let error = eventually("its error", || async {
            let state = get(&crucible, "/crucible/state").await.json;
            let error = state["engines"][1]["error"].as_str()?.to_owned();
            error.contains("went round").then_some(error)
        })
        .await;
        assert!(error.contains("[[engine]]"), "{kind}: {error}");
        lists(&crucible, &["mine"]).await;
        let answer = post(&crucible, &body("mine", "repeat 1")).await;
        assert_eq!(answer.status, 200, "{kind}: {}", answer.text);
        for name in ["nothing", "itself/mine"] {
            let answer = post(&crucible, &body(name, "repeat 1")).await;
            assert!(
                matches!(answer.status, 404 | 503),
                "{kind}: {}",
                answer.text
            );
        }
    }
}

#[tokio::test]
async fn a_request_that_was_here_before_is_refused_and_others_are_sent_on_with_a_number() {
    let sim = start(Options::openai(&["plain=1GB"])).await;
    let crucible = Crucible::start(&engine("one", "openai", &sim.url()));
    let send = async |hops: &str| {
        let send = client()
            .post(crucible.at("/v1/chat/completions"))
            .header(HOPS, hops)
            .json(&body("plain", "repeat 1"));
        let answer = send.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    assert_eq!(send("first,second").await.0, 200);
    let log = sim.log();
    let chats: Vec<_> = log.requests_to("/v1/chat/completions").collect();
    let passed_on = chats[0].header(HOPS).expect("hops").to_owned();
    let own = passed_on.strip_prefix("first,second,").expect("appended");
    // The polls say who asks.
    let polls = log.requests_to("/v1/models").collect::<Vec<_>>();
    assert_eq!(polls[0].header(HOPS), Some(own));
    for round in [
        own.to_owned(),
        passed_on.clone(),
        format!(" x , {own}"),
        "x,".repeat(9),
    ] {
        let (status, text) = send(&round).await;
        assert_eq!(status, 400, "{text}");
        assert!(
            text.contains("bad_request") && text.contains("went round"),
            "{text}"
        );
    }
    assert_eq!(sim.log().requests_to("/v1/chat/completions").count(), 1);
    // Who watches it is let in.
    let watch = client().get(crucible.at("/healthz")).header(HOPS, own);
    assert_eq!(watch.send().await.expect("an answer").status(), 200);
}
