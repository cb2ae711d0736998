"""Latents that were encoded before: those of a data set's images, as MAR's cache_latents writes them.

Of CLASS/ID.ext the file CLASS/ID.ext.npz (github.com/LTH14/mar@e0cccf8, engine_mar.py, cache_latents): `moments`, float
[2 L, y, x], mean and logarithm of the variance of an AutoencoderKL's posterior, neither shifted nor scaled, and
`moments_flip`, those of the mirrored image. In a folder, a zip or tars.

Shape suffixes: B batch, S stored channels (L, or mean and deviation), y x cells.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from rpe2d_bench.autoencoders.interface import Autoencoder, LatentSpace
from rpe2d_bench.data.image_folder.containers import open_files, present
from rpe2d_bench.data.image_folder.files import Files
from rpe2d_bench.errors import UserError

VERSION = 1
ENDING = ".npz"
LOG_VARIANCE = (-30.0, 20.0)  # as diffusers' DiagonalGaussianDistribution clips it


@dataclass(frozen=True)
class ReadyLatentsOptions:
    """Options of `autoencoder: {kind: ready_latents, path: LATENTS, of: {kind: diffusers, ...}, scale: NUMBER}`."""

    path: str  # of CLASS/ID.ext.npz with `moments`, and `moments_flip` for data.flip: a folder, a zip or tars
    of: dict[str, Any] = field(hash=False)  # the autoencoder that made them; it decodes samples and encodes crops
    scale: float  # of (mean - shift), so that latents have about unit variance; as the autoencoder's own
    shift: float = 0.0

    def check(self) -> None:
        """Raises UserError for latents that are not there, and for an autoencoder that cannot work."""
        from rpe2d_bench import autoencoders

        if isinstance(autoencoders.validate(self.of), ReadyLatentsOptions):
            raise UserError("autoencoder.of is the autoencoder that made the latents, not ready_latents again")
        if self.scale <= 0:
            raise UserError(f"autoencoder.scale must be above 0, not {self.scale}")
        if not present(Path(self.path)):
            raise UserError(
                f"autoencoder.path: {self.path} does not exist; give the folder, zip or tars of the latents"
            )

    def describe(self) -> LatentSpace:
        space = self._made_by()
        if not space.present:
            return replace(space, options=self)
        about = f"ready-v{VERSION}-{_digest(self.path)} {self.scale} {self.shift} {space.revision}"
        digest = hashlib.sha256(about.encode()).hexdigest()[:16]
        return replace(space, options=self, revision=f"ready_latents-v{VERSION}-{digest}", ready=self)

    def load(self, device: str) -> Autoencoder:
        from rpe2d_bench import autoencoders

        return autoencoders.load(self._made_by(), device)

    def latents(self, names: Sequence[str], mirrored: np.ndarray) -> np.ndarray:
        """float16 [B, S, y, x] of image files, as encode gives them. UserError where one has none that fits."""
        space, files = self._made_by(), _files(self.path)
        found, held = [], _held(self.path)
        for name, content, flip in zip(
            names, files.read([_of(n, held, self.path) for n in names]), mirrored, strict=True
        ):
            key, where = "moments_flip" if flip else "moments", f"autoencoder.path: {name}{ENDING} in {self.path}"
            try:
                with np.load(io.BytesIO(content)) as arrays:
                    if key not in arrays:
                        hint = "; write data.flip: false" if flip else ""
                        raise UserError(f"{where} has no {key} but {', '.join(arrays)}{hint}")
                    moments = arrays[key].astype(np.float32)
            except (OSError, ValueError, EOFError, BadZipFile) as error:
                raise UserError(f"{where} cannot be read ({error}); write it again") from None
            if moments.ndim != 3 or len(moments) != 2 * space.channels or not np.isfinite(moments).all():
                raise UserError(
                    f"{where} holds {key} {moments.shape}; expected [{2 * space.channels}, y, x], finite: mean and "
                    "logarithm of the variance"
                )
            mean, log_variance = np.split(moments, 2)
            parts = [(mean - self.shift) * self.scale]
            if space.sampled:
                parts.append(np.exp(np.clip(log_variance, *LOG_VARIANCE) / 2) * self.scale)
            found.append(np.concatenate(parts).astype(np.float16))
        if len({one.shape for one in found}) > 1:
            raise UserError(
                f"autoencoder.path: {self.path} holds latents of several sizes; give those of one resolution"
            )
        return np.stack(found)

    def _made_by(self) -> LatentSpace:
        from rpe2d_bench import autoencoders

        return autoencoders.describe(autoencoders.validate(self.of))


@lru_cache(maxsize=2)
def _files(path: str) -> Files:
    return open_files(Path(path))


@lru_cache(maxsize=2)
def _held(path: str) -> frozenset[str]:
    return frozenset(name for name in _files(path).entries().files if name.endswith(ENDING))


@lru_cache(maxsize=2)
def _digest(path: str) -> str:
    """Of names and contents, once a process: those of a folder are all read for it."""
    names = sorted(_held(path))
    if not names:
        raise UserError(f"autoencoder.path: {path} has no latents CLASS/ID.ext{ENDING}")
    digest = hashlib.sha256()
    for name, checksum in zip(names, _files(path).checksums(names), strict=True):
        digest.update(f"{name} {checksum:08x}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def _of(name: str, held: frozenset[str], path: str) -> str:
    """The latents of an image; folders above its class may be missing, as where a train folder was encoded alone."""
    parts = name.split("/")
    for start in range(len(parts)):
        if (found := "/".join(parts[start:]) + ENDING) in held:
            return found
    raise UserError(f"autoencoder.path: {path} has no latents of {name}; encode it, too, or leave the image out")
