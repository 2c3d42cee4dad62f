"""What every data-plane test shares: one real cluster a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.data_plane.cluster import Cluster, running_cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as running:
        yield running
