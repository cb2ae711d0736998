"""Figures as parts of a page: inline SVG that follows the page's colours, and files to download.

One of thousands of marks is a PNG on the page: as SVG it weighs up to a megabyte and moves slowly in a browser.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

from markupsafe import Markup, escape
from matplotlib.figure import Figure
from PIL import Image

from rpe2d_bench.analysis.palette import COLOURS
from rpe2d_bench.report.figures import FORMATS, files_of, svg_text
from rpe2d_bench.report.templating import KINDS, LARGEST, data_uri, embedded
from rpe2d_bench.report.values import POINTS, value_marks

ENLARGED = 1.75  # pixels of the page per point of a figure, at most


@dataclass(frozen=True)
class Drawing:
    """One figure of a report."""

    name: str  # unique in the report; also the file name
    title: str
    alternative: str  # what a reader who cannot see it needs to know
    caption: str
    shown: Markup  # for the page: <svg>, or <img> where that would be too large
    files: dict[str, bytes]  # for papers: format -> content

    @property
    def image(self) -> str | None:
        """The file that stands for it in Markdown."""
        return next((f"{self.name}.{kind}" for kind in ("svg", "png") if kind in self.files), None)

    @property
    def downloads(self) -> dict[str, str]:
        return embedded(self.files)


def drawing(
    figure: Figure, name: str, title: str, alternative: str, caption: str, formats: tuple[str, ...] = FORMATS
) -> Drawing:
    """Draw a figure once for the page and once per file format; equal records give equal files."""
    svg = svg_text(figure)
    svg = svg.replace("</svg>", value_marks(figure) + "</svg>")
    files = {kind: with_palette(file) if kind == "png" else file for kind, file in files_of(figure, formats).items()}
    shown = themed(svg, name, alternative)
    if len(shown) > LARGEST:
        shown = _image(figure, files, alternative)
    return Drawing(name, title, alternative, caption, shown, files)


def _image(figure: Figure, files: dict[str, bytes], alternative: str) -> Markup:
    """A figure as PNG inside the page; the vectors and the values of its marks lie beside it and in the tables."""
    png = files.get("png") or with_palette(files_of(figure, ("png",))["png"])
    style = f"display:block;width:100%;height:auto;max-width:{figure.get_figwidth() * POINTS * ENLARGED:.0f}px"
    source = data_uri(png, KINDS["png"])
    return Markup('<img class="figure" alt="{}" style="{}" src="{}">').format(alternative, style, source)


def with_palette(png: bytes) -> bytes:
    """A drawing in 256 colours, a third of its size: colours of lines and words stay, some edges move a little."""
    out = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        few = image.convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        few.save(out, "png", optimize=True, dpi=image.info["dpi"])
    return out.getvalue()


def themed(svg: str, name: str, alternative: str) -> Markup:
    """Colours become the page's variables, ids become unique, the size follows the column."""
    svg = re.sub(r' (?:d|x|y)="[^"]*"', lambda place: re.sub(r"(\.\d\d)\d+", r"\1", place[0]), svg)  # of a point
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="series-(\d+)-[^"]*"', r'<g data-series="\1"', svg)
    prefix = re.sub(r"[^\w-]", "-", name)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
    svg = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{prefix}-\1"', svg)
    for index, (light, _) in enumerate(COLOURS):
        svg = svg.replace(light, f"var(--series-{index})")
    svg = re.sub(r"#000000\b|#262626\b", "currentColor", svg)
    head, rest = svg.split(">", 1)
    box = re.search(r'viewBox="([^"]+)"', head)
    width = float(box.group(1).split()[2]) if box else 486.0
    opening = (
        f'<svg class="figure" role="img" aria-label="{escape(alternative)}" viewBox="{box.group(1) if box else ""}"'
        f' style="max-width:{width * ENLARGED:.0f}px" xmlns="http://www.w3.org/2000/svg">'
    )
    return Markup(opening + rest)
