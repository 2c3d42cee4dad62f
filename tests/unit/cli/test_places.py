"""A source is looked for where the data plane will read it."""

from pathlib import Path

import pytest

from folio_cli.places import source_path

VOLUMES = {"models": Path("/srv/models")}


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("volume://models/desk/s", "/srv/models/desk/s"),
        ("volume://models", "/srv/models"),
        ("volume://models/", "/srv/models"),
        ("volume://models/what%3F/a%23b", "/srv/models/what?/a#b"),
        ("file:///data/a%20b", "/data/a b"),
    ],
)
def test_a_path_is_where_it_points(uri: str, path: str):
    assert source_path(uri, VOLUMES) == Path(path)


@pytest.mark.parametrize("uri", ["volume://others/desk", "hf://owner/name", "s3://bucket/key"])
def test_what_is_fetched_or_not_given_has_no_path(uri: str):
    assert source_path(uri, VOLUMES) is None
