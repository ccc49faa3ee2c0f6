//! The page while two engines work for four programs, as the pictures of the docs show it.
//!
//! `TEST_PICTURES=FOLDER` keeps them there.

use std::time::Duration;

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{body, post_as},
    chromium::{self, Chromium, Tab, Window},
    engines::{engine, start},
    rest::{eventually, ready, state},
};

use parking_lot::Mutex;

use super::was_quiet;

/// How many running answers have a rate, which the page computes.
const RATES: &str = "(document.getElementById('requests').innerText.match(/[1-9][0-9]*\\.[0-9] tok/g) ?? []).length";

/// A graphics card on which one of three models has room, and a processor with two.
async fn two_engines() -> (Sim, Sim, Crucible) {
    let mut gpu = Options::lmstudio(&["llama3.2-3b=2GB", "granite-8b=5GB", "qwen2.5-coder-7b=5GB"]);
    gpu.load_time = Duration::from_millis(800);
    gpu.rate = 28;
    let mut cpu = Options::ollama(&["granite=2GB", "llama3.2:3b=2GB"]);
    cpu.load_time = Duration::from_millis(800);
    cpu.rate = 20;
    cpu.prefill = 12;
    let (gpu, cpu) = (start(gpu).await, start(cpu).await);
    let crucible = Crucible::start(&format!(
        "[pool.gpu]\nbudget = \"8GB\"\n[pool.cpu]\nbudget = \"16GB\"\n{}{}device = \"cpu\"\n",
        engine("lmstudio", "lmstudio", &gpu.url()),
        engine("ollama", "ollama", &cpu.url()),
    ));
    ready(&crucible).await;
    (gpu, cpu, crucible)
}

/// Answers, loads and evictions of the last minutes.
async fn minutes_before(crucible: &Crucible) {
    for (program, model) in [
        ("continue", "llama3.2-3b"),
        ("opencode", "granite-8b"),
        ("zed", "granite"),
        ("continue", "qwen2.5-coder-7b"),
        ("continue", "llama3.2-3b"),
        ("aider", "llama3.2:3b"),
    ] {
        let answer = post_as(crucible, program, &body(model, "repeat 20")).await;
        assert_eq!(answer.status, 200, "{model}: {}", answer.text);
    }
}

/// Keeps the pictures of the docs, where somebody wants them.
async fn draw(tab: &Tab<'_>) {
    let Some(folder) = chromium::pictures() else {
        return;
    };
    for (window, dark, name) in [
        (Window::DESK, false, "live-page-desk-light"),
        (Window::DESK, true, "live-page-desk-dark"),
        (Window::PHONE, false, "live-page-phone-light"),
        (Window::PHONE, true, "live-page-phone-dark"),
    ] {
        tab.draw(&folder, Window { dark, ..window }, name).await;
    }
    tab.resize(Window::DESK).await;
}

#[tokio::test]
async fn four_programs_at_two_engines_are_seen_at_once_on_every_window() {
    let Some(browser) = Chromium::named().await else {
        return;
    };
    let (_gpu, _cpu, crucible) = two_engines().await;
    minutes_before(&crucible).await;
    let long = format!("{} repeat 20", "word ".repeat(900));
    let asked = async {
        let ask = async |program, model, text: &str| {
            let mut asked = body(model, text);
            asked["stream"] = true.into();
            post_as(&crucible, program, &asked).await
        };
        tokio::join!(
            ask("zed", "granite", "repeat 5000"),
            ask("continue", "llama3.2-3b", "repeat 5000"),
            ask("aider", "llama3.2:3b", &long),
            async {
                // Another program's model holds the memory by then.
                eventually("it is answered", || async {
                    let state = state(&crucible).await;
                    let mut running = state.in_flight.iter();
                    running
                        .any(|one| one.model.as_deref() == Some("llama3.2-3b"))
                        .then_some(())
                })
                .await;
                ask("opencode", "granite-8b", "repeat 5").await
            }
        )
    };
    let tab = browser.open(&crucible.at("/"), Window::DESK).await;
    let missing = Mutex::new(Vec::new());
    let watched = async {
        eventually("all four at once", || async {
            let text = tab.text().await;
            let seen = [
                "2 of 2",
                "for zed@127.0.0.1",
                "for continue@127.0.0.1",
                "for aider@127.0.0.1",
                "for opencode@127.0.0.1",
                "reading the prompt, about",
                "waiting for another model to make room, position 1",
                "of 8.0 GB",
                "of 16.0 GB",
            ];
            let left = seen.iter().filter(|part| !text.contains(**part));
            let mut left: Vec<_> = left.copied().collect();
            if tab.eval(RATES).await.as_u64() < Some(2) {
                left.push("two rates");
            }
            let is_all = left.is_empty();
            *missing.lock() = left;
            is_all.then_some(())
        })
        .await;
        draw(&tab).await;
        tab.is_for_everybody().await;
    };
    tokio::select! {
        _ = asked => panic!("never seen together with the others: {:?}", missing.lock()),
        () = watched => {}
    }
    was_quiet(&browser, &crucible);
}
