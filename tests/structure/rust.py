"""Rust source as text: comments and strings blanked, test items dropped, functions and matches found.

This is no parser. It reads enough of the language for counting: every function here works on text in
which comments and the insides of literals are blanks, so that braces, commas and words are code.
"""

import re
from dataclasses import dataclass

LITERAL = re.compile(
    r"""
    (?P<line>//[^\n]*)
  | (?P<block>/\*)
  | (?P<raw>\b(?:b|c)?r(?P<hashes>\#*)".*?"(?P=hashes))
  | (?P<text>(?:\b[bc])?"(?:\\.|[^"\\])*")
  | (?P<char>(?:\bb)?'(?:\\(?:x[0-9a-fA-F]{2}|u\{[^}]*\}|.)|[^'\\\n])')
    """,
    re.VERBOSE | re.DOTALL,
)
ITEM_WORDS = re.compile(
    r"(?:pub|mod|use|fn|impl|struct|enum|const|static|trait|type|async|macro_rules|extern|let|union)\b"
)
TEST_ATTRIBUTE = re.compile(r"#\[\s*cfg\s*\(\s*(?:test\b|all\s*\([^()]*\btest\b|any\s*\(\s*test\s*,\s*fuzzing\b)")
TEST_FILE = re.compile(r"#!\[\s*cfg\s*\(\s*test\s*\)")
OPEN, CLOSE = "([{", ")]}"


def blank(text):
    """The same number of characters and lines, all of it blanks."""
    return re.sub(r"[^\n]", " ", text)


def split(text):
    """Returns the text without comments, and the text without comments and literals."""
    uncommented, code, at = [], [], 0
    while match := LITERAL.search(text, at):
        between = text[at : match.start()]
        end = match.end()
        if match.group("block"):
            end = block_end(text, match.start())
        found = text[match.start() : end]
        is_comment = match.group("line") is not None or match.group("block") is not None
        uncommented += [between, blank(found) if is_comment else found]
        code += [between, blank(found)]
        at = end
    return "".join([*uncommented, text[at:]]), "".join([*code, text[at:]])


def block_end(text, start):
    depth, at = 0, start
    for mark in re.finditer(r"/\*|\*/", text[start:]):
        depth += 1 if mark.group() == "/*" else -1
        at = start + mark.end()
        if depth == 0:
            return at
    return len(text)


def closing(code, start):
    """The position after the bracket that closes the one at `start`."""
    depth = 0
    for mark in re.finditer(r"[(\[{)\]}]", code[start:]):
        depth += 1 if mark.group() in OPEN else -1
        if depth == 0:
            return start + mark.end()
    return len(code)


def item_end(code, start):
    """The position after the item, field or arm that begins at `start` (its attributes too)."""
    at = start
    while attribute := re.compile(r"\s*#!?\[").match(code, at):
        at = closing(code, attribute.end() - 1)
    at = re.compile(r"\s*").match(code, at).end()
    is_item = ITEM_WORDS.match(code, at) is not None
    ends_with_semicolon = re.compile(r"(?:pub(?:\s*\([^)]*\))?\s+)?(?:use|const|static|let|type)\b").match(code, at)
    if ends_with_semicolon and re.compile(r"(?:pub(?:\s*\([^)]*\))?\s+)?const\s+(?:async\s+)?fn\b").match(code, at):
        ends_with_semicolon = None
    while at < len(code):
        letter = code[at]
        if letter == ";" or (letter == "," and not is_item):
            return at + 1
        if letter in CLOSE:
            return at
        if letter in OPEN:
            at = closing(code, at)
            if letter == "{" and not ends_with_semicolon:
                return at
            continue
        at += 1
    return at


def test_spans(code):
    """Where items stand that exist in tests only."""
    if TEST_FILE.search(code):
        return [(0, len(code))]
    spans, at = [], 0
    while match := TEST_ATTRIBUTE.search(code, at):
        end = item_end(code, match.start())
        spans.append((match.start(), end))
        at = end
    return spans


