"""LiteLLM as a library: `/v1/chat/completions`, streamed, with a loop of its own around it."""

from client import Client, Place, PyPi, script


class LiteLlm(Client):
    name = "LiteLLM"
    package = PyPi("litellm", "1.110.2", "python")
    path = "/v1/chat/completions"

    def environment(self, place: Place) -> dict[str, str]:
        return {
            "OPENAI_API_BASE": f"{place.server}/v1",
            "OPENAI_API_KEY": "none",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }

    def shell(self, command: str) -> dict[str, dict]:
        return {"run_command": {"command": command}}

    def once(self, place: Place, prompt: str) -> list[str]:
        return [place.program, script("litellm_loop.py"), place.model, prompt]
