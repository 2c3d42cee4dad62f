"""A replica that dies comes back as it was, and leaves nothing of its engine behind. The last test: it takes a start."""

from __future__ import annotations

import psutil
from tests.data_plane.vllm.conftest import APPLICATION, Model, text, until

START_SECONDS = 400


def test_a_new_replica_has_the_adapters_of_the_one_that_died(adapted: Model) -> None:
    cluster = adapted.cluster
    (pid,) = cluster.replica_pids(APPLICATION)
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    expected = text(adapted.ask(model="legal"))
    family[0].kill()
    until(lambda: cluster.replica_pids(APPLICATION) not in ([pid], []), START_SECONDS)
    assert not any(process.is_running() for process in family), (
        "the engine's processes died with their replica"
    )
    cluster.wait(APPLICATION)
    assert text(adapted.ask(model="legal")) == expected
