"""Trainings and samplings on a bare machine: PyTorch, NumPy, Pillow and this repository, no Ray, MLflow or network.

    here:               python -m rpe2d_bench.detached prepare EXPERIMENT.yaml --job job.json
    there, repeatedly:  python -m rpe2d_bench.detached run job.json --store runs --limit 540 --out OUT
    here:               rpe2d-bench unpack OUT --store runs

Afterwards `rpe2d-bench run EXPERIMENT.yaml` measures what was brought back and trains nothing anew.
"""
