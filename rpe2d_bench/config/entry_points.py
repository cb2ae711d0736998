"""A table by name: what this package defines, and what other installed packages add without a line of it edited.

An entry point group such as `rpe2d_bench.samplers` names modules; each holds a literal dict, name -> entry, called like
the table (SAMPLERS). They are imported when a name is first looked up, so a table costs nothing until then. What cannot
be used is left out with one sentence in the log, and does not disturb those who do not use it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, distribution, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from rpe2d_bench.errors import UserError, unknown

LOG = logging.getLogger(__name__)
OWN = "rpe2d-bench"  # the distribution
T = TypeVar("T")


class Table(Mapping[str, T], Generic[T]):
    """A read-only mapping name -> entry; an unknown name is a UserError with a suggestion.

    group: of entry points. attribute: the dict in their modules. kind: what an entry is called in messages.
    own: entries of this package. complaint: what is wrong with an entry of another package, or None.
    shared: whether the group has further tables, so that a module need not have this one.
    """

    def __init__(
        self,
        group: str,
        attribute: str,
        kind: str,
        own: Mapping[str, T],
        complaint: Callable[[Any], str | None] = lambda entry: None,
        *,
        shared: bool = False,
    ) -> None:
        self.group, self.attribute, self.kind = group, attribute, kind
        self._own, self._complaint, self._shared = own, complaint, shared

    @property
    def left_out(self) -> list[str]:
        """A sentence on everything of other packages that cannot be used; the log has them, too."""
        return self._merged[2]

    @property
    def refused(self) -> Mapping[str, str]:
        """Name that is left out -> why."""
        return self._merged[1]

    @cached_property
    def _merged(self) -> tuple[dict[str, T], dict[str, str], list[str]]:
        """Entries, why each name that was left out was, and sentences on all that was."""
        entries, refused = dict(self._own), {}
        owner = dict.fromkeys(entries, "rpe2d_bench")
        found, broken = modules(self.group)
        left_out = list(broken)
        for source, module in found.items():
            if not self._shared and not hasattr(module, self.attribute):
                left_out.append(f"{source} of {self.group}: it has no table {self.attribute}")
                LOG.warning("left out: %s", left_out[-1])
            for name, entry in getattr(module, self.attribute, {}).items():
                if name in owner:
                    entries.pop(name, None)
                    problem = f"is defined by both {owner[name]} and {source}; rename it in {source}"
                elif wrong := self._complaint(entry):
                    problem = f"of {source} cannot be used: {wrong}"
                else:
                    entries[name], owner[name] = entry, source
                    continue
                refused[name] = f"{self.kind} {name!r} {problem}"
                left_out.append(refused[name])
                LOG.warning("left out: %s", refused[name])
        return entries, refused, left_out

    def __getitem__(self, name: str) -> T:
        entries, refused, _ = self._merged
        if name in entries:
            return entries[name]
        if name in refused:
            raise UserError(refused[name])
        _require_installed(self.kind, str(name))
        raise unknown(self.kind, str(name), entries)

    def __contains__(self, name: object) -> bool:
        return name in self._merged[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._merged[0])

    def __len__(self) -> int:
        return len(self._merged[0])


def no_options(*methods: str) -> Callable[[Any], str | None]:
    """The complaint about an entry that is no frozen dataclass, whose fields are options, with these methods."""

    def complaint(entry: Any) -> str | None:
        frozen = isinstance(entry, type) and is_dataclass(entry) and entry.__dataclass_params__.frozen  # type: ignore[attr-defined]
        fits = frozen and all(hasattr(entry, method) for method in methods)
        named = f"the method{'s' * (len(methods) > 1)} {', '.join(methods)}"
        return None if fits else f"it is no frozen dataclass with {named}; its fields are its options"

    return complaint


@cache
def modules(group: str) -> tuple[dict[str, ModuleType], tuple[str, ...]]:
    """The modules under an entry point group, by their import name, and a sentence on each that cannot be imported.

    Once per process: a module is imported, and complained of in the log, once however many tables it has.
    """
    found, broken = {}, []
    for point in sorted(entry_points(group=group), key=lambda point: point.name):
        try:
            found[point.value] = point.load()
        except Exception as error:  # whatever a stranger's module does when it is imported
            why = " ".join(str(error).split())
            broken.append(f"entry point {point.name!r} of {group}: cannot import {point.value!r}: {why}")
            LOG.warning("left out: %s", broken[-1])
            continue
        if point.dist is not None and point.dist.name == OWN:
            _require_own(found[point.value])
    return found, tuple(broken)


def _require_installed(kind: str, name: str) -> None:
    """Raises UserError where this package is on Python's path without being installed: it has no entry points then."""
    try:
        distribution(OWN)
    except PackageNotFoundError:
        folder = Path(__file__).parents[2]
        raise UserError(
            f"unknown {kind} {name!r}: {OWN} is read from {folder} without being installed, so what entry points add,"
            f" the rivals in baselines too, is missing; pip install --no-deps {folder}"
        ) from None


def _require_own(module: ModuleType) -> None:
    """Raises UserError where another package stands under the name of one that lies beside this package."""
    beside = Path(__file__).parents[2]
    file = getattr(module, "__file__", None)
    if file is None or Path(file).parents[1].resolve() != beside.resolve():
        found = file or next(iter(module.__path__))
        raise UserError(
            f"the package {module.__name__!r} of {OWN} is hidden by {found}, which comes first on Python's path; start "
            "from another folder, or rename that one"
        )
