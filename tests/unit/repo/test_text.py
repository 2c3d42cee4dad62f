"""What must not stand in any file: a developer's machine, a registry's host, work that was put off."""

import re

# A path of one machine. Where Ray and the pods of Folio write is the same everywhere, and so are paths inside images.
MACHINE_PATH = re.compile(
    r"(?<![\w.}~-])/(?:work|tmp|root|home)/(?!(?:ray|cache)\b)[A-Za-z0-9_.-]+|/opt/wheel[s]"
)
MAY_NAME_PATHS = re.compile(r"Dockerfile|containers?/|mountPath|volume")
REGISTRY_HOST = re.compile(
    r"pypi\.or[g]|pythonhoste[d]|registry\.npmj[s]|deb\.debia[n]\.org|proxy\.golan[g]\.org", re.IGNORECASE
)
TORCH_HOST = re.compile(r"download\.pytorc[h]\.org")
PUT_OFF = re.compile(r"\b(?:TOD[O]|FIXM[E]|NotImplementedErro[r]|XX[X])\b")


def test_no_file_names_a_path_of_one_machine(repository):
    found = [
        line.place
        for line in repository.lines()
        if MACHINE_PATH.search(line.text) and not MAY_NAME_PATHS.search(line.place + line.text)
    ]
    assert found == []


def test_no_file_names_the_host_of_a_package_registry(repository):
    assert [line.place for line in repository.lines() if REGISTRY_HOST.search(line.text)] == []


def test_the_index_of_torch_is_named_once_in_the_makefile(repository):
    named = [line.place.split(":")[0] for line in repository.lines() if TORCH_HOST.search(line.text)]
    assert [place for place in named if not place.endswith("Dockerfile")] == ["Makefile"]


def test_no_code_was_put_off(repository):
    assert [line.place for line in repository.lines(".py", ".sh") if PUT_OFF.search(line.text)] == []
