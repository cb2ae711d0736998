"""Records against what their stages hold: a report shows what can be vouched for, and says what can't."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from rpe2d_bench.storage.records import Record
from rpe2d_bench.storage.store import Store

READ = ("curve", "samples", "observations", "reference_observations")  # artifacts that reports look into


def verified(records: Iterable[Record], store: Store, say: Callable[[str], None]) -> list[Record]:
    """The records as a report may use them. Nothing is written but copies of a store that is elsewhere.

    Numbers that are not those of a record's finished stage, whose checksums match, are replaced by the stage's; files
    that are damaged are left out. Both are said. What is no longer in the store is the record's word alone.
    """
    records = list(records)
    named = (getattr(record.artifacts, name) for record in records for name in READ)
    store.bring(path for path in named if path is not None)
    damage: dict[str, str | None] = {}
    absent: dict[str, set[str]] = {}
    found = []
    for record in records:
        record = _as_its_stage(record, store, say)
        left_out: dict[str, None] = {}
        for name in READ:
            path = getattr(record.artifacts, name)
            if path is None:
                continue
            if not (store.root / path).is_file():
                absent.setdefault(name.removeprefix("reference_"), set()).add(path)
                continue
            if path not in damage:
                damage[path] = store.damage_of(store.root / path)
                if damage[path]:
                    say(f"{path}: {damage[path]}; the report leaves it out until `run` makes it again")
            if damage[path]:
                left_out[name] = None
        found.append(record.model_copy(update={"artifacts": record.artifacts.model_copy(update=left_out)}))
    if absent and (store.root / "stages").is_dir():  # published records come without any
        counts = ", ".join(f"{name} of {len(paths)} stages" for name, paths in sorted(absent.items()))
        say(f"not in the store: {counts}; the report shows what is there")
    return found


def _as_its_stage(record: Record, store: Store, say: Callable[[str], None]) -> Record:
    stage = record.stage if record.stage in ("train", "denoise") else "measure"
    file = store.folder(stage, record.key) / "result.json"
    if record.status != "ok" or not file.is_file() or store.damage_of(file) is not None:
        return record
    values: dict[str, Any] = json.loads(file.read_bytes())["values"]
    if changed := [name for name in {**values, **record.metrics} if values.get(name) != record.metrics.get(name)]:
        who = f"{record.subject}, seed {record.seed}"
        say(f"record of {who}: {', '.join(changed)} is not what its stage holds; the stage's is shown")
        return Record.model_validate(dict(record) | {"metrics": values})
    return record
