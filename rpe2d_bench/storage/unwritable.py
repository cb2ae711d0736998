"""What cannot be written, as one sentence."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rpe2d_bench.errors import UserError


class Unwritable(UserError):
    """The store cannot be written: nothing that is still to do can be done, and nothing finished is lost."""


@contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """Turns what a full, limited or read-only disk raises into one sentence: Unwritable."""
    try:
        yield
    except (UserError, KeyboardInterrupt, SystemExit):
        raise
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else _errno_in(str(error))
        if number is None:
            raise
        named = getattr(error, "filename", None)
        if isinstance(named, str) and not Path(named).absolute().is_relative_to(root):  # such as an image of the user's
            raise UserError(f"{named}: {os.strerror(number)}") from error
        raise Unwritable(
            f"the store {root} cannot be written ({os.strerror(number)}); free space or choose another with "
            "--store DIR, then run the same command again: nothing finished is lost"
        ) from error


def _errno_in(message: str) -> int | None:
    """The number in what safetensors' writer raises, which is no OSError."""
    found = re.search(r"\(os error (\d+)\)", message)
    return int(found[1]) if found else None
