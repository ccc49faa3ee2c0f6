"""opencode: `/v1/chat/completions` with its OpenAI-compatible provider. Its shell tool is `bash`."""

import json

from client import Client, Npm, Place, Screen


class OpenCode(Client):
    name = "opencode"
    package = Npm("opencode-ai", "1.18.33", "opencode")
    path = "/v1/chat/completions"
    launch = "opencode"
    connect = "opencode"

    def configure(self, place: Place) -> None:
        config = {"autoupdate": False, "share": "disabled", "permission": "allow"}
        place.write(".config/opencode/opencode.json", json.dumps(config))

    def shell(self, command: str) -> dict[str, dict]:
        return {"bash": {"command": command, "description": "Computes a number"}}

    def once(self, place: Place, prompt: str) -> list[str]:
        return [place.program, *place.launched.arguments, "run", prompt]

    def screen(self, place: Place) -> Screen:
        return Screen([place.program, *place.launched.arguments], ready="Ask anything")
