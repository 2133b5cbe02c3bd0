"""A figure's file as a part of the page: SVG inline, its text selectable, its colours those of the page."""

import base64
import re
from dataclasses import dataclass
from pathlib import Path

from frazil.errors import UserError

WIDE_px = 500
"""Figures that are wider at their own size take the whole width of the page."""
INK = {"#000000": "var(--text)", "#ffffff": "var(--page)", "#e6e6e6": "var(--line)"}
"""Colours of frazil.report.plot that are the page's own."""
FORBIDDEN = re.compile(
    r"<(script|foreignObject|iframe|image[^>]+href=\"(?!data:))|\son\w+\s*=|@import", re.IGNORECASE
)

OVER_TIME = re.compile(r' id="over-time:([^":]+):([^":]+):(\d+)"')
"""Panels over a time (``frazil.report.plot``), which a movie's script looks for."""
SKIPPED = re.compile(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", re.DOTALL)


@dataclass(frozen=True)
class Drawing:
    """The HTML of a figure, its width in CSS pixels, and whether it takes the whole width of the page."""

    html: str
    width: int
    wide: bool


def drawing(path: Path, prefix: str, alt: str) -> Drawing:
    """Return a figure's HTML; ``prefix`` keeps its ids apart from other figures'. ``alt`` is escaped text."""
    if path.suffix == ".png":
        content = path.read_bytes()
        width = int.from_bytes(content[16:20], "big")  # IHDR, the first chunk
        uri = f"data:image/png;base64,{base64.b64encode(content).decode()}"
        return Drawing(f'<img src="{uri}" alt="{alt}" width="{width}">', width, width > 1.7 * WIDE_px)
    if path.suffix != ".svg":
        raise UserError(f"figure {path} is of kind {path.suffix!r}; allowed: .png, .svg")
    text = path.read_text(encoding="utf-8")
    found = re.search(r"<svg[^>]*viewBox=\"([-\d. ]+)\"[^>]*>(.*)</svg>", text, re.DOTALL)
    if not found or FORBIDDEN.search(text):
        raise UserError(f"figure {path} is no drawing that the page may hold; rerun the stage that made it")
    inside = SKIPPED.sub("", found[2])
    inside = OVER_TIME.sub(
        rf' class="over-time" data-from="\1" data-to="\2" data-panel="{prefix}-\3"', inside
    )
    asked = set(re.findall(r"""(?:url\(|href=")#([^")]+)""", inside))
    inside = re.sub(r' id="([^"]+)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in asked else "", inside)
    inside = re.sub(r'\b(?:xlink:)?href="#([^"]+)"', rf'href="#{prefix}-\1"', inside)
    inside = inside.replace("xlink:href=", "href=").replace("url(#", f"url(#{prefix}-")
    for colour, variable in INK.items():
        inside = inside.replace(colour, variable)
    inside = re.sub(r"<text (?![^>]*fill:)(style=\")", r"<text \1fill: var(--text); ", inside)
    width = round(float(found[1].split()[2]) * 4 / 3)
    html = f'<svg role="img" aria-label="{alt}" viewBox="{found[1]}">{inside}</svg>'
    return Drawing(re.sub(r"\s*\n\s*", " ", html), width, width > WIDE_px)
