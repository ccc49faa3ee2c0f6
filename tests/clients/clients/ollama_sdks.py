"""Ollama's own libraries, Python and JavaScript: `/api/chat`, streamed, with a loop of its own around it."""

from client import Client, Npm, Place, PyPi, script


class OllamaPython(Client):
    name = "ollama (Python)"
    package = PyPi("ollama", "0.6.3", "python")
    path = "/api/chat"

    def environment(self, place: Place) -> dict[str, str]:
        return {"OLLAMA_HOST": place.server}

    def shell(self, command: str) -> dict[str, dict]:
        return {"run_command": {"command": command}}

    def once(self, place: Place, prompt: str) -> list[str]:
        return [place.program, script("ollama_loop.py"), place.model, prompt]


class OllamaJs(Client):
    name = "ollama (JavaScript)"
    package = Npm("ollama", "0.6.4")
    path = "/api/chat"

    def shell(self, command: str) -> dict[str, dict]:
        return {"run_command": {"command": command}}

    def once(self, place: Place, prompt: str) -> list[str]:
        return ["node", script("ollama_js.mjs"), str(place.installed), place.server, place.model, prompt]
