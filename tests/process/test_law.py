"""The law (semantics.md 1): whatever comes in which order and batches, the state is the fold of the set of messages."""

import json
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from richpanel.core.manual import MANUAL_TYPES
from richpanel.core.timestamps import iso
from richpanel.process import pieces
from richpanel.process.repeats import digest
from richpanel.store import parts, schema
from richpanel.store.destinations import DestinationChanges, list_destinations, update_destination
from richpanel.store.messages import trace
from richpanel.store.secrets import open_secrets
from tests.process import reference
from tests.process.account import Account, Arrived, Template, copy_of, on_postgres, on_sqlite
from tests.process.dump import dump, people
from tests.process.histories import EMAILS, NAMES, histories, plans
from tests.process.reference import Who
from tests.process.reference_filters import RULES
from tests.process.reference_messages import Arrival
from tests.process.tables import leftovers

SHOPS = {"Outlet": "second"}


def arrivals(account: Account, records: Sequence[Arrived], rules: Iterable[str] = ()) -> list[Arrival]:
    """The records as the reference takes them; `rules` are the filters of the destinations that take them."""
    found = []
    for each in records:
        source = account.source(each.source)
        for item in each.items:
            assert isinstance(item, dict)
            raw = json.dumps(item).encode()
            shop = SHOPS.get(each.source, "first")
            found.append(Arrival(each.at, source.id, source.type, shop, item, raw, tuple(rules)))
    return found


def process(account: Account, plan: Sequence[tuple[int, bool]]) -> None:
    """Apply the log in batches of the sizes planned, with a worker that remembers nothing where planned."""
    turn = 0
    while account.step(plan[turn % len(plan)][0]) is not None:
        if plan[turn % len(plan)][1]:
            account.restart()
        turn += 1


def set_filters(account: Account, rules: Iterable[str]) -> None:
    """Give every destination these filters, and no others."""
    filters = DestinationChanges(filters=[RULES[name].filter for name in rules])
    box = open_secrets(account.directory.path)
    with account.account_engine.begin() as connection:
        for row in list_destinations(connection):
            update_destination(connection, box, row.id, filters)


def check(
    template: Template, records: list[Arrived], plan: list[tuple[int, bool]], rules: Collection[str] = ()
) -> None:
    """Apply the records as planned, and compare all that can be read with the reference."""
    with TemporaryDirectory() as folder:
        account = copy_of(template, Path(folder) / "data")
        try:
            if rules:
                set_filters(account, rules)
            account.write(records)
            process(account, plan)
            arrived = arrivals(account, records, rules)
            assert_law(account, arrived)
        finally:
            account.close()


def assert_law(account: Account, arrived: Sequence[Arrival]) -> None:
    """All that can be read is what the reference makes of the messages, and nothing else is left in the tables."""
    expected = reference.fold(arrived)
    assert differences(dump(account), expected) == {}
    assert_found(account, expected)
    assert_traced(account, arrived)
    assert leftovers(account) == {}


