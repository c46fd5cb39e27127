"""The page on conditions names every operator, kind and window, and its examples can be read."""

import re
from pathlib import Path

from richpanel.core.comparing import OPERATORS
from richpanel.core.computed import KINDS, read_computation
from richpanel.core.condition_json import MAX_DEPTH, MAX_LEAVES, condition_json, read
from richpanel.core.money import decode_exact
from richpanel.core.references import MAX_PARTS
from richpanel.core.windows import KEYS, UNITS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "conditions.md").read_text(encoding="utf-8")


def rows(title: str) -> set[str]:
    """The words in code of the first column of a section's table."""
    section = PAGE.split(f"# {title}\n")[1].split("\n#")[0]
    firsts = re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE)
    return {word for first in firsts for word in re.findall(r"`([^`]+)`", first)}


def test_it_names_what_there_is() -> None:
    assert rows("Operators") == set(OPERATORS)
    assert rows("Computed traits") == set(KINDS)
    for word in (*KEYS, *UNITS):
        assert f"`{word}`" in PAGE or f'"{word}"' in PAGE
    assert f"{MAX_DEPTH} levels, and {MAX_LEAVES} parts" in PAGE
    assert f"; {MAX_PARTS} with" in PAGE


def test_its_examples_can_be_read() -> None:
    condition, computation = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    given = decode_exact(condition)
    assert read(condition_json(read(given))) == read(given)
    assert str(read_computation(decode_exact(computation))) == "sum of total of Order Completed in the last 90 days"
