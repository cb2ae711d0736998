"""Figures as parts of a page: inline SVG that follows the page's colours, and files to download."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

from markupsafe import Markup, escape
from matplotlib.figure import Figure
from PIL import Image

from rpe2d_bench.analysis.palette import COLOURS
from rpe2d_bench.report.figures import FORMATS, files_of, svg_text
from rpe2d_bench.report.templating import KINDS, data_uri
from rpe2d_bench.report.values import value_marks


@dataclass(frozen=True)
class Drawing:
    """One figure of a report."""

    name: str  # unique in the report; also the file name
    title: str
    alternative: str  # what a reader who cannot see it needs to know
    caption: str
    svg: Markup  # for the page
    files: dict[str, bytes]  # for papers: format -> content

    @property
    def image(self) -> str | None:
        """The file that stands for it in Markdown."""
        return next((f"{self.name}.{kind}" for kind in ("svg", "png") if kind in self.files), None)

    @property
    def downloads(self) -> dict[str, str]:
        return {kind: data_uri(content, KINDS[kind]) for kind, content in self.files.items()}


def drawing(
    figure: Figure, name: str, title: str, alternative: str, caption: str, formats: tuple[str, ...] = FORMATS
) -> Drawing:
    """Draw a figure once for the page and once per file format; equal records give equal files."""
    svg = svg_text(figure)
    svg = svg.replace("</svg>", value_marks(figure) + "</svg>")
    files = {kind: with_palette(file) if kind == "png" else file for kind, file in files_of(figure, formats).items()}
    return Drawing(name, title, alternative, caption, themed(svg, name, alternative), files)


def with_palette(png: bytes) -> bytes:
    """A drawing in 256 colours, a third of its size: colours of lines and words stay, some edges move a little."""
    out = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        few = image.convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        few.save(out, "png", optimize=True, dpi=image.info["dpi"])
    return out.getvalue()


def themed(svg: str, name: str, alternative: str) -> Markup:
    """Colours become the page's variables, ids become unique, the size follows the column."""
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
        f' style="max-width:{width * 1.75:.0f}px" xmlns="http://www.w3.org/2000/svg">'
    )
    return Markup(opening + rest)
