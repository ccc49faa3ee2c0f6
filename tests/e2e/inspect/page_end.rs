//! Which request the live page opens, and that nothing of one stays after the inspector's end, in a real browser.

use crucible_sim::Sim;
use crucible_tests::{
    Crucible,
    chat::post_as,
    chromium::{Chromium, Tab, Window},
    engines::client,
    rest::eventually,
};
use serde_json::json;

use super::{
    ended, on, one,
    page::{banner_is_gone, click, turn},
    switch,
};

/// Lets answers about one request wait until `release()`, and counts promises that nobody handled.
const HELD: &str = "
    window.unhandled = 0;
    addEventListener('unhandledrejection', () => { window.unhandled += 1; });
    window.asked = fetch; window.waiting = [];
    window.release = at => window.waiting[at]();
    window.fetch = async (path, ...rest) => {
        const answer = await window.asked(path, ...rest);
        if (String(path).includes('inspect/')) await new Promise(go => window.waiting.push(go));
        return answer;
    }; 0";

/// An instance that has kept two requests.
async fn with_two() -> (Sim, Crucible) {
    let (sim, crucible) = one().await;
    on(&crucible).await;
    for text in ["of the first repeat 2", "of the second repeat 2"] {
        let answer = post_as(&crucible, "my-agent", &turn("10:15:01", &[text])).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    ended(&crucible, 2).await;
    (sim, crucible)
}

async fn waiting(tab: &Tab<'_>, count: u64) {
    eventually("the page has asked", || async {
        (tab.eval("window.waiting.length").await == count).then_some(())
    })
    .await;
}

/// The page with both requests, which has asked for the one that was clicked and has no answer yet.
async fn first_is_asked<'a>(browser: &'a Chromium, crucible: &Crucible) -> Tab<'a> {
    let tab = browser.open(&crucible.at("/"), Window::DESK).await;
    tab.shows("2 of at most 64").await;
    tab.eval(HELD).await;
    click(&tab, "#inspected li:first-child button").await;
    waiting(&tab, 1).await;
    tab
}

