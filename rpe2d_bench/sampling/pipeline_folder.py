"""A diffusers folder on disk: what it is, before any of its weights are read and without running anything of it."""

from __future__ import annotations

import hashlib
import importlib
import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from rpe2d_bench.encodings.adapters.families import Family, family_of
from rpe2d_bench.encodings.adapters.rules import Rules, Spectrum
from rpe2d_bench.encodings.interface import Grid
from rpe2d_bench.errors import UserError
from rpe2d_bench.resolution import Resolution

INDEX = "model_index.json"
KEPT = (".safetensors", ".json", ".model", ".txt")  # weights, configurations and vocabularies
LIBRARIES = ("diffusers", "transformers", None)


@dataclass(frozen=True)
class PipelineFolder:
    """A pipeline that diffusers can load. Raises UserError where the folder is none, by `of`."""

    path: str
    pipeline: str  # name of its class
    transformer: str  # name of its transformer's class
    files: tuple[tuple[str, int, int], ...]  # name, bytes and time of change: a changed folder is another folder

    @classmethod
    def of(cls, path: str) -> PipelineFolder:
        """Of a folder that save_pretrained wrote."""
        folder = Path(path)
        if not (folder / INDEX).is_file():
            what = "does not exist" if not folder.exists() else f"has no {INDEX}"
            raise UserError(f"pipeline {path} {what}; give a folder that a diffusers pipeline was saved to")
        index = index_of(path)
        name, parts = index.get("_class_name"), {k: v for k, v in index.items() if isinstance(v, list)}
        foreign = [f"its part {part!r}" for part, (library, *_) in parts.items() if library not in LIBRARIES]
        if foreign or not isinstance(name, str):
            what = foreign[0] if foreign else "its class"
            raise UserError(
                f"pipeline {path}: {what} is code of the folder's own, which is never run; only parts of diffusers and "
                "transformers are loaded"
            )
        if "transformer" not in parts:
            raise UserError(
                f"pipeline {path} ({name}) has no transformer, so there are no positions to change; give the pipeline "
                "of an image transformer"
            )
        kept = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.suffix in KEPT]
        if not any(file.match("transformer/*.safetensors") for file in kept):
            raise UserError(
                f"pipeline {path}: transformer/ holds no .safetensors file, and pickled weights are never read; "
                "save it with safe_serialization=True"
            )
        files = tuple((str(f.relative_to(folder)), f.stat().st_size, f.stat().st_mtime_ns) for f in kept)
        return cls(path, name, str(parts["transformer"][1]), files)

    @cached_property
    def digest(self) -> str:
        """sha256 over names and contents of weights, configurations and vocabularies."""
        return _digest(self)

    @cached_property
    def config(self) -> dict[str, Any]:
        """Of the transformer."""
        return _json(Path(self.path) / "transformer" / "config.json")

    @cached_property
    def empty(self) -> Any:
        """The transformer without numbers, on torch's meta device."""
        import torch

        cls = getattr(diffusers(), self.transformer, None)
        if cls is None:
            raise UserError(f"pipeline {self.path}: this diffusers has no {self.transformer}; install a newer one")
        with torch.device("meta"):
            return cls.from_config(self.config)

    @cached_property
    def family(self) -> Family:
        """How rules get into its transformer; raises UserError where they can't."""
        return family_of(self.empty)

    @cached_property
    def spectrum(self) -> Spectrum:
        return self.family.spectrum(self.empty)

    @cached_property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.empty.parameters())

    @property
    def heads(self) -> int:
        """Of attention; 1 where the configuration does not say."""
        return int(self.config.get("num_attention_heads") or self.config.get("n_heads") or 1)

    @property
    def depth(self) -> int:
        """Blocks, of all kinds."""
        names = ("num_layers", "num_single_layers", "n_layers", "num_refiner_layers", "n_refiner_layers")
        return sum(int(self.config.get(name) or 0) for name in names) or 1

    @cached_property
    def pixels_per_token(self) -> int:
        """Of a side: the autoencoder's downsampling times the patch; Flux-like pipelines pack 2 x 2 latents."""
        vae = _json(Path(self.path) / "vae" / "config.json")
        blocks = vae.get("block_out_channels") or vae.get("dim_mult") or [1]
        latent = (
            2 ** (len(blocks) - 1) if "dim_mult" not in vae else 2 ** len(vae.get("temperal_downsample", blocks[1:]))
        )
        patch = self.config.get("patch_size") or (self.config.get("all_patch_size") or [1])[0]
        packed = self.transformer.startswith(("Flux", "Chroma", "LongCat", "Ovis", "Bria"))
        return int(latent * (2 if packed else patch))

    @property
    def trained(self) -> Resolution | None:
        """The resolution that its configuration tells, if any."""
        side = self.config.get("sample_size")
        if not side:
            return None
        patch = self.config.get("patch_size") or 1
        return Resolution(side // patch * self.pixels_per_token, side // patch * self.pixels_per_token)

    def grid(self, resolution: Resolution) -> Grid:
        """Tokens of an image."""
        return Grid(*resolution.tokens(self.pixels_per_token))

    def realised(self, rules: Rules | None, grid: Grid, ts: tuple[float, ...]) -> str:
        """What stands for the numbers that the transformer sees: 'own' where rules change nothing."""
        if rules is None or not self.family.changes(self.empty, rules, grid, ts):
            return "own"
        return rules.digest(grid, self.spectrum, ts)


def inspect_pipeline(path: str, grid: Grid | None = None) -> list[tuple[str, str]]:
    """What a person asks of a folder: (what, answer), for `rpe2d-bench inspect`. Raises UserError for no pipeline."""
    folder = PipelineFolder.of(path)
    trained = folder.trained
    px = folder.pixels_per_token
    rows = [
        ("pipeline", f"{folder.pipeline}, transformer {folder.transformer}"),
        ("weights", f"{folder.parameters:,} parameters of the transformer, digest {folder.digest[:8]}"),
        ("tokens", f"{px} x {px} px each"),
        ("trained on", "not written in the folder; say it in resolutions: {train: ...}" if trained is None
         else f"{trained} px, {folder.grid(trained)} tokens"),
    ]  # fmt: skip
    try:
        family, seen = folder.family, folder.spectrum
    except UserError as error:
        return [*rows, ("positions", str(error)), ("methods", "none of frequencies, positions and logit_scale")]
    how = "added to the patches (sin-cos)" if family.adds else "rotate queries and keys"
    own = "interpolation: every size in the trained range" if family.squeezes else "extrapolation"
    scale = "; no logit_scale, which has no place" if family.adds else ", logit_scale"
    rows += [
        (
            "positions",
            f"{how}; base {seen.theta:g}, {seen.pairs[0]} + {seen.pairs[1]} channel pairs for rows + columns",
        ),
        ("own rule", own),
        ("methods", f"positions, frequencies{scale}"),
    ]
    if grid is not None:
        pixels = Resolution(grid.height * px, grid.width * px)
        rows.append((str(grid), f"{pixels} px, {_beside(grid, trained and folder.grid(trained), family)}"))
    return rows


def _beside(grid: Grid, trained: Grid | None, family: Family) -> str:
    """Where a grid lies relative to the trained one."""
    if trained is None:
        return "the trained grid is not known"
    if grid.height <= trained.height and grid.width <= trained.width:
        return f"inside the trained {trained}"
    return f"{'interpolated' if family.squeezes else 'extrapolated'} from the trained {trained} by the model's own rule"


def index_of(path: str) -> dict[str, Any]:
    """model_index.json: parts of the pipeline and their classes."""
    return _json(Path(path) / INDEX)


@lru_cache(maxsize=16)
def _digest(folder: PipelineFolder) -> str:
    whole = hashlib.sha256()
    for name, size, _ in folder.files:
        whole.update(f"{name}\0{size}\0".encode())
        with (Path(folder.path) / name).open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise UserError(f"{file} holds no mapping")
    return found


def diffusers() -> Any:
    """The package; raises UserError where it is not installed."""
    from rpe2d_bench.metrics.nets.torchvision_import import import_torchvision

    try:
        import_torchvision()  # which diffusers imports, too
        return importlib.import_module("diffusers")
    except ImportError as error:
        raise UserError(
            f"a pipeline needs the packages diffusers and transformers ({error}); install them: "
            "pip install 'rpe2d-bench[pipelines]'"
        ) from None
