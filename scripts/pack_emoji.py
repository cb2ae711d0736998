"""Make rpe2d_bench/data/emoji/emoji.json.xz of five icon sets: python scripts/pack_emoji.py (needs npm).

Kept is what has a category of its own: people, hands, flags and every skin tone are left out. An emoji is known by its
code point whatever a set calls it, so that one split serves all sets; what cannot be told by name is left out, too.
"""

from __future__ import annotations

import io
import json
import lzma
import re
import subprocess
import tarfile
import tempfile
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

PACKED = Path(__file__).parents[1] / "rpe2d_bench" / "data" / "emoji" / "emoji.json.xz"
SETS = {  # by npm package @iconify-json/NAME
    "noto": "1.2.9",
    "noto-v1": "1.2.5",
    "fluent-emoji-flat": "1.2.6",
    "fluent-emoji": "1.2.7",
    "fxemoji": "1.2.2",
}
LEFT_OUT = ("Flags", "People & Body")
# Emoji that differ by a colour, a direction (images are mirrored) or the hour: one group, on one side of the split
COLOURS = {"red", "orange", "yellow", "green", "blue", "light", "purple", "brown", "black", "white", "grey", "pink"}
VARIANTS = COLOURS | {"left", "right", "leftwards", "rightwards", "tilted", "large", "medium", "small", "heavy"}
SERIES = re.compile("arrow|oclock|thirty|moon|keycap|globe-showing|mailbox|book|speaker|heart|envelope")


def squashed(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def group(name: str) -> str:
    """What must stay on one side of the split with the emoji of this name."""
    if (series := SERIES.search(name)) is not None:
        return "clock" if series[0] in ("oclock", "thirty") else series[0]
    return "-".join(word for word in name.split("-") if word not in VARIANTS) or name


def package(name: str, version: str, folder: Path) -> dict[str, Any]:
    """The JSON files of a package, as npm delivers it."""
    printed = subprocess.run(
        ["npm", "pack", "--silent", f"@iconify-json/{name}@{version}"], cwd=folder, check=True, capture_output=True
    )
    content: dict[str, Any] = {}
    with tarfile.open(folder / printed.stdout.decode().split()[-1]) as archive:
        for part in ("icons", "chars", "metadata", "info"):
            file = archive.extractfile(f"package/{part}.json")
            assert file is not None
            content[part] = json.load(io.TextIOWrapper(file, encoding="utf-8"))
    return content


def code_points(packages: dict[str, dict[str, Any]]) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Code points by squashed name (the sets', their aliases', Unicode's), and name and category by code point."""
    code_of: dict[str, str] = {}
    name_of: dict[str, str] = {}
    category_of: dict[str, str] = {}
    for content in packages.values():
        own = {name: code for code, name in content["chars"].items()}
        for name, code in own.items():
            code_of.setdefault(squashed(name), code)
            name_of.setdefault(code, name)
        for category, names in content["metadata"].get("categories", {}).items():
            for name in names:
                if name in own:
                    category_of.setdefault(own[name], category)
    for content in packages.values():
        for alias, points_to in content["icons"].get("aliases", {}).items():
            if (parent := squashed(points_to["parent"])) in code_of:
                code_of.setdefault(squashed(alias), code_of[parent])
    for code in sorted(name_of):
        if "-" not in code and (official := unicodedata.name(chr(int(code, 16)), "")):
            code_of.setdefault(squashed(official), code)
    return code_of, name_of, category_of


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        packages = {name: package(name, version, Path(folder)) for name, version in SETS.items()}
    code_of, name_of, category_of = code_points(packages)
    sources, emoji = [], []
    for set_name, content in packages.items():
        icons, info = content["icons"], content["info"]
        seen: set[str] = set()
        left_out: Counter[str] = Counter()
        for name, icon in sorted(icons["icons"].items()):
            code = code_of.get(squashed(name))
            category = category_of.get(code or "")
            if icon.get("hidden"):
                left_out["withdrawn from the set"] += 1
            elif code is None or category is None:
                left_out["unknown by name"] += 1
            elif category in LEFT_OUT:
                left_out[category] += 1
            elif code in seen:
                left_out["second of one emoji"] += 1
            else:
                seen.add(code)
                width, height = (icon.get(side, icons[side]) for side in ("width", "height"))
                emoji.append([set_name, name_of[code], group(name_of[code]), category, width, height, icon["body"]])
        sources.append(
            {
                "set": set_name,
                "package": f"@iconify-json/{set_name}@{SETS[set_name]}",
                "author": info["author"]["name"],
                "origin": info["author"]["url"],
                "licence": info["license"]["spdx"],
                "emoji": len(seen),
                "left_out": dict(left_out),
            }
        )
        print(f"{set_name}: {len(seen):,} of {len(icons['icons']):,}; left out: {dict(left_out)}")
    packed = json.dumps({"sources": sources, "emoji": emoji}, ensure_ascii=False, separators=(",", ":")).encode()
    PACKED.write_bytes(lzma.compress(packed, preset=9 | lzma.PRESET_EXTREME))
    print(f"{len(emoji):,} emoji of {len({row[1] for row in emoji}):,} names, {PACKED.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
