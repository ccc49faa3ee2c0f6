"""Vercel's AI SDK with its OpenAI-compatible provider: `/v1/chat/completions`, its own tool loop."""

from client import Client, Npm, Place, script


class AiSdk(Client):
    name = "Vercel AI SDK"
    package = Npm("ai", "7.0.173", beside=("@ai-sdk/openai-compatible@3.0.92", "zod@4.6.7"))
    path = "/v1/chat/completions"

    def shell(self, command: str) -> dict[str, dict]:
        return {"run_command": {"command": command}}

    def once(self, place: Place, prompt: str) -> list[str]:
        command = ["node", script("ai_sdk.mjs"), str(place.installed), f"{place.server}/v1"]
        return [*command, place.model, prompt]
