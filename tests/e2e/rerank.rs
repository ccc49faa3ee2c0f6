//! Documents that are ranked, by engines that rank.

use serde_json::json;

use crate::embeddings::Kinds;

#[tokio::test]
async fn documents_are_ranked_by_engines_that_rank() {
    let kinds = Kinds::start().await;
    let body = json!({
        "model": "my-rerank", "query": "red fox", "top_n": 2,
        "documents": ["a stone", { "text": "a red fox" }, "a red wall"],
    });
    for path in ["/v1/rerank", "/rerank", "/v1/reranking"] {
        let answer = kinds.ask(path, &body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let order: Vec<_> = answer.json["results"]
            .as_array()
            .expect("results")
            .iter()
            .map(|result| result["index"].as_u64())
            .collect();
        assert_eq!(order, [Some(1), Some(2)], "{}", answer.text);
    }
    for model in ["qwen", "gpu-embed", "llama", "cpu-embed"] {
        let mut body = body.clone();
        body["model"] = json!(model);
        let answer = kinds.ask("/v1/rerank", &body).await;
        assert_eq!(
            (answer.status, answer.code()),
            (404, "unknown_endpoint"),
            "{}",
            answer.text
        );
        assert!(
            answer.message().contains("ranks no documents"),
            "{}",
            answer.text
        );
        assert!(
            answer.message().contains("'llama', 'server'"),
            "{}",
            answer.text
        );
    }
    let mut other = body.clone();
    other["model"] = json!("plain");
    let answer = kinds.ask("/v1/rerank", &other).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert!(answer.message().contains("--reranking"), "{}", answer.text);
    other["documents"] = json!([]);
    let answer = kinds.ask("/v1/rerank", &other).await;
    assert_eq!(
        answer.json["error"]["param"], "documents",
        "{}",
        answer.text
    );
}
