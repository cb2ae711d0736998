"""The template engine of the pages: everything is escaped unless it was made by this package."""

from __future__ import annotations

import base64
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

KINDS = {"svg": "image/svg+xml", "png": "image/png", "pdf": "application/pdf"}  # of files of figures
FOLDER = Path(__file__).with_name("templates")
SCRIPTS = ("page.js", "tables.js", "values.js", "samples.js")  # one module in a page; the first defines what all use


def environment() -> Environment:
    """Autoescaping is on for every template, and an unknown variable is an error."""
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["style"] = Markup((FOLDER / "page.css").read_text(encoding="utf-8"))
    made.globals["script"] = Markup("".join((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS))
    return made


def data_uri(content: str | bytes, kind: str) -> str:
    """A file inside the page."""
    raw = content.encode() if isinstance(content, str) else content
    charset = ";charset=utf-8" if kind.startswith("text/") else ""
    return f"data:{kind}{charset};base64,{base64.b64encode(raw).decode()}"
