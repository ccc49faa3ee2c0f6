//! Engines that a reload takes away: what is not watched any more is not down.

use std::collections::BTreeSet;

use crucible::metrics::{FAMILIES, FamilyType};
use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{body, get, post},
    engines::{engine, start},
    rest::eventually,
};

/// The gauges that have a series of this engine.
fn gauges(text: &str, engine: &str) -> BTreeSet<&'static str> {
    let label = format!("engine=\"{engine}\"");
    let families = FAMILIES.iter().filter(|f| f.kind == FamilyType::Gauge);
    let shown = families.filter(|family| {
        let series = format!("{}{{", family.name);
        text.lines()
            .any(|line| line.starts_with(&series) && line.contains(&label))
    });
    shown.map(|family| family.name).collect()
}

#[tokio::test]
async fn the_gauges_of_an_engine_go_with_it_and_its_counters_stay() {
    let (first, second) = (
        start(Options::ollama(&["a=1GB", "b=1GB"])).await,
        start(Options::lmstudio(&["c=1GB"])).await,
    );
    let crucible = Crucible::start(&format!(
        "{}\n{}[tuning.ollama]\nmax_loaded_models = 1\n",
        engine("gone", "ollama", &first.url()),
        engine("old", "lmstudio", &second.url())
    ));
    // Of the two models of the first, one is loaded at the end and one was.
    for model in ["a", "b", "c"] {
        assert_eq!(post(&crucible, &body(model, "repeat 1")).await.status, 200);
        get(&crucible, "/metrics").await;
    }
    // One that is down too, as who removes it may have switched it off before.
    first.stop().await;
    eventually("it is down", || async {
        let text = get(&crucible, "/metrics").await.text;
        text.contains("crucible_engine_up{engine=\"gone\"} 0")
            .then_some(())
    })
    .await;
    let text = get(&crucible, "/metrics").await.text;
    let kept = gauges(&text, "old");
    assert!(
        kept.len() > 9 && gauges(&text, "gone").len() > 9,
        "{kept:?}"
    );
    let file = std::fs::read_to_string(crucible.config()).expect("the file");
    let (head, _) = file.split_once("[[engine]]").expect("engines");
    let renamed = format!("{head}{}", engine("new", "lmstudio", &second.url()));
    std::fs::write(crucible.config(), renamed).expect("written");
    let text = eventually("the engine of the new name", || async {
        let text = get(&crucible, "/metrics").await.text;
        text.contains("crucible_engine_up{engine=\"new\"} 1")
            .then_some(text)
    })
    .await;
    for name in ["gone", "old"] {
        assert_eq!(gauges(&text, name), BTreeSet::new(), "{name}");
        let counted = "crucible_requests_total{";
        let of_it = format!("engine=\"{name}\"");
        let mut lines = text.lines();
        assert!(
            lines.any(|l| l.starts_with(counted) && l.contains(&of_it)),
            "{name}"
        );
    }
    // It may come back.
    std::fs::write(crucible.config(), file).expect("written");
    eventually("the old name again", || async {
        let text = get(&crucible, "/metrics").await.text;
        let back = text.contains("crucible_engine_up{engine=\"old\"} 1");
        (back && gauges(&text, "new").is_empty()).then_some(())
    })
    .await;
}

/// Writes the engines anew under another name, and waits until the one of that name is there.
async fn rename(crucible: &Crucible, kind: &str, name: &str, url: &str) {
    let file = std::fs::read_to_string(crucible.config()).expect("the file");
    let (head, _) = file.split_once("[[engine]]").expect("engines");
    let renamed = format!("{head}{}", engine(name, kind, url));
    std::fs::write(crucible.config(), renamed).expect("written");
    eventually("the residents of the engine of the new name", || async {
        let state = get(crucible, "/crucible/state").await.json;
        let pools = state["pools"].as_array()?;
        let mut residents = pools.iter().filter_map(|p| p["residents"].as_array());
        residents
            .any(|of| of.iter().any(|r| r["engine"] == name))
            .then_some(())
    })
    .await;
}

const ROOM_FOR_ONE: &str = "[tuning.lmstudio]\nmax_loaded_models = 1\n\
    [tuning.ollama]\nmax_loaded_models = 1\n[timeouts]\nqueue = \"20s\"\n";

#[tokio::test]
async fn what_crucible_loaded_is_still_its_own_when_its_engine_gets_another_name() {
    for kind in ["lmstudio", "ollama"] {
        let models = ["a=1GB", "b=1GB"];
        let sim = start(match kind {
            "lmstudio" => Options::lmstudio(&models),
            _ => Options::ollama(&models),
        })
        .await;
        let toml = format!("{ROOM_FOR_ONE}{}", engine("old", kind, &sim.url()));
        let crucible = Crucible::start(&toml);
        assert_eq!(post(&crucible, &body("a", "repeat 1")).await.status, 200);
        rename(&crucible, kind, "new", &sim.url()).await;
        // Its options are known too: Ollama need not load it anew.
        assert_eq!(post(&crucible, &body("a", "repeat 1")).await.status, 200);
        let other = post(&crucible, &body("b", "repeat 1")).await;
        assert_eq!(other.status, 200, "{kind}: {}", other.text);
        let log = sim.log();
        assert_eq!(log.loads.len(), 2, "{kind}: {:?}", log.loads);
        assert!(log.reloads.is_empty(), "{kind}: {:?}", log.reloads);
    }
}

#[tokio::test]
async fn an_answer_that_an_engine_of_the_old_name_gives_is_not_cut_for_another_model() {
    for kind in ["lmstudio", "ollama"] {
        let models = ["a=1GB", "b=1GB"];
        let mut options = match kind {
            "lmstudio" => Options::lmstudio(&models),
            _ => Options::ollama(&models),
        };
        options.rate = 20;
        let sim = start(options).await;
        let toml = format!("{ROOM_FOR_ONE}{}", engine("old", kind, &sim.url()));
        let crucible = Crucible::start(&toml);
        assert_eq!(post(&crucible, &body("a", "repeat 1")).await.status, 200);
        let (long, words) = (body("a", "repeat 100"), async {
            rename(&crucible, kind, "new", &sim.url()).await;
            post(&crucible, &body("b", "repeat 1")).await
        });
        let (answer, other) = tokio::join!(post(&crucible, &long), words);
        let told = answer.content().split(' ').count();
        assert_eq!((answer.status, told), (200, 100), "{kind}: {}", answer.text);
        // It waits for the answer: nobody else loaded what is in its way.
        assert_eq!(other.status, 200, "{kind}: {}", other.text);
        let unloads = sim.log().unloads.len() + sim.log().evictions.len();
        assert_eq!(unloads, 1, "{kind}");
    }
}
