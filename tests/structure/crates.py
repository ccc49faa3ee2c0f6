#!/usr/bin/env python3
"""Finds crates that a manifest declares and no code names. Needs no network and no build.

    python3 tests/structure/crates.py [TREE]

A dependency has to be named by the package's own code, a dependency that only tests name belongs to
`[dev-dependencies]`, and what the workspace offers has to be taken by a member. A crate that is wanted
without being named (for a feature that it turns on in another one) stands in `UNNAMED`, with the reason.
"""

import os
import re
import sys
import tomllib

import rust

UNNAMED = {}

# Packages whose library has another name.
LIBRARIES = {"rustls-webpki": "webpki"}


def manifest(folder):
    with open(os.path.join(folder, "Cargo.toml"), "rb") as opened:
        return tomllib.load(opened)


def sources(folder, others):
    """The package's code with and without tests; folders of other members inside it are not its own."""
    everything, product = [], []
    for path, folders, files in os.walk(folder):
        folders[:] = [f for f in folders if f != "target" and os.path.join(path, f) not in others]
        for file in sorted(files):
            if not file.endswith(".rs"):
                continue
            with open(os.path.join(path, file), encoding="utf-8") as opened:
                _, code = rust.split(opened.read())
            everything.append(code)
            inside = os.path.relpath(os.path.join(path, file), folder).split(os.sep)
            if inside[0] not in ("tests", "benches", "examples"):
                product.append(rust.without(code, rust.test_spans(code)))
    return "\n".join(everything), "\n".join(product)


def declared(package):
    """The names under which dependencies are declared, each with its section."""
    places = [package, *package.get("target", {}).values()]
    for place in places:
        for section in ("dependencies", "dev-dependencies", "build-dependencies"):
            for name in place.get(section, {}):
                yield section, name


def problems(root):
    workspace = manifest(root)["workspace"]
    folders = {os.path.normpath(os.path.join(root, member)) for member in workspace["members"]}
    taken = set()
    for folder in sorted(folders):
        package = manifest(folder)
        everything, product = sources(folder, folders - {folder})
        for section, name in declared(package):
            taken.add(name)
            word = re.compile(rf"(?<![:\w.]){LIBRARIES.get(name, name).replace('-', '_')}\s*(?:::|;|\bas\b)")
            if name in UNNAMED or word.search(everything if section == "dev-dependencies" else product):
                continue
            place = os.path.relpath(os.path.join(folder, "Cargo.toml"), root)
            if word.search(everything):
                yield f"{place}: only tests name `{name}`: move it to [dev-dependencies]"
            else:
                yield f"{place}: no code names `{name}`: remove it from [{section}]"
    for name in workspace.get("dependencies", {}):
        if name not in taken:
            yield f"Cargo.toml: no member takes `{name}`: remove it from [workspace.dependencies]"


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    found = list(problems(os.path.normpath(root)))
    for problem in found:
        print(f"error: {problem}", file=sys.stderr)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
