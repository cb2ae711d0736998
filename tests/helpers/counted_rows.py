"""Counts the training images that are rendered.

As a program, the command line, which notes them in a file of its own below $ROWS, and waits at its first until as many
processes as $PROCESSES says have noted one.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rpe2d_bench.data import image_pool
from rpe2d_bench.data.glyphs.dataset import Glyphs

PART = 16  # images that are rendered together


def counted(note: Callable[[list[str]], None], patch: Callable[[Any, str, Any], None] = setattr) -> None:
    """From now on each training image is noted as 'HEIGHTxWIDTH INDEX' when it is rendered."""
    whole = Glyphs.images

    def images(self: Glyphs, split: Any, indices: Any, resolution: Any) -> Any:
        if split == "train":
            note([f"{resolution[0]}x{resolution[1]} {index}" for index in indices])
        return whole(self, split, indices, resolution)

    patch(Glyphs, "images", images)
    patch(image_pool, "_CHUNK", PART)


def noted(folder: Path) -> list[Counter[str]]:
    """How often each was rendered, by process."""
    return [Counter(path.read_text().splitlines()) for path in folder.iterdir()]


if __name__ == "__main__":
    from rpe2d_bench.cli import main

    def note(rows: list[str]) -> None:
        folder = Path(os.environ["ROWS"])
        with (folder / str(os.getpid())).open("a") as file:
            file.write("".join(f"{row}\n" for row in rows))
        while len(list(folder.iterdir())) < int(os.environ["PROCESSES"]):
            time.sleep(0.05)

    counted(note)
    main()
