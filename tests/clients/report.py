"""The table of results."""

import dataclasses

from tasks import NOT_TRIED, Outcome

HEAD = ("client", "version", "engine", "say hi", "tool loop", "interactive", "prompt prefix", "notes")
WORDS = {True: "yes", False: "NO", None: "-"}


@dataclasses.dataclass
class Row:
    """One client on one kind of engine."""

    client: str
    version: str
    engine: str
    hi: Outcome = NOT_TRIED
    loop: Outcome = NOT_TRIED
    interactive: Outcome = NOT_TRIED
    prefix: str = ""
    notes: str = ""

    @property
    def failed(self) -> bool:
        return any(outcome.passed is False for outcome in (self.hi, self.loop, self.interactive))

    def cells(self) -> tuple[str, ...]:
        outcomes = {"say hi": self.hi, "tool loop": self.loop, "interactive": self.interactive}
        words = [f"{name}: {outcome.note}" for name, outcome in outcomes.items() if outcome.note]
        notes = "; ".join([self.notes] * bool(self.notes) + words).replace("|", "\\|")
        passed = [WORDS[outcome.passed] for outcome in outcomes.values()]
        return (self.client, self.version, self.engine, *passed, self.prefix or "-", notes)


def table(rows: list[Row]) -> str:
    """All rows as a table in Markdown, its columns aligned."""
    cells = [HEAD, *(row.cells() for row in rows)]
    # Notes may be long: they do not widen the column.
    widths = [max(len(row[at]) for row in cells) for at in range(len(HEAD) - 1)]
    lines = []
    for row in cells:
        padded = [cell.ljust(width) for cell, width in zip(row, widths)]
        lines.append("| " + " | ".join([*padded, row[-1]]) + " |")
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|---|")
    return "\n".join(lines)
