"""`llm`: `/v1/chat/completions`. Its tools are Python functions, here one that runs a command."""

from client import Client, Place, PyPi, Screen

FUNCTIONS = '''\
import subprocess

def run_command(command: str) -> str:
    "Runs a shell command and returns what it printed."
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout
'''


class Llm(Client):
    name = "llm"
    package = PyPi("llm", "0.36", "llm")
    path = "/v1/chat/completions"
    connect = "llm"

    def configure(self, place: Place) -> None:
        place.write("functions.py", FUNCTIONS)

    def environment(self, place: Place) -> dict[str, str]:
        return {"OPENAI_API_KEY": "none"}

    def shell(self, command: str) -> dict[str, dict]:
        return {"run_command": {"command": command}}

    def base(self, place: Place, verb: str) -> list[str]:
        functions = str(place.home / "functions.py")
        return [place.program, verb, "-m", f"crucible/{place.model}", "--functions", functions]

    def once(self, place: Place, prompt: str) -> list[str]:
        return [*self.base(place, "prompt"), prompt]

    def screen(self, place: Place) -> Screen:
        return Screen(self.base(place, "chat"), ready="Type '!edit'")
