"""OpenAI's JavaScript library, chat and responses, streamed, with a loop of its own around it."""

from client import Client, Npm, Place, script


class OpenAiJsChat(Client):
    name = "openai (JavaScript), chat"
    package = Npm("openai", "7.59.0")
    path = "/v1/chat/completions"
    api = "chat"

    def environment(self, place: Place) -> dict[str, str]:
        return {"OPENAI_BASE_URL": f"{place.server}/v1", "OPENAI_API_KEY": "none"}

    def shell(self, command: str) -> dict[str, dict]:
        return {"run_command": {"command": command}}

    def once(self, place: Place, prompt: str) -> list[str]:
        return ["node", script("openai_js.mjs"), str(place.installed), self.api, place.model, prompt]


class OpenAiJsResponses(OpenAiJsChat):
    name = "openai (JavaScript), responses"
    path = "/v1/responses"
    api = "responses"
