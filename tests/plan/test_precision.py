"""`precision: auto`: what a measurement decides, what the store decides before it, what the file decides before both.

Timings are made up here: no number of this machine decides a test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rpe2d_bench.plan import speed
from rpe2d_bench.plan.expand import Plan, make_plan
from rpe2d_bench.plan.precision import Precisions, faster
from rpe2d_bench.plan.precision_notes import Choice, notes, warnings
from rpe2d_bench.plan.speed import compare_blocks  # the real one, before it is replaced for tests
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.stages import MeasureStage, SampleStage
from rpe2d_bench.storage.files import write_json
from rpe2d_bench.storage.machine import Kept, machine
from rpe2d_bench.storage.store import Store

AUTO = ("train.precision=auto", "evaluate.sampler.precision=auto")


class Machine:
    """A machine on which bfloat16 is some times as fast as float32; counts what it is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ratio, self.asked = 1.0, 0
        monkeypatch.setattr(speed, "compare_blocks", self._compare)

    def _compare(self, *arguments: Any) -> speed.Comparison:
        self.asked += 1
        return speed.Comparison(self.ratio, 1.0, 1)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def planned(file: Path, store: Path, *overrides: str) -> Plan:
    experiment = load_experiment(file, overrides)
    return make_plan(experiment, overrides, Precisions(Store(store), experiment.resources))


def trained_in(plan: Plan) -> list[str]:
    return [trial.stage.recipe.precision for trial in plan.trials]


def sampled_in(plan: Plan) -> list[str]:
    samples = [cell.measure.generated for trial in plan.trials for cell in trial.cells]
    return [stage.sampler.precision for stage in samples if isinstance(stage, SampleStage)]


@pytest.mark.parametrize(
    ("ratio", "chosen"), [(0.03, "float32"), (1.0, "float32"), (1.19, "float32"), (1.2, "bf16"), (2.5, "bf16")]
)
def test_bfloat16_is_chosen_from_a_fifth_faster(
    tiny: Path, tmp_path: Path, fake: Machine, ratio: float, chosen: str
) -> None:
    assert faster(ratio) == chosen
    fake.ratio = ratio
    plan = planned(tiny, tmp_path / "runs", *AUTO)
    assert set(trained_in(plan)) == set(sampled_in(plan)) == {chosen}
    written = planned(tiny, tmp_path / "other", f"train.precision={chosen}", f"evaluate.sampler.precision={chosen}")
    assert [stage.key for stage in plan.measures()] == [stage.key for stage in written.measures()]
    assert plan.run == written.run
    assert plan.experiment == written.experiment  # what is recorded says outright what was computed


def test_a_shape_is_measured_once_by_machine(tiny: Path, tmp_path: Path, fake: Machine) -> None:
    fake.ratio = 2.0
    first = planned(tiny, tmp_path / "runs", *AUTO)
    asked, fake.ratio = fake.asked, 0.1
    assert asked == 2  # a training, a sampling
    assert planned(tiny, tmp_path / "runs", *AUTO).run == first.run
    assert fake.asked == asked
    others = planned(tiny, tmp_path / "runs", *AUTO, "resources.cpus_per_trial=2")
    assert set(trained_in(others)) == {"float32"}  # workers of two threads are another machine
    assert fake.asked == 2 * asked


@pytest.mark.parametrize("there", ["finished", "begun"])
@pytest.mark.parametrize(("ratio", "precision"), [(5.0, "float32"), (0.1, "bf16")])
def test_a_training_of_the_store_is_taken_as_it_is(
    tiny: Path, tmp_path: Path, fake: Machine, ratio: float, precision: str, there: str
) -> None:
    store, fake.ratio = Store(tmp_path / "runs"), ratio
    other = planned(tiny, tmp_path / "elsewhere", *AUTO, f"train.precision={precision}")
    key = other.trials[0].stage.key
    if there == "finished":
        store.make("train", key, lambda partial: write_json(partial / "result.json", {}))
    else:
        store.partial("train", key).mkdir(parents=True)
        (store.partial("train", key) / "checkpoint.pt").touch()
    plan = planned(tiny, store.root, *AUTO)
    assert trained_in(plan) == [precision, faster(ratio)]
    assert plan.trials[0].stage.key == key
    # its samples: of the training as it is, in what this machine is fast at
    samples = [cell.measure.generated for cell in plan.trials[0].cells]
    assert {stage.train.key for stage in samples if isinstance(stage, SampleStage)} == {key}
    assert set(sampled_in(plan)) == {faster(ratio)}


def test_a_finished_training_comes_before_one_that_is_begun(tiny: Path, tmp_path: Path, fake: Machine) -> None:
    store, fake.ratio = Store(tmp_path / "runs"), 5.0
    keys = {p: planned(tiny, tmp_path / p, f"train.precision={p}").trials[0].stage.key for p in ("float32", "bf16")}
    store.partial("train", keys["bf16"]).mkdir(parents=True)
    (store.partial("train", keys["bf16"]) / "checkpoint.pt").touch()
    store.make("train", keys["float32"], lambda partial: write_json(partial / "result.json", {}))
    assert planned(tiny, store.root, *AUTO).trials[0].stage.key == keys["float32"]


