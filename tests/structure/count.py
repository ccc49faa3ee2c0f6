#!/usr/bin/env python3
"""Counts how the workspace is built: circles, arrows, places to touch, prose, names and lengths.

Run it in the root of a tree:

    python3 tests/structure/count.py                    the counts, with the files behind them
    python3 tests/structure/count.py --json             the counts alone, for other programs
    python3 tests/structure/count.py --check            exit code 1 where a bound of bounds.toml is broken
    python3 tests/structure/count.py --compare OTHER    OTHER's counts beside those of this tree

`rooms.toml` holds the order of the rooms and the examples, `bounds.toml` the bounds. README.md in this
folder says what each count means.
"""

import argparse
import json
import os
import re
import statistics
import sys
import tomllib

import modules
import rust

HERE = os.path.dirname(os.path.abspath(__file__))
SKIPPED = {"target", ".git", "node_modules"}
OTHER_TEXT = (".md", ".json", ".toml", ".yml", ".yaml", ".html", ".sh", ".py", ".conf")
OPENAI_WORDS = re.compile(r"invalid_request_error|chat\.completion|\[DONE\]|\"choices\"|\\\"choices\\\"")
KIND_NAMED = re.compile(r"\bEngineKind::[A-Z][a-z]\w*")
KIND_DEFINED = re.compile(r"\bimpl EngineKind\b")
KIND_OF_SELF = re.compile(r"\b(?:EngineKind|Self)::(?:Lmstudio|Ollama|Llamacpp|Openai)\b")
OWN_HTTP = re.compile(r"\bureq_proto\b|\bhttparse\b|\"HTTP/1\.[01] \{?|b\"HTTP/1\.[01] ")
PATH = re.compile(r"`((?:config|router|proxy|cli|documents|tests|fuzz|docs|dashboards|examples|\.ci)/[\w./-]*)`")
RUST_FILE = re.compile(r"[\w/.-]+\.rs\b")
TYPE = re.compile(r"\b(?:struct|enum|trait|union|type)\s+([A-Z]\w*)")
ASSOCIATED = re.compile(r"\btype\s+\w+\s*(?:=|:|;)")
OWN_DATES = re.compile(r"\b(?:146_?097|719_?468|36_?524)\b")


class Tree:
    """The files of one tree, read once."""

    def __init__(self, root, tables):
        self.root, self.tables = root, tables
        self.files = sorted(self.walk())
        self.rust = {}
        for file in self.files:
            if file.endswith(".rs"):
                text = self.text(file)
                uncommented, code = rust.split(text)
                spans = rust.test_spans(code)
                self.rust[file] = (text, rust.without(uncommented, spans), code, rust.without(code, spans))
        self.crates = [modules.Crate(root, folder, name) for folder, name in self.members()]
        self.product = {file for crate in self.crates for file in crate.sources}

    def walk(self):
        for folder, folders, files in os.walk(self.root):
            folders[:] = [f for f in folders if f not in SKIPPED and not f.startswith(".")]
            for file in files:
                path = os.path.relpath(os.path.join(folder, file), self.root)
                if file.endswith((".rs", *OTHER_TEXT)):
                    yield path

    def text(self, file):
        with open(os.path.join(self.root, file), encoding="utf-8", errors="replace") as opened:
            return opened.read()

    def members(self):
        """The crates of the product: members of the workspace that are no tests."""
        with open(os.path.join(self.root, "Cargo.toml"), "rb") as opened:
            workspace = tomllib.load(opened)["workspace"]
        for folder in workspace["members"]:
            if folder.split("/")[0] in ("tests", "fuzz"):
                continue
            with open(os.path.join(self.root, folder, "Cargo.toml"), "rb") as opened:
                yield folder, tomllib.load(opened)["package"]["name"]


def count(tree):
    """Every count by its name, and the lines behind it by the same name."""
    counts, behind = {}, {}
    for part in (circles, arrows, formats, engines, examples, guide, paths, prose, names, own_code, lengths):
        part(tree, counts, behind)
    return counts, behind


def circles(tree, counts, behind):
    within, across, rooms = [], [], []
    for crate in tree.crates:
        files = crate.arrows()
        for circle in modules.circles(files):
            inside = {crate.room(file) for file in circle}
            (within if len(inside) == 1 else across).append(circle)
        between = {(crate.room(a), crate.room(b)) for a, b in files if crate.room(a) != crate.room(b)}
        rooms += [[f"{crate.folder}: {room}" for room in circle] for circle in modules.circles(between)]
    large = [circle for circle in within if len(circle) > 2]
    counts["circles of rooms"] = len(rooms)
    counts["circles of files between rooms"] = len(across)
    counts["circles of more than two files inside a room"] = len(large)
    counts["circles of two files inside a room"] = len(within) - len(large)
    counts["files in circles"] = sum(len(circle) for circle in within + across)
    behind["circles of rooms"] = [", ".join(circle) for circle in rooms]
    behind["circles of files between rooms"] = [f"{len(c)}: " + ", ".join(c) for c in across]
    behind["circles of more than two files inside a room"] = [f"{len(c)}: " + ", ".join(c) for c in large]
    behind["circles of two files inside a room"] = [", ".join(c) for c in within if len(c) == 2]


