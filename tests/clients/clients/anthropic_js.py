"""Anthropic's JavaScript library, streamed, with a loop of its own around it."""

from client import Client, Npm, Place, script


class AnthropicJs(Client):
    name = "Anthropic SDK (JavaScript)"
    package = Npm("@anthropic-ai/sdk", "1.14.0")
    path = "/v1/messages"

    def environment(self, place: Place) -> dict[str, str]:
        return {"ANTHROPIC_BASE_URL": place.server, "ANTHROPIC_API_KEY": "none"}

    def shell(self, command: str) -> dict[str, dict]:
        return {"run_command": {"command": command}}

    def once(self, place: Place, prompt: str) -> list[str]:
        return ["node", script("anthropic_js.mjs"), str(place.installed), place.model, prompt]
