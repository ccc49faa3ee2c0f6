"""Anthropic's JavaScript library, streamed, with a loop of its own around it."""

import pathlib

from client import Client, Npm, Place

SCRIPT = pathlib.Path(__file__).with_name("anthropic_js.mjs")


class AnthropicJs(Client):
    name = "Anthropic SDK (JavaScript)"
    package = Npm("@anthropic-ai/sdk", "1.14.0")
    path = "/v1/messages"

    def environment(self, place: Place) -> dict[str, str]:
        return {"ANTHROPIC_BASE_URL": place.server, "ANTHROPIC_API_KEY": "none"}

    def shell(self, command: str) -> dict[str, dict]:
        return {"run_command": {"command": command}}

    def once(self, place: Place, prompt: str) -> list[str]:
        return ["node", str(SCRIPT), str(place.installed), place.model, prompt]
