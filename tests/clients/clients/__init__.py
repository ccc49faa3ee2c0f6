"""The clients: every module of this folder with classes that extend `Client`."""

import importlib
import inspect
import pkgutil

import client


def every() -> list[client.Client]:
    """One of each, in the order of the files' names."""
    found = []
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        members = vars(importlib.import_module(f"{__name__}.{module.name}")).values()
        classes = [member for member in members if inspect.isclass(member)]
        own = [each for each in classes if issubclass(each, client.Client) and hasattr(each, "name")]
        found.extend(each() for each in own)
    return found
