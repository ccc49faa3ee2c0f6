"""aider: `/v1/chat/completions`, or Ollama's `/api/chat` after `/api/show`. It has no tools, it edits files.

Its loop: the first answer writes one file, the check that aider runs after each change asks for another
one, and the second answer writes it.
"""

from client import Client, Place, PyPi

MISSING = "second.txt is missing"
CHECK = f"test -f second.txt || (echo {MISSING}; exit 1)"


def written(name: str, content: str) -> str:
    """An answer in aider's format of whole files."""
    return f"{name}\n```\n{content}\n```\n"


class Aider(Client):
    name = "aider, openai"
    package = PyPi("aider-chat", "0.86.2", "aider")
    path = "/v1/chat/completions"
    launch = connect = "aider"

    def flags(self, place: Place) -> list[str]:
        return place.launched.arguments

    def edits(self, first: str, second: str) -> list[dict]:
        return [
            {"when": MISSING, "turns": [{"text": written("second.txt", second)}]},
            {"when": "run the loop", "turns": [{"text": written("first.txt", first)}]},
        ]

    def once(self, place: Place, prompt: str) -> list[str]:
        quiet = ["--no-git", "--no-check-update", "--no-show-model-warnings", "--analytics-disable"]
        plain = ["--no-pretty", "--no-gitignore", "--no-show-release-notes", "--yes-always", "--map-tokens", "0"]
        loop = ["--auto-test", "--test-cmd", CHECK] if "loop" in prompt else []
        model = [*self.flags(place), "--edit-format", "whole"]
        return [place.program, *quiet, *plain, *loop, *model, "--message", prompt]


class AiderOllama(Aider):
    name = "aider, ollama_chat"
    path = "/api/chat"
    launch = connect = None

    def flags(self, place: Place) -> list[str]:
        return ["--model", f"ollama_chat/{place.model}"]

    def environment(self, place: Place) -> dict[str, str]:
        return {"OLLAMA_API_BASE": place.server}
