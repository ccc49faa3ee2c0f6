"""A few shapes of SVG."""

from html import escape

PAPER, PANEL, INK, MUTED, GRID = "#111217", "#181b1f", "#d8d9da", "#8e9094", "#2c3036"
PALETTE = [
    "#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0",
    "#37872d", "#fade2a", "#447ebc", "#c15c17", "#890f02", "#0a437c", "#6d1f62", "#c4a3dd",
]
NAMED = {
    "green": "#56a64b", "red": "#e02f44", "orange": "#ff780a", "yellow": "#e0b400", "blue": "#3274d9",
    "purple": "#a352cc", "super-light-blue": "#c0d8ff", "text": "#6b6d72",
}


def color(name):
    return NAMED.get(name, name)


def width(text, size):
    """The width of a text in pixels, near enough to lay it out."""
    return len(text) * size * 0.62


class Canvas:
    """A picture, or a part of one with its own origin."""

    def __init__(self, w, h, x=0, y=0, shapes=None):
        self.w, self.h, self.x, self.y = w, h, x, y
        self.shapes = [] if shapes is None else shapes

    def part(self, x, y, w, h):
        return Canvas(w, h, self.x + x, self.y + y, self.shapes)

    def rect(self, x, y, w, h, fill, opacity=1.0, radius=0):
        self.shapes.append(
            f'<rect x="{self.x + x:.1f}" y="{self.y + y:.1f}" width="{max(w, 0):.1f}" height="{max(h, 0):.1f}" '
            f'rx="{radius}" fill="{fill}" fill-opacity="{opacity}"/>'
        )

    def line(self, x1, y1, x2, y2, stroke, dash=None, width=1):
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self.shapes.append(
            f'<line x1="{self.x + x1:.1f}" y1="{self.y + y1:.1f}" x2="{self.x + x2:.1f}" y2="{self.y + y2:.1f}" '
            f'stroke="{stroke}" stroke-width="{width}"{dashes}/>'
        )

    def path(self, points, stroke=None, fill=None, opacity=1.0):
        places = " ".join(f"{self.x + x:.1f},{self.y + y:.1f}" for x, y in points)
        kind = "polygon" if fill else "polyline"
        self.shapes.append(
            f'<{kind} points="{places}" fill="{fill or "none"}" fill-opacity="{opacity}" '
            f'stroke="{stroke or "none"}" stroke-width="1.4"/>'
        )

    def text(self, x, y, text, size=12, fill=INK, anchor="start", weight="normal"):
        self.shapes.append(
            f'<text x="{self.x + x:.1f}" y="{self.y + y:.1f}" font-size="{size}" fill="{fill}" '
            f'text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'
        )

    def upright(self, x, y, text, size=12, fill=INK):
        """A text that is read from below, with its middle there."""
        x, y = self.x + x, self.y + y
        self.shapes.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" text-anchor="middle" '
            f'transform="rotate(-90 {x:.1f} {y:.1f})">{escape(text)}</text>'
        )

    def fitted(self, x, y, text, room, size=12, **style):
        """A text that ends with dots where there is no room for it."""
        most = max(int(room / (size * 0.55)), 1)
        self.text(x, y, text if len(text) <= most else text[: most - 1] + "…", size=size, **style)

    def document(self):
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.w}" height="{self.h}" '
            f'font-family="DejaVu Sans, sans-serif"><rect width="100%" height="100%" fill="{PAPER}"/>'
            + "".join(self.shapes)
            + "</svg>\n"
        )
