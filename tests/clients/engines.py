"""The engines: simulated ones that a test writes answers for, or one that runs already."""

import dataclasses
import json
import pathlib
import shlex
import time
import urllib.error
import urllib.request

from process import Background, Server

# Answers that nobody wrote down have eight words: the simulated engines read it from the name.
SIMULATED_MODEL = "{kind}-sim-c8"
# Room for the prompts of agents.
SIMULATED_CONTEXT = 65536
REAL_CONTEXT = 32768


@dataclasses.dataclass
class Engine:
    """An engine as Crucible sees it, with its process where it was started here."""

    kind: str
    url: str
    model: str
    context: int
    process: Background | None = None

    @property
    def simulated(self) -> bool:
        return isinstance(self.process, Server)

    def converse(self, conversations: list[dict]) -> None:
        """Forgets what was and answers from now on as the conversations say."""
        if self.simulated:
            self._call("/sim/reset", {})
            self._call("/sim/converse", conversations)

    def chats(self) -> list[dict]:
        """The bodies of the chats that it was asked for since then, as it got them."""
        if not self.simulated:
            return []
        requests = self._call("/sim/log")["requests"]
        bodies = [entry["json"] for entry in requests if entry["method"] == "POST"]
        return [body for body in bodies if body and body.get("messages")]

    def _call(self, path: str, body: object = None) -> dict:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(self.url + path, data=data, timeout=30) as answer:
            return json.load(answer)

    def stop(self) -> None:
        if self.process:
            self.process.stop()


def simulated(program: str, kind: str, context: int, scratch: pathlib.Path) -> Engine:
    """Starts a simulated engine with one model, which takes this context at most."""
    model = SIMULATED_MODEL.format(kind=kind)
    imitated = "openai" if kind == "llamacpp" else kind
    command = [program, imitated, "--port", "0", "--models", f"{model}=1GB:ctx{context}", "--context", str(context)]
    server = Server(command, scratch / f"{kind}.log")
    return Engine(kind, server.url, model, context, server)


def real(described: str, model: str, context: int, start: str | None, scratch: pathlib.Path) -> Engine:
    """A real engine, `KIND@URL`; `start` is the command that starts it, where it does not run yet."""
    kind, _, url = described.partition("@")
    if not url:
        raise SystemExit(f"--engine {described}: expected KIND@URL, such as ollama@http://127.0.0.1:11434")
    url = url.rstrip("/")
    process = Background(shlex.split(start), scratch / f"{kind}.log") if start else None
    engine = Engine(kind, url, model, context, process)
    deadline = time.monotonic() + 120
    while not answers(url):
        if time.monotonic() > deadline or (process and not process.runs()):
            engine.stop()
            raise SystemExit(f"{url} does not answer")
        time.sleep(0.2)
    return engine


def answers(url: str) -> bool:
    """Whether a server answers there, whatever it says but that it is not ready."""
    try:
        urllib.request.urlopen(url + "/v1/models", timeout=5).close()
    except urllib.error.HTTPError as error:
        return error.code != 503
    except OSError:
        return False
    return True
