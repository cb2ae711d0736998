"""`python -m rpe2d_bench`: the command, also where the package is on PYTHONPATH and no script is installed."""

from rpe2d_bench.cli import main

if __name__ == "__main__":
    main()
