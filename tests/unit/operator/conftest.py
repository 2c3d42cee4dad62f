"""An operator's shell on a fake cluster, empty or with a portfolio that has come up."""

import pytest
from tests.unit.operator.shell import Shell


@pytest.fixture
def shell() -> Shell:
    return Shell().with_key()


@pytest.fixture
async def settled(shell: Shell) -> Shell:
    await shell.settle()
    return shell