def arrows(tree, counts, behind):
    least, declared, unplaced = [], [], []
    for crate in tree.crates:
        files = crate.arrows()
        between = {}
        for a, b in sorted(files):
            if crate.room(a) != crate.room(b):
                between.setdefault((crate.room(a), crate.room(b)), []).append(f"{a} -> {b}")
        for arrow in modules.best_order(list(between)):
            least.append(f"{crate.folder}: {arrow[0]} -> {arrow[1]} ({len(between[arrow])} files)")
        order = tree.tables.get("rooms", {}).get(crate.folder, [])
        existing = {crate.room(file) for file in crate.sources}
        unplaced += [f"{crate.folder}: {room}" for room in sorted(existing - set(order))]
        placed = [arrow for arrow in between if set(arrow) <= set(order)]
        for arrow in sorted(modules.back_arrows(order, placed)):
            declared += [f"{crate.folder}: {arrow[0]} -> {arrow[1]}: {files}" for files in between[arrow]]
    counts["arrows that run back up, at least"] = len(least)
    counts["arrows against the order of rooms.toml"] = len(declared)
    counts["rooms without a place in rooms.toml"] = len(unplaced)
    behind["arrows that run back up, at least"] = least
    behind["arrows against the order of rooms.toml"] = declared
    behind["rooms without a place in rooms.toml"] = unplaced


def formats(tree, counts, behind):
    """Files outside `dialect/` that hold OpenAI's words or name what one format's module defines."""
    found = {}
    for file in sorted(tree.product):
        if not in_dialect(file) and not is_client(file):
            for word in OPENAI_WORDS.findall(tree.rust[file][1]):
                found.setdefault(file, set()).add(word)
    listed = set(tree.tables.get("formats", {}).get("modules", []))
    for crate in tree.crates:
        for file, target in crate.arrows():
            part = target.partition("/dialect/")[2].split("/")[0].removesuffix(".rs")
            if part in listed and not in_dialect(file) and not is_client(file):
                found.setdefault(file, set()).add(f"dialect::{part}")
    counts["a client format: files outside dialect/ that name one"] = len(found)
    behind["a client format: files outside dialect/ that name one"] = [
        f"{file}: {', '.join(sorted(words))}" for file, words in sorted(found.items())
    ]


def in_dialect(file):
    return "/dialect/" in file or file.endswith("/dialect.rs")


def is_client(file):
    """The command line asks as a client does, in one format of its choice."""
    return file.startswith(("cli/", "proxy/src/commands/"))


def engines(tree, counts, behind):
    files, mentions, matches, silent = [], 0, [], []
    for file in sorted(tree.product):
        code = tree.rust[file][3]
        named = KIND_NAMED.findall(code)
        if named:
            files.append(f"{file}: {len(named)}")
            mentions += len(named)
        for patterns in rust.arms(code):
            kinds = KIND_OF_SELF if KIND_DEFINED.search(code) else KIND_NAMED
            if any(kinds.search(pattern) for pattern in patterns):
                matches.append(file)
                if "_" in patterns:
                    silent.append(file)
    counts["an engine kind: files that name one"] = len(files)
    counts["an engine kind: mentions"] = mentions
    counts["an engine kind: matches over kinds"] = len(matches)
    counts["an engine kind: matches with a silent arm"] = len(silent)
    behind["an engine kind: files that name one"] = files
    behind["an engine kind: matches over kinds"] = matches
    behind["an engine kind: matches with a silent arm"] = silent


def spellings(name):
    """A name as it may stand in code: as it is, as a type's name, as a constant's."""
    words = re.split(r"[_.]", name)
    return re.compile(
        r"(?<!\w)(?:" + "|".join({re.escape(name), "".join(map(str.capitalize, words)), name.upper()}) + r")(?!\w)"
    )


def examples(tree, counts, behind):
    """The files that name an example of a setting, a row or a metric."""
    texts = None
    for what, listed in tree.tables.get("examples", {}).items():
        code, other = [], []
        texts = texts or {file: tree.text(file) for file in tree.files if is_document(file)}
        for name in listed:
            spelled = spellings(name)
            in_code = [file for file in sorted(tree.product) if spelled.search(tree.rust[file][1])]
            elsewhere = [file for file in sorted(texts) if spelled.search(texts[file])]
            code.append(len(in_code))
            other.append(len(elsewhere))
            behind.setdefault(f"a {what}: files of code", []).append(f"{name}: " + ", ".join(in_code))
            behind.setdefault(f"a {what}: documents and dashboards", []).append(f"{name}: " + ", ".join(elsewhere))
        counts[f"a {what}: files of code"] = max(code, default=0)
        counts[f"a {what}: documents and dashboards"] = max(other, default=0)


