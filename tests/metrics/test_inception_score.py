import numpy as np
import pytest
import torch

from rpe2d_bench.metrics import inception_score as module
from rpe2d_bench.metrics.inception_score import inception_score
from rpe2d_bench.metrics.nets.torchvision_import import import_torchvision

SURE = 80.0  # a logit that makes a class certain in float64


def test_certain_and_evenly_spread_classes_give_their_number() -> None:
    logits = SURE * np.eye(8)[np.arange(400) % 8]
    assert inception_score(logits) == (pytest.approx(8.0), 1)
    assert inception_score(logits[:200] * 0) == (pytest.approx(1.0), 1)  # no opinion
    assert inception_score(SURE * np.eye(8)[np.zeros(50, int)]) == (pytest.approx(1.0), 1)  # one class only
    assert inception_score(logits + 1e4)[0] == pytest.approx(8.0)  # logits have no zero


def test_two_classes_in_closed_form() -> None:
    p = 0.9  # half of the images p for one class, half for the other: ln 2 minus the binary entropy
    logits = np.log(np.array([[p, 1 - p], [1 - p, p]]))[np.arange(100) % 2]
    expected = np.exp(np.log(2) + p * np.log(p) + (1 - p) * np.log(1 - p))
    assert inception_score(logits)[0] == pytest.approx(expected)


def test_torch_fidelity_agrees_on_one_block() -> None:
    import_torchvision()
    isc = pytest.importorskip("torch_fidelity.metric_isc")
    logits = np.random.default_rng(0).normal(size=(600, 40)).astype(np.float32) * 3
    theirs = isc.isc_features_to_metric(torch.from_numpy(logits), splits=1)["inception_score_mean"]
    assert inception_score(logits)[0] == pytest.approx(theirs, rel=1e-9)


def test_blocks_are_equal_and_shuffled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 100)
    logits = SURE * np.eye(4)[np.arange(400) // 100]  # sorted by class: in order, each block would score 1
    value, blocks = inception_score(logits)
    assert blocks == 4
    assert 3.8 < value <= 4.0
    assert inception_score(logits[:149])[1] == 1
    assert inception_score(logits, seed=1)[0] != value
