"""The kinds of panels."""

import math
import re

from svg import GRID, INK, MUTED, PALETTE, PANEL, color, width
from units import shown

HEAD = 26


def draw(part, panel, data, prometheus):
    part.rect(0, 0, part.w, part.h, PANEL, radius=2)
    part.fitted(8, 17, panel["title"], part.w - 16, size=12, weight="bold")
    body = part.part(8, HEAD, part.w - 16, part.h - HEAD - 6)
    kinds = {
        "stat": stat, "timeseries": chart, "heatmap": heatmap, "state-timeline": timeline,
        "bargauge": bars, "table": table,
    }
    kinds[panel["type"]](body, panel, Fields(panel, data), prometheus)


class Fields:
    """The series of a panel with names, colours and words, as the configuration of its fields says."""

    def __init__(self, panel, data):
        self.config = panel["fieldConfig"]
        self.defaults = self.config["defaults"]
        self.unit, self.decimals = self.defaults["unit"], self.defaults.get("decimals")
        limits = {
            change["options"]["configRefId"]
            for change in panel.get("transformations", ())
            if change["id"] == "configFromData"
        }
        self.limit = None
        self.series = []
        for target, found in data:
            if target["refId"] in limits:
                values = [values[-1][1] for _, values in found]
                self.limit = values[0] if values else None
                continue
            for labels, values in found:
                self.series.append((self.name(target, labels), labels, values))
        self.hide_zeros()

    def name(self, target, labels):
        pattern = target.get("legendFormat", "")
        return re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), pattern)

    def hide_zeros(self):
        matchers = [exception["matcher"]["options"] for exception in self.config["overrides"]]
        if any(isinstance(options, dict) and options["reducer"] == "allIsZero" for options in matchers):
            self.series = [one for one in self.series if any(value for _, value in one[2])]

    def exceptions(self, name):
        properties = {}
        for exception in self.config["overrides"]:
            if exception["matcher"]["options"] == name:
                properties.update((one["id"], one["value"]) for one in exception["properties"])
        return properties

    def shown_name(self, name):
        return self.exceptions(name).get("displayName", name)

    def fixed(self, name, number):
        given = self.exceptions(name).get("color", {}).get("fixedColor")
        return color(given) if given else PALETTE[number % len(PALETTE)]

    def steps(self):
        return self.defaults.get("thresholds", {}).get("steps", [])

    def word(self, name, value):
        """The text and the colour of a value."""
        mappings = self.exceptions(name).get("mappings", self.defaults.get("mappings", []))
        text = shown(value, self.unit, self.decimals)
        for mapping in mappings:
            options = mapping["options"]
            if mapping["type"] == "value":
                word = options.get(f"{value:g}")
            else:
                inside = (options["from"] is None or value >= options["from"]) and (
                    options["to"] is None or value <= options["to"]
                )
                word = options["result"] if inside else None
            if word:
                return word.get("text") or text, color(word["color"])
        given = self.exceptions(name).get("color", {}).get("fixedColor")
        if given:
            return text, color(given)
        chosen = "green"
        for step in self.steps():
            if step["value"] is None or value >= step["value"]:
                chosen = step["color"]
        return text, color(chosen)


def nothing(part, fields):
    part.text(part.w / 2, part.h / 2, fields.defaults.get("noValue", "no data"), fill=MUTED, anchor="middle")


def stat(part, panel, fields, _):
    if not fields.series:
        return nothing(part, fields)
    tiles = fields.series
    columns = min(len(tiles), 5)
    rows = math.ceil(len(tiles) / columns)
    w, h = part.w / columns, part.h / rows
    for number, (name, _, values) in enumerate(tiles):
        x, y = number % columns * w, number // columns * h
        text, fill = fields.word(name, values[-1][1])
        part.rect(x + 1, y + 1, w - 2, h - 2, fill, opacity=0.85, radius=2)
        size = min(h * 0.32, (w - 12) / max(len(text), 1) / 0.6, 30)
        with_name = panel["options"]["textMode"] == "value_and_name"
        middle = y + h / 2 + size * (0.6 if with_name else 0.35)
        part.text(x + w / 2, middle, text, size=round(size), fill="#ffffff", anchor="middle", weight="bold")
        if with_name:
            part.fitted(x + 6, y + 15, fields.shown_name(name), w - 8, size=11, fill="#ffffff")
    return None


def ticks(top, unit):
    base = 1
    if unit == "bytes":
        base = 1024 ** max(math.floor(math.log(top, 1024)), 0)
    return [number * base for number in decimal_ticks(top / base)]


def decimal_ticks(top):
    step = 10 ** math.floor(math.log10(top)) if top > 0 else 1
    for factor in (1, 2, 5, 10):
        if top / (step * factor / 10) <= 5:
            step = step * factor / 10
            break
    return [step * number for number in range(int(top / step + 1e-9) + 1)]


