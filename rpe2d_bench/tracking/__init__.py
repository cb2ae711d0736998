"""Records and curves -> MLflow, as a view that can be rebuilt at any time. The only importer of mlflow.

One writer logs a run; importing this package imports no mlflow.
"""

from __future__ import annotations

from rpe2d_bench.tracking.background import BackgroundTracker
from rpe2d_bench.tracking.connection import DATABASE, default_uri, set_aside
from rpe2d_bench.tracking.tracker import Tracker, sync
from rpe2d_bench.tracking.ui import ENVIRONMENT, serve_ui, ui_address, ui_command

__all__ = [
    "DATABASE",
    "ENVIRONMENT",
    "BackgroundTracker",
    "Tracker",
    "default_uri",
    "serve_ui",
    "set_aside",
    "sync",
    "ui_address",
    "ui_command",
]
