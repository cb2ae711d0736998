"""Lets ``import torchvision`` work where a CUDA build of torchvision meets a CPU build of torch.

There the import ends in "operator torchvision::nms does not exist", because the compiled operators cannot load.
Declaring the two operators that torchvision registers fake kernels for is enough: nothing here ever calls them.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

_declared: list[object] = []  # torch forgets a Library's operators as soon as nobody holds it
_NMS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def import_torchvision() -> ModuleType:
    """The torchvision package; on a healthy installation exactly ``import torchvision``."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    import torch

    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]  # what the failed import left behind
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(operator + _NMS)
    _declared.append(library)
    return importlib.import_module("torchvision")