def legend(part, fields, series, colors):
    """Names below a chart; it returns the height that they take."""
    lines, x = 1, 0
    places = []
    for (name, _, _), fill in zip(series, colors):
        text = fields.shown_name(name)[:42]
        room = width(text, 10) + 26
        if x and x + room > part.w:
            lines, x = lines + 1, 0
        places.append((x, lines, text, fill))
        x += room
    most = 3
    lines = min(lines, most)
    for x, line, text, fill in places:
        if line <= most:
            y = part.h - (lines - line) * 14 - 3
            part.rect(x, y - 5, 12, 3, fill)
            part.text(x + 16, y, text, size=10, fill=MUTED)
    return lines * 14 + 4


def chart(part, panel, fields, prometheus):
    series = [(n, l, [v for v in values if math.isfinite(v[1])]) for n, l, values in fields.series]
    series = [one for one in series if one[2]]
    if not series:
        return nothing(part, fields)
    custom = fields.defaults["custom"]
    colors = [fields.fixed(name, number) for number, (name, _, _) in enumerate(series)]
    below = legend(part, fields, series, colors) + 14
    left, h, w = 62, part.h - below - 6, part.w - 66
    stacked = "stacking" in custom
    top = height(series, stacked)
    top = max(top * 1.08, fields.defaults.get("max") or 0) or 1
    place = lambda t: left + (t - prometheus.start) / (prometheus.end - prometheus.start) * w
    rise = lambda v: 6 + h - v / top * h
    for value in ticks(top, fields.unit):
        part.line(left, rise(value), left + w, rise(value), GRID)
        part.text(left - 6, rise(value) + 4, shown(value, fields.unit, None), size=10, fill=MUTED, anchor="end")
    if "axisLabel" in custom:
        part.upright(10, 6 + h / 2, custom["axisLabel"], size=10, fill=MUTED)
    clock(part, prometheus, place, 6 + h + 13)
    if stacked:
        stack(part, series, colors, place, rise, prometheus, custom.get("drawStyle") == "bars")
    else:
        for (_, _, values), stroke in zip(series, colors):
            for piece in pieces(values, prometheus.step):
                part.path([(place(t), rise(v)) for t, v in piece], stroke=stroke)
    bounds = [step["value"] for step in fields.steps() if step["value"] is not None]
    for bound in [*bounds, fields.limit]:
        if bound is not None and bound <= top:
            part.line(left, rise(bound), left + w, rise(bound), color("red"), dash="6 4")
    return None


def height(series, stacked):
    if not stacked:
        return max(value for _, _, values in series for _, value in values)
    sums = {}
    for _, _, values in series:
        for at, value in values:
            sums[at] = sums.get(at, 0) + value
    return max(sums.values())


def pieces(values, step):
    """The parts of a line between gaps."""
    piece = [values[0]]
    for one in values[1:]:
        if one[0] - piece[-1][0] > 5 * step:
            yield piece
            piece = []
        piece.append(one)
    yield piece


def stack(part, series, colors, place, rise, prometheus, is_bars):
    span = prometheus.end - prometheus.start
    times = [number * prometheus.step for number in range(int(span / prometheus.step) + 1)]
    at = lambda t: place(prometheus.start + t)
    floor = dict.fromkeys(times, 0.0)
    for (_, _, values), fill in zip(series, colors):
        values = {round(t - prometheus.start): v for t, v in values}
        top = {t: floor[t] + values.get(t, 0.0) for t in times}
        if is_bars:
            w = max(at(prometheus.step) - at(0), 1)
            for t in times:
                if top[t] > floor[t]:
                    part.rect(at(t), rise(top[t]), w, rise(floor[t]) - rise(top[t]), fill, opacity=0.8)
        else:
            outline = [(at(t), rise(top[t])) for t in times]
            back = [(at(t), rise(floor[t])) for t in reversed(times)]
            part.path(outline + back, fill=fill, opacity=0.75)
        floor = top


def clock(part, prometheus, place, y):
    span = prometheus.end - prometheus.start
    for number in range(5):
        at = prometheus.start + span * number / 4
        anchor = ("start", "middle", "middle", "middle", "end")[number]
        ago = round((prometheus.end - at) / 60, 1)
        text = "now" if ago == 0 else f"-{ago:g} min"
        part.text(place(at), y, text, size=10, fill=MUTED, anchor=anchor)


