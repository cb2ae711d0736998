"""What a stage works with and in: the store, the resources, and whom it tells how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rpe2d_bench.config import Resources
from rpe2d_bench.store import Store


@dataclass
class Surroundings:
    """What a stage works with and in; nothing of it may change a result."""

    store: Store
    resources: Resources = field(default_factory=lambda: Resources())
    say: Callable[[str], None] = lambda _: None
    progress: Callable[[str, str, int, int, dict[str, Any]], None] | None = None  # stage, key, done, total, facts
