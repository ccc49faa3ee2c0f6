//! Conversations whose turns go on from each other, and such as do not.

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::{body::peek::PeekedBody, prefix::advice::advice};

const FACTS: ConversationFacts<'static> = ConversationFacts {
    session: None,
    client: "aider@127.0.0.1",
    tools: true,
};

fn print(tools: &Value, messages: &[Value]) -> Fingerprint {
    let body = Bytes::from(json!({"tools": tools, "messages": messages}).to_string());
    Fingerprint::of(&body, &PeekedBody::of(&body, 64).unwrap())
}

fn message(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}

/// The messages of a turn; the system prompt is of 1000 bytes and has this text at that place.
fn turn(number: usize, at: usize, text: &str) -> Vec<Value> {
    let mut system = "s".repeat(1000);
    system.replace_range(at..at + text.len(), text);
    let mut messages = vec![message("system", &system), message("user", "do it")];
    for step in 0..number {
        messages.push(message("assistant", &format!("step {step}")));
        messages.push(message("user", "go on"));
    }
    messages
}

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "a"}}, {"type": "function", "function": {"name": "b"}}])
}

fn who() -> [Arc<str>; 3] {
    ["aider@127.0.0.1", "gpu", "m"].map(Arc::from)
}

#[test]
fn turns_that_go_on_diverge_nowhere() {
    let (mut tracer, now) = (PrefixTracer::default(), Instant::now());
    for number in 0..4 {
        let print = print(&tools(), &turn(number, 0, "s"));
        let next = tracer.trace(FACTS, print, now).unwrap();
        assert_eq!((next.turn as usize, next.divergence), (number + 1, None));
    }
    // The last turn again, as a client does that asks once more, and a beginning that came before.
    for number in [3, 1] {
        let print = print(&tools(), &turn(number, 0, "s"));
        assert_eq!(tracer.trace(FACTS, print, now).unwrap().divergence, None);
    }
    assert_eq!(tracer.recent_divergences(now), []);
}

#[test]
fn the_piece_and_the_block_that_differ_are_named() {
    let other_tools = json!([{"type": "function", "function": {"name": "b"}}]);
    let mut rewritten = turn(2, 0, "s");
    rewritten[3] = message("user", "rewritten");
    let mut reminded = turn(1, 0, "s");
    reminded.insert(1, message("system", "5 tokens left"));
    for (next, says) in [
        (
            print(&tools(), &turn(2, 3, "12:01")),
            "the system prompt differs within its first 256 bytes",
        ),
        (
            print(&tools(), &turn(2, 600, "12:01")),
            "the system prompt differs between its bytes 512 and 768",
        ),
        (
            print(&other_tools, &turn(2, 0, "s")),
            "the list of tools differs within its first 256 bytes",
        ),
        (
            print(&tools(), &rewritten),
            "message 4 (user) differs within its first 256 bytes",
        ),
        (
            print(&tools(), &reminded),
            "message 2 (system) differs within its first 256 bytes",
        ),
    ] {
        let (mut tracer, now) = (PrefixTracer::default(), Instant::now());
        tracer.trace(FACTS, print(&tools(), &turn(1, 0, "s")), now);
        let compared = tracer.compare(FACTS, &next).unwrap();
        let next = tracer.trace(FACTS, next, now).unwrap();
        assert_eq!(compared, (2, next.divergence));
        assert_eq!(next.divergence.unwrap().words(), says);
    }
}

