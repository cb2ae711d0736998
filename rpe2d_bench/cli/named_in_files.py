"""What methods and models of the shipped experiments are, for `show`: entries that no table has, such as `upscaled`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from rpe2d_bench.config import shipped, yaml_file

Entry = dict[str, Any]
TRAINING = {  # in listings -> what it costs
    "training-free": "its images alone, on any model that was trained without it",
    "trained": "a training per seed and train resolution, and its images",
}


@dataclass(frozen=True)
class Use:
    """An entry as a file has it; a method with its model."""

    file: str
    section: str
    name: str
    entry: Entry
    model: Entry
    resolution: tuple[Any, Any]  # trained at and the largest tested, as written, pixels
    patch: int  # pixels of a token's side

    @property
    def what(self) -> str:
        """In one sentence."""
        changed = {part: value for part, value in self.entry.items() if part not in ("model", "upscale")}
        if self.section == "models":
            return "a model that is trained, for methods to be compared on"
        if self.entry.get("upscale"):
            return "images generated at the train resolution, then resized: the control that every method has to beat"
        if changed:
            kinds = ", ".join(f"{part} {value.get('kind', '') if isinstance(value, dict) else value}".strip()
                              for part, value in changed.items())  # fmt: skip
            return f"the model {self.entry['model']}, sampled with {kinds}"
        if self.trained:
            return f"the model {self.entry['model']}, sampled as it was trained"
        return "trained positions continued past the train grid, nothing else"

    @property
    def trained(self) -> bool:
        """Whether it needs a model of its own: another encoding than a plain one, other images or another start."""
        plain = {"kind": "axial_rope", "theta": self.model["encoding"].get("theta")}
        own = self.model["encoding"].items() > plain.items() or self.model["encoding"].get("kind") != "axial_rope"
        return self.section == "models" or own or not self.model.keys() <= {"encoding", "checkpoint", "train", "model"}

    @property
    def encoding(self) -> Entry:
        """What is realised at inference, as a file would write it."""
        from rpe2d_bench.encodings import replaced

        parts = ("positions", "frequencies", "logit_scale", "bias")
        return replaced(self.model["encoding"], {part: self.entry[part] for part in parts if part in self.entry})

    @property
    def grids(self) -> tuple[str, str]:
        """The largest grid that it is sampled at and the train grid, tokens."""
        train, test = (
            "x".join(str(side // self.patch) for side in (size if isinstance(size, list) else (size, size)))
            for size in self.resolution
        )
        return (train if self.entry.get("upscale") else test), train

    @property
    def facts(self) -> dict[str, str]:
        """What `show` prints of it."""
        training = "trained" if self.trained else "training-free"
        cost = "images of the train resolution" if self.entry.get("upscale") else TRAINING[training]
        facts = {"write": f"{self.section}: {{{self.name}: {_flow(self.entry)}}}"}
        if self.section == "methods":
            facts["on the model"] = f"{self.entry['model']}: {_flow(self.model)}"
        return facts | {"training": training, "costs": cost}


@cache
def uses() -> tuple[Use, ...]:
    """Every method and model of the shipped experiments."""
    return tuple(use for name in shipped.names() for use in _of(name))


def _of(name: str) -> Iterator[Use]:
    data = yaml_file.read(shipped.find(Path(name))).data
    pair = data["resolutions"][-1]
    largest = max(pair["test"], key=lambda size: max(size) if isinstance(size, list) else size)
    train = pair["train"] if isinstance(pair["train"], int | list) else largest
    patch = int(str(data["model"]["preset"]).rpartition("/")[2]) * (8 if "autoencoder" in data else 1)
    for section in ("methods", "models"):
        for entry_name, entry in data[section].items():
            model = data["models"][entry["model"]] if section == "methods" else entry
            if "encoding" in model:  # weights and pipelines from outside bring theirs
                yield Use(name, section, entry_name, entry, model, (train, largest), patch)


def explained(name: str) -> Iterator[tuple[Use, dict[str, str]]]:
    """The entries of a name, methods first, each as most files have it, and what to print of it."""
    for section in ("methods", "models"):
        found = [use for use in uses() if (use.section, use.name) == (section, name)]
        ways = {use.file: (use.entry, use.model["encoding"]) for use in found}
        for use in sorted(found, key=lambda use: -list(ways.values()).count(ways[use.file]))[:1]:
            same = [file for file in ways if ways[file] == ways[use.file]]
            other = [file for file in ways if file not in same]
            facts = use.facts | {"in": ", ".join(same)} | ({"otherwise in": ", ".join(other)} if other else {})
            yield use, facts


def _flow(entry: Entry) -> str:
    return str(yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, width=10_000)).strip()
