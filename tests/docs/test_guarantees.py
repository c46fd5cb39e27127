"""`docs/reference/guarantees.md`: every promise names a test, and every test that it names exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "guarantees.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
PROMISES = [
    line
    for line in PAGE.partition("## Figures")[0].splitlines()
    if line.startswith("| ") and line != "| promise | proven by |"
]


@cache
def named_in(path: str) -> set[str]:
    """The names of the tests in a file."""
    module = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in module.body if isinstance(node, functions) and node.name.startswith("test_")}


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_test_that_is_named_exists(path: str, name: str) -> None:
    assert name in named_in(path)


def test_every_promise_names_a_test() -> None:
    assert len(NAMED) > 40
    assert [row for row in PROMISES if "::" not in row] == []