def heatmap(part, panel, fields, prometheus):
    series = [(float(labels["le"]), values) for _, labels, values in fields.series if "le" in labels]
    series.sort()
    if not series:
        return nothing(part, fields)
    counts, before = [], {}
    for bound, values in series:
        values = dict(values)
        counts.append((bound, {t: max(v - before.get(t, 0), 0) for t, v in values.items()}))
        before = values
    most = max((v for _, row in counts for v in row.values()), default=0) or 1
    left, w, h = 62, part.w - 66, part.h - 24
    step = h / len(counts)
    place = lambda t: left + (t - prometheus.start) / (prometheus.end - prometheus.start) * w
    for number, (bound, row) in enumerate(counts):
        y = h - (number + 1) * step
        if number % 3 == 0:
            text = "more" if math.isinf(bound) else shown(bound, "s")
            part.text(left - 6, y + step / 2 + 4, text, size=10, fill=MUTED, anchor="end")
        for t, value in row.items():
            if value > 1e-9:
                part.rect(place(t), y + 0.5, w / 240 + 0.6, step - 1, color("orange"), opacity=0.25 + 0.75 * value / most)
    clock(part, prometheus, place, h + 14)
    return None


def timeline(part, panel, fields, prometheus):
    if not fields.series:
        return nothing(part, fields)
    series = sorted(fields.series)
    left = min(max(width(name, 10) for name, _, _ in series) + 8, part.w * 0.45)
    w, h = part.w - left - 4, part.h - 18
    step = min(h / len(series), 40)
    place = lambda t: left + (t - prometheus.start) / (prometheus.end - prometheus.start) * w
    for number, (name, _, values) in enumerate(series):
        y = number * step
        part.fitted(0, y + step / 2 + 4, name, left, size=10, fill=INK)
        for piece in states(values, prometheus.step):
            text, fill = fields.word(name, piece[0][1])
            x, end = place(piece[0][0]), place(piece[-1][0] + prometheus.step)
            part.rect(x, y + step * 0.1, end - x, step * 0.8, fill, opacity=0.8)
            if end - x > width(text, 10) + 6:
                part.text(x + 4, y + step / 2 + 4, text, size=10, fill="#ffffff")
    clock(part, prometheus, place, h + 14)
    return None


def states(values, step):
    piece = [values[0]]
    for one in values[1:]:
        if one[1] != piece[-1][1] or one[0] - piece[-1][0] > 2.5 * step:
            yield piece
            piece = []
        piece.append(one)
    yield piece


def bars(part, panel, fields, _):
    if not fields.series:
        return nothing(part, fields)
    step = min(part.h / len(fields.series), 44)
    most = fields.defaults.get("max") or max(values[-1][1] for _, _, values in fields.series) or 1
    left = max(width(name, 11) for name, _, _ in fields.series) + 12
    room = part.w - left - 80
    for number, (name, _, values) in enumerate(fields.series):
        y, value = number * step, values[-1][1]
        text, fill = fields.word(name, value)
        part.text(0, y + step / 2 + 4, fields.shown_name(name), size=11)
        part.rect(left, y + step * 0.15, room, step * 0.7, GRID)
        part.rect(left, y + step * 0.15, room * min(value / most, 1), step * 0.7, fill)
        part.text(left + room + 8, y + step / 2 + 5, text, size=13, fill=fill, weight="bold")
    return None


def table(part, panel, fields, _):
    organized = next(c["options"] for c in panel["transformations"] if c["id"] == "organize")
    rows = [labels for _, labels, _ in fields.series]
    if not rows:
        return nothing(part, fields)
    order = sorted(organized["indexByName"], key=organized["indexByName"].get)
    columns = [label for label in order if any(row.get(label) for row in rows)]
    rows.sort(key=lambda row: [row.get(label, "") for label in reversed(columns)])
    widest = [max(len(row.get(label, "")) for row in rows) + len(label) * 0.3 + 2 for label in columns]
    x, step = 0, 17
    shown_rows = rows[: max(int((part.h - 20) / step), 1)]
    for label, share in zip(columns, widest):
        name = organized["renameByName"].get(label, label)
        room = part.w * share / sum(widest)
        part.text(x, 11, name, size=11, fill=color("blue"))
        part.line(0, 16, part.w, 16, GRID)
        for number, row in enumerate(shown_rows):
            text, y = row.get(label, ""), 30 + number * step
            paint = painted(fields, name, text)
            if paint:
                part.rect(x - 2, y - 12, room - 4, step - 2, paint, opacity=0.75)
            part.fitted(x + 2, y, text, room - 6, size=10.5)
        x += room
    if len(rows) > len(shown_rows):
        part.text(part.w, part.h + 3, f"{len(rows) - len(shown_rows)} more rows", size=10, fill=MUTED, anchor="end")
    return None


def painted(fields, name, text):
    for mapping in fields.exceptions(name).get("mappings", []):
        word = mapping["options"].get(text) if mapping["type"] == "value" else None
        if word:
            return color(word["color"])
    return None
