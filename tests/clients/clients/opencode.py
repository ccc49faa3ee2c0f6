"""opencode: `/v1/chat/completions` with its OpenAI-compatible provider. Its shell tool is `bash`."""

import json

from client import Client, Npm, Place, Screen


class OpenCode(Client):
    name = "opencode"
    package = Npm("opencode-ai", "1.18.33", "opencode")
    path = "/v1/chat/completions"

    def configure(self, place: Place) -> None:
        model = {"name": place.model, "limit": {"context": place.context, "output": 4096}}
        provider = {
            "npm": "@ai-sdk/openai-compatible",
            "name": "Crucible",
            "options": {"baseURL": f"{place.server}/v1", "apiKey": "none"},
            "models": {place.model: model},
        }
        config = {
            "autoupdate": False,
            "share": "disabled",
            "provider": {"crucible": provider},
            "model": f"crucible/{place.model}",
            "small_model": f"crucible/{place.model}",
            "permission": "allow",
        }
        place.write(".config/opencode/opencode.json", json.dumps(config))

    def shell(self, command: str) -> dict[str, dict]:
        return {"bash": {"command": command, "description": "Computes a number"}}

    def once(self, place: Place, prompt: str) -> list[str]:
        return [place.program, "run", prompt]

    def screen(self, place: Place) -> Screen:
        return Screen([place.program], ready="Ask anything")
