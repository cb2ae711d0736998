"""Mean and covariance of Inception's features in a file, as ADM's reference batches hold them: `mu` and `sigma`.

Published FIDs are distances from such statistics of a whole training set, not from a sample's images.
Shape suffix: D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np

from rpe2d_bench.errors import UserError
from rpe2d_bench.storage.files import sha256_of_unchanged

if TYPE_CHECKING:
    from rpe2d_bench.metrics.observations import Observations
    from rpe2d_bench.metrics.scoring import Measurement

DAMAGED = (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, BadZipFile, ZlibError)
NET = "inception-adm"  # whose features the statistics are of


@dataclass(frozen=True)
class StatisticsFile:
    """An .npz that holds `mu` [D] and `sigma` [D, D], whatever else it holds."""

    path: str

    @property
    def digest(self) -> str:
        return sha256_of_unchanged(Path(self.path))

    def moments(self, width: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance. Raises UserError for a file that is missing, lacks them or holds other shapes.

        width: features that there should be, if known.
        """
        try:
            with np.load(self.path, allow_pickle=False) as held:
                lacking = [name for name in ("mu", "sigma") if name not in held]
                if lacking:
                    raise UserError(
                        f"{self.path} holds {', '.join(held) or 'nothing'} and lacks {' and '.join(lacking)}; give an "
                        ".npz with the mean mu and the covariance sigma of Inception's features"
                    )
                mean, covariance = held["mu"], held["sigma"]
        except FileNotFoundError:
            raise UserError(f"{self.path} does not exist; give an .npz with mu and sigma") from None
        except (*DAMAGED, AttributeError, TypeError) as error:  # the last two: a bare array instead of an archive
            if isinstance(error, UserError):
                raise
            raise UserError(f"the statistics of {self.path} cannot be read ({error}); fetch the file again") from error
        wanted = mean.shape if width is None else (width,)
        if mean.ndim != 1 or mean.shape != wanted or covariance.shape != wanted * 2 or mean.dtype.kind != "f":
            length = "a mean" if width is None else f"a mean of {width} features"
            raise UserError(
                f"mu and sigma of {self.path} are {mean.dtype} {mean.shape} and {covariance.shape}; expected {length} "
                "and the covariance that belongs to it"
            )
        return mean, covariance


def against(measured: Measurement, samples: Observations, statistics: StatisticsFile) -> Measurement:
    """The measurement with its FID taken from the statistics; everything else stays."""
    from rpe2d_bench.metrics import fd
    from rpe2d_bench.metrics.table import value_name

    name, (mean_D, covariance_DD) = value_name("fd", samples.net, samples.judge), statistics.moments()
    ours = fd.fit(samples.views["whole"].features_ND)
    value = fd.distance(ours, fd.from_moments(mean_D, covariance_DD, 0))
    notes = {
        **measured.details["notes"],
        name: f"{samples.count} images against mu and sigma of {Path(statistics.path).name}",
    }
    return replace(measured, values=measured.values | {name: value}, details=measured.details | {"notes": notes})


def check_use(net: str, metrics: Sequence[str]) -> None:
    """Raises UserError where an experiment's metrics would not look at the statistics."""
    if net != NET or not {"fid_adm", "fd"} & set(metrics):
        raise UserError(
            f"statistics are of Inception's features behind ADM's resize and serve fid_adm alone: write features: "
            f"{NET} and list fid_adm in metrics, or leave them out"
        )
