"""Cline's command line: `/v1/chat/completions`. Its shell tool is `run_commands`."""

from client import Client, Npm, Place, Screen


class Cline(Client):
    name = "Cline CLI"
    package = Npm("cline", "3.0.65", "cline")
    path = "/v1/chat/completions"
    connect = "cline"

    def shell(self, command: str) -> dict[str, dict]:
        return {"run_commands": {"commands": [command]}}

    def once(self, place: Place, prompt: str) -> list[str]:
        return [place.program, "--provider", "openai-compatible", prompt]

    def screen(self, place: Place) -> Screen:
        command = [place.program, "--provider", "openai-compatible", "--tui"]
        offer = ("any other key to close", ("Escape",))
        return Screen(command, ready="Auto-approve all", dialogs=(offer,))
