#!/usr/bin/env python3
"""Draws the dashboards from the data of a Prometheus, one picture each, on the places of their panels.

    python3 tests/dashboards/draw/draw.py http://127.0.0.1:9090 SECONDS OUT

This is not Grafana: no server of it is needed, and only what the dashboards use is drawn. It is there to look at
them, and for the pictures of the docs. Python's standard library makes SVG; `rsvg-convert` (Debian's package
`librsvg2-bin`) makes PNG of it.
"""

import glob
import json
import os
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import panels
import png
from svg import Canvas, INK, MUTED

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "../../../dashboards/grafana/dashboards")
WIDTH, UNIT, GAP = 1560, 34, 6
LABEL = "drawn from real data by tests/dashboards/draw, not Grafana"
RATE_INTERVAL = "15s"


class Prometheus:
    """The queries of one span of time."""

    def __init__(self, url, seconds):
        self.url, self.seconds = url, seconds
        self.end = time.time()
        self.start = self.end - seconds
        self.step = max(1, seconds // 240)

    def ask(self, path, **params):
        url = f"{self.url}{path}?{urllib.parse.urlencode(params)}"
        with urllib.request.urlopen(url) as answer:
            return json.load(answer)["data"]["result"]

    def substituted(self, expr):
        expr = expr.replace("$__rate_interval", RATE_INTERVAL).replace("$__range", f"{self.seconds}s")
        for variable in ("$job", "$instance", "$engine", "$model"):
            expr = expr.replace(variable, ".*")
        return expr

    def series(self, target, engine):
        """The series of a target: its labels, and its values as pairs of time and number."""
        expr = target["expr"]
        if engine:
            expr = expr.replace("$engine", engine)
        expr = self.substituted(expr)
        if target["instant"]:
            found = self.ask("/api/v1/query", query=expr, time=self.end)
            return [(one["metric"], [point(one["value"])]) for one in found]
        found = self.ask(
            "/api/v1/query_range", query=expr, start=self.start, end=self.end, step=self.step
        )
        return [(one["metric"], [point(value) for value in one["values"]]) for one in found]


def point(pair):
    return float(pair[0]), float(pair[1])


def draw(dashboard, prometheus, engine):
    """The picture of one dashboard; a row that is repeated is drawn for one engine."""
    bottom = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in dashboard["panels"])
    canvas = Canvas(WIDTH, bottom * UNIT + 60)
    canvas.text(12, 26, dashboard["title"], size=18, weight="bold")
    canvas.text(12, 44, dashboard["description"], size=12, fill=MUTED)
    canvas.text(WIDTH - 12, 20, LABEL, size=11, fill=MUTED, anchor="end")
    repeated = None
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        x, y = at["x"] * WIDTH / 24 + GAP / 2, at["y"] * UNIT + 54
        w, h = at["w"] * WIDTH / 24 - GAP, at["h"] * UNIT - GAP
        if panel["type"] == "row":
            repeated = engine if panel.get("repeat") else None
            canvas.text(x + 4, y + 20, "▾ " + panel["title"].replace("$engine", engine), size=14, fill=INK, weight="bold")
            continue
        data = [(target, prometheus.series(target, repeated)) for target in panel["targets"]]
        panels.draw(canvas.part(x, y, w, h), panel, data, prometheus)
    return canvas


def main():
    url, seconds, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    engine = sys.argv[4] if len(sys.argv) > 4 else ".*"
    prometheus = Prometheus(url, seconds)
    os.makedirs(out, exist_ok=True)
    for path in sorted(glob.glob(os.path.join(FOLDER, "*.json"))):
        with open(path, encoding="utf-8") as opened:
            dashboard = json.load(opened)
        picture = os.path.join(out, f"dashboard-{dashboard['uid'].removeprefix('crucible-')}")
        with open(picture + ".svg", "w", encoding="utf-8") as written:
            written.write(draw(dashboard, prometheus, engine).document())
        subprocess.run(["rsvg-convert", "-o", picture + ".png", picture + ".svg"], check=True)
        os.remove(picture + ".svg")
        png.shrink(picture + ".png")
        print(picture + ".png")


if __name__ == "__main__":
    main()
