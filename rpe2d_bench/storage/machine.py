"""What decides how fast this process computes, as one short name, and numbers kept under it.

A host's name is not it: a container moves, and one machine computes at several speeds, depending on how many threads a
worker has and on which instructions the libraries may use.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from rpe2d_bench.storage.files import locked, write_json
from rpe2d_bench.storage.store import content_key

# Read by torch, oneDNN, MKL and OpenBLAS when they choose their kernels
CAPABILITY = (
    "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE", "MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE", "MKL_CBWR", "OPENBLAS_CORETYPE",
)  # fmt: skip
FILE = "machine.json"  # of a store


def machine(threads: int, device: str = "cpu") -> str:
    """Name of what computes here: processor or GPU, settings of instructions, threads, version of torch."""
    import torch

    gpu = gpu_name() if device == "cuda" and torch.cuda.is_available() else ""
    settings = {name: os.environ[name] for name in CAPABILITY if name in os.environ}
    matters = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "settings": settings,
        "threads": threads,
        "device": device,
        "gpu": gpu,
        "torch": torch.__version__,
    }
    return content_key("machine", 1, matters)[:16]


def gpu_name() -> str:
    """Of the CUDA device that is used."""
    import torch

    return torch.cuda.get_device_name()


@cache
def _processor() -> str:
    """Its model, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    facts = dict(line.split(":", 1) for line in lines if ":" in line)  # of the last core
    shown = {name.strip(): value.strip() for name, value in facts.items()}
    names = ("model name", "cpu family", "model", "stepping", "Hardware", "CPU part")
    return " ".join([platform.machine(), *(shown[name] for name in names if name in shown)])


class Kept:
    """Numbers by machine and name, in a small file of a store; in memory without one, or where it can't be written.

    Two processes that write at once leave the numbers of one of them; the other's are measured again some day. What
    decides content keys is measured inside `alone`, so that processes that share a store decide alike.
    """

    def __init__(self, root: Path | None, name: str) -> None:
        """name: the machine's, from `machine`."""
        self._file = None if root is None else root / FILE
        self._name = name
        self._numbers: dict[str, Any] = self._read().get(name, {})

    def get(self, what: str) -> Any:
        """What was kept, or None."""
        return self._numbers.get(what)

    def keep(self, what: str, value: Any) -> None:
        """Keep a value that JSON can hold."""
        self._numbers[what] = value
        if self._file is None:
            return
        everything = self._read()
        self._numbers = {**everything.get(self._name, {}), **self._numbers}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._file, {**everything, self._name: self._numbers})
        except OSError:
            self._file = None  # a store that can't be written is the runner's complaint

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While this is open no other process is inside; what others kept before is known."""
        with ExitStack() as held:
            with suppress(OSError):  # a store that can't be written, or a file system without locks
                if self._file is not None:
                    held.enter_context(locked(self._file.with_suffix(".lock")))
                    self._numbers = {**self._numbers, **self._read().get(self._name, {})}
            yield

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._file.read_text()) if self._file else {}
        except (OSError, ValueError):
            return {}
        whole = isinstance(found, Mapping) and all(isinstance(numbers, Mapping) for numbers in found.values())
        return dict(found) if whole else {}
