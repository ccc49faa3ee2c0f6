"""Continue's command line: `/v1/chat/completions`. Its shell tool is `Bash`."""

import json

from client import Client, Npm, Place, Screen


class ContinueCli(Client):
    name = "Continue CLI"
    package = Npm("@continuedev/cli", "1.5.47", "cn")
    path = "/v1/chat/completions"
    connect = "continue"

    def environment(self, place: Place) -> dict[str, str]:
        return {"CONTINUE_TELEMETRY_ENABLED": "0"}

    def shell(self, command: str) -> dict[str, dict]:
        return {"Bash": {"command": command}}

    def base(self, place: Place) -> list[str]:
        config = str(place.home / ".continue/models/crucible.yaml")
        return [place.program, "--config", config, "--allow", "Bash"]

    def once(self, place: Place, prompt: str) -> list[str]:
        return [*self.base(place), "-p", prompt]

    def screen(self, place: Place) -> Screen:
        return Screen(self.base(place), ready="Ask anything")


class ContinueCliOllama(ContinueCli):
    """Continue's command line with its provider of Ollama, which asks `/v1` of the same server."""

    name = "Continue CLI, provider ollama"
    connect = None

    def configure(self, place: Place) -> None:
        model = {
            "name": place.model,
            "provider": "ollama",
            "model": place.model,
            "apiBase": place.server,
            "apiKey": "none",
            "roles": ["chat"],
            "capabilities": ["tool_use"],
            "defaultCompletionOptions": {"contextLength": place.context},
        }
        config = {"name": "kit", "version": "1.0.0", "schema": "v1", "models": [model]}
        # JSON is YAML too.
        place.write(".continue/models/crucible.yaml", json.dumps(config))
