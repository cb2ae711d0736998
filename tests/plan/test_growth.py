"""A plan grows with its methods and sizes, not with its seeds times these."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rpe2d_bench.plan import expand
from rpe2d_bench.plan.cost import parameters
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.stages.denoiser import fresh_denoiser, without_values


def test_seeds_share_what_an_encoding_realises(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rpe2d_bench import encodings

    evaluated: list[object] = []
    digest = encodings.realised_digest

    def counted(*asked: object) -> str:
        evaluated.append(asked)
        return digest(*asked)  # type: ignore[arg-type]

    monkeypatch.setattr(encodings, "realised_digest", counted)
    counts, keys = [], []
    for seeds in ("[0]", "[0, 1, 2, 3]"):
        expand._digest.cache_clear()
        evaluated.clear()
        plan = expand.make_plan(load_experiment(tiny, (f"seeds={seeds}",)))
        counts.append(len(evaluated))
        keys.append([cell.measure.key for trial in plan.trials for cell in trial.cells if trial.seed == 0])
    assert counts[0] == counts[1] > 0
    assert keys[0] == keys[1]


COMPILER = """
import sys
from pathlib import Path
from rpe2d_bench.plan import expand
from rpe2d_bench.plan.cost import parameters
from rpe2d_bench.resolve.load import load_experiment

for trial in expand.make_plan(load_experiment(Path(sys.argv[1]))).trials:
    parameters(trial.stage)
sys.exit("torch._dynamo" in sys.modules)
"""


def test_weights_are_counted_without_making_them_and_without_the_compiler(tiny: Path) -> None:
    for trial in expand.make_plan(load_experiment(tiny)).trials:
        assert parameters(trial.stage) == sum(p.numel() for p in fresh_denoiser(trial.stage).parameters())
        with without_values():
            assert {p.device.type for p in fresh_denoiser(trial.stage).parameters()} == {"meta"}
    # importing it takes as long as importing torch
    assert subprocess.run([sys.executable, "-c", COMPILER, str(tiny)], check=False).returncode == 0
