"""Scalars are parsed once and written back as a person writes them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folio_api.types import Quantity, duration_text, seconds


@pytest.mark.parametrize(
    ("text", "value"), [("500ms", 0.5), ("30s", 30), ("10m", 600), ("1h30m", 5400), ("24h", 86400)]
)
def test_a_duration_is_seconds(text, value):
    assert seconds(text) == value
    assert duration_text(value) == text


def test_no_time_at_all_is_written_0s():
    assert duration_text(0) == "0s"


@given(st.integers(min_value=0, max_value=10**9))
def test_a_duration_written_back_is_the_same(milliseconds):
    assert seconds(duration_text(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


@pytest.mark.parametrize(
    ("text", "value"), [("4", 4), ("500m", Decimal("0.5")), ("16Gi", 16 * 2**30), ("1.5k", 1500)]
)
def test_a_quantity_has_a_value(text, value):
    assert Quantity(text).value == value
