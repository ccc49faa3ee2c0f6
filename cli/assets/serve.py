"""llama.cpp's HTTP server from the xllamacpp wheel, with llama-server's flags.

Crucible starts this where no llama-server is installed. It serves one model file under the
file's name without its ending, and ends when its standard input (a pipe from Crucible) is
closed, when its parent is gone, or on SIGTERM, so that it never outlives Crucible.
"""

import argparse
import os
import signal
import stat
import sys
import threading

CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")
LOAD_MODES = ("auto", "none", "mmap")
POOLINGS = ("none", "mean", "cls", "last", "rank")


def parse_flags(argv):
    """The subset of llama-server's flags that Crucible uses; others are named and ignored."""
    parser = argparse.ArgumentParser(prog="serve.py", description=__doc__)
    parser.add_argument("-m", "--model", required=True, metavar="FILE.gguf")
    parser.add_argument("-a", "--alias", help="model name (default: the file's name)")
    parser.add_argument("-c", "--ctx-size", type=int, default=4096, help="tokens, all slots together")
    parser.add_argument("-np", "--parallel", type=int, default=1, help="slots")
    parser.add_argument("-t", "--threads", type=int, default=0, help="0: the library's choice")
    parser.add_argument("-b", "--batch-size", type=int, default=0, help="tokens read at once, logical")
    parser.add_argument("-ub", "--ubatch-size", type=int, default=0, help="tokens read at once, physical")
    parser.add_argument("-fa", "--flash-attn", choices=("on", "off", "auto"), default="auto")
    parser.add_argument("-ctk", "--cache-type-k", choices=CACHE_TYPES, default="f16")
    parser.add_argument("-ctv", "--cache-type-v", choices=CACHE_TYPES, default="f16")
    parser.add_argument("-lm", "--load-mode", choices=LOAD_MODES, default="auto")
    parser.add_argument("--embedding", "--embeddings", action="store_true", help="make vectors too")
    parser.add_argument("--pooling", choices=POOLINGS, help="how vectors of tokens become one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0: any free one")
    parser.add_argument("--metrics", action="store_true", help="always on")
    parser.add_argument("--jinja", action="store_true", help="always on")
    flags, ignored = parser.parse_known_args(argv)
    if ignored:
        print("serve.py: ignored: " + " ".join(ignored), file=sys.stderr, flush=True)
    if not os.path.isfile(flags.model):
        parser.error("no such model file: " + flags.model)
    return flags


def start(flags):
    """Loads the model and listens; returns the server, which runs on threads of its own."""
    try:
        import xllamacpp
    except ImportError as error:
        sys.exit(
            "serve.py: the xllamacpp wheel cannot be loaded by %s (%s).\n"
            "Install it: %s -m pip install --no-deps xllamacpp"
            % (sys.executable, error, sys.executable)
        )
    params = xllamacpp.CommonParams()
    params.model.path = flags.model
    stem = os.path.splitext(os.path.basename(flags.model))[0]
    params.model_alias = {flags.alias or stem}
    params.hostnames = [flags.host]
    params.port = flags.port
    params.n_ctx = flags.ctx_size
    params.n_parallel = flags.parallel
    params.endpoint_metrics = True
    params.use_jinja = True
    if flags.threads > 0:
        params.cpuparams.n_threads = flags.threads
        params.cpuparams_batch.n_threads = flags.threads
    if flags.embedding:
        params.embedding = True
    if flags.pooling:
        pooling = "LLAMA_POOLING_TYPE_" + flags.pooling.upper()
        params.pooling_type = getattr(xllamacpp.llama_pooling_type, pooling)
    if flags.batch_size > 0:
        params.n_batch = flags.batch_size
    if flags.ubatch_size > 0:
        params.n_ubatch = flags.ubatch_size
    attention = {"on": "ENABLED", "off": "DISABLED", "auto": "AUTO"}[flags.flash_attn]
    params.flash_attn_type = getattr(
        xllamacpp.llama_flash_attn_type, "LLAMA_FLASH_ATTN_TYPE_" + attention
    )
    params.cache_type_k = cache_type(xllamacpp, flags.cache_type_k)
    params.cache_type_v = cache_type(xllamacpp, flags.cache_type_v)
    params.load_mode = getattr(
        xllamacpp.llama_load_mode, "LLAMA_LOAD_MODE_" + flags.load_mode.upper()
    )
    return xllamacpp.Server(params)


def cache_type(xllamacpp, name):
    return getattr(xllamacpp.ggml_type, "GGML_TYPE_" + name.upper())


def watch_stdin(ended):
    """Ends with the pipe. A terminal or /dev/null says nothing about Crucible's life."""
    try:
        piped = stat.S_ISFIFO(os.fstat(0).st_mode) or stat.S_ISSOCK(os.fstat(0).st_mode)
    except OSError:
        piped = False
    if not piped:
        return

    def drain():
        try:
            while os.read(0, 4096):
                pass
        except OSError:
            pass
        ended.set()

    threading.Thread(target=drain, daemon=True).start()


def main():
    flags = parse_flags(sys.argv[1:])
    parent = os.getppid()
    ended = threading.Event()
    watch_stdin(ended)
    # While the model loads, SIGTERM keeps its default and ends the process at once.
    try:
        server = start(flags)
    except RuntimeError as error:
        sys.exit("serve.py: the server did not start: %s" % error)
    # Not `ended.set()`: a handler that runs while this thread holds the event's lock waits for ever.
    for name in ("SIGTERM", "SIGINT"):
        signal.signal(getattr(signal, name), lambda *_: os._exit(0))
    print("listening on %s" % server.listening_address, flush=True)
    # The time-out lets Windows deliver signals, and shows when the parent is gone.
    while not ended.wait(0.5):
        if os.getppid() != parent:
            break
    # The C++ side joins its threads slowly on a normal exit; there is nothing left to save.
    os._exit(0)


if __name__ == "__main__":
    main()
