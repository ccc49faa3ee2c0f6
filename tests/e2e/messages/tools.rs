//! Tools over several turns, and several at once.

use crucible_sim::{Conversation, ConversationTurn};
use serde_json::{Value, json};

use super::{Kinds, ask, asked, post, stream};

/// Turns in which the model calls `Bash` twice and then says what came out.
fn loop_of_three() -> Vec<Conversation> {
    let call = |command: &str| ConversationTurn {
        text: Some("Look. ".to_owned()),
        calls: [("Bash".to_owned(), json!({"command": command}))]
            .into_iter()
            .collect(),
    };
    vec![Conversation {
        when: "count the files".to_owned(),
        turns: vec![
            call("ls"),
            call("ls | wc -l"),
            ConversationTurn {
                text: Some("There are {result}.".to_owned()),
                ..ConversationTurn::default()
            },
        ],
    }]
}

#[tokio::test]
async fn a_tool_loop_of_three_turns_only_adds_to_the_prompt() {
    let kinds = Kinds::start("").await;
    for (kind, sim) in &kinds.sims {
        sim.converse(loop_of_three());
        let tool = json!({"name": "Bash", "description": "d", "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}, "a": 1}, "cache_control": {"type": "ephemeral"}});
        let mut messages = vec![json!({"role": "user", "content": [
            {"type": "text", "text": "count the files", "cache_control": {"type": "ephemeral"}}]})];
        let mut told = Vec::new();
        for turn in 0..3 {
            let body = json!({
                "model": Kinds::model(kind), "max_tokens": 32000,
                "system": [
                    {"type": "text", "text": format!("x-anthropic-billing-header: cch={turn};")},
                    {"type": "text", "text": "You are an agent."}],
                "messages": messages, "tools": [tool],
                "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"},
                "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
                "metadata": {"user_id": "u"},
            });
            let streamed = stream(&kinds.crucible, &body).await;
            let reason = &streamed.event("message_delta")["delta"]["stop_reason"];
            told.push(reason.clone());
            messages.push(json!({"role": "assistant", "content": streamed.blocks}));
            let call = streamed
                .blocks
                .iter()
                .find(|block| block["type"] == "tool_use");
            if let Some(call) = call {
                assert_eq!(call["name"], "Bash", "{kind}");
                let result = json!({"type": "tool_result", "tool_use_id": call["id"], "content": format!("result {turn}"), "is_error": false});
                messages.push(json!({"role": "user", "content": [result]}));
            } else {
                let text = streamed.blocks.last().expect("a block");
                assert_eq!(text["text"], "There are result 1.", "{kind}");
            }
        }
        assert_eq!(told, ["tool_use", "tool_use", "end_turn"], "{kind}");
        let seen = asked(sim);
        assert_eq!(seen.len(), 3, "{kind}");
        for pair in seen.windows(2) {
            for name in ["messages", "tools"] {
                let list = |of: &Value| of[name].as_array().cloned().unwrap_or_default();
                let (shorter, longer) = (list(&pair[0]), list(&pair[1]));
                assert_eq!(longer[..shorter.len()], shorter, "{kind}");
            }
        }
        assert!(!seen[0].to_string().contains("billing"), "{kind}");
        assert!(!seen[0].to_string().contains("cache_control"), "{kind}");
    }
}

#[tokio::test]
async fn parallel_calls_come_as_blocks_and_their_results_go_back_in_any_order() {
    let kinds = Kinds::start("").await;
    for (kind, sim) in &kinds.sims {
        let model = Kinds::model(kind);
        let tool = |name: &str| json!({"name": name, "input_schema": {"type": "object"}});
        let mut body = ask(&model, "call tools alpha beta");
        body["tools"] = json!([tool("alpha"), tool("beta")]);
        let streamed = stream(&kinds.crucible, &body).await;
        let calls: Vec<&Value> = streamed
            .blocks
            .iter()
            .filter(|block| block["type"] == "tool_use")
            .collect();
        let names: Vec<&Value> = calls.iter().map(|call| &call["name"]).collect();
        assert_eq!(names, ["alpha", "beta"], "{kind}: {}", streamed.text);
        assert_eq!(
            streamed.event("message_delta")["delta"]["stop_reason"],
            "tool_use"
        );
        let whole = post(&kinds.crucible, &body).await;
        assert_eq!(
            whole.json["stop_reason"], "tool_use",
            "{kind}: {}",
            whole.text
        );
        let result = |call: &Value, said: &str| json!({"type": "tool_result", "tool_use_id": call["id"], "content": said});
        let results = json!([result(calls[1], "two"), result(calls[0], "one"), {"type": "text", "text": "repeat 1"}]);
        let messages = body["messages"].as_array_mut().expect("a list");
        messages.push(json!({"role": "assistant", "content": streamed.blocks}));
        messages.push(json!({"role": "user", "content": results}));
        let answer = post(&kinds.crucible, &body).await;
        assert_eq!(answer.status, 200, "{kind}: {}", answer.text);
        let seen = asked(sim).pop().expect("a request");
        let said: Vec<&Value> = (2..5).map(|at| &seen["messages"][at]["content"]).collect();
        assert_eq!(said, ["two", "one", "repeat 1"], "{kind}: {seen}");
    }
}
