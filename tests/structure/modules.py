"""The modules of a crate, and which file names what of which other file.

A path is followed to the file that defines what it names: re-exports are walked through, and a module
that merely declares or re-exports its children does not depend on them. Tests do not count.
"""

import os
import re

import rust

MOD = re.compile(r"(?P<attributes>(?:#\[[^\]]*\]\s*)*)(?:pub(?:\s*\([^)]*\))?\s+)?mod\s+(?P<name>\w+)\s*(?P<end>[;{])")
USE = re.compile(r"(?P<visible>\bpub(?:\s*\([^)]*\))?\s+)?\buse\s+(?P<tree>[^;]+);")
PATH = re.compile(r"(?<![\w:.])(\$?\w+(?:\s*::\s*\w+)+)")
DEFINED = re.compile(r"\b(?:struct|enum|trait|fn|const|static|type|union|mod)\s+(\w+)|macro_rules!\s*(\w+)")


class Module:
    """One module: its path from the crate's root, its file, and the names that it knows."""

    def __init__(self, path, file, code):
        self.path, self.file, self.code = path, file, code
        self.children, self.imports, self.globs, self.defined = {}, {}, [], set()


class Crate:
    """A crate: its modules by path, read from `src/lib.rs` and `src/main.rs`."""

    def __init__(self, root, folder, name):
        self.root, self.folder, self.name = root, folder, name
        self.modules, self.sources = {}, {}
        source = os.path.join(folder, "src")
        for main in ("lib.rs", "main.rs"):
            file = os.path.join(source, main)
            if os.path.exists(os.path.join(root, file)):
                self.read(() if main == "lib.rs" else ("main",), file, source)
        if () not in self.modules and ("main",) in self.modules:
            self.modules = {path[1:]: module for path, module in self.modules.items()}
            for module in self.modules.values():
                module.path = module.path[1:]
        for module in self.modules.values():
            self.index(module)

    def read(self, path, file, folder):
        with open(os.path.join(self.root, file), encoding="utf-8") as opened:
            uncommented, code = rust.split(opened.read())
        spans = rust.test_spans(code)
        self.sources[file] = rust.without(uncommented, spans)
        self.add(path, file, folder, rust.without(code, spans), self.sources[file])

    def add(self, path, file, folder, code, text):
        module = self.modules[path] = Module(path, file, code)
        inner, at = [], 0
        while match := MOD.search(code, at):
            at, child = match.end(), (*path, match.group("name"))
            if match.group("end") == "{":
                end = rust.closing(code, at - 1)
                inner.append((match.start(), end))
                self.add(child, file, os.path.join(folder, match.group("name")), code[at : end - 1], text[at : end - 1])
                at = end
            else:
                self.read_child(child, folder, match, text[match.start() : match.end()])
            module.children[match.group("name")] = child
        module.code = rust.without(code, inner)

    def read_child(self, child, folder, match, text):
        name = match.group("name")
        given = re.search(r'#\[path\s*=\s*"([^"]+)"', text)
        if given:
            file = os.path.normpath(os.path.join(folder, given.group(1)))
            return self.read(child, file, os.path.dirname(file))
        for file in (os.path.join(folder, name + ".rs"), os.path.join(folder, name, "mod.rs")):
            if os.path.exists(os.path.join(self.root, file)):
                return self.read(child, file, os.path.join(folder, name))
        return None

    def index(self, module):
        for match in DEFINED.finditer(module.code):
            module.defined.add(match.group(1) or match.group(2))
        for match in USE.finditer(module.code):
            for path, name in leaves(re.sub(r"\s+", " ", match.group("tree")).strip()):
                if name == "*":
                    module.globs.append((path, bool(match.group("visible"))))
                else:
                    module.imports[name] = (path, bool(match.group("visible")))

    def resolve(self, module, path, seen=frozenset()):
        """The file that defines what `path` names in `module`, or None where it is another crate's."""
        if (module.path, path) in seen or len(path) > 20:
            return None
        seen = seen | {(module.path, path)}
        first, rest = path[0], path[1:]
        if first in ("crate", "$crate"):
            return self.walk(self.modules[()], rest, seen)
        if first == "self":
            return self.walk(module, rest, seen)
        if first == "super":
            return self.resolve_above(module, rest, seen)
        if first in module.children or first in module.imports:
            return self.walk(module, path, seen)
        return None

    def resolve_above(self, module, rest, seen):
        above = self.modules.get(module.path[:-1])
        while above and rest and rest[0] == "super":
            above, rest = self.modules.get(above.path[:-1]), rest[1:]
        return self.walk(above, rest, seen) if above else None

    def walk(self, module, path, seen):
        for number, name in enumerate(path):
            if name in module.children:
                module = self.modules.get(module.children[name], module)
                continue
            rest = path[number + 1 :]
            if name in module.imports:
                target = module.imports[name][0]
                if target[0] == name:
                    return None
                return self.resolve(module, (*target, *rest), seen)
            if name not in module.defined:
                for target, _ in module.globs:
                    found = self.resolve(module, (*target, name, *rest), seen)
                    if found:
                        return found
            return module.file
        return module.file

    def is_module(self, module, path):
        """True where the path names a module of this crate and nothing inside one."""
        first, rest = path[0], path[1:]
        if first in ("crate", "$crate"):
            at = self.modules[()]
        elif first == "self":
            at = module
        elif first == "super":
            at = self.modules.get(module.path[:-1])
            while at and rest and rest[0] == "super":
                at, rest = self.modules.get(at.path[:-1]), rest[1:]
        else:
            at, rest = module, path
        for name in rest:
            if at is None or name not in at.children:
                return False
            at = self.modules.get(at.children[name])
        return at is not None

    def arrows(self):
        """Pairs of files: the first names something that the second defines."""
        found = set()
        for module in self.modules.values():
            for target in self.named(module):
                if target and target != module.file:
                    found.add((module.file, target))
        return found

    def named(self, module):
        code = USE.sub(lambda m: rust.blank(m.group()), module.code)
        words = set(re.findall(r"\w+", code))
        for name, (path, visible) in module.imports.items():
            if (not visible or name in words) and not self.is_module(module, path):
                yield self.resolve(module, path)
        for path, visible in module.globs:
            if not visible:
                yield self.resolve(module, path)
        for match in PATH.finditer(code):
            path = tuple(part.strip() for part in match.group(1).split("::"))
            if not self.is_module(module, path):
                yield self.resolve(module, path)

    def room(self, file):
        """The top-level module that a file belongs to."""
        inside = os.path.relpath(file, os.path.join(self.folder, "src"))
        first = inside.split(os.sep)[0]
        return first.removesuffix(".rs")


