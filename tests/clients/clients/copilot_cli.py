"""GitHub Copilot's command line: `/v1/chat/completions`. Its shell tool is `bash`."""

import json

from client import Client, Npm, Place, Screen


class CopilotCli(Client):
    name = "Copilot CLI"
    package = Npm("@github/copilot", "1.0.102", "copilot")
    path = "/v1/chat/completions"
    launch = "copilot-cli"

    def configure(self, place: Place) -> None:
        # Without it the interactive program stops at the trust of the folder.
        place.write(".copilot/config.json", json.dumps({"trusted_folders": [str(place.work)]}))

    def environment(self, place: Place) -> dict[str, str]:
        return {**place.launched.environment, "COPILOT_OFFLINE": "true"}

    def shell(self, command: str) -> dict[str, dict]:
        return {"bash": {"command": command, "description": "Computes a number"}}

    def base(self, place: Place) -> list[str]:
        return [place.program, *place.launched.arguments, "--allow-all"]

    def once(self, place: Place, prompt: str) -> list[str]:
        return [*self.base(place), "-p", prompt]

    def screen(self, place: Place) -> Screen:
        return Screen(self.base(place), ready="❯")