def law(examples: int) -> settings:
    """How often to try; explaining a failure would take minutes."""
    return settings(
        max_examples=examples,
        deadline=None,
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def brief(examples: int) -> settings:
    """An eighth of that in the suite; all of it in `make soak`."""
    return law(examples if "WHOLE_LAWS" in os.environ else max(4, examples // 8))


@on_sqlite
@brief(200)
@given(records=histories, plan=plans)
def test_the_state_is_the_fold_of_the_set_of_messages(
    template: Template, records: list[Arrived], plan: list[tuple[int, bool]]
) -> None:
    check(template, records, plan)


@on_postgres
@brief(40)
@given(records=histories, plan=plans)
def test_it_is_so_on_postgresql(template: Template, records: list[Arrived], plan: list[tuple[int, bool]]) -> None:
    check(template, records, plan)


@on_sqlite
@brief(50)
@given(records=histories, plan=plans)
def test_it_is_so_where_a_history_spans_many_parts(
    template: Template, records: list[Arrived], plan: list[tuple[int, bool]]
) -> None:
    """A part holds half a million messages; here it holds four."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (schema, parts):
            patch.setattr(module, "PART", 4)
        patch.setattr(parts, "_BITS", 1 << 9)
        check(template, records, plan)


@on_postgres
@brief(25)
@given(records=histories, plan=plans)
def test_it_is_so_where_histories_are_in_pieces_on_postgresql(
    template: Template, records: list[Arrived], plan: list[tuple[int, bool]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        small_pieces(patch, 2 + len(records) % 2)
        check(template, records, plan)


@on_sqlite
@brief(200)
@given(records=histories, plan=plans)
def test_it_is_so_where_histories_are_in_pieces(
    template: Template, records: list[Arrived], plan: list[tuple[int, bool]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        small_pieces(patch, 2 + len(records) % 2)
        check(template, records, plan)


filters = st.lists(st.sampled_from(sorted(RULES)), min_size=1, max_size=4, unique=True)


@on_sqlite
@brief(150)
@given(records=histories, plan=plans, rules=filters)
def test_it_is_so_where_filters_drop_messages_and_take_fields(
    template: Template, records: list[Arrived], plan: list[tuple[int, bool]], rules: list[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if len(records) % 2:
            small_pieces(patch)
        check(template, records, plan, rules)


@on_postgres
@brief(25)
@given(records=histories, plan=plans, rules=filters)
def test_it_is_so_with_filters_on_postgresql(
    template: Template, records: list[Arrived], plan: list[tuple[int, bool]], rules: list[str]
) -> None:
    check(template, records, plan, rules)


def small_pieces(patch: pytest.MonkeyPatch, size: int = 2) -> None:
    """From 8,192 events on, pieces hold 1,024 messages; from now on everybody's hold so few."""
    patch.setattr(pieces, "LARGE", 1)
    patch.setattr(pieces, "PIECE", size)


def differences(found: dict[Who, dict[str, Any]], expected: dict[Who, dict[str, Any]]) -> dict[str, Any]:
    """Who and what is not as it should be: (found, expected)."""
    wrong = {}
    for who in found.keys() | expected.keys():
        one, other = found.get(who, {}), expected.get(who, {})
        for key in one.keys() | other.keys():
            if one.get(key) != other.get(key):
                wrong[f"{who} {key}"] = (one.get(key), other.get(key))
    return wrong


def by_id(arrived: Sequence[Arrival]) -> dict[tuple[str, str], list[Arrival]]:
    """What came under one id of one source."""
    found: dict[tuple[str, str], list[Arrival]] = defaultdict(list)
    for each in arrived:
        found[each.item["messageId"], each.source].append(each)
    return found


def assert_found(account: Account, expected: dict[Who, dict[str, Any]]) -> None:
    """The search and the sorted lists know what the customers themselves say."""
    customers = {who: shown for who, shown in expected.items() if shown["customerSince"]}
    for word in (*EMAILS, *NAMES):
        fields = ("email",) if "@" in word else ("name",)
        matching = {shown["uid"] for shown in customers.values() if word in (shown[field] for field in fields)}
        assert {one.uid for one in people(account, customers=True, q=word)} >= matching
    named = sorted(shown["name"].lower() for shown in customers.values() if shown["name"])
    assert [(one.name or "").lower() for one in people(account, customers=True, sort="name")] == named
    values = sorted(float(shown["ltv"]) for shown in customers.values())
    assert [float(one.ltv) for one in people(account, customers=True, sort="ltv")] == values


def assert_traced(account: Account, arrived: Sequence[Arrival]) -> None:
    """Every message can be looked up, and its trace says whose it is and what else came under its id."""
    owners = reference.owners(arrived)
    for key, several in by_id(arrived).items():
        args = (account.reader.slice, account.settings, account.sources, key[0])
        found = account.read(trace, *args, source=key[1])
        assert len(found) == 1
        first, *others = sorted(several, key=lambda each: (each.received, digest(each.raw)))
        assert found[0].received_at == iso(first.received)
        repeats = sorted((iso(each.received), digest(each.raw) != digest(first.raw)) for each in others)
        assert sorted((repeat.received_at, repeat.conflict) for repeat in found[0].duplicates) == repeats
        assert found[0].conflict == any(differs for _, differs in repeats)
        owner = owners.get(key)
        assert (found[0].outcome == "kept") == (owner is not None or first.item.get("type") in MANUAL_TYPES)
        if owner is not None:
            assert (found[0].profile.uid or found[0].profile.visitor) == owner[1]
