"""LiteLLM as a library: `/v1/chat/completions`, streamed, with a loop of its own around it."""

from client import Client, Place, PyPi, script


class LiteLlm(Client):
    name = "LiteLLM"
    package = PyPi("litellm", "1.110.2", "python")
    path = "/v1/chat/completions"
    provider = "openai"

    def environment(self, place: Place) -> dict[str, str]:
        return {
            "OPENAI_API_BASE": f"{place.server}/v1",
            "OPENAI_API_KEY": "none",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }

    def shell(self, command: str) -> dict[str, dict]:
        return {"run_command": {"command": command}}

    def once(self, place: Place, prompt: str) -> list[str]:
        return [place.program, script("litellm_loop.py"), f"{self.provider}/{place.model}", prompt]


class LiteLlmOllama(LiteLlm):
    """LiteLLM with its provider of Ollama: `/api/show`, then `/api/chat`."""

    name = "LiteLLM, ollama_chat"
    path = "/api/chat"
    provider = "ollama_chat"

    def environment(self, place: Place) -> dict[str, str]:
        return {"OLLAMA_API_BASE": place.server, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
