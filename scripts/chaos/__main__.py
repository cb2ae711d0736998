"""Disturb a store in every way and count what came of it.

    python -m scripts.chaos                          everything: tens of minutes
    python -m scripts.chaos --quick                  a few of each: about two minutes
    python -m scripts.chaos --file "records.jsonl"   damage to one kind of file only
    python -m scripts.chaos --without checkpoint     with a guard taken out: it has to fail

Prints tried / survived / repeated / refused / differing for each kind of damage and each kind of file. Survived: the
same result, nothing made again. Repeated: the same result, after something was found and made again. Refused: one
sentence and exit code 2 while the disk was full, the same result from the same command afterwards. Differing: another
result, a traceback, another exit code or a hang; then the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TQDM_DISABLE", "1")


def main() -> int:
    """Returns the exit code."""
    asked = _parser().parse_args()
    if asked.quick:
        asked.kills, asked.each, asked.drivers, asked.disks, asked.databases = 8, 0, 1, 2, 0
    from scripts.chaos import campaigns, guards, stores
    from scripts.chaos.damage import FILES
    from scripts.chaos.tally import Tally

    if asked.file not in (None, *FILES):
        sys.exit(f"--file {asked.file}: one of {', '.join(FILES)}")
    rng, tally, began = random.Random(asked.seed), Tally(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        stores.small_chunks()
        made = stores.prepare(Path(folder))
        print(f"an undisturbed run takes {made.seconds:.1f} s", file=sys.stderr)
        if asked.without:
            guards.GUARDS[asked.without]()
        parts = {
            "kills": lambda: campaigns.kills(made, asked.kills, rng, tally),
            "damage": lambda: campaigns.damages(made, asked.each, rng, tally, asked.file),
            "databases": lambda: campaigns.databases(made, asked.databases, rng, tally),
            "drivers": lambda: campaigns.drivers(made, asked.drivers, rng, tally),
            "disks": lambda: campaigns.disks(made, asked.disks, rng, tally),
        }
        for name, part in parts.items():
            if asked.file is None or name == "damage":
                part()
                print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    print(tally.markdown())
    guard = f", without the guard {asked.without!r}" if asked.without else ""
    print(
        f"{tally.tried} trials in {time.monotonic() - began:.0f} s, seed {asked.seed}{guard}: {tally.differing} differ."
    )
    return 1 if tally.differing else 0


def _parser() -> argparse.ArgumentParser:
    from scripts.chaos.guards import GUARDS

    parser = argparse.ArgumentParser(prog="python -m scripts.chaos", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=120)
    parser.add_argument("--each", type=int, default=5, help="flips, cuts and garbage per kind of file; 0: one damage")
    parser.add_argument("--drivers", type=int, default=10)
    parser.add_argument("--disks", type=int, default=12, help="full disks, and as many limits of a file's size")
    parser.add_argument("--databases", type=int, default=2, help="of each damage to MLflow's database")
    parser.add_argument("--file", help="damage one kind of file, nothing else")
    parser.add_argument("--without", choices=GUARDS, help="a guard to take out: the campaign then has to fail")
    parser.add_argument("--quick", action="store_true", help="a few of each")
    return parser


if __name__ == "__main__":
    sys.exit(main())
