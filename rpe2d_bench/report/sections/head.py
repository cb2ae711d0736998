"""The head: question, answer in one sentence, who is better at which size at what cost, the figure, some samples.

The same on the page, in report.md, in the terminal and in MLflow's description; where nothing may be concluded it says
so and names no winner.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from rpe2d_bench.analysis.judgement import judge, judged_by
from rpe2d_bench.analysis.quality import findings
from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.statistics import BASES, SEEDS_FOR_A_CLAIM
from rpe2d_bench.analysis.vocabulary import Quantity, side, size_label
from rpe2d_bench.config.header import question_of
from rpe2d_bench.report.chosen_images import IMAGES, classifier_of, rows_of
from rpe2d_bench.report.content import Block, Content, Text
from rpe2d_bench.report.drawing import Drawing
from rpe2d_bench.report.figures import files_of
from rpe2d_bench.report.image_grid import image_grid
from rpe2d_bench.report.images import Strips
from rpe2d_bench.report.sections.cost import milliseconds, training_flops
from rpe2d_bench.report.sections.results import curve
from rpe2d_bench.report.sentence import NO_CLAIM, answer, is_control, join, verdict
from rpe2d_bench.report.table import ABSENT, Cell, Table, count, number
from rpe2d_bench.report.tables import SAME, at, by_size, method_row
from rpe2d_bench.report.templating import data_uri
from rpe2d_bench.resolution import Size

TITLE = "The answer"
SHOWN_AT = 1.5  # scale of the samples and of the time an image
SHOWN = 3  # methods in the strip of samples
NAMED = 3  # undertrained models whose reasons fit here


@dataclass(frozen=True)
class Head:
    """What every surface opens with."""

    question: str | None
    answers: tuple[str, ...]  # one sentence per train resolution
    cautions: tuple[str, ...]
    grids: dict[Size, Table]  # train resolution -> methods x sizes
    details: tuple[str, ...]  # every method against the reference, and what the words rest on

    @property
    def words(self) -> Content:
        """Without images: for the terminal and MLflow."""
        return Content(TITLE, (*self.opening, *self.grids.values()))

    @property
    def opening(self) -> tuple[Block, ...]:
        question = (Text(self.question, "question"),) if self.question else ()
        cautions = (Text(self.cautions, "caution"),) if self.cautions else ()
        return (*question, *(Text(words, "lead") for words in self.answers), *cautions)


def build(results: Results, store: Path) -> Content:
    """The first train resolution in the open, others folded."""
    head, metric = head_of(results), results.main_metric
    blocks: list[Block] = list(head.opening)
    for place, train in enumerate(results.resolutions if metric else ()):
        assert metric is not None
        parts = (head.grids.get(train), curve(results, metric, train), _samples(results, store, train))
        shown = tuple(part for part in parts if part)
        blocks += [Content(f"Trained at {size_label(train)} px", shown)] if place else shown
    if head.details:
        blocks.append(Content("Method by method, and what the words rest on", (Text(head.details),)))
    return Content(TITLE, tuple(blocks), printed=True)


def head_of(results: Results) -> Head:
    """The words and the grids."""
    question, metric = question_of(results.name, results.newest.configuration.written), results.main_metric
    if metric is None:
        trained = len(results.find("train", status="ok"))
        return Head(question, (f"Nothing has been measured yet; {trained} models are trained.",), (), {}, ())
    trains = list(results.resolutions)
    answers = [answer(results, metric, train) for train in trains]
    if len(trains) > 1:
        answers = [f"Trained at {size_label(t)} px: {words}" for t, words in zip(trains, answers, strict=True)]
    grids = {train: grid(results, train) for train in trains} if results.reference else {}
    details = [sentence for train in trains for sentence in _against(results, train)]
    return Head(question, tuple(answers), tuple(_cautions(results)), grids, (*details, *_basis(results, metric)))


def grid(results: Results, train: Size) -> Table:
    """Methods x sizes: how each is judged against the reference; the last column is the cost."""
    reference, tests, shown = str(results.reference), results.resolutions[train], shown_at(results, train)
    rows = []
    for method in results.methods:
        cells = [_verdict_cell(results, method, train, test) for test in tests]
        flops, each = training_flops(results, method, train), milliseconds(results, method, train, shown)
        costs = [f"{count(flops)}FLOP" if flops else "", f"{number(each)} ms" if each else ""]
        cells.append(Cell(", ".join(filter(None, costs)) or ABSENT))
        rows.append(method_row(results, method, train, cells))
    title = f"Against {reference}, judged by {join([each.label for each in judged_by(results)])}"
    if any(cell.text in NO_CLAIM.values() for row in rows for cell in row.cells):
        title += f"; {' and '.join(NO_CLAIM.values())} say something of these trained models alone"
    table = by_size(f"answer_{at(train)}", title, train, tests, rows, [])
    table.columns.append("cost")
    table.subtitles.append(f"to train, an image of {size_label(shown)}")
    return table


def shown_at(results: Results, train: Size) -> Size:
    """The test resolution, not that of training, whose scale is nearest to SHOWN_AT, squares first."""
    tests = results.resolutions[train]
    return min(tests, key=lambda test: (test == train, test[0] != test[1], abs(side(test) / side(train) - SHOWN_AT)))


def _verdict_cell(results: Results, method: str, train: Size, test: Size) -> Cell:
    reference, state = str(results.reference), results.state(method, train, test)
    if state in ("failed", "missing"):
        return Cell(state, state)
    if method == reference:
        return Cell(ABSENT, "quiet")
    if results.coincide(method, reference, train, test):
        return SAME
    if (train, test) in results.refusals:
        return Cell("not ranked", "quiet")
    word = verdict(judge(results, method, reference, train, test))
    quiet = word in ("level", "not separated")
    return Cell(word or ABSENT, "quiet" if quiet else word)


def _against(results: Results, train: Size) -> list[str]:
    """'rpe2d against yarn: mixed at 48 px (1.5×): better in KID-glyphnet, worse in precision; level at 24 px.'"""
    out, several = [], len(judged_by(results)) > 1
    for other in filter(None, (results.reference, results.resizing)):
        for method in results.methods:
            groups: dict[tuple[str, str], list[str]] = {}
            for test in results.resolutions[train] if method != other else ():
                found = judge(results, method, other, train, test)
                if found is not None:
                    why = f" ({found.sentence})" if several else ""
                    groups.setdefault((verdict(found), why), []).append(size_label(test))
            if groups:
                mark = " (undertrained)" if results.is_undertrained(method, train) else ""
                words = "; ".join(f"{word} at {join(sizes)} px{why}" for (word, why), sizes in groups.items())
                out.append(f"{method}{mark} against {other}: {words}.")
    return out


def _basis(results: Results, metric: Quantity) -> list[str]:
    if len(results.seeds) < 2 and not results.comparisons:
        return []
    others = [name for name in (results.reference, results.resizing) if name]
    if not others:
        return []
    return [
        "Better: separated and better in at least one of the metrics above and worse in none; worse: the reverse;"
        " mixed: both. Level: shown to be within a factor of 1.25 in all of them. Separated: at 5 % after Holm's"
        f" correction over each method against {join(others)}, at each size ({BASES[results.basis(metric)]})."
        f" With fewer than {SEEDS_FOR_A_CLAIM} training seeds a method leads or trails, which is about these trained"
        " models and no claim."
    ]


def _cautions(results: Results) -> list[str]:
    """What a reader must know before believing any of it."""
    found = findings(results)
    out = [f"No winner is named: {why}." for why in dict.fromkeys(results.refusals.values())]
    unseen = [why for why in results.worse_than_noise.values() if why not in results.refusals.values()]
    out += [f"Nothing is judged by samples: {why}." for why in dict.fromkeys(unseen)]
    if len(results.seeds) == 1:
        out.append("A first look: one training seed, from which no conclusion can be drawn.")
    behind = [f for f in found if f.kind == "undertrained"]
    if len(behind) > NAMED:
        names = dict.fromkeys(f.what.removeprefix("model ") for f in behind)
        out.append(f"{len(names)} models are undertrained, for which see quality control: {', '.join(names)}. Their"
                   " other numbers are inconclusive.")  # fmt: skip
    else:
        out += [f"{f.what}: undertrained, {f.why}." for f in behind]
    out += [f"{f.what}: {f.why}." for f in found if f.kind == "weights"]
    for kind, words in (("failed", "failed"), ("diverged", "gave numbers that are not finite")):
        if many := sum(f.kind == kind for f in found):
            out.append(f"{many} {'results' if many > 1 else 'result'} {words}; see quality control.")
    states = (results.state(method, *pair) for pair in results.pairs for method in results.methods)
    if absent := sum(state in ("missing", "partial") for state in states):
        out.append(f"{absent} {'cells are' if absent > 1 else 'cell is'} missing or short of seeds: a partial report.")
    return out


def _samples(results: Results, store: Path, train: Size) -> Strips | Drawing | None:
    """One size: real images, the reference, a control, the last encoding; or the figure of a published report."""
    test = shown_at(results, train)
    rows = [row for row in rows_of(results, store, train, [test]) if test in row.strips]
    kept = store / "figures" / f"samples_{at(train)}.png"
    if not rows and kept.is_file():
        words, content = f"Samples of each method, trained at {size_label(train)} px", kept.read_bytes()
        image = Markup('<img class="kept" src="{}" alt="{}">').format(data_uri(content, "image/png"), words)
        return Drawing(kept.stem, "Samples", words, "As this report was published.", image, {"png": content})
    if not rows:
        return None
    encodings = [method for method in results.methods if not is_control(results, method)]
    controls = [method for method in results.methods if is_control(results, method)]
    wanted = [results.reference, *controls[:1], *reversed(encodings)]
    methods = [m for m in dict.fromkeys(wanted) if any(row.method == m for row in rows)][:SHOWN]
    chosen = [row for row in rows if row.method is None or row.method in methods]
    png = files_of(image_grid(chosen, train, [test], IMAGES), ("png",))
    zoom, name = 2 if max(test) <= 36 else 1, f"answer_samples_{at(train)}"
    return Strips(name, train, [test], chosen, png, zoom=zoom, classifier=classifier_of(results))
