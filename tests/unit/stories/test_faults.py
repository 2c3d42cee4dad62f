"""What story 5 reckons by: which command switches a node, and how long nothing was answered."""

from types import SimpleNamespace
from typing import Any

import pytest
from tests.e2e.stories import faults, nodes
from tests.e2e.stories.load import Load, Request
from tests.e2e.stories.release import CommandError


@pytest.mark.parametrize(
    ("program", "node", "words"),
    [
        ("docker {verb} {node}", "folio-worker2", ["docker", "kill", "folio-worker2"]),
        ("'/a b/node' {verb} {number}", "node12", ["/a b/node", "kill", "12"]),
        ("switch {node}:{verb}", "of-a-cloud", ["switch", "of-a-cloud:kill"]),
    ],
)
def test_a_node_is_switched_by_its_name_or_its_number(program, node, words):
    assert nodes.command(program, "kill", node) == words


def test_the_longest_silence_lies_between_two_answers_whatever_was_lost_meanwhile():
    answers = [(0.0, 0.5, None), (1.0, 0.5, None), (2.0, 0.1, "503"), (4.0, 3.0, None), (6.0, 0.1, None)]
    load = Load(tuple(Request(at, seconds, "r", "m", "", lost) for at, seconds, lost in answers))
    assert load.silence == (1.5, 6.1)
    assert load.silence_seconds == pytest.approx(4.6)


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_processes_are_counted_or_it_is_said_that_nobody_could(monkeypatch, failures):
    said: Any = iter([CommandError("error dialing backend")] * failures + ["2\n"])

    def run(*_: str, seconds: float) -> str:
        answer = next(said)
        if isinstance(answer, CommandError):
            raise answer
        return str(answer)

    pod = {"metadata": {"name": "a"}, "status": {"phase": "Running"}}
    story: Any = SimpleNamespace(pods=lambda *_: [pod], namespace=SimpleNamespace(name="n"))
    monkeypatch.setattr(faults, "run", run)
    if failures > 1:
        with pytest.raises(CommandError, match="dialing"):
            faults.Faults(story).gateways("desk")
    else:
        assert faults.Faults(story).gateways("desk") == {"a": 2}