def is_document(file):
    """Documents, dashboards and shipped files; not the counting itself, and no cases of the fuzz targets."""
    return not file.endswith(".rs") and not file.startswith(("fuzz/", "shared/", "tests/structure/"))


def guide(tree, counts, behind):
    """CONTRIBUTING.md lists where a new format, engine kind, setting, row or metric goes.

    Each file that names an example has to be below one of the paths of its section.
    """
    missing, sections = [], {}
    title = None
    if "CONTRIBUTING.md" in tree.files:
        for line in tree.text("CONTRIBUTING.md").split("\n"):
            if line.startswith("#"):
                title = line.strip("# ").lower()
            else:
                sections.setdefault(title, []).extend(PATH.findall(line))
    places = {what: "a client format: files outside dialect/ that name one" for what in ("a client format",)}
    places["an engine kind"] = "an engine kind: matches over kinds"
    for what in tree.tables.get("examples", {}):
        places[f"a {what}"] = f"a {what}: files of code"
    for what, count in places.items():
        listed = sections.get(f"add {what}", [])
        named = [file for line in behind.get(count, []) for file in RUST_FILE.findall(line)]
        for file in sorted(set(named)):
            if not any(file == path or file.startswith(path.rstrip("/") + "/") for path in listed):
                missing.append(f"Add {what}: {file}")
    counts["places that CONTRIBUTING.md does not list"] = len(missing)
    behind["places that CONTRIBUTING.md does not list"] = missing


def paths(tree, counts, behind):
    """Paths of this tree that a document names and that are not there."""
    gone = []
    for file in tree.files:
        if file.endswith(".md") and not file.startswith("shared/"):
            for path in PATH.findall(tree.text(file)):
                if not os.path.exists(os.path.join(tree.root, path)):
                    gone.append(f"{file}: {path}")
    counts["paths in documents that are not there"] = len(gone)
    behind["paths in documents that are not there"] = gone


def prose(tree, counts, behind):
    blocks = [
        (file, block) for file in tree.rust for block in rust.doc_blocks(tree.rust[file][0]) if block.words
    ]
    short = [at for at in blocks if len(at[1].words) <= 3]
    fragments = [at for at in blocks if at[1].words[0].strip("`*,.:").lower() in ("what", "who", "it", "how")]
    shipped = [len(block.words) for file, block in blocks if file in tree.product]
    counts["doc blocks"] = len(blocks)
    counts["doc blocks: mean words"] = round(statistics.mean(len(block.words) for _, block in blocks), 1)
    counts["doc blocks: mean words in the product"] = round(statistics.mean(shipped), 1)
    counts["doc blocks: percent of at most three words"] = percent(len(short), len(blocks))
    counts["doc blocks: percent that begin with what, who, it, how"] = percent(len(fragments), len(blocks))
    counts["doc blocks: worked examples"] = sum(
        block.examples
        for file in sorted(tree.product)
        for block in rust.doc_blocks(tree.rust[file][0])
    )
    worst = {}
    for file, _ in short + fragments:
        worst[file] = worst.get(file, 0) + 1
    ranked = sorted(worst.items(), key=lambda item: -item[1])[:15]
    behind["doc blocks: percent of at most three words"] = [f"{file}: {number}" for file, number in ranked]