def leaves(tree, before=()):
    """The paths and names of a `use` tree."""
    tree = tree.strip()
    if tree.startswith("{"):
        for part in split_list(tree[1 : rust.closing(tree, 0) - 1]):
            yield from leaves(part, before)
        return
    head, separator, rest = tree.partition("::")
    if separator:
        yield from leaves(rest, (*before, head.strip()) if head.strip() else before)
        return
    name, _, alias = (word.strip() for word in tree.partition(" as "))
    if not name:
        return
    if name == "self" and before:
        yield before, alias or before[-1]
    elif name == "*":
        yield before, "*"
    else:
        yield (*before, name), alias or name


def split_list(text):
    depth, start = 0, 0
    for at, letter in enumerate(text):
        depth += letter in "{"
        depth -= letter in "}"
        if letter == "," and depth == 0:
            yield text[start:at]
            start = at + 1
    if text[start:].strip():
        yield text[start:]


def circles(arrows):
    """Strongly connected components of more than one member, each sorted, the largest first."""
    after, index, low, stack, on, found = {}, {}, {}, [], set(), []
    for start, end in arrows:
        after.setdefault(start, set()).add(end)
    for root in sorted(after):
        if root in index:
            continue
        work = [(root, iter(sorted(after.get(root, ()))))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on.add(root)
        while work:
            node, rest = work[-1]
            for other in rest:
                if other not in index:
                    index[other] = low[other] = len(index)
                    stack.append(other)
                    on.add(other)
                    work.append((other, iter(sorted(after.get(other, ())))))
                    break
                if other in on:
                    low[node] = min(low[node], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    members = []
                    while True:
                        member = stack.pop()
                        on.discard(member)
                        members.append(member)
                        if member == node:
                            break
                    if len(members) > 1:
                        found.append(sorted(members))
    return sorted(found, key=lambda members: (-len(members), members))


def best_order(arrows):
    """The arrows between rooms that would have to go so that the others have an order.

    Inside each circle of rooms an order is improved by moving one room at a time until nothing helps.
    """
    back = []
    for members in circles(arrows):
        inside = [arrow for arrow in arrows if set(arrow) <= set(members)]
        back += improved(members, inside)
    return sorted(back)


def improved(rooms, arrows):
    order = sorted(rooms, key=lambda r: (sum(a[1] == r for a in arrows) - sum(a[0] == r for a in arrows), r))
    fewest, is_better = back_arrows(order, arrows), True
    while is_better:
        is_better = False
        for room in rooms:
            others = [other for other in order if other != room]
            for number in range(len(rooms)):
                tried = [*others[:number], room, *others[number:]]
                back = back_arrows(tried, arrows)
                if len(back) < len(fewest):
                    fewest, order, is_better = back, tried, True
    return fewest


def back_arrows(order, arrows):
    """The arrows that point from a lower room to a higher one."""
    at = {room: number for number, room in enumerate(order)}
    return [arrow for arrow in arrows if at[arrow[0]] > at[arrow[1]]]
