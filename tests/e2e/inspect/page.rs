//! The inspector on the live page, in a real browser.

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::post_as,
    chromium::{self, Chromium, Tab, Window},
    engines::{engine, start},
    rest::{eventually, ready},
};
use serde_json::{Value, json};

use super::{ended, switch};

/// What a page must show as text.
const MARKUP: &str = "<img src=x onerror=document.title='broken'>";

pub(super) fn turn(clock: &str, said: &[&str]) -> Value {
    let system = format!(
        "It is {clock}. {MARKUP} {}",
        "Read before you write. ".repeat(40)
    );
    let mut messages = vec![json!({ "role": "system", "content": system })];
    for (at, text) in said.iter().enumerate() {
        let role = ["user", "assistant"][at % 2];
        messages.push(json!({ "role": role, "content": text }));
    }
    json!({ "model": "one", "messages": messages })
}

pub(super) async fn click(tab: &Tab<'_>, selector: &str) {
    eventually("there is something to click", || async {
        let clicked = tab
            .eval(&format!(
                "(() => {{ const one = document.querySelector({selector:?}); one?.click(); return one !== null }})()"
            ))
            .await;
        (clicked == true).then_some(())
    })
    .await;
}

/// Draws the inspector, for the docs.
async fn draw(tab: &Tab<'_>) {
    let Some(folder) = chromium::pictures() else {
        return;
    };
    tab.eval("for (const part of document.querySelectorAll('main > section')) part.hidden = part.id !== 'inspector-section';
        for (const part of document.querySelectorAll('#inspected-one details')) part.open = false").await;
    for (window, name) in [
        (Window::DESK, "inspector-desk-light"),
        (Window::PHONE, "inspector-phone-dark"),
    ] {
        tab.draw(&folder, window, name).await;
    }
    tab.eval("for (const part of document.querySelectorAll('main > section')) part.hidden = part.id === 'prefixes-section'").await;
    tab.resize(Window::DESK).await;
}

/// One model, with a second listener.
async fn both_listeners() -> (Sim, Crucible) {
    let sim = start(Options::lmstudio(&["one=1GB"])).await;
    let crucible = Crucible::start(&format!(
        "metrics_listen = \"127.0.0.1:0\"\n{}",
        engine("gpu", "lmstudio", &sim.url())
    ));
    ready(&crucible).await;
    (sim, crucible)
}

pub(super) async fn banner_is_gone(tab: &Tab<'_>) {
    eventually("the banner is gone", || async {
        let gone = tab
            .eval("document.getElementById('inspector-banner').hidden")
            .await;
        (gone == true).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_request_is_shown_with_its_difference_and_markup_in_prompts_is_text() {
    let Some(browser) = Chromium::named().await else {
        return;
    };
    let (_sim, crucible) = both_listeners().await;
    let tab = browser.open(&crucible.at("/"), Window::DESK).await;
    tab.shows("Keep requests").await;
    click(&tab, "#inspector-on").await;
    tab.shows("The inspector is on until").await;
    let first = ["repeat 2"];
    let second = ["repeat 2", "word0 word1", "repeat 3"];
    for asked in [turn("10:15:01", &first), turn("10:15:44", &second)] {
        let answer = post_as(&crucible, "my-agent", &asked).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    ended(&crucible, 2).await;
    tab.shows("the system prompt (message 1) changed at character 13")
        .await;
    click(&tab, "#inspected li:first-child button").await;
    for part in [
        "The engine's cache broke at the system prompt (message 1), character 13",
        "What to do: take what changes from turn to turn",
        "word0 word1 word2",
        "As received",
        "Sent to gpu/one /v1/chat/completions",
        "200 ok by gpu/one",
        "Headers, ",
        "answered 200, passed on as it came",
        "Answer as it went to the client",
        "As a command for curl",
    ] {
        tab.shows(part).await;
    }
    // A reader of the screen hears it: the heading has the focus.
    assert_eq!(tab.eval("document.activeElement.tagName").await, "H3");
    tab.eval(
        "for (const part of document.querySelectorAll('#inspected-one details')) part.open = true",
    )
    .await;
    tab.shows(MARKUP).await;
    tab.shows("curl -N").await;
    let found = tab
        .eval("[document.images.length, document.title].join()")
        .await;
    assert_eq!(found, "0,Crucible");
    tab.is_for_everybody().await;
    draw(&tab).await;
    assert_eq!(browser.errors(), Vec::<String>::new());
}

#[tokio::test]
async fn every_page_says_that_it_is_on_and_nothing_is_left_on_one_afterwards() {
    let Some(browser) = Chromium::named().await else {
        return;
    };
    let (_sim, crucible) = both_listeners().await;
    let tab = browser.open(&crucible.at("/"), Window::DESK).await;
    let other = browser.open(&crucible.at("/"), Window::PHONE).await;
    let metrics = format!("{}/", crucible.metrics_url().expect("a second listener"));
    let far = browser.open(&metrics, Window::DESK).await;
    tab.shows("Keep requests").await;
    click(&tab, "#inspector-on").await;
    for page in [&tab, &other, &far] {
        page.shows("The inspector is on until").await;
    }
    let hidden = far
        .eval("document.getElementById('inspector-section').hidden")
        .await;
    assert_eq!(hidden, true);
    let rows = async |count: u64| {
        eventually("so many rows", || async {
            let rows = tab
                .eval("document.querySelectorAll('#inspected li').length")
                .await;
            (rows == count).then_some(())
        })
        .await;
    };
    post_as(&crucible, "my-agent", &turn("10:15:01", &["repeat 2"])).await;
    rows(1).await;
    click(&tab, "#inspected li button").await;
    tab.shows("As received").await;
    // The list does not take the focus away when it grows.
    tab.eval("document.querySelector('#inspected li button').focus()")
        .await;
    post_as(&crucible, "my-agent", &turn("10:15:50", &["repeat 2"])).await;
    rows(2).await;
    let kept = tab
        .eval(
            "document.activeElement === document.querySelector('#inspected li:last-child button')",
        )
        .await;
    assert_eq!(kept, true);
    click(&tab, "#inspector-off").await;
    for page in [&tab, &other, &far] {
        banner_is_gone(page).await;
    }
    let left = tab
        .eval(
            "document.getElementById('inspected').childElementCount \
             + document.getElementById('inspected-one').childElementCount",
        )
        .await;
    assert_eq!(left, 0);
    // Another way than the page switches too, and the time ends by itself.
    assert_eq!(switch(&crucible, 0.02).await.status, 200);
    tab.shows("The inspector is on until").await;
    banner_is_gone(&tab).await;
    assert_eq!(browser.errors(), Vec::<String>::new());
}
