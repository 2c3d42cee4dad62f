"""YAML and what is remembered of it say the same."""

from __future__ import annotations

import pytest
import yaml
from tests.unit.operator.desk import rendered

from folio_operator.serve_text import Texts


def test_what_is_remembered_is_what_yaml_reads():
    config, texts = rendered().serve_config, Texts()
    text = texts.write(config)
    assert texts.read(text) == yaml.safe_load(text) == Texts().read(text)


@pytest.mark.parametrize(
    "value", ["yes", "1e3", "2026-01-01", "null", "Größe: 1", "", 1e-05, 1.0, None, True]
)
def test_no_value_is_another_in_yaml(value: object):
    texts = Texts()
    text = texts.write({"value": value})
    assert texts.read(text) == yaml.safe_load(text) == {"value": value}


def test_the_oldest_is_forgotten_and_reads_the_same():
    texts = Texts(most=2)
    written = {number: texts.write({"number": number}) for number in range(4)}
    assert len(texts._yaml) == len(texts._json) == 2
    assert {number: texts.read(text)["number"] for number, text in written.items()} == {
        n: n for n in range(4)
    }
    assert texts.write({"number": 0}) == written[0]
