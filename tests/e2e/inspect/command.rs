//! `crucible inspect` against a running instance.

use std::net::UdpSocket;

use crucible_documents::inspector::{InspectedDoc, InspectorDoc};
use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{body, post, post_raw},
    engines::{client, engine, start},
    rest::eventually,
};

use super::{ended, one, switch};

#[tokio::test]
async fn it_lists_requests_as_they_end_and_ends_when_it_is_switched_off() {
    let (_sim, crucible) = one().await;
    let followed = crucible.starts_beside(&["inspect", "--minutes", "5"]);
    followed.says("The inspector is on until").await;
    assert_eq!(post(&crucible, &body("one", "repeat 3")).await.status, 200);
    assert_eq!(post(&crucible, &body("absent", "x")).await.status, 404);
    ended(&crucible, 2).await;
    let (code, out, err) = crucible.beside(&["inspect", "list"]).await;
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("2 of at most 64 requests are kept"), "{out}");
    followed.says("404 model_not_found").await;
    let (code, out, _) = crucible.beside(&["inspect", "--off"]).await;
    assert_eq!(code, 0);
    assert!(out.contains("is off"), "{out}");
    let (code, out, err) = followed.ended().await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    for part in [
        "The inspector is on until",
        "in its memory only",
        "Ctrl-C ends this list, not the inspector",
        "since the turn before",
        "gpu/one",
        "the first turn of its conversation",
        "404 model_not_found",
        "The inspector is off, and everything that it kept is dropped.",
    ] {
        assert!(out.contains(part), "{part} in\n{out}");
    }
}

#[tokio::test]
async fn it_shows_each_part_of_a_request() {
    let (_sim, crucible) = one().await;
    super::on(&crucible).await;
    let asked = body("one", "repeat 3").to_string();
    let answer = post_raw(&crucible, asked.clone()).await;
    ended(&crucible, 1).await;
    let show = async |args: &'static [&'static str]| {
        let (code, out, err) = crucible.beside(args).await;
        assert_eq!((code, err.as_str()), (0, ""), "{args:?}");
        out
    };
    let all = show(&["inspect", "show", "last"]).await;
    for part in [
        "answered   200 ok by gpu/one",
        "filled in: temperature",
        "Since the turn before: the first turn of its conversation",
        "answer: word0 word1 word2",
    ] {
        assert!(all.contains(part), "{part} in\n{all}");
    }
    // A body is written as it is, without a line feed of the command's own.
    for (part, text) in [
        (&["inspect", "show", "last", "--received"], &asked),
        (&["inspect", "show", "#1", "--received"], &asked),
        (&["inspect", "show", "last", "--answer"], &answer.text),
    ] {
        assert_eq!(&show(part).await, text, "{part:?}");
    }
    let sent = show(&["inspect", "show", "last", "--sent"]).await;
    assert!(sent.contains("\"temperature\""), "{sent}");
    let difference = show(&["inspect", "show", "last", "--diff"]).await;
    assert_eq!(difference.trim_end(), "the first turn of its conversation");
    let curl = show(&["inspect", "show", "last", "--curl"]).await;
    assert!(
        curl.starts_with("curl -N 'http://") && curl.contains(&asked),
        "{curl}"
    );
    let json = show(&["inspect", "show", "req_", "--json"]).await;
    let json: InspectedDoc = serde_json::from_str(&json).expect("a request");
    assert_eq!(json.assembled.text, "word0 word1 word2");
    let json = show(&["inspect", "list", "--json"]).await;
    let json: InspectorDoc = serde_json::from_str(&json).expect("a list");
    assert_eq!(json.requests.len(), 1);
    let (code, _, err) = crucible.beside(&["inspect", "show", "nobody"]).await;
    assert_eq!(code, 1);
    assert!(err.contains("`crucible inspect list`"), "{err}");
    let off: InspectorDoc =
        serde_json::from_str(&show(&["inspect", "--off", "--json"]).await).expect("a state");
    assert!(!off.on);
    let (code, out, _) = crucible.beside(&["inspect", "list"]).await;
    assert_eq!(code, 0);
    assert!(out.contains("is off"), "{out}");
}

#[tokio::test]
async fn the_list_goes_on_with_a_new_session_and_says_when_the_end_moves() {
    let (_sim, crucible) = one().await;
    // A look between the two switches sees an inspector that is off: then once more.
    for _ in 0..5 {
        let followed = crucible.starts_beside(&["inspect", "--minutes", "5"]);
        followed.says("The inspector is on until").await;
        assert_eq!(switch(&crucible, 7.0).await.status, 200);
        followed
            .says("The inspector's end was moved: it is on until")
            .await;
        switch(&crucible, 0.0).await;
        switch(&crucible, 9.0).await;
        let goes_on = eventually("the list goes on, or ends", || async {
            let out = followed.out();
            let again = out.contains("was switched off and on again");
            (again || out.contains("The inspector is off")).then_some(again)
        })
        .await;
        if goes_on {
            assert_eq!(post(&crucible, &body("absent", "x")).await.status, 404);
            followed.says("404 model_not_found").await;
        }
        switch(&crucible, 0.0).await;
        let (code, out, err) = followed.ended().await;
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        assert!(out.contains("The inspector is off"), "{out}");
        if goes_on {
            return;
        }
    }
    panic!("the list never went on with the new session");
}

