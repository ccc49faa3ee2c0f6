"""A client program: how it is installed, configured, asked once and used in a terminal.

A client is one small file in `clients/` with a class that extends `Client`; nothing else names it.
"""

import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True)
class Npm:
    """A package of the npm registry at one version, and the program that it brings."""

    package: str
    version: str
    program: str | None = None
    beside: tuple[str, ...] = ()
    """Packages that it is used with, `name@version`."""


@dataclasses.dataclass(frozen=True)
class PyPi:
    """A package of PyPI at one version, and the program that it brings."""

    package: str
    version: str
    program: str | None = None
    beside: tuple[str, ...] = ()
    """Packages that it is used with, `name==version`."""


@dataclasses.dataclass(frozen=True)
class Launched:
    """What `crucible launch` gives to a client."""

    arguments: list[str] = dataclasses.field(default_factory=list)
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where one client runs once: its own home and work folders, the server and the model."""

    home: pathlib.Path
    work: pathlib.Path
    installed: pathlib.Path
    program: str
    server: str
    model: str
    context: int
    listed: str = ""
    """The model as `/v1/models` lists it, such as `llama3.2:latest` for `llama3.2`."""
    launched: Launched = Launched()

    def write(self, name: str, text: str) -> pathlib.Path:
        """Writes a file of the scratch home folder."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


@dataclasses.dataclass(frozen=True)
class Screen:
    """How a program is used in a terminal.

    `ready` stands on the screen when it takes a prompt. `dialogs` are texts that may come up once, each
    with the keys of tmux that answer it.
    """

    command: list[str]
    ready: str
    dialogs: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Client:
    """What every client says of itself."""

    name: str
    package: Npm | PyPi
    path: str
    """The path that it posts to."""
    launch: str | None = None
    """Its name for `crucible launch`, whose arguments and variables it is given."""
    connect: str | None = None
    """Its name for `crucible connect`, which writes into its file where it is not launched."""

    def configure(self, place: Place) -> None:
        """Writes its files into the scratch home folder."""

    def environment(self, place: Place) -> dict[str, str]:
        """Its variables; it inherits none but PATH, HOME, TERM and LANG."""
        return place.launched.environment

    def shell(self, command: str) -> dict[str, dict]:
        """The call of its own tool that runs a shell command: arguments by the tool's name."""
        raise NotImplementedError

    def edits(self, first: str, second: str) -> list[dict] | None:
        """The answers that let a client without tools write two files; `None` where it has tools."""
        return None

    def once(self, place: Place, prompt: str) -> list[str]:
        """The command that asks once and ends."""
        raise NotImplementedError

    def screen(self, place: Place) -> Screen | None:
        """How it is used in a terminal; `None` where it is no terminal program."""
        return None


def script(name: str) -> str:
    """The path of a program in `scripts/`, which uses a library as its users do."""
    return str(pathlib.Path(__file__).resolve().parent / "scripts" / name)
