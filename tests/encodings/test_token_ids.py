"""The grid of an image from its token ids: offsets, steps, directions, reference images; or a refusal."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rpe2d_bench.encodings import Grid
from rpe2d_bench.encodings.adapters.token_ids import image_of
from rpe2d_bench.errors import UserError

ZEROS = torch.zeros(3, 3, dtype=torch.float64)
DIAGONAL = torch.cat((torch.zeros(7, 1), torch.arange(7.0)[:, None].expand(-1, 2)), 1).double()


def raster(height: int, width: int, index: int = 0, first: tuple[float, float] = (0, 0), step: float = 1.0) -> Tensor:
    ids = torch.full((height, width, 3), float(index), dtype=torch.float64)
    ids[..., 1] = first[0] + step * torch.arange(height)[:, None]
    ids[..., 2] = first[1] + step * torch.arange(width)
    return ids.flatten(0, 1)


IMAGE = raster(8, 6)
SEQUENCES = {
    "an image": (IMAGE,),
    "behind text": (raster(8, 6, 1, (7, 7)),),
    "in half steps": (raster(8, 6, step=0.5),),
    "in odd steps": (IMAGE * torch.tensor([1, 0.7, 0.3]) + 0.25,),
    "before the corner": (raster(8, 6, 0, (-4, -3)),),
    "rows from below": (IMAGE.unflatten(0, (8, 6)).flip(0).flatten(0, 1),),
    "columns from the right": (IMAGE.unflatten(0, (8, 6)).flip(1).flatten(0, 1),),
    "a larger reference": (IMAGE, raster(16, 16, 1)),
    "two references": (IMAGE, raster(8, 6, 1), raster(4, 4, 2)),
    "a reference beside it": (IMAGE, raster(8, 6, 0, (0, 6))),
    "a reference on the other side": (IMAGE, raster(8, 6, 0, (0, -6))),
    "a reference across the corner": (IMAGE, raster(8, 6, 0, (8, 6))),
}


@pytest.mark.parametrize("text", [ZEROS, DIAGONAL], ids=["text at zero", "text along the diagonal"])
@pytest.mark.parametrize("known", [True, False], ids=["text known", "text unknown"])
@pytest.mark.parametrize("name", list(SEQUENCES))
def test_the_grid_is_how_many_tokens_there_are(name: str, known: bool, text: Tensor) -> None:
    found = image_of(torch.cat((text, *SEQUENCES[name])), len(text) if known else None)
    assert (found.start, found.grid) == (len(text), Grid(8, 6))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 6), (6, 1), (2, 2)])
def test_narrow_images(height: int, width: int) -> None:
    assert image_of(torch.cat((ZEROS, raster(height, width))), 3).grid == Grid(height, width)


def test_places_are_counted_from_the_smallest_id() -> None:
    found = image_of(SEQUENCES["rows from below"][0] * 0.5 + 3, 0)
    assert (found.rows.first, found.rows.step) == (3, 0.5)
    assert found.rows.places(torch.tensor([6.5, 3.0, 2.0])).tolist() == [7, 0, -2]


@pytest.mark.parametrize(
    "ids",
    [
        IMAGE[torch.randperm(48, generator=torch.Generator().manual_seed(0))],
        IMAGE.unflatten(0, (8, 6)).transpose(0, 1).flatten(0, 1),
        IMAGE**2,
        raster(4, 300).bfloat16().double(),
        raster(8, 6)[:-1],
        IMAGE[:, [0, 1, 1]],
    ],
    ids=["in no order", "column by column", "uneven", "bfloat16 past 256", "a token short", "one axis twice"],
)
def test_what_is_no_raster_is_refused(ids: Tensor) -> None:
    with pytest.raises(UserError, match="no row-major raster"):
        image_of(torch.cat((ZEROS, ids)), 3)


def test_a_reference_that_continues_the_rows_needs_the_grid() -> None:
    ids = torch.cat((ZEROS, IMAGE, raster(8, 6, 0, (8, 0))))
    assert image_of(ids, 3).grid == Grid(16, 6)
    assert image_of(ids, 3, Grid(8, 6)).grid == Grid(8, 6)
    with pytest.raises(UserError, match="fewer than a grid of 99x6"):
        image_of(ids, 3, Grid(99, 6))
    with pytest.raises(UserError, match="no row-major raster"):
        image_of(ids, 3, Grid(6, 8))
