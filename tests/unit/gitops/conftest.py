"""The operator's shell on a fake cluster, as tests/unit/operator has it."""

from tests.unit.operator.conftest import settled, shell

__all__ = ["settled", "shell"]
