"""What a model entry may leave unsaid because its file of weights, or the code that wrote it, says it.

The entry is completed before it is checked, so that everything after sees an ordinary model: its size, its encoding,
what it predicts along which path, and no training unless the entry asks for steps.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rpe2d_bench.config import shipped
from rpe2d_bench.config.yaml_file import Document, at
from rpe2d_bench.errors import UserError

LAYOUTS = ("sit", "dit", "fit")


def complete(document: Document) -> None:
    """Fill in what files in a foreign layout say; what the experiment file says itself stays. Raises UserError."""
    data = document.data
    models = data.get("models")
    entries = {
        name: entry
        for name, entry in (models.items() if isinstance(models, dict) else ())
        if isinstance(entry, dict) and _layout(entry) is not None
    }
    if not entries:
        return
    filled = {}
    for name, entry in entries.items():
        with at(document, "models", name, "checkpoint"):
            filled[name] = _completed(entry, data, document.path.parent)
    assert isinstance(models, dict)
    if len(filled) == len(models):  # nothing is left that would need a size or a recipe of its own
        data.setdefault("model", next(iter(filled.values()))["model"])
        data.setdefault("train", {"steps": 0})
    models.update(filled)


def _layout(entry: dict[str, Any]) -> str | None:
    checkpoint = entry.get("checkpoint")
    layout = checkpoint.get("format") if isinstance(checkpoint, dict) else None
    return layout if layout in LAYOUTS and isinstance(checkpoint.get("path"), str) else None  # type: ignore[union-attr]


def _completed(entry: dict[str, Any], data: dict[str, Any], folder: Path) -> dict[str, Any]:
    from rpe2d_bench.stages.foreign_file import encoding, model_options, preset_name, train_options

    layout, written = str(_layout(entry)), entry["checkpoint"]["path"]
    own = [part for part in (data.get("model"), entry.get("model")) if isinstance(part, dict)]
    size: dict[str, Any] = {}
    for part in own:
        size |= part
    path = found(written, folder)
    if path.is_file():
        size = {"preset": preset_name(path)} | size
    elif "preset" not in size:
        raise UserError(
            f"checkpoint {written} does not exist; give the file, or to plan without it the size of its model, "
            f"model: {{preset: {'FiTv2-XL/2' if layout == 'fit' else 'DiT-XL/2'}}}"
        )
    train, changes = entry.get("train", {}), {"model": model_options(layout) | size}
    if isinstance(train, dict):
        changes["train"] = {"steps": 0} | train_options(layout) | train
    return {"encoding": encoding(layout)} | entry | changes


def found(written: str, folder: Path) -> Path:
    """A path of weights as seen from the working directory.

    What lies beside the experiment file comes first, what lies beside the shipped experiments last.
    """
    places = (folder / written, Path(written), shipped.FOLDER / written)
    return next(filter(Path.is_file, places), Path(written))
