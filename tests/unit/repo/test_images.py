"""What the Dockerfiles must keep in step with the code and the chart; building them is `make images`."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from folio_operator import pods
from folio_operator.children import Installation
from folio_serving.engines.encoder.heads import DEFAULT_MINILM_DIR

ROOT = Path(__file__).parents[3]
SERVING, OPERATOR = (ROOT / "images" / name / "Dockerfile" for name in ("serving", "operator"))
both = pytest.mark.parametrize("file", [OPERATOR, SERVING], ids=lambda path: path.parent.name)


def final_stage(file: Path) -> str:
    return file.read_text().rpartition("\nFROM ")[2]


@both
def test_an_image_starts_from_one_named_base(file):
    text = file.read_text()
    assert "ARG BASE=python:3.11-slim-bookworm\n" in text
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE}"}


@both
def test_an_image_runs_as_somebody_without_rights_and_cannot_install(file):
    text = final_stage(file)
    user = re.search(r"^USER (\d+):\d+$", text, re.MULTILINE)
    assert user is not None
    assert int(user[1]) > 0
    assert "pip uninstall -y -q setuptools wheel pip" in text
    assert not re.search(r"pip install|\bgcc\b|build-essential", text)


@both
def test_an_image_says_what_it_is_and_of_which_release(file):
    text = final_stage(file)
    release = yaml.safe_load((ROOT / "helm/folio/Chart.yaml").read_text())["appVersion"]
    label = "org.opencontainers.image"
    assert f"\nARG VERSION={release}\n" in text
    assert f'{label}.title="folio-{file.parent.name}"' in text
    assert f'{label}.version="${{VERSION}}"' in text
    assert f'{label}.revision="${{REVISION}}"' in text
    assert f'{label}.licenses="Apache-2.0"' in text
    given = (ROOT / "scripts/images.sh").read_text()
    assert '--build-arg "VERSION=$VERSION" --build-arg "REVISION=$REVISION"' in given


@both
def test_what_an_image_copies_is_there_and_is_not_ignored(file):
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    text = file.read_text().replace("\\\n", " ")
    copied = [
        name
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for name in shlex.split(line)[:-1]
    ]
    assert len(copied) >= 4
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert [name for name in copied if not any(Path(name).is_relative_to(each) for each in allowed)] == []


def test_the_serving_image_runs_as_the_user_of_its_pods():
    assert f"USER {pods.RUN_AS}:" in final_stage(SERVING)


def test_minilm_lies_where_encoders_look_for_it():
    assert f"COPY --from=minilm /opt/minilm {DEFAULT_MINILM_DIR}\n" in SERVING.read_text()


def test_chart_and_dockerfile_know_the_same_engines():
    schema = json.loads((ROOT / "helm/folio/values.schema.json").read_text())
    case = re.search(r'case "\$ENGINE" in(.+?)\*\)', SERVING.read_text(), re.DOTALL)
    assert case is not None
    known = set(re.findall(r"([a-z-]+)\)", case[1]))
    assert known == set(schema["properties"]["servingImage"]["properties"]["engine"]["enum"])


def test_chart_code_and_package_agree_on_release_and_image():
    values = yaml.safe_load((ROOT / "helm/folio/values.yaml").read_text())["servingImage"]
    release = yaml.safe_load((ROOT / "helm/folio/Chart.yaml").read_text())["appVersion"]
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == release
    assert Installation().serving_image == f"{values['repository']}:{release}-{values['engine']}"


def test_examples_name_images_of_this_release():
    version = yaml.safe_load((ROOT / "helm/folio/Chart.yaml").read_text())["appVersion"]
    files = (ROOT / "examples/install").glob("*/*.yaml")
    named = {tag for path in files for tag in re.findall(r"folio/serving:(\S+)", path.read_text())}
    assert named == {f"{version}-vllm", f"{version}-vllm-cpu"}


@pytest.mark.parametrize(("extra", "has", "lacks"), [("operator", "kopf", "ray"), ("serving", "ray", "kopf")])
def test_an_image_is_given_the_dependencies_of_one_extra(extra, has, lacks):
    command = [sys.executable, "images/requirements.py", extra]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    names = {re.split(r"[\[=<>]", line)[0] for line in lines}
    assert {"pydantic", has} <= names
    assert lacks not in names
