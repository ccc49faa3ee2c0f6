"""Claude Code: `/v1/messages` and `/v1/messages/count_tokens` only. Its shell tool is `Bash`."""

import json

from client import Client, Npm, Place, Screen


class ClaudeCode(Client):
    name = "Claude Code"
    package = Npm("@anthropic-ai/claude-code", "2.1.332", "claude")
    path = "/v1/messages"
    launch = "claude-code"
    connect = "claude-code"

    def configure(self, place: Place) -> None:
        # Without these the interactive program stops at its theme and at the trust of the folder.
        project = {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
        state = {
            "hasCompletedOnboarding": True,
            "lastOnboardingVersion": self.package.version,
            "theme": "dark",
            "projects": {str(place.work): project},
        }
        place.write(".claude.json", json.dumps(state))
        place.write(".claude/settings.json", json.dumps({"permissions": {"allow": ["Bash"]}}))

    def environment(self, place: Place) -> dict[str, str]:
        return {**place.launched.environment, "DISABLE_AUTOUPDATER": "1"}

    def shell(self, command: str) -> dict[str, dict]:
        return {"Bash": {"command": command, "description": "Computes a number"}}

    def once(self, place: Place, prompt: str) -> list[str]:
        return [place.program, *place.launched.arguments, "-p", prompt]

    def screen(self, place: Place) -> Screen:
        return Screen([place.program, *place.launched.arguments], ready="❯")
