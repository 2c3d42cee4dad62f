"""The shell scripts, run for real against small stand-ins for pip and for a cluster."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

PIP = """#!/usr/bin/env bash
# Stands in for Python: nothing is installed yet, and only the index in OFFERS_CPU_TORCH has the CPU build of torch.
[ "$1" != - ] || exit 1
[ "$1" != -V ] || { echo 'Python 3.11.0'; exit; }
shift 4  # -m pip --disable-pip-version-check --no-input
echo "$*" >>"$CALLS"
[ "$1" != index ] || case "$*" in
    *"$OFFERS_CPU_TORCH"*) echo 'Available versions: 2.14.0, 2.13.0+cpu, 2.13.0' ;;
    *) echo 'Available versions: 2.14.0, 2.13.0' ;;
esac
"""
UP = """#!/usr/bin/env bash
echo "up $*" >>"$CALLS"
echo 'export KUBECONFIG=of-the-started-cluster'
"""
DOWN = """#!/usr/bin/env bash
echo down >>"$CALLS"
"""


@dataclass(frozen=True)
class Workshop:
    """A folder with stand-ins, which write what they were asked for into `calls`."""

    folder: Path
    root: Path

    def program(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    def run(self, script: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        inherited = {
            key: value for key, value in os.environ.items() if key not in {"KUBECONFIG", "TORCH_INDEX"}
        }
        environment = {**inherited, "CALLS": str(self.folder / "calls"), **settings}
        command = [str(self.root / script), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()


@pytest.fixture
def workshop(tmp_path, repository):
    return Workshop(tmp_path, repository.root)


def install_engine(workshop, **settings):
    python = workshop.program("python", PIP)
    return workshop.run("serving/install-engine.sh", PYTHON=python, ENGINE="cpu", **settings)


def test_without_a_cpu_build_of_torch_nothing_is_downloaded_and_the_setting_is_named(workshop):
    done = install_engine(workshop, OFFERS_CPU_TORCH="nowhere", TORCH_INDEX="https://index.test/cpu")
    assert done.returncode == 1
    assert "TORCH_INDEX=https://index.test/cpu" in done.stderr
    assert "make setup TORCH_INDEX=URL" in done.stderr
    assert [call for call in workshop.calls if call.startswith("install")] == []


def test_pips_own_source_of_torch_goes_before_the_index(workshop):
    done = install_engine(workshop, OFFERS_CPU_TORCH="torch", TORCH_INDEX="https://index.test/cpu")
    assert done.returncode == 0, done.stderr
    assert workshop.calls[1] == "install --no-deps torch==2.13.0+cpu"


def test_the_index_is_asked_for_torch_alone(workshop):
    done = install_engine(workshop, OFFERS_CPU_TORCH="index.test", TORCH_INDEX="https://index.test/cpu")
    assert done.returncode == 0, done.stderr
    from_index = [call for call in workshop.calls if "index.test" in call and call.startswith("install")]
    assert from_index == ["install --no-deps --index-url https://index.test/cpu torch==2.13.0+cpu"]


def test_an_unknown_engine_is_named_with_the_choices(workshop):
    done = workshop.run("serving/install-engine.sh", ENGINE="tpu")
    assert (done.returncode, done.stderr) == (1, "install-engine: ENGINE is 'tpu': say auto, cpu or gpu\n")


def with_cluster(workshop, *arguments, **settings):
    workshop.program("up", UP)
    workshop.program("down", DOWN)
    return workshop.run("scripts/with-cluster.sh", *arguments, CLUSTER_DIR=str(workshop.folder), **settings)


def test_a_started_cluster_is_taken_down_after_success(workshop):
    done = with_cluster(workshop, "--kuberay", "--", "printenv", "KUBECONFIG")
    assert (done.returncode, done.stdout) == (0, "of-the-started-cluster\n")
    assert workshop.calls == ["down", "up --kuberay", "down"]


def test_a_started_cluster_is_taken_down_after_failure_and_the_failure_kept(workshop):
    assert with_cluster(workshop, "--", "sh", "-c", "exit 7").returncode == 7
    assert workshop.calls == ["down", "up ", "down"]


def test_a_started_cluster_says_how_its_nodes_are_switched_off(workshop):
    assert with_cluster(workshop, "--", "printenv", "FOLIO_E2E_NODE").stdout == ""
    node = workshop.program("node", "#!/bin/sh\n")
    done = with_cluster(workshop, "--", "printenv", "FOLIO_E2E_NODE")
    assert done.stdout == f"'{node}' {{verb}} {{number}}\n"


def test_a_given_cluster_is_neither_started_nor_taken_down(workshop):
    done = with_cluster(workshop, "--", "printenv", "KUBECONFIG", KUBECONFIG="given")
    assert done.stdout == "given\n"
    assert not (workshop.folder / "calls").exists()


def test_without_any_cluster_the_settings_are_named(workshop):
    done = workshop.run("scripts/with-cluster.sh", "--", "true", CLUSTER_DIR="nowhere")
    assert done.returncode == 1
    assert "set KUBECONFIG" in done.stderr


def test_a_generator_that_changes_nothing_passes(workshop):
    generated = workshop.folder / "generated.yaml"
    generated.write_text("new\n")
    command = f"echo new >{generated}"
    assert (
        workshop.run("scripts/check-generated.sh", str(generated), "--", "sh", "-c", command).returncode == 0
    )


def test_a_stale_generated_file_is_named_and_written(workshop):
    generated = workshop.folder / "generated.yaml"
    generated.write_text("old\n")
    command = f"echo new >{generated}"
    done = workshop.run("scripts/check-generated.sh", str(generated), "--", "sh", "-c", command)
    assert done.returncode == 1
    assert str(generated) in done.stderr
    assert generated.read_text() == "new\n"


IMAGE = """#!/usr/bin/env bash
echo "$1 $2 $3 $(printf '%s\\n' "$@" | grep ^ENGINE=)" >>"$CALLS"
"""


def images(workshop, *what, **settings):
    workshop.program("image", IMAGE)
    nowhere = workshop.program("docker", "#!/bin/sh\nexit 1\n")
    path = f"{Path(nowhere).parent}:{os.environ['PATH']}"
    return workshop.run("scripts/images.sh", *what, CLUSTER_DIR=str(workshop.folder), PATH=path, **settings)


def test_every_engine_that_is_named_has_an_image_of_its_own(workshop):
    done = images(workshop, "operator", "serving", SERVING_ENGINE="none vllm-cpu", IMAGE_REGISTRY="r.test/")
    assert done.returncode == 0, done.stderr
    assert workshop.calls == [
        "--no-load r.test/folio/operator:0.1.0 images/operator/Dockerfile ",
        "--no-load r.test/folio/serving:0.1.0-none images/serving/Dockerfile ENGINE=none",
        "--no-load r.test/folio/serving:0.1.0-vllm-cpu images/serving/Dockerfile ENGINE=vllm-cpu",
    ]


def test_what_a_story_stores_in_has_an_image_too(workshop):
    assert images(workshop, "story-redis").returncode == 0
    assert workshop.calls == ["--no-load folio/story-redis:0.1.0 tests/e2e/stories/redis/Dockerfile "]


def test_a_started_clusters_nodes_are_given_the_images(workshop):
    assert images(workshop, "operator", KUBECONFIG="given").returncode == 0
    assert workshop.calls == ["folio/operator:0.1.0 images/operator/Dockerfile . "]


def test_an_image_that_is_none_is_named_with_the_choices(workshop):
    done = images(workshop, "router")
    assert (done.returncode, done.stderr) == (1, "images: 'router': say operator, serving or story-redis\n")
