//! Two real models in room for one: they take turns, and no answer is cut for it.

use super::*;

/// Starts a server and ends with it; writes a line before its start and one after its end. A
/// SIGTERM is passed on.
const WITNESS: &str = r#"
log=$1 name=$2
shift 2
echo "start $name $*" >> "$log"
"$@" <&0 &
trap 'kill -TERM $!' TERM
wait $!
wait $!
echo "end $name" >> "$log"
"#;

/// Asks a model several times, one after the other. While each answer runs, its server is asked
/// for the context in effect; each answer must come whole.
async fn ask_in_turn(crucible: &Crucible, model: &str, context: u64) {
    for tokens in [20, 30, 40] {
        let mut response = open(crucible, &long(model, tokens)).await;
        let status = response.status();
        assert_eq!(status, 200, "{model}: {:?}", response.headers());
        assert_eq!(header(response.headers(), "x-crucible-model"), model);
        let first = response.chunk().await.expect("a chunk").expect("a chunk");
        let state = get(crucible, "/crucible/state").await.json;
        let engines = state["engines"].as_array().expect("a list");
        let own = engines.iter().find(|e| e["name"] == model);
        let url = own.and_then(|e| e["url"].as_str()).expect("its address");
        let props = client().get(format!("{}/props", url.trim_end_matches('/')));
        let props: Value = props
            .send()
            .await
            .expect("it lives")
            .json()
            .await
            .expect("JSON");
        assert_eq!(
            props["default_generation_settings"]["n_ctx"], context,
            "{props}"
        );
        let rest = Stream::read(response).await;
        let text = format!("{}{}", String::from_utf8_lossy(&first), rest.text);
        assert!(!rest.broken, "{text}");
        whole(&Stream::parse(&text), tokens);
    }
}

/// The configuration of these models with their contexts, in room for one; each has a server of its own, whose start
/// and end are lines of the file `servers` in this folder.
fn witnessed_models(
    models: &[(&str, u64)],
    command: &[String],
    model_path: &std::path::Path,
    folder: &std::path::Path,
) -> String {
    let log = folder.join("servers").display().to_string();
    let mut toml = String::from(
        "[pool.cpu]\nbudget = \"180MB\"\n[tuning.ollama]\nnum_threads = 1\n[context]\nfit = \"reject\"\n",
    );
    for (name, context) in models {
        let path = folder.join(format!("{name}.gguf"));
        std::os::unix::fs::symlink(model_path, &path).expect("a link");
        let mut witnessed = ["sh", "-c", WITNESS, "witness", &log, name]
            .map(str::to_owned)
            .to_vec();
        witnessed.extend_from_slice(command);
        let own = format!(
            "[[engine]]\nname = \"{name}\"\nkind = \"llamacpp\"\nmanage = \"spawn\"\n\
             permits = 1\npool = \"cpu\"\ncommand = {witnessed:?}\nmodel_path = {:?}\n\
             [[model]]\nname = \"{name}\"\ncontext = {context}\n",
            path.display().to_string(),
        );
        toml.push_str(&own);
    }
    toml
}

/// The models whose servers were started, in order. Each had its context, and had ended before the next one began.
fn never_two_at_once<'a>(lines: &'a str, models: &[(&str, u64)]) -> Vec<&'a str> {
    let lines: Vec<Vec<&str>> = lines.lines().map(|l| l.split(' ').collect()).collect();
    for pair in lines.chunks(2) {
        let (start, end) = (&pair[0], pair.get(1));
        assert_eq!(start[0], "start", "two at once: {lines:?}");
        let context = models.iter().find(|(name, _)| *name == start[1]);
        let context = context.expect("a model").1.to_string();
        assert!(start.windows(2).any(|w| w == ["-c", &context]), "{start:?}");
        // Only the last one still runs.
        let ended = end.is_some_and(|end| *end == ["end", start[1]]);
        assert!(ended || end.is_none(), "two at once: {lines:?}");
    }
    let starts = lines.iter().filter(|line| line[0] == "start");
    starts.map(|line| line[1]).collect()
}

/// Two llama.cpp servers whose models fit the pool's budget one at a time: the swap starts one only
/// after the other has ended, which their own lines in one file prove, and no answer is cut for it.
#[tokio::test]
async fn two_real_models_take_turns_in_room_for_one() {
    let (command, model_path) = engine().await;
    let _alone = alone().await;
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("servers");
    let models = [("one", 1024), ("two", 2048)];
    let toml = witnessed_models(&models, command, model_path, folder.path());
    let mut crucible = Crucible::start(&toml);
    let turns = |(name, context)| ask_in_turn(&crucible, name, context);
    tokio::join!(
        turns(models[0]),
        turns(models[1]),
        turns(models[0]),
        turns(models[1])
    );

    let lines = std::fs::read_to_string(&log).expect("their lines");
    let starts = never_two_at_once(&lines, &models);
    assert!(
        starts.contains(&"one") && starts.contains(&"two"),
        "{starts:?}"
    );
    // A turn serves all who wait for its model: not one load per request.
    assert!(starts.len() <= 7, "{starts:?}");
    // What was started is what Crucible says that it loaded and evicted.
    let metrics = Metrics::of(&crucible).await;
    let sum = |name| metrics.sum(name, &[]);
    let told = (
        sum("crucible_model_loads_total"),
        sum("crucible_model_evictions_total"),
    );
    let starts = f64::from(u32::try_from(starts.len()).expect("a number"));
    assert_eq!(told, (starts, starts - 1.0));
    // The wrapper would outlive a Crucible that is killed, and its server with it.
    crucible.signal("TERM");
    assert!(crucible.wait().success(), "{}", crucible.log());
}
