"""Quality control: what is missing, failed, diverged or undertrained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean

from rpe2d_bench.analysis.refusals import unlearned
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.statistics import SEEDS_FOR_A_CLAIM
from rpe2d_bench.analysis.vocabulary import size_label
from rpe2d_bench.resolution import Size
from rpe2d_bench.storage.records import Record

# A model counts as undertrained when, at its train resolution, its excess over the floor is more than this multiple of
# the reference method's (unless a test that has the power does not separate the two), its validation loss is more than
# this multiple of the reference model's, or its samples are recognised, or lie among real ones, this much less often.
# "Has not reached the baselines' quality" needs some number; these are choices, not results.
UNDERTRAINED_EXCESS = 1.5
UNDERTRAINED_LOSS = 1.05
UNDERTRAINED_SHARES = {"accuracy": 0.05, "precision": 0.10}
LOSS = ("path", "prediction", "time_mean", "time_std", "at")  # what changes what a loss means, the resolution included
MEMORIZED = 3.0  # standard errors above one half that count as memorization


@dataclass(frozen=True)
class Finding:
    """One thing a reader must know before believing a number."""

    kind: str  # missing, failed, diverged, not ranked, undertrained, weights, provenance, memorization, few seeds
    what: str
    why: str


def undertrained(results: Results) -> dict[tuple[str, Size], str]:
    """Models that have not reached the reference method's quality at their train resolution, and why we say so."""
    behind = {(m, train): _behind(results, m, train) for train in results.resolutions for m in results.models}
    return {where: why for where, why in behind.items() if why is not None}


def _behind(results: Results, model: str, train: Size) -> str | None:
    main, reference = results.main_metric, results.reference
    methods = [name for name, spec in results.methods.items() if spec.model == model]
    if _trained_elsewhere(results, model, train):
        return None
    if (why := unlearned(results, methods, train)) is not None:
        return why
    if main is None or reference is None or results.methods[reference].model == model:
        return None
    ours = results.means(methods, train, train, main)
    theirs = results.estimate(reference, train, train, main)
    if ours and theirs and main.better == "lower":
        floor = results.real.floor(train, train, main)
        base = floor.mean if floor else 0.0
        best = min(ours, key=lambda name: ours[name])
        ours_excess, reference_excess = ours[best] - base, theirs.mean - base
        gap = results.difference(best, reference, train, train, main)
        acquitted = gap is not None and not gap.separated and (gap.basis == "samples" or gap.n >= SEEDS_FOR_A_CLAIM)
        if not acquitted and ours_excess > UNDERTRAINED_EXCESS * max(reference_excess, 0.0):
            return (
                f"at {size_label(train)} px its {main.label} is {ours_excess:.3g} above the floor,"
                f" {reference}'s is {reference_excess:.3g} (limit: {UNDERTRAINED_EXCESS:g} times that)"
            )
    if (why := _loss_behind(results, model, train)) is not None:
        return why
    for metric in results.metrics:
        kind = metric.name
        if kind not in UNDERTRAINED_SHARES:
            continue
        seen = results.means(methods, train, train, metric).values()
        aim = results.estimate(reference, train, train, metric)
        if seen and aim and max(seen) < aim.mean - UNDERTRAINED_SHARES[kind] * metric.factor:
            what = "its samples are recognised in" if kind == "accuracy" else f"its {kind} is"
            return f"at {size_label(train)} px {what} {max(seen):.1f} %, {reference}'s {aim.mean:.1f} %"
    return None


def _trained_elsewhere(results: Results, model: str, train: Size) -> bool:
    """Whether a model is an oracle: trained at a size of its own, so that the pair's train resolution is new to it."""
    entry = results.experiment.models.get(model)
    return entry is not None and entry.resolution is not None and entry.resolution != train


def _loss_behind(results: Results, model: str, train: Size) -> str | None:
    """Whether the validation loss is behind the reference model's, where both mean the same loss."""
    rival = results.methods[str(results.reference)].model
    entries = [results.experiment.models.get(name) for name in (model, rival)]
    recipes = [{**entry.train, "at": entry.resolution} if entry else {} for entry in entries]
    ours, theirs = (
        [
            record.metrics["validation_loss"]
            for record in results.find("train", model=name, train_resolution=train, status="ok")
            if "validation_loss" in record.metrics
        ]
        for name in (model, rival)
    )
    if not ours or not theirs or any(recipes[0].get(name) != recipes[1].get(name) for name in LOSS):
        return None
    if fmean(ours) <= UNDERTRAINED_LOSS * fmean(theirs):
        return None
    return (
        f"at {size_label(train)} px its validation loss is {fmean(ours):.4f}, {rival}'s {fmean(theirs):.4f}"
        f" (limit: {UNDERTRAINED_LOSS:g} times that)"
    )


