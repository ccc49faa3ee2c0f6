//! Files of which each has one mistake, with the words that name it.

/// The hash of a key that stands in no example.
pub(super) const HASH: &str =
    "sha256:5d1f58169ba099581d6720480eb44bbaeae698f187d944d63dd71760862e5cc5";

/// Each file, the path of its problem, and texts of the one error: (file, path, then texts of the one error's line).
pub(super) const BAD: &[(&str, &str, &[&str])] = &[
    (
        "lisen = \"127.0.0.1:1\"",
        "lisen",
        &["crucible.toml:1", "unknown key", "\"listen\""],
    ),
    (
        "[timeouts]\nidel = \"3s\"",
        "timeouts.idel",
        &["crucible.toml:2", "\"timeouts.idle\""],
    ),
    (
        "[timeouts]\nidle = \"soon\"",
        "timeouts.idle",
        &["\"soon\"", "a duration"],
    ),
    (
        "[timeouts]\nidle = 0",
        "timeouts.idle",
        &["found 0", "at least 1ms"],
    ),
    (
        "[timeouts]\nqueue = true",
        "timeouts.queue",
        &["found true", "a duration"],
    ),
    (
        "timeouts = 3",
        "timeouts",
        &["found 3", "a table", "[timeouts]"],
    ),
    (
        "listen = \"8484\"",
        "listen",
        &["\"8484\"", "127.0.0.1:8484"],
    ),
    ("listen = []", "listen", &["an empty list"]),
    (
        "listen = \"0.0.0.0:8484\"",
        "listen",
        &["crucible key new", "allow_unauthenticated = true"],
    ),
    (
        "metrics_listen = \"0.0.0.0:1\"",
        "metrics_listen",
        &["without a key"],
    ),
    (
        "[otlp]\nendpoint = \"grpc://127.0.0.1:4317\"",
        "otlp.endpoint",
        &["the scheme \"grpc\"", "http://127.0.0.1:4318"],
    ),
    (
        "[otlp]\nendpoint = \"http://user:hunter2@127.0.0.1:4318\"",
        "otlp.endpoint",
        &[
            "a URL with a name or a password",
            "OTEL_EXPORTER_OTLP_HEADERS",
        ],
    ),
    (
        "[otlp]\nendpoint = \"http://127.0.0.1:4318/?key=hunter2\"",
        "otlp.endpoint",
        &[
            "a URL with a query or a fragment",
            "OTEL_EXPORTER_OTLP_HEADERS",
        ],
    ),
    (
        "[otlp]\nendpoint = \"localhost\"",
        "otlp.endpoint",
        &["\"localhost\""],
    ),
    (
        "metrics_listen = \"127.0.0.1:8484\"",
        "metrics_listen",
        &["which is in listen"],
    ),
    (
        "profile = \"hybird\"",
        "profile",
        &["\"hybird\"", "did you mean \"hybrid\"?"],
    ),
    (
        "allow_unauthenticated = \"yes\"",
        "allow_unauthenticated",
        &["true or false", "without quotes"],
    ),
    (
        "allowed_hosts = \"a\"",
        "allowed_hosts",
        &["write it as a list"],
    ),
    (
        "allowed_hosts = [\"http://a\"]",
        "allowed_hosts",
        &["a host name"],
    ),
    (
        "allowed_origins = [\"a\"]",
        "allowed_origins",
        &["with scheme"],
    ),
    (
        "[limits]\nbody = \"32XB\"",
        "limits.body",
        &["\"32XB\"", "a size"],
    ),
    (
        "[limits]\nconnections = 0",
        "limits.connections",
        &["from 1"],
    ),
    (
        "[log]\nlevel = \"inof\"",
        "log.level",
        &["did you mean \"info\"?"],
    ),
    (
        "[guard]\nopen = [\"api/pull\"]",
        "guard.open",
        &["starts with a slash"],
    ),
    (
        "[[engine]]\nkind = \"ollama\"",
        "engine[0].name",
        &["no name", "crucible.toml:1"],
    ),
    (
        "[[engine]]\nname = \"a\"",
        "engine[0].kind",
        &["no kind", "\"llamacpp\""],
    ),
    (
        "[[engine]]\nname = \"a/b\"\nkind = \"ollama\"",
        "engine[0].name",
        &["slash"],
    ),
    (
        "[[engine]]\nname = \"a\"\nkind = \"openai\"",
        "engine[0].url",
        &["no url"],
    ),
    (
        "[[engine]]\nname = \"a\"\nkind = \"openai\"\nurl = \"ftp://h\"",
        "engine[0].url",
        &["expected http"],
    ),
    (
        "[[engine]]\nname = \"a\"\nkind = \"openai\"\nurl = \"http://u:pw@h\"",
        "engine[0].url",
        &["credentials", "api_key_env"],
    ),
    (
        "[[engine]]\nname = \"a\"\nkind = \"ollama\"\napi_key_env = \"sk-12\"",
        "engine[0].api_key_env",
        &["does not belong in the file"],
    ),
    (
        "[[engine]]\nname = \"a\"\nkind = \"llamacpp\"\nmanage = \"spawn\"",
        "engine[0].model_path",
        &["no model_path"],
    ),
    (
        "[[engine]]\nname = \"a\"\nkind = \"ollama\"\n[[engine]]\nname = \"A\"\nkind = \"lmstudio\"",
        "engine[1].name",
        &["a second engine"],
    ),
    (
        "[[engine]]\nname = \"a\"\nkind = \"ollama\"\n[[engine]]\nname = \"b\"\nkind = \"openai\"\nurl = \"http://localhost:11434\"",
        "engine[1].url",
        &["the address of engine \"a\""],
    ),
    (
        "[[engine]]\nname = \"a\"\nkind = \"ollama\"\npassthrough = [\"respones\"]",
        "engine[0].passthrough",
        &["did you mean \"responses\"?"],
    ),
    (
        "[[model]]\nname = \"m\"\nengine = \"olama\"",
        "model[0].engine",
        &["did you mean \"ollama\"?"],
    ),
    ("[[model]]\nname = \"m[\"", "model[0].name", &["a glob"]),
    (
        "[[model]]\nname = \"m\"\ncontext = 0",
        "model[0].context",
        &["from 1"],
    ),
    (
        "[[model]]\nname = \"m\"\ndefaults = true",
        "model[0].defaults",
        &["false or a table"],
    ),
    (
        "[pool.gpuu]\nmemory = 1",
        "pool.gpuu",
        &["did you mean \"gpu\"?"],
    ),
    (
        "[pool.gpu]\nmemory = 1\nbudget = 2",
        "pool.gpu.budget",
        &["at most"],
    ),
    (
        "[virtual]\nfast = [\"lmstudoi/*\"]",
        "virtual.fast",
        &["did you mean \"lmstudio/*\"?"],
    ),
    (
        "[virtual]\na = [\"b\"]\nb = [\"a\"]\n",
        "virtual.a",
        &["contains itself"],
    ),
    (
        "[[rule]]\nwhen = { tools = true }",
        "rule[0].use",
        &["no use"],
    ),
    (
        "[tuning.lmstudio]\ngpu_memory_fraction = 1.5",
        "tuning.lmstudio.gpu_memory_fraction",
        &["from 0 to 1"],
    ),
    (
        "[tuning.lmstudio]\ntemperature = 3",
        "tuning.lmstudio.temperature",
        &["from 0 to 2"],
    ),
    (
        "[tuning.ollama]\nnum_threads = 0",
        "tuning.ollama.num_threads",
        &["from 1"],
    ),
    (
        "[tuning.environment]\nOLLAMA_NUM_GPU = 0",
        "tuning.environment.OLLAMA_NUM_GPU",
        &["in quotes"],
    ),
    (
        "[tuning.lmstudio]\nflash_attention = false\nvalue_cache_quantization = \"q8_0\"",
        "tuning.lmstudio.value_cache_quantization",
        &["without flash attention"],
    ),
    (
        "[context]\nmax = 1024",
        "context.max",
        &["at least", "4096"],
    ),
    (
        "[[key]]\nname = \"a\"\nhash = \"geheim\"",
        "key[0].hash",
        &["not a hash", "crucible key new"],
    ),
    (
        "[[key]]\nname = \"a\"\nhash = \"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"",
        "key[0].hash",
        &["whose key everybody knows", "crucible key new"],
    ),
    ("a = = 1", "", &["crucible.toml:1", "TOML"]),
    (
        "state_dir = \"C:\\Users\\me\\x\"",
        "state_dir",
        &[
            "crucible.toml:1",
            "single quotes",
            "state_dir = 'C:\\Users\\me\\x'",
        ],
    ),
    (
        "state_dir = \"C:\\new\\bin\"",
        "state_dir",
        &["single quotes", "control characters"],
    ),
    (
        "state_dir = \"~somebody/x\"",
        "state_dir",
        &["~somebody", "only ~ alone is the home folder"],
    ),
];