/// The kept texts that the page holds.
async fn left(tab: &Tab<'_>) -> String {
    let texts = tab
        .eval("document.getElementById('inspected').textContent + document.getElementById('inspected-one').textContent")
        .await;
    texts.as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn an_answer_that_comes_after_the_end_is_not_shown() {
    let Some(browser) = Chromium::named().await else {
        return;
    };
    let (_sim, crucible) = with_two().await;
    let tab = first_is_asked(&browser, &crucible).await;
    assert_eq!(switch(&crucible, 0.0).await.status, 200);
    banner_is_gone(&tab).await;
    // Also where it is on again by then: that is another session.
    on(&crucible).await;
    tab.shows("The inspector is on until").await;
    tab.eval("window.release(0)").await;
    tab.eval("new Promise(go => setTimeout(go, 500))").await;
    assert_eq!(left(&tab).await, "");
}

#[tokio::test]
async fn of_two_quick_clicks_the_last_is_shown() {
    let Some(browser) = Chromium::named().await else {
        return;
    };
    let (_sim, crucible) = with_two().await;
    let tab = first_is_asked(&browser, &crucible).await;
    click(&tab, "#inspected li:last-child button").await;
    waiting(&tab, 2).await;
    tab.eval("window.release(1)").await;
    tab.shows("As received").await;
    tab.eval("window.release(0)").await;
    tab.eval("new Promise(go => setTimeout(go, 500))").await;
    let left = left(&tab).await;
    assert!(
        left.contains("of the first") && !left.contains("of the second"),
        "{left}"
    );
}

#[tokio::test]
async fn texts_go_by_the_pages_own_timer_and_with_a_lost_stream() {
    let Some(browser) = Chromium::named().await else {
        return;
    };
    let (_sim, mut crucible) = with_two().await;
    let tab = browser.open(&crucible.at("/"), Window::DESK).await;
    tab.eval(&HELD.replace("inspect/'", "nothing'")).await;
    let open = async || {
        click(&tab, "#inspected li:first-child button").await;
        tab.shows("As received").await;
    };
    open().await;
    // An instance that says nothing at the end that it has named.
    assert_eq!(switch(&crucible, 0.05).await.status, 200);
    tab.eval("new Promise(go => setTimeout(go, 1500))").await;
    assert!(left(&tab).await.contains("As received"));
    crucible.signal("STOP");
    banner_is_gone(&tab).await;
    assert_eq!(left(&tab).await, "");
    crucible.signal("CONT");
    on(&crucible).await;
    let answer = post_as(&crucible, "my-agent", &turn("10:15:01", &["repeat 2"])).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    open().await;
    // A switch that does not come to the instance is told.
    tab.eval("window.kept = window.asked; window.asked = async (path, ...rest) => { \
        if (rest[0]?.method === 'POST') throw new TypeError('no network'); return window.kept(path, ...rest); }; 0")
        .await;
    click(&tab, "#inspector-off").await;
    tab.shows("The inspector was not switched").await;
    // An instance that ends.
    crucible.signal("TERM");
    tokio::task::spawn_blocking(move || crucible.wait())
        .await
        .expect("it ended");
    tab.shows("not reached, trying again").await;
    banner_is_gone(&tab).await;
    assert_eq!(left(&tab).await, "");
    assert_eq!(tab.eval("window.unhandled").await, 0);
}

#[tokio::test]
async fn of_two_requests_with_one_id_the_clicked_one_is_opened() {
    let Some(browser) = Chromium::named().await else {
        return;
    };
    let (_sim, crucible) = one().await;
    on(&crucible).await;
    for text in ["of the first repeat 2", "of the second repeat 2"] {
        let request = client()
            .post(crucible.at("/v1/chat/completions"))
            .header("x-request-id", "same")
            .header("user-agent", "")
            .json(&turn("10:15:01", &[text]));
        assert_eq!(request.send().await.expect("an answer").status(), 200);
    }
    ended(&crucible, 2).await;
    let tab = browser.open(&crucible.at("/"), Window::DESK).await;
    tab.shows(" 127.0.0.1 to ").await;
    for (row, own, other) in [
        ("last", "of the first", "of the second"),
        ("first", "of the second", "of the first"),
    ] {
        click(&tab, &format!("#inspected li:{row}-child button")).await;
        eventually("the clicked one is open", || async {
            let body = tab
                .eval("document.querySelector('#inspected-one pre[aria-label^=\"As received\"]')?.textContent ?? ''")
                .await;
            let body = body.as_str().unwrap_or_default();
            (body.contains(own) && !body.contains(other)).then_some(())
        })
        .await;
    }
    assert_eq!(browser.errors(), Vec::<String>::new());
}

#[tokio::test]
async fn a_changed_setting_of_the_template_and_a_missing_command_are_told() {
    let Some(browser) = Chromium::named().await else {
        return;
    };
    let (_sim, crucible) = one().await;
    on(&crucible).await;
    for (thinks, said) in [
        (true, &["repeat 2"][..]),
        (false, &["repeat 2", "word0 word1", "repeat 3"]),
    ] {
        let mut asked = turn("10:15:01", said);
        asked["chat_template_kwargs"] = json!({ "enable_thinking": thinks });
        let answer = post_as(&crucible, "my-agent", &asked).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    ended(&crucible, 2).await;
    let tab = browser.open(&crucible.at("/"), Window::DESK).await;
    click(&tab, "#inspected li:first-child button").await;
    tab.shows("may write the prompt otherwise from its beginning")
        .await;
    assert!(
        !left(&tab)
            .await
            .contains("The prompt goes on from that turn")
    );
    tab.eval(
        "window.asked = fetch; window.fetch = async (path, ...rest) => { \
        const answer = await window.asked(path, ...rest); \
        if (!String(path).includes('inspect/')) return answer; \
        const without = { received: null, curl: null, curl_note: null }; \
        return new Response(JSON.stringify({ ...await answer.json(), ...without })); }; 0",
    )
    .await;
    click(&tab, "#inspected li:last-child button").await;
    tab.shows("The body was not read, so no command can send it again.")
        .await;
}
