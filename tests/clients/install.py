"""Installs clients from the package registries, each at its version in a folder of its own.

The folders are in the user's cache, beside what the other tests fetch, and are used again.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import client

PATIENCE = 600
INSTALLED, FAILED = ".installed", ".failed"


def cache() -> pathlib.Path:
    """The folder of all installed clients."""
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "crucible-tests" / "clients"


def folder(package: client.Npm | client.PyPi) -> pathlib.Path:
    """Where a package is, or comes to be."""
    name = re.sub(r"[^A-Za-z0-9.]+", "-", package.package).strip("-")
    return cache() / f"{name}-{package.version}"


def program(package: client.Npm | client.PyPi) -> str:
    """The program of an installed package; empty where it is a library."""
    if package.program is None:
        return ""
    inside = "node_modules/.bin" if isinstance(package, client.Npm) else "bin"
    return str(folder(package) / inside / package.program)


def install(package: client.Npm | client.PyPi) -> None:
    """Installs what is not there yet; `wrong` says how it went."""
    there = folder(package)
    if (there / INSTALLED).exists():
        return
    print(f"installing {package.package} {package.version}", file=sys.stderr, flush=True)
    shutil.rmtree(there, ignore_errors=True)
    there.mkdir(parents=True)
    try:
        for command in commands(package, there):
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE)
        (there / INSTALLED).touch()
    except FileNotFoundError as error:
        (there / FAILED).write_text(f"{error.filename} is not installed")
    except subprocess.TimeoutExpired:
        (there / FAILED).write_text(f"not installed after {PATIENCE} s")
    except subprocess.CalledProcessError as error:
        words = (error.stderr or error.stdout or "").strip().splitlines()
        (there / FAILED).write_text(f"not installed: {words[-1] if words else error}")


def wrong(package: client.Npm | client.PyPi) -> str | None:
    """Why a package could not be installed; `None` where it is there."""
    there = folder(package)
    if (there / INSTALLED).exists():
        return None
    return (there / FAILED).read_text() if (there / FAILED).exists() else "not installed"


def commands(package: client.Npm | client.PyPi, there: pathlib.Path) -> list[list[str]]:
    """The commands that install a package."""
    if isinstance(package, client.Npm):
        named = f"{package.package}@{package.version}"
        quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
        return [["npm", "install", "--prefix", str(there), *quiet, named, *package.beside]]
    named = f"{package.package}=={package.version}"
    pip = [str(there / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
    return [[sys.executable, "-m", "venv", str(there)], [*pip, named, *package.beside]]
