"""The accounts of the processing's tests, on each engine."""

from tests.process.conftest import account, template

__all__ = ["account", "template"]