def names(tree, counts, behind):
    defined = {}
    for file in tree.rust:
        code = ASSOCIATED.sub(lambda m: m.group() if inherent(m) else rust.blank(m.group()), tree.rust[file][2])
        for name in TYPE.findall(code):
            defined.setdefault(name, []).append(file)
    total = sum(len(files) for files in defined.values())
    one_word = sum(len(files) for name, files in defined.items() if not re.search(r"[a-z0-9][A-Z]", name))
    product = {name: [f for f in files if f in tree.product] for name, files in defined.items()}
    twice = {name: files for name, files in product.items() if len(files) > 1}
    counts["types: percent of one word"] = percent(one_word, total)
    counts["types: names defined more than once in the product"] = len(twice)
    behind["types: names defined more than once in the product"] = [
        f"{name} ({len(files)}): " + ", ".join(files)
        for name, files in sorted(twice.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


def inherent(match):
    """False for an associated type (`type Error = ...` inside an impl): no name of ours."""
    before = match.string[: match.start()].rsplit("\n", 1)[-1]
    return before.strip(" ") in ("pub", "pub(crate)", "pub(super)") or before == ""


def own_code(tree, counts, behind):
    http, dates = [], []
    for file in sorted(tree.product):
        _, text, _, code = tree.rust[file]
        if file.startswith("proxy/src/relay/upstream") or OWN_HTTP.search(text):
            http.append((file, sum(1 for line in code.split("\n") if line.strip())))
    for file in sorted(tree.rust):
        if OWN_DATES.search(tree.rust[file][2]):
            dates.append(file)
    counts["lines that are our own HTTP"] = sum(lines for _, lines in http)
    counts["files with a calendar of our own"] = len(dates)
    behind["lines that are our own HTTP"] = [f"{file}: {lines}" for file, lines in http]
    behind["files with a calendar of our own"] = dates


def lengths(tree, counts, behind):
    files = {file: tree.rust[file][0].count("\n") for file in tree.rust}
    found = [(function, file) for file in tree.rust for function in rust.functions(tree.rust[file][2])]
    long = sorted((at for at in found if at[0].lines > 60), key=lambda at: -at[0].lines)
    steps = sorted((at for at in long if at[0].lines - at[0].table_lines > 60), key=lambda at: at[0].table_lines - at[0].lines)
    product = [at for at in found if at[1] in tree.product]
    counts["files of Rust"] = len(files)
    counts["file lines, median / p90 / max"] = three(files.values())
    counts["files of more than 400 lines"] = sum(lines > 400 for lines in files.values())
    counts["function lines, median / p90 / max"] = three(function.lines for function, _ in found)
    counts["function lines in the product, median / p90 / max"] = three(function.lines for function, _ in product)
    counts["functions of more than 60 lines"] = len(long)
    counts["functions of more than 60 lines without their tables"] = len(steps)
    counts["functions of more than 60 lines in the product"] = sum(file in tree.product for _, file in long)
    behind["files of more than 400 lines"] = [
        f"{file}: {lines}" for file, lines in sorted(files.items(), key=lambda item: -item[1]) if lines > 400
    ]
    behind["functions of more than 60 lines"] = [
        f"{file}:{f.line} {f.name}: {f.lines}, {f.table_lines} of them in tables" for f, file in long
    ]
    behind["functions of more than 60 lines without their tables"] = [
        f"{file}:{f.line} {f.name}: {f.lines - f.table_lines}" for f, file in steps
    ]


def three(numbers):
    ordered = sorted(numbers)
    return f"{ordered[len(ordered) // 2]} / {ordered[len(ordered) * 9 // 10]} / {ordered[-1]}"


def percent(part, whole):
    return round(100 * part / whole, 1) if whole else 0.0


def read_toml(file):
    with open(os.path.join(HERE, file), "rb") as opened:
        return tomllib.load(opened)


def check(counts, behind):
    """The bounds that are broken, each as a sentence."""
    bounds = read_toml("bounds.toml")
    for name, most in bounds.get("at most", {}).items():
        if name not in counts:
            yield f"bounds.toml names {name!r}, which is not counted"
        elif counts[name] > most:
            yield "\n    ".join([f"{name}: {counts[name]}, at most {most} are allowed", *behind.get(name, [])])
    for name, least in bounds.get("at least", {}).items():
        if name not in counts:
            yield f"bounds.toml names {name!r}, which is not counted"
        elif counts[name] < least:
            yield f"{name}: {counts[name]}, at least {least} are wanted"


def main():
    parser = argparse.ArgumentParser(description="Counts how the workspace is built.")
    parser.add_argument("tree", nargs="?", default=os.path.join(HERE, "..", ".."), help="root of the tree")
    parser.add_argument("--json", action="store_true", help="the counts alone, as JSON")
    parser.add_argument("--check", action="store_true", help="fail where a bound of bounds.toml is broken")
    parser.add_argument("--compare", metavar="OTHER", help="another tree, whose counts are shown before this one's")
    given = parser.parse_args()
    tables = read_toml("rooms.toml")
    counts, behind = count(Tree(os.path.normpath(given.tree), tables))
    if given.json:
        print(json.dumps(counts, indent=2))
    elif given.check:
        broken = list(check(counts, behind))
        for line in broken:
            print(f"error: {line}", file=sys.stderr)
        sys.exit(1 if broken else 0)
    elif given.compare:
        before, _ = count(Tree(os.path.normpath(given.compare), tables))
        print("| | before | after |\n|---|---|---|")
        for name, value in counts.items():
            print(f"| {name} | {before.get(name, '')} | {value} |")
    else:
        for name, value in counts.items():
            print(f"{name}: {value}")
            for line in behind.get(name, []):
                print(f"    {line}")


if __name__ == "__main__":
    main()