def findings(results: Results) -> list[Finding]:
    """Everything that limits what the numbers can say, worst first."""
    found = [*_failed(results), *_diverged(results), *_missing(results)]
    for why in dict.fromkeys(results.refusals.values()):
        found.append(Finding("not ranked", "no winner is named", why))
    for (model, _), why in results.undertrained.items():
        found.append(Finding("undertrained", f"model {model}", f"{why}; its other numbers are inconclusive"))
    found += [*_weights(results), *_memorization(results), *_provenance(results)]
    if len(results.seeds) == 1:
        found.append(Finding("few seeds", "one seed", "no spread, no interval: differences may be luck"))
    return found


def _weights(results: Results) -> list[Finding]:
    """Weights from files whose recipe is unknown, or is not what they are used under."""
    text = {}
    for record in results.find("train", status="ok"):
        if record.training and record.training.weights and (remark := record.training.weights.remark):
            text[record.model, remark] = Finding("weights", f"model {record.model}", remark)
    return list(text.values())


def checks(results: Results) -> list[tuple[str, str]]:
    """What was looked at, also where nothing was found."""
    states = [results.state(method, *pair) for pair in results.pairs for method in results.methods]
    floors = sum(bool(results.real.found(*pair)) for pair in results.pairs)
    shares = [value for _, value, _ in _memorized(results)]
    memorized = "not measured; write evaluate.metrics: [..., memorization]"
    if shares:
        memorized = f"{100 * min(shares):.0f} to {100 * max(shares):.0f} % of a cell's images are nearer to a"
        memorized += " training image than to an unseen one; 50 % without memorization"
    return [
        ("cells", f"{states.count('ok')} of {len(states)} complete, {len(results.seeds)} seeds asked for"),
        ("failed", str(len(_failed(results)))),
        ("not finite", str(len(_diverged(results)))),
        ("floors", f"{floors} of {len(results.pairs)} test resolutions"),
        ("undertrained", f"{len(results.undertrained)} of {len(results.models)} models"),
        ("memorization", memorized),
    ]


def _memorized(results: Results) -> list[tuple[Record, float, float]]:
    """(record, share of images nearer to training images, its standard error without memorization)."""
    names = [metric.key for metric in results.metrics if metric.name == "memorization"]
    return [
        (record, record.metrics[name], 0.5 / math.sqrt(record.num_samples or 1))
        for record in results.find("measure", status="ok")
        for name in names
        if name in record.metrics and math.isfinite(record.metrics[name])
    ]


def _memorization(results: Results) -> list[Finding]:
    return [
        Finding("memorization", describe_record(record), f"{100 * value:.0f} % of its images are nearer to a training"
                f" image than to an unseen one; 50 ± {100 * error:.0f} % without memorization")
        for record, value, error in _memorized(results)
        if value > 0.5 + MEMORIZED * error
    ]  # fmt: skip


def _failed(results: Results) -> list[Finding]:
    return [
        Finding("failed", describe_record(record), record.error or "no reason recorded")
        for record in results.records
        if record.status == "failed"
    ]


def describe_record(record: Record) -> str:
    """'yarn 32 -> 48 px, seed 0'."""
    name = record.method or (f"training of {record.model}" if record.model else record.stage)
    size = " → ".join(size_label(r) for r in (record.train_resolution, record.test_resolution) if r)
    return f"{name} {size} px, seed {record.seed}"


def _diverged(results: Results) -> list[Finding]:
    found = []
    for record in results.records:
        bad = [name for name, value in record.metrics.items() if not math.isfinite(value)]
        if bad and record.status == "ok":
            found.append(Finding("diverged", describe_record(record), f"not finite: {', '.join(bad)}"))
    return found


def _missing(results: Results) -> list[Finding]:
    found = []
    for train, tests in results.resolutions.items():
        for method in results.methods:
            absent: dict[str, list[str]] = {}
            for test in tests:
                seeds = set(results.seeds) - {record.seed for record in results.cell(method, train, test)}
                if seeds:
                    absent.setdefault(", ".join(map(str, sorted(seeds))), []).append(size_label(test))
            for seeds_text, sizes in absent.items():
                what = f"{method} {size_label(train)} → {', '.join(sizes)} px, seed {seeds_text}"
                found.append(Finding("missing", what, "asked for, not in the records"))
    return found


def _provenance(results: Results) -> list[Finding]:
    found = []
    commits = {record.provenance.commit for record in results.records}
    if len(commits) > 1:
        names = ", ".join(sorted((commit or "unknown")[:10] for commit in commits))
        found.append(Finding("provenance", f"{len(commits)} commits", f"records come from different code: {names}"))
    if unknown := sum(not record.provenance.commit for record in results.records):
        found.append(
            Finding("provenance", "unknown commit", f"of {unknown} records nobody can say which code made them")
        )
    if any(record.provenance.dirty for record in results.records):
        found.append(Finding("provenance", "uncommitted changes", "code or experiments differed from their commit"))
    for train, test in results.pairs:
        if not results.real.found(train, test):
            found.append(Finding("missing", f"floor at {size_label(test)} px", "no real-against-real measurement"))
    return found
