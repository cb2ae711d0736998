"""As sitecustomize.py: workers of Ray stop after a note of a stage under way, while $GATES has a file of its key."""

import importlib.abc
import importlib.util
import os
import sys
import time
from pathlib import Path

GATES = Path(os.environ["GATES"])
HOOKS = {"rpe2d_bench.storage.digests": "write_with_digest", "rpe2d_bench.storage.files": "write_json"}


def gated(write):
    def after(path, *arguments, **options):
        written = write(path, *arguments, **options)
        gate = GATES / Path(path).parent.name.partition(".")[0]
        if Path(path).name in ("checkpoint.pt", "under_way.json") and gate.exists():
            with open(f"{gate}.held", "a") as file:
                file.write(f"{os.getpid()}\n")
            while gate.exists():
                time.sleep(0.02)
        return written

    return after


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name not in HOOKS:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        sys.meta_path.insert(0, self)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            setattr(module, HOOKS[name], gated(getattr(module, HOOKS[name])))

        spec.loader.exec_module = exec_module
        return spec


if "default_worker.py" in sys.argv[0]:
    sys.meta_path.insert(0, Finder())