def without(text, spans):
    for start, end in spans:
        text = text[:start] + blank(text[start:end]) + text[end:]
    return text


@dataclass
class Function:
    """A function with a body: its name, the lines from `fn` to the closing brace, and how many of them are rows of
    tables."""

    name: str
    line: int
    lines: int
    table_lines: int


FUNCTION = re.compile(r"\bfn\s+(\w+)")
TABLE = re.compile(r"(?:\bin|[=&(!;{}])\s*(\[)")
ROWS = 4


def functions(code):
    for match in FUNCTION.finditer(code):
        at = match.end()
        while at < len(code) and code[at] not in "{;":
            at = closing(code, at) if code[at] in "([" else at + 1
        if at < len(code) and code[at] == "{":
            end = closing(code, at)
            first = code.count("\n", 0, match.start()) + 1
            rows = sum(code.count("\n", *span) for span in tables(code, at, end))
            yield Function(match.group(1), first, code.count("\n", match.start(), end) + 1, rows)


def tables(code, start, end):
    """Where lists of data stand: at least `ROWS` entries between brackets, without a statement in one of them."""
    at = start
    while (match := TABLE.search(code, at, end)) is not None:
        opened = match.start(1)
        closed = closing(code, opened)
        if ";" not in code[opened:closed] and entries(code[opened + 1 : closed - 1]) >= ROWS:
            yield opened, closed
            at = closed
        else:
            at = opened + 1


def entries(inside):
    """The number of entries between two brackets."""
    depth, commas, last = 0, 0, 0
    for mark in re.finditer(r"[(\[{)\]},]", inside):
        if mark.group() == ",":
            commas += depth == 0
            last = mark.end() if depth == 0 else last
        else:
            depth += 1 if mark.group() in OPEN else -1
    return commas + bool(inside[last:].strip())


def arms(code):
    """The patterns of each `match`, as lists of text."""
    for match in re.finditer(r"\bmatch\b", code):
        at = match.end()
        while at < len(code) and code[at] not in "{;":
            at = closing(code, at) if code[at] in "([" else at + 1
        if at >= len(code) or code[at] == ";":
            continue
        yield list(patterns(code[at + 1 : closing(code, at) - 1]))


def patterns(body):
    at = 0
    while at < len(body):
        start = at
        while at < len(body) and not body.startswith("=>", at):
            at = closing(body, at) if body[at] in OPEN else at + 1
        if at >= len(body):
            return
        yield body[start:at].strip(" \n,")
        at += 2
        at = re.compile(r"\s*").match(body, at).end()
        if at < len(body) and body[at] == "{":
            at = closing(body, at)
            continue
        while at < len(body) and body[at] != ",":
            at = closing(body, at) if body[at] in OPEN else at + 1
        at += 1


@dataclass
class DocBlock:
    """Consecutive lines of documentation: its words, and how many of its examples are Rust."""

    line: int
    words: list
    examples: int


DOC = re.compile(r"^\s*(///(?!/)|//!)(.*)$")
OTHER_LANGUAGE = re.compile(r"```(?!rust|no_run|ignore|should_panic|compile_fail|edition)\w")


def doc_blocks(text):
    """The documentation of a file; code examples are counted, their words are not."""
    kind, block, in_code = None, None, False
    for number, line in enumerate([*text.split("\n"), ""], 1):
        match = DOC.match(line)
        found = match.group(1) if match else None
        if found != kind:
            if block is not None and (block.words or block.examples):
                yield block
            kind, in_code = found, False
            block = DocBlock(number, [], 0) if match else None
        if not match:
            continue
        said = match.group(2).strip()
        if said.startswith("```"):
            in_code = not in_code
            block.examples += in_code and not OTHER_LANGUAGE.match(said)
        elif not in_code:
            block.words += said.split()
