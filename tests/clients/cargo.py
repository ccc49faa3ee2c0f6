"""The programs of this tree, built by cargo."""

import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def built(*packages: str) -> pathlib.Path:
    """Builds packages without optimisation; the folder that their programs are in."""
    named = [argument for package in packages for argument in ("-p", package)]
    subprocess.run(["cargo", "build", "--locked", *named], cwd=ROOT, check=True)
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1"]
    asked = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return pathlib.Path(json.loads(asked.stdout)["target_directory"]) / "debug"
