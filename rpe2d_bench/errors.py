"""What a user did that cannot work: one clear sentence, shown without a traceback, exit code 2."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Bad input: the message says what is wrong, where, and what to write instead."""


class OptionError(UserError):
    """A wrong option; place says where below the part that was read, such as ("frequencies", "theta")."""

    def __init__(self, message: str, place: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.place = place


def suggestion(name: str, choices: Iterable[str]) -> str:
    """' (did you mean X?)' when a choice is close to the name, else an empty string."""
    close = get_close_matches(name, list(choices), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


def hint(name: str, choices: Iterable[str], known: str) -> str:
    """The close choice if there is one, and the whole list otherwise: '; KNOWN: A, B'."""
    choices = list(choices)
    return suggestion(name, choices) or f"; {known}: {', '.join(choices)}"


def unknown(kind: str, name: str, choices: Iterable[str]) -> UserError:
    """An unknown name, with a hint."""
    return UserError(f"unknown {kind} {name!r}{hint(name, sorted(choices), 'known')}")
