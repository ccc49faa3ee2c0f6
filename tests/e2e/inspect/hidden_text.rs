//! Characters that turn or hide text, in names and prompts: on the page they turn and hide nothing.

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::post_as,
    chromium::{Chromium, Tab, Window},
    engines::{engine, start},
    rest::{eventually, ready},
};
use serde_json::json;

use super::{ended, on, page::click};

/// A name that turns what stands behind it, unless it is kept apart.
const TURNING: &str = "one\u{202e}two\u{2067}three";
/// The same as a person is to see it.
const SHOWN: &str = "one\\u202etwo\\u2067three";
/// A name in a script that is read from the right.
const HEBREW: &str = "\u{5d0}\u{5d1}\u{5d2}";

/// Characters on the page that turn or hide others, but for the isolates that the page itself writes in titles.
async fn acting(tab: &Tab<'_>) -> serde_json::Value {
    tab.eval(
        "(document.body.textContent.match(/[\\u061c\\u200b-\\u200f\\u202a-\\u202e\\u2066\\u2067]/g) ?? []).length",
    )
    .await
}

/// Whether the words behind the name in the list of loaded models stand to the right of it.
async fn is_in_order(tab: &Tab<'_>, name: &str) {
    let look = format!(
        "(() => {{
            for (const item of document.querySelectorAll('#pools li')) {{
                const name = item.querySelector('strong');
                if (!name.textContent.includes({name:?})) continue;
                const facts = document.createRange();
                facts.selectNodeContents(item.lastChild);
                const [first] = facts.getClientRects();
                return name.getBoundingClientRect().right <= first.left + 1;
            }}
            return null;
        }})()"
    );
    eventually("the name is shown, and its facts behind it", || async {
        (tab.eval(&look).await == true).then_some(())
    })
    .await;
}

#[tokio::test]
async fn names_of_models_and_clients_turn_and_hide_nothing_on_the_page() {
    let Some(browser) = Chromium::named().await else {
        return;
    };
    let sim = start(Options::lmstudio(&[
        &format!("{TURNING}=1GB"),
        &format!("{HEBREW}=1GB"),
    ]))
    .await;
    let crucible = Crucible::start(&engine("gpu", "lmstudio", &sim.url()));
    ready(&crucible).await;
    on(&crucible).await;
    for model in [TURNING, HEBREW] {
        let asked =
            json!({ "model": model, "messages": [{ "role": "user", "content": "repeat 2" }] });
        let answer = post_as(&crucible, "agent", &asked).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    ended(&crucible, 2).await;
    let tab = browser.open(&crucible.at("/"), Window::DESK).await;
    tab.shows("2 of at most 64").await;
    tab.shows(&format!("gpu/{SHOWN}")).await;
    is_in_order(&tab, SHOWN).await;
    is_in_order(&tab, HEBREW).await;
    click(&tab, "#inspected li:last-child button").await;
    tab.shows("As received").await;
    tab.shows(&format!("Sent to gpu/{SHOWN}")).await;
    assert_eq!(acting(&tab).await, 0);
    assert_eq!(browser.errors(), Vec::<String>::new());
}

#[tokio::test]
async fn what_prompts_hide_is_seen_on_the_page() {
    let Some(browser) = Chromium::named().await else {
        return;
    };
    let sim = start(Options::lmstudio(&["one=1GB"])).await;
    let crucible = Crucible::start(&engine("gpu", "lmstudio", &sim.url()));
    ready(&crucible).await;
    on(&crucible).await;
    // The last one is a letter of Unicode's invisible tags, by which prompts carry orders that nobody sees.
    let prompt = "say\u{202e}olleh\u{202c} and\u{200b} \u{e0041} \u{1f469}\u{200d}\u{1f4bb}";
    let asked = json!({ "model": "one", "messages": [{ "role": "user", "content": prompt }] });
    let answer = post_as(&crucible, "agent", &asked).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    ended(&crucible, 1).await;
    let tab = browser.open(&crucible.at("/"), Window::DESK).await;
    tab.shows("1 of at most 64").await;
    click(&tab, "#inspected li button").await;
    tab.shows("As received").await;
    tab.eval(
        "for (const part of document.querySelectorAll('#inspected-one details')) part.open = true",
    )
    .await;
    tab.shows("say\\u202eolleh\\u202c and\\u200b \\udb40\\udc41 \u{1f469}\u{200d}\u{1f4bb}")
        .await;
    tab.shows("Characters that hide or turn text stand as escapes")
        .await;
    // The joiner within the emoji is none of them.
    let left = tab
        .eval("document.querySelectorAll('#inspected-one pre').length")
        .await;
    assert!(left.as_u64() >= Some(3), "{left}");
    let hidden = tab
        .eval("[...document.querySelectorAll('#inspected-one pre')].filter(pre => /[\\u202a-\\u202e\\u200b]|[\\u{e0000}-\\u{e007f}]/u.test(pre.textContent)).length")
        .await;
    assert_eq!(hidden, 0);
    assert_eq!(browser.errors(), Vec::<String>::new());
}
