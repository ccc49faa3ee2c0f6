"""The Crucible under test, with a configuration of its own."""

import collections
import json
import pathlib
import re
import subprocess
import time
import urllib.request

import process
from client import Launched
from engines import Engine
from process import Server

LINE = re.compile(r' request id=\S+ endpoint="([^"]*)" status=(\d+)')


def configuration(engine: Engine, state: pathlib.Path) -> str:
    """A file with this engine, and its model with the context that agents need."""
    texts = [str(state), engine.kind, engine.url, engine.model]
    state_dir, kind, url, model = map(json.dumps, texts)
    lines = ['listen = "127.0.0.1:0"', f"state_dir = {state_dir}"]
    lines += ["[[engine]]", f"name = {kind}", f"kind = {kind}", f"url = {url}"]
    lines += ["[[model]]", f"name = {model}", f"context = {engine.context}"]
    if not engine.simulated:
        # Without a graphics card a long prompt may take many minutes.
        lines += ["[timeouts]", 'first_token = "30m"']
    return "\n".join(lines) + "\n"


class Crucible(Server):
    """A running Crucible that is ready."""

    def __init__(self, program: str, engine: Engine, scratch: pathlib.Path):
        state = scratch / f"state-{engine.kind}"
        state.mkdir()
        config = scratch / f"crucible-{engine.kind}.toml"
        config.write_text(configuration(engine, state))
        super().__init__([program, "serve", "--config", str(config)], config.with_suffix(".log"))
        self.read = 0
        self.command = [program, "--config", str(config)]
        deadline = time.monotonic() + 30
        while not self.ready():
            if time.monotonic() > deadline:
                self.stop()
                raise SystemExit(f"Crucible is not ready:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.05)

    def ready(self) -> bool:
        try:
            urllib.request.urlopen(self.url + "/readyz", timeout=5).close()
        except OSError:
            return False
        return True

    def listed(self, model: str) -> str:
        """The name under which the list of models has a model."""
        with urllib.request.urlopen(self.url + "/v1/models", timeout=30) as answer:
            names = [entry["id"] for entry in json.load(answer)["data"]]
        return model if model in names else f"{model}:latest"

    def ask(self, arguments: list[str], home: pathlib.Path) -> str:
        """What a command of Crucible prints for a person with this home folder."""
        environment = {**process.environment(home), "CRUCIBLE_STATE_DIR": str(home / ".crucible")}
        asked = subprocess.run([*self.command, *arguments], env=environment, capture_output=True, text=True)
        if asked.returncode:
            raise SystemExit(f"crucible {' '.join(arguments)}: {asked.stdout}{asked.stderr}")
        return asked.stdout

    def launched(self, name: str, home: pathlib.Path, model: str) -> Launched:
        """What `crucible launch` would run."""
        target = ["--url", self.url, "--model", model]
        printed = json.loads(self.ask(["launch", name, "--print", "--json", *target], home))
        return Launched(printed["arguments"], printed["environment"])

    def connect(self, name: str, home: pathlib.Path, model: str) -> None:
        """Has `crucible connect` write the file of a client."""
        self.ask(["connect", name, "--apply", "--url", self.url, "--model", model], home)

    def refused(self) -> str:
        """What was not answered with success since this was last asked, by status and endpoint."""
        text = self.log.read_text()[self.read:]
        self.read += len(text)
        wrong = collections.Counter(
            f"{status} {endpoint}" for endpoint, status in LINE.findall(text) if int(status) >= 400
        )
        return ", ".join(f"{count} x {what}" for what, count in sorted(wrong.items()))
