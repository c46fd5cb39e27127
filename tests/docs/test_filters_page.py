"""The page on destination filters names what there is, and its examples work."""

import re
from pathlib import Path
from typing import get_args

import msgspec

from richpanel.core.codes import Code
from richpanel.core.filters import ActionType, Filter, check
from richpanel.core.fql_functions import FUNCTIONS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "filters.md").read_text(encoding="utf-8")


def test_it_names_every_function_action_and_code() -> None:
    assert set(re.findall(r"`([a-z]+)\( ", PAGE)) == set(FUNCTIONS)
    assert set(re.findall(r'"type": "([A-Z_]+)"', PAGE)) == set(get_args(ActionType))
    for code in (Code.FILTERED_BY_RULES, Code.FILTER_FAILED):
        assert f"`{code}`" in PAGE


def test_its_examples_can_be_saved() -> None:
    (whole,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    actions = re.findall(r'\| `(\{"type": .*\})` \|', PAGE)
    assert len(actions) == 4
    filters = [msgspec.json.decode(whole, type=Filter)]
    for number, action in enumerate(actions):
        given = {"title": f"{number}", "if": "all", "actions": [msgspec.json.decode(action)]}
        filters.append(msgspec.convert(given, Filter))
    assert check(filters) == []
