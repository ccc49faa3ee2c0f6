"""LangChain, `ChatOpenAI` and `ChatOllama`, streamed, with a loop of its own around it."""

from client import Client, Place, PyPi, script


class LangChain(Client):
    name = "LangChain"
    package = PyPi("langchain-openai", "1.7.4", "python")
    path = "/v1/chat/completions"

    def environment(self, place: Place) -> dict[str, str]:
        return {"OPENAI_API_BASE": f"{place.server}/v1", "OPENAI_API_KEY": "none"}

    def shell(self, command: str) -> dict[str, dict]:
        return {"run_command": {"command": command}}

    def once(self, place: Place, prompt: str) -> list[str]:
        return [place.program, script("langchain_loop.py"), "openai", place.model, prompt]


class LangChainOllama(Client):
    """LangChain's `ChatOllama`, over Ollama's own library."""

    name = "LangChain, ChatOllama"
    package = PyPi("langchain-ollama", "1.1.0", "python", beside=("langchain-openai==1.7.4",))
    path = "/api/chat"

    def environment(self, place: Place) -> dict[str, str]:
        return {"OLLAMA_HOST": place.server}

    def shell(self, command: str) -> dict[str, dict]:
        return {"run_command": {"command": command}}

    def once(self, place: Place, prompt: str) -> list[str]:
        return [place.program, script("langchain_loop.py"), "ollama", place.model, prompt]
