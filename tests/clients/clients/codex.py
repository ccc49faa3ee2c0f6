"""Codex: `/v1/responses` only. Its shell tool is `exec_command`."""

from client import Client, Npm, Place, Screen

CONFIG = """\
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false

[analytics]
enabled = false

[projects."{place.work}"]
trust_level = "trusted"
"""

OSS_CONFIG = """\
model_context_window = {place.context}
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false

[analytics]
enabled = false

[projects."{place.work}"]
trust_level = "trusted"
"""


class Codex(Client):
    name = "Codex"
    package = Npm("@openai/codex", "0.171.0", "codex")
    path = "/v1/responses"
    launch = "codex"
    connect = "codex"
    config = CONFIG

    def configure(self, place: Place) -> None:
        place.write(".codex/config.toml", self.config.format(place=place))

    def flags(self, place: Place) -> list[str]:
        return place.launched.arguments

    def shell(self, command: str) -> dict[str, dict]:
        return {"exec_command": {"cmd": command}}

    def once(self, place: Place, prompt: str) -> list[str]:
        return [place.program, *self.flags(place), "exec", "--skip-git-repo-check", prompt]

    def named(self, place: Place) -> str:
        """The model as Codex is asked for it."""
        return place.model

    def screen(self, place: Place) -> Screen:
        return Screen([place.program, *self.flags(place)], ready=self.named(place) + " ")


class CodexOssOllama(Codex):
    """Codex with its own provider of Ollama: it looks into `/api/tags` and `/api/version` first."""

    name = "Codex --oss, ollama"
    launch = connect = None
    provider = "ollama"
    config = OSS_CONFIG

    def environment(self, place: Place) -> dict[str, str]:
        return {"CODEX_OSS_BASE_URL": f"{place.server}/v1"}

    def flags(self, place: Place) -> list[str]:
        return ["--oss", "--local-provider", self.provider, "--model", self.named(place)]


class CodexOssLmStudio(CodexOssOllama):
    """Codex with its own provider of LM Studio: it warms the model up with an empty request first."""

    name = "Codex --oss, lmstudio"
    provider = "lmstudio"

    def named(self, place: Place) -> str:
        # It looks for the very name in `/v1/models`, and else for a program of LM Studio that fetches it.
        return place.listed