#[test]
fn it_is_a_finding_once_it_happens_again_and_was_read_again() {
    let (mut tracer, mut now) = (PrefixTracer::default(), Instant::now());
    for (number, cached, is_finding) in
        [(1, 0, false), (2, 900, false), (3, 5, false), (4, 9, true)]
    {
        let print = print(&tools(), &turn(number, 0, &format!("12:0{number}")));
        let next = tracer.trace(FACTS, print, now).unwrap();
        tracer.note_divergence(next, who(), Some((1000, cached)), now);
        let broken = tracer.recent_divergences(now);
        assert_eq!(
            broken.iter().any(BrokenPrefix::is_finding),
            is_finding,
            "{number}"
        );
    }
    let broken = &tracer.recent_divergences(now)[0];
    assert_eq!((broken.turn, broken.diverged, broken.reread), (4, 3, 2));
    assert_eq!(
        broken.words(),
        "turn 4: the system prompt differs within its first 256 bytes"
    );
    assert!(
        advice(&broken.client, broken.divergence).contains("system prompt of aider"),
        "{}",
        advice(&broken.client, broken.divergence)
    );
    now += TOLD_FOR;
    assert_eq!(tracer.recent_divergences(now), []);
}

#[test]
fn conversations_are_told_apart_and_their_number_is_bounded() {
    let (mut tracer, now) = (PrefixTracer::default(), Instant::now());
    let one = print(&tools(), &turn(1, 0, "s"));
    let other = print(&tools(), &turn(1, 0, "y"));
    let client = |client| ConversationFacts { client, ..FACTS };
    tracer.trace(client("a"), one.clone(), now);
    assert_eq!(
        tracer.trace(client("b"), other.clone(), now).unwrap().turn,
        1
    );
    let session = |session| ConversationFacts {
        session: Some(session),
        ..FACTS
    };
    assert_eq!(
        tracer.trace(session(1), other.clone(), now).unwrap().turn,
        1
    );
    // A session goes from one program to the other.
    let moved = ConversationFacts {
        client: "z",
        ..session(1)
    };
    assert_eq!(tracer.trace(moved, other.clone(), now).unwrap().turn, 2);
    // Without tools it is another one, and without a user none.
    let bare = ConversationFacts {
        tools: false,
        ..session(1)
    };
    assert_eq!(tracer.trace(bare, other, now).unwrap().turn, 1);
    assert_eq!(
        tracer.trace(FACTS, print(&tools(), &[message("system", "a")]), now),
        None
    );
    for number in 0..2 * MOST_CONVERSATIONS as u64 {
        tracer.trace(
            session(number),
            one.clone(),
            now + Duration::from_secs(number),
        );
        assert!(tracer.conversations.len() <= MOST_CONVERSATIONS);
    }
    let long = print(&tools(), &[message("user", &"x".repeat(3 << 20))]);
    for number in 0..300 {
        tracer.trace(
            session(number),
            long.clone(),
            now + Duration::from_secs(5000 + number),
        );
        assert!(tracer.bytes <= MOST_BYTES);
    }
    let kept: usize = tracer
        .conversations
        .values()
        .map(|kept| kept.print.size())
        .sum();
    assert_eq!(tracer.bytes, kept);
}

#[test]
fn advice_names_what_can_be_done_about_each_piece() {
    let (mut tracer, now) = (PrefixTracer::default(), Instant::now());
    let mut broken = |client: &str, messages: &[Value], tools: &Value| {
        tracer.trace(FACTS, print(&self::tools(), &turn(1, 0, "s")), now);
        let next = tracer.trace(FACTS, print(tools, messages), now).unwrap();
        tracer.note_divergence(next, [client, "e", "m"].map(Arc::from), None, now);
        advice_on(&tracer.recent_divergences(now)[0])
    };
    let clock = turn(1, 0, "y");
    assert!(
        broken("claude-cli@::1", &clock, &tools()).contains("CLAUDE_CODE_ATTRIBUTION_HEADER=0")
    );
    assert!(broken("pi@::1", &clock, &tools()).contains("system prompt of pi"));
    assert!(broken("pi@::1", &clock, &json!([])).contains("same tools"));
    let mut rewritten = turn(1, 0, "s");
    rewritten[2] = message("assistant", "other");
    assert!(broken("pi@::1", &rewritten, &tools()).contains("rewrites"));
}

fn advice_on(broken: &BrokenPrefix) -> String {
    advice(&broken.client, broken.divergence)
}