@pytest.mark.parametrize("there", ["measured", "sampled", "begun"])
def test_samples_of_the_store_are_taken_as_they_are(tiny: Path, tmp_path: Path, fake: Machine, there: str) -> None:
    store, fake.ratio = Store(tmp_path / "runs"), 0.1
    old = planned(tiny, tmp_path / "elsewhere", "evaluate.sampler.precision=bf16").trials[0].cells[0].measure
    if there == "measured":  # its samples were deleted to save room
        store.make("measure", old.key, lambda partial: write_json(partial / "result.json", {}))
    elif there == "sampled":
        store.make("sample", old.generated.key, lambda partial: write_json(partial / "result.json", {}))
    else:
        write = store.partial("sample", old.generated.key)
        write.mkdir(parents=True)
        (write / "under_way.json").write_text("[4, 0.1]")
    plan = planned(tiny, store.root, "evaluate.sampler.precision=auto")
    found: list[MeasureStage] = [cell.measure for trial in plan.trials for cell in trial.cells]
    assert found[0].key == old.key
    assert {stage.generated.sampler.precision for stage in found[1:] if stage.key != old.key} == {"float32"}  # type: ignore[union-attr]


def test_what_is_written_wins_and_is_measured_only_where_it_may_be_slow(
    tiny: Path, tmp_path: Path, fake: Machine
) -> None:
    fake.ratio = 1 / 31
    assert set(trained_in(planned(tiny, tmp_path / "a"))) == {"float32"}
    assert fake.asked == 0
    plan = planned(tiny, tmp_path / "a", "train.precision=bf16", "evaluate.sampler.precision=auto")
    assert set(trained_in(plan)) == {"bf16"}
    assert set(sampled_in(plan)) == {"float32"}
    assert warnings(plan.choices) == ["training: bfloat16 is 31 times as slow as float32 here"]


def test_entries_that_differ_say_so(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def compared(shape: speed.Shape, *_: Any) -> speed.Comparison:
        return speed.Comparison(3.0 if shape.options.width > 64 else 0.5, 1.0, 1)

    monkeypatch.setattr(speed, "compare_blocks", compared)
    plan = planned(tiny, tmp_path / "runs", *AUTO, "models.rpe2d.model={preset: DiT-Mini/4}")
    assert trained_in(plan) == ["float32", "bf16"]
    assert plan.experiment.train_of("rope").precision == "float32"
    assert plan.experiment.train_of("rpe2d").precision == "bf16"
    assert plan.experiment.sampler_of("ntk").precision == "float32"
    assert plan.experiment.sampler_of("rpe2d").precision == "bf16"
    assert len(notes(plan.choices)) == 4


def test_where_the_device_is_not_here_nothing_is_measured(
    tiny: Path, tmp_path: Path, fake: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "present", lambda device: False)
    for device, expected in (("cuda", "bf16"), ("mps", "float32")):
        plan = planned(tiny, tmp_path / device, *AUTO, f"resources.device={device}")
        assert set(trained_in(plan)) == {expected}
    assert fake.asked == 0


@pytest.mark.parametrize("ratio", [1e-6, 0.009, 0.1, 0.84, 1.1, 1.2, 9.96, 1234.5])
@pytest.mark.parametrize("reason", ["measured", "written", "store", "assumed"])
def test_notes_fit_eighty_columns(monkeypatch: pytest.MonkeyPatch, ratio: float, reason: Any) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    choices = [
        Choice(work, name, precision, ratio * factor, reason)  # type: ignore[arg-type]
        for work in ("training", "sampling")
        for name in ("DiT-Mini/16", "DiT-XL/16")
        for precision in ("float32", "bf16")
        for factor in (1.0, 1.7)
    ]
    lines = notes(choices) + warnings(choices)
    assert max(map(len, lines)) <= 80 - 16
    assert ("whole cluster" in " ".join(lines)) == (reason == "measured")


def test_a_comparison_grows_until_it_is_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def compare(seconds: dict[str, float], batch: int = 64, limit: float = 2.0) -> speed.Comparison:
        """Calls that take these seconds for an image."""
        now[0] = 0.0

        def make(precision: str, rows: float) -> Any:
            def work() -> None:
                now[0] += seconds[precision] * rows

            return work

        return speed.compare(make, batch, limit, 1.0, lambda: now[0])

    monkeypatch.setattr(speed.time, "perf_counter", lambda: now[0])
    fast = compare({"float32": 1e-3, "bf16": 4e-4})
    assert fast.ratio == pytest.approx(2.5)
    assert fast.rows >= 16  # near one on few images says little
    slow = compare({"float32": 1e-3, "bf16": 0.05})
    assert slow.ratio == pytest.approx(1 / 50)
    assert slow.rows == 1
    assert now[0] < 2.0
    assert compare({"float32": 0.4, "bf16": 20.0}).ratio == pytest.approx(1 / 50)
    assert now[0] < 62  # two calls of the slow one and one for each that follows it


def test_numbers_are_kept_by_machine_and_a_broken_file_is_no_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Kept(tmp_path, "one").keep("a", 1.0)
    Kept(tmp_path, "two").keep("a", 2.0)
    assert (Kept(tmp_path, "one").get("a"), Kept(tmp_path, "two").get("a")) == (1.0, 2.0)
    (tmp_path / "machine.json").write_text('{"one": ')
    kept = Kept(tmp_path, "one")
    assert kept.get("a") is None
    kept.keep("b", 3.0)
    assert Kept(tmp_path, "one").get("b") == 3.0
    before = machine(1)
    assert machine(2) != before
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    assert machine(1) != before


def test_the_real_measurement_answers() -> None:
    """Whatever this machine is: both arithmetics take some time, and it ends."""
    from rpe2d_bench.models import preset

    for training in (True, False):
        shape = speed.Shape(preset("DiT-Nano/4"), 16, 1, 4, training)
        found = compare_blocks(shape, "cpu", 1)
        assert found.float32 > 0
        assert found.bf16 > 0
