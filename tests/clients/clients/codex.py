"""Codex: `/v1/responses` only. Its shell tool is `exec_command`."""

from client import Client, Npm, Place, Screen

CONFIG = """\
model = "{place.model}"
model_provider = "crucible"
model_context_window = {place.context}
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false

[model_providers.crucible]
name = "Crucible"
base_url = "{place.server}/v1"
wire_api = "responses"

[analytics]
enabled = false

[projects."{place.work}"]
trust_level = "trusted"
"""


class Codex(Client):
    name = "Codex"
    package = Npm("@openai/codex", "0.171.0", "codex")
    path = "/v1/responses"

    def configure(self, place: Place) -> None:
        place.write(".codex/config.toml", CONFIG.format(place=place))

    def shell(self, command: str) -> dict[str, dict]:
        return {"exec_command": {"cmd": command}}

    def once(self, place: Place, prompt: str) -> list[str]:
        return [place.program, "exec", "--skip-git-repo-check", prompt]

    def screen(self, place: Place) -> Screen:
        return Screen([place.program], ready=place.model + " ")
