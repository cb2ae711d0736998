"""What deploys the suite agrees with it and with itself: the image, a RayJob, a Slurm array."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from rpe2d_bench import cli
from rpe2d_bench.config import yaml_file
from rpe2d_bench.config.experiment import Experiment

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
JOB: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "rayjob.yaml").read_text())["spec"]
HEAD = JOB["rayClusterSpec"]["headGroupSpec"]
(WORKERS,) = JOB["rayClusterSpec"]["workerGroupSpecs"]


def first(pattern: str, text: str = DOCKERFILE) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    assert match is not None, pattern
    return match[1]


def test_the_image_has_what_it_copies_and_installs() -> None:
    extras = first('^ARG EXTRAS="(.*)"').split()
    assert {"cluster", "gpu", "latents"} <= set(extras) <= PROJECT["optional-dependencies"].keys()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for name in first(r"^COPY (.+) \./$").split():
        assert (ROOT / name).is_file()
        assert name not in ignored
    assert not {".git", "experiments", "baselines", "rpe2d_bench", "README.md", "LICENSE"} & set(ignored)


def test_what_the_image_installs_first_is_what_the_package_asks_for(tmp_path: Path) -> None:
    command = first(r"^RUN (python -c .*(?:\n.*)*?) > /tmp/needs").replace("\\\n", "")
    environment = {**os.environ, "EXTRAS": "cluster gpu"}
    (tmp_path / "python").symlink_to(sys.executable)
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    printed = subprocess.run(
        ["sh", "-c", command], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    extras = PROJECT["optional-dependencies"]
    assert printed.stdout.splitlines() == [*PROJECT["dependencies"], *extras["cluster"], *extras["gpu"]]


def test_the_nodes_of_the_job_run_the_image_with_its_ray() -> None:
    tag = first(r"docker build --tag (\S+) \.")
    for template in (HEAD["template"], WORKERS["template"]):
        (container,) = template["spec"]["containers"]
        assert container["image"].rpartition("/")[2] == tag
        assert template["spec"]["securityContext"] == {"runAsNonRoot": True, "fsGroup": int(first(r"^USER (\d+)$"))}
        volumes = {volume["name"] for volume in template["spec"]["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    assert JOB["rayClusterSpec"]["rayVersion"] == first(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text())


def test_the_job_says_what_the_command_takes_and_the_workers_have() -> None:
    program, command, *arguments = shlex.split(JOB["entrypoint"])
    assert (program, command) == ("rpe2d-bench", "run")
    group: Any = typer.main.get_command(cli.app)
    source = first(r"^WORKDIR (\S+)$")  # the first is the repository's
    arguments = [argument.replace(source, str(ROOT)) for argument in arguments]
    asked = group.commands[command].make_context(command, arguments).params
    document = yaml_file.read(asked["experiment"])
    for override in asked["overrides"]:
        document.override(override)
    resources = Experiment.model_validate(document.data).resources
    (container,) = WORKERS["template"]["spec"]["containers"]
    limits = container["resources"]["limits"]
    slots = resources.trials_in_parallel * resources.gpus_per_trial
    assert WORKERS["minReplicas"] <= WORKERS["replicas"] <= WORKERS["maxReplicas"]
    assert slots == WORKERS["replicas"] * limits["nvidia.com/gpu"]
    assert resources.cpus_per_trial <= int(limits["cpu"])
    (mounted,) = {mount["mountPath"] for mount in container["volumeMounts"]}
    for place in re.findall(r"/\S+", JOB["entrypoint"].replace(f"{source}/experiments", "")):
        assert place.startswith((f"{mounted}/", "/paper")), f"{place} is on no volume"


@pytest.mark.parametrize(("code", "again"), [(0, False), (1, False), (3, True), (137, False)])
def test_a_task_of_the_array_queues_again_where_work_is_left(code: int, again: bool, tmp_path: Path) -> None:
    for name, ends in (("rpe2d-bench", code), ("scontrol", 0)):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" {name} "$@" >> {tmp_path}/calls\nexit {ends}\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "7",
        "SLURM_ARRAY_JOB_ID": "7",  # as in the last task of an array: this number names all of them
        "SLURM_ARRAY_TASK_ID": "2",
    }
    script = ["bash", str(ROOT / "deploy" / "work.sbatch"), "a b.yaml", "--time-limit", "5m"]
    assert subprocess.run(script, env=environment, check=False).returncode == code
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[:6] == ["rpe2d-bench", "work", "--time-limit", "55m", "a b.yaml", "--time-limit"]
    assert calls[7:] == (["scontrol", "requeue", "7_2"] if again else [])
