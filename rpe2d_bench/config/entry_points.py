"""A table by name: what this package defines, and what other installed packages add without a line of it edited.

An entry point group such as `rpe2d_bench.samplers` names modules; each holds a literal dict, name -> entry, called like
the table (SAMPLERS). They are imported when a name is first looked up, so a table costs nothing until then. What cannot
be used is left out with one sentence in the log, and does not disturb those who do not use it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, Generic, TypeVar

from rpe2d_bench.errors import UserError, unknown

LOG = logging.getLogger(__name__)
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

    @cached_property
    def _merged(self) -> tuple[dict[str, T], dict[str, str]]:
        """Entries, and why each name that was left out was."""
        entries, refused = dict(self._own), {}
        owner = dict.fromkeys(entries, "rpe2d_bench")
        for source, module in modules(self.group).items():
            if not self._shared and not hasattr(module, self.attribute):
                LOG.warning("left out: %s of %s: it has no table %s", source, self.group, self.attribute)
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
                LOG.warning("left out: %s", refused[name])
        return entries, refused

    def __getitem__(self, name: str) -> T:
        entries, refused = self._merged
        if name in entries:
            return entries[name]
        raise UserError(refused[name]) if name in refused else unknown(self.kind, str(name), entries)

    def __contains__(self, name: object) -> bool:
        return name in self._merged[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._merged[0])

    def __len__(self) -> int:
        return len(self._merged[0])


@cache
def modules(group: str) -> dict[str, ModuleType]:
    """The modules under an entry point group, by their import name; one that cannot be imported is logged and left out.

    Once per process: a module is imported, and complained of, once however many tables it has.
    """
    found = {}
    for point in sorted(entry_points(group=group), key=lambda point: point.name):
        try:
            found[point.value] = point.load()
        except Exception as error:  # whatever a stranger's module does when it is imported
            why = " ".join(str(error).split())
            LOG.warning("left out: entry point %r of %s: cannot import %r: %s", point.name, group, point.value, why)
    return found
