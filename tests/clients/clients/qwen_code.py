"""Qwen Code: `/v1/chat/completions`. Its shell tool is `run_shell_command`."""

import json

from client import Client, Npm, Place, Screen


class QwenCode(Client):
    name = "Qwen Code"
    package = Npm("@qwen-code/qwen-code", "0.15.10", "qwen")
    path = "/v1/chat/completions"
    launch = "qwen-code"
    connect = "qwen-code"

    def configure(self, place: Place) -> None:
        settings = {
            "general": {"disableAutoUpdate": True, "enableAutoUpdate": False},
            "privacy": {"usageStatisticsEnabled": False},
            "telemetry": {"enabled": False},
        }
        place.write(".qwen/settings.json", json.dumps(settings))

    def shell(self, command: str) -> dict[str, dict]:
        arguments = {"command": command, "description": "Computes", "is_background": False}
        return {"run_shell_command": arguments}

    def once(self, place: Place, prompt: str) -> list[str]:
        return [place.program, *place.launched.arguments, "--yolo", "-p", prompt]

    def screen(self, place: Place) -> Screen:
        command = [place.program, *place.launched.arguments, "--yolo"]
        return Screen(command, ready="Type your message")
