"""Which tokens of a Flux-like sequence are the image that is made, on which grid, from their ids alone.

Ids are (index, row, column). Pipelines start them at 0 or behind the text, space them by 1 or by less, add reference
images with another index or beside the image, and some models give text diagonal ids. So the largest id says nothing;
the runs of tokens that form a raster do.

Shape suffixes: S tokens of the sequence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rpe2d_bench.encodings.interface import Grid
from rpe2d_bench.errors import UserError

STRAY = 1e-3  # of a step: what rounding may add


@dataclass(frozen=True)
class Axis:
    """Evenly spaced ids of one axis: first + step k, step > 0."""

    first: float
    step: float
    count: int

    def places(self, ids_S: Tensor) -> Tensor:
        """[S] k of each id, float64; below 0 or from count on for tokens beside the image."""
        return (ids_S - self.first) / self.step


@dataclass(frozen=True)
class Raster:
    """One image in the sequence: its tokens, and where its rows and columns are."""

    start: int
    rows: Axis
    columns: Axis

    @property
    def grid(self) -> Grid:
        return Grid(self.rows.count, self.columns.count)

    @property
    def tokens(self) -> int:
        return self.rows.count * self.columns.count


def image_of(ids_S3: Tensor, text: int | None = None, grid: Grid | None = None) -> Raster:
    """The image that is made: the first raster after the text; what follows it are reference images.

    ids_S3: on the CPU, float64. text: how many tokens come before; None: those before the first raster of more than
    one token. grid: the image's, where its ids do not tell, because a reference image continues its rows.
    Raises UserError where the ids are no row-major rasters of evenly spaced rows and columns.
    """
    if grid is not None:
        return _stated(ids_S3, text or 0, grid)
    return _after_text(ids_S3) if text is None else _first(ids_S3, list(_rasters(ids_S3, text)))


def _after_text(ids_S3: Tensor) -> Raster:
    """The image behind text of unknown length: equal ids, or single ones along a diagonal.

    The image may begin with the id that its text has, so both ends are tried and the larger image is it.
    """
    equal = 1 + _leading((ids_S3[1:] == ids_S3[:1]).all(dim=1))
    images = []
    for start in (equal - 1, equal) if equal > 1 else (0,):
        found = list(_rasters(ids_S3, start))
        while len(found) > 1 and found[0].tokens == 1:
            found.pop(0)
        try:
            images.append(_first(ids_S3, found))
        except UserError as error:
            refused = error
    if not images:
        raise refused
    return max(images, key=lambda image: image.tokens)


def _first(ids_S3: Tensor, found: list[Raster]) -> Raster:
    """The first of the rasters; raises UserError where they are no images."""
    if not found:
        raise UserError("there are no image tokens; give img_ids")
    if any(raster.tokens == 1 for raster in found) and len(found) > 1:
        raise _no_raster()
    first = found[0]
    index = float(ids_S3[first.start, 0])
    same = [raster for raster in found if float(ids_S3[raster.start, 0]) == index]
    if len(same) > 1 and any(min(raster.grid.height, raster.grid.width) == 1 for raster in same):
        raise _no_raster()  # columns of a raster in another order look like images one token wide
    return first


def _no_raster() -> UserError:
    return UserError(
        "the token ids of the image are no row-major raster of evenly spaced rows and columns, so its grid is unknown; "
        "give img_ids as the pipeline makes them (in float32: bfloat16 cannot count past 256)"
    )


def _stated(ids_S3: Tensor, start: int, grid: Grid) -> Raster:
    """The raster of a grid that the caller knows."""
    if start + grid.tokens > len(ids_S3):
        raise UserError(f"the sequence has {len(ids_S3) - start} image tokens, fewer than a grid of {grid}")
    places_YX3 = ids_S3[start : start + grid.tokens].unflatten(0, (grid.height, grid.width))
    rows, columns = places_YX3[:, 0, 1], places_YX3[0, :, 2]
    if not (_close(places_YX3[..., 1], rows[:, None]) and _close(places_YX3[..., 2], columns[None])):
        raise _no_raster()
    return Raster(start, _axis(rows), _axis(columns))


def _rasters(ids_S3: Tensor, start: int) -> Iterator[Raster]:
    """The sequence from `start` on, cut into the largest rasters, one after the other."""
    while start < len(ids_S3):
        width = _run(ids_S3[start:])
        height = _lines(ids_S3[start:], width)
        end = start + height * width
        yield Raster(start, _axis(ids_S3[start:end:width, 1]), _axis(ids_S3[start : start + width, 2]))
        start = end


def _run(ids_S3: Tensor) -> int:
    """Tokens from the first on that go along one row by equal steps."""
    step_S3 = ids_S3.diff(dim=0)
    if not len(step_S3) or float(step_S3[0, 2]) == 0:
        return 1
    first = step_S3[0, 2]
    goes_on_S = ((step_S3[:, 2] - first).abs() <= STRAY * first.abs()) & (step_S3[:, :2] == 0).all(dim=1)
    return 1 + _leading(goes_on_S)


def _lines(ids_S3: Tensor, width: int) -> int:
    """Rows of that width from the first on: the same columns each, one row below the other by equal steps."""
    rows_Y3 = ids_S3[: len(ids_S3) // width * width].unflatten(0, (-1, width))
    step_Y = rows_Y3[:, 0, 1].diff()
    if not len(step_Y) or float(step_Y[0]) == 0:
        return 1
    same_YX = (rows_Y3[..., 0] == rows_Y3[:1, :, 0]) & ((rows_Y3[..., 2] - rows_Y3[:1, :, 2]).abs() <= STRAY)
    same_YX &= (rows_Y3[..., 1] - rows_Y3[:, :1, 1]).abs() <= STRAY
    return 1 + _leading(same_YX.all(dim=1)[1:] & ((step_Y - step_Y[0]).abs() <= STRAY * step_Y[0].abs()))


def _leading(true_N: Tensor) -> int:
    """How many are true before the first that is not."""
    broken = (~true_N).nonzero()
    return int(broken[0]) if len(broken) else len(true_N)


def _axis(ids_N: Tensor) -> Axis:
    """Evenly spaced ids, in either direction; raises UserError where they are not."""
    ordered = ids_N.sort().values
    count = len(ordered)
    step = float(ordered[-1] - ordered[0]) / (count - 1) if count > 1 else 1.0
    even_N = ordered[0] + step * torch.arange(count, dtype=ordered.dtype)
    if step <= 0 or not _close(ordered, even_N, STRAY * step):
        raise _no_raster()
    return Axis(float(ordered[0]), step, count)


def _close(a: Tensor, b: Tensor, stray: float = STRAY) -> bool:
    """Whether no number is further from its partner."""
    return bool(((a - b).abs() <= stray).all())