#[tokio::test]
async fn a_body_that_is_no_text_is_written_byte_for_byte() {
    let (_sim, crucible) = one().await;
    super::on(&crucible).await;
    let asked = b"{\"model\": \"caf\xe9\"}".to_vec();
    let request = client()
        .post(crucible.at("/v1/chat/completions"))
        .body(asked.clone());
    assert_eq!(request.send().await.expect("an answer").status(), 400);
    ended(&crucible, 1).await;
    let written = std::process::Command::new(crucible_tests::binary::crucible())
        .args([
            "inspect",
            "show",
            "last",
            "--received",
            "--url",
            crucible.url(),
        ])
        .output()
        .expect("it ran");
    assert!(written.status.success(), "{written:?}");
    assert_eq!(written.stdout, asked);
}

#[tokio::test]
async fn requests_that_a_client_gave_one_id_are_told_apart_by_number() {
    let (_sim, crucible) = one().await;
    super::on(&crucible).await;
    for text in ["of the first", "of the second"] {
        let request = client()
            .post(crucible.at("/v1/chat/completions"))
            .header("x-request-id", "same")
            .json(&body("one", text));
        assert_eq!(request.send().await.expect("an answer").status(), 200);
    }
    ended(&crucible, 2).await;
    let (_, out, _) = crucible.beside(&["inspect", "list"]).await;
    assert!(out.contains("  #1  ") && out.contains("  #2  "), "{out}");
    for (args, text) in [
        (&["inspect", "show", "#1", "--received"], "of the first"),
        (&["inspect", "show", "#2", "--received"], "of the second"),
    ] {
        let (code, out, err) = crucible.beside(args).await;
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.contains(text), "{args:?}: {out}");
    }
}

#[tokio::test]
async fn flags_that_make_no_sense_are_refused_before_anybody_is_asked() {
    for (minutes, code) in [("0", 2), ("61", 2), ("ten", 2), ("-1", 2)] {
        let (found, _, err) = Crucible::command(&["inspect", "--minutes", minutes], "");
        assert_eq!(found, code, "{minutes}: {err}");
    }
    let (code, _, err) = Crucible::command(&["inspect", "--minutes", "5", "--off"], "");
    assert_eq!(code, 2, "{err}");
    for args in [
        &["inspect", "--off", "list"][..],
        &["inspect", "--minutes", "5", "list"],
        &["inspect", "--off", "show", "last"],
    ] {
        let (code, _, err) = Crucible::command(args, "");
        assert_eq!(code, 2, "{args:?}: {err}");
        assert!(err.contains("stand alone"), "{err}");
    }
    let (code, _, err) = Crucible::command(&["inspect", "show", "last", "--attempt", "1"], "");
    assert_eq!(code, 2, "{err}");
    assert!(
        err.contains("give it with --sent or --engine-answer"),
        "{err}"
    );
    for command in ["inspect", "top"] {
        let (code, _, err) = Crucible::command(&[command, "--url", "garbage"], "");
        assert_eq!(code, 2, "{command}: {err}");
        assert!(err.contains("--url: found \"garbage\""), "{err}");
    }
    let (code, _, err) = Crucible::command(&["inspect", "--listen", "127.0.0.1:1"], "");
    assert_eq!(code, 1);
    assert!(
        err.contains("no instance runs at 127.0.0.1:1; start `crucible serve`"),
        "{err}"
    );
}

#[tokio::test]
async fn a_missing_key_and_a_refused_one_are_told_apart() {
    let sim = start(Options::lmstudio(&["one=1GB"])).await;
    let engines = engine("gpu", "lmstudio", &sim.url());
    let (_, minted, _) = Crucible::command(&["key", "new"], "");
    let block = &minted[minted.find("[[key]]").expect("a block")..];
    let keyed = Crucible::start(&format!("{block}{engines}"));
    let (code, _, err) = keyed.beside(&["inspect"]).await;
    assert_eq!(code, 1);
    assert!(
        err.contains("wants a client key: set CRUCIBLE_KEY"),
        "{err}"
    );
    for command in [
        &["inspect", "--key", "crk-wrong"][..],
        &["inspect", "list", "--key", "crk-wrong"],
        &["top", "--once", "--key", "crk-wrong"],
    ] {
        let (code, _, err) = keyed.beside(command).await;
        assert_eq!(code, 1, "{command:?}");
        assert!(err.contains("refused the client key"), "{err}");
        assert!(!err.contains("wants a client key"), "{err}");
    }
}

#[tokio::test]
async fn an_instance_that_does_not_listen_on_loopback_is_not_asked_from_outside() {
    let sim = start(Options::lmstudio(&["one=1GB"])).await;
    let engines = engine("gpu", "lmstudio", &sim.url());
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    socket
        .connect("192.0.2.1:9")
        .expect("a route out of the machine");
    let own = socket.local_addr().expect("an address").ip();
    let far = Crucible::start(&format!(
        "listen = \"{own}:0\"\nallow_unauthenticated = true\n{engines}"
    ));
    let (config, address) = (far.config().display().to_string(), far.addr().to_owned());
    let said = tokio::task::spawn_blocking(move || {
        let url = format!("http://{address}");
        ["--listen", "--url"].map(|flag| {
            let place = if flag == "--url" { &url } else { &address };
            Crucible::command(&["inspect", "--config", &config, flag, place], "")
        })
    });
    for (code, _, err) in said.await.expect("it ran") {
        assert_eq!(code, 1);
        assert!(
            err.contains("only programs on the machine of Crucible"),
            "{err}"
        );
    }
}
