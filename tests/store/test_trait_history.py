"""Trait history: who said what when, whatever order the calls came in."""

from collections.abc import Iterator

import pytest

from richpanel.store import trait_history
from richpanel.store.profiles import CustomerDetail, find_customer
from richpanel.store.trait_history import Past, read_past
from tests.process.account import Account, Arrived, copy_of, make_template
from tests.process.calls import call, identify, page


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """One person whose traits change, told late and early; tests only look."""
    folder = tmp_path_factory.mktemp("traits")
    made = copy_of(make_template(folder / "template", None), folder / "data")
    said = [
        identify(3, "7", plan="gold", email="new@x.example"),
        identify(1, "7", plan="free", email="old@x.example", city="Oslo"),
        identify(2, "7", plan="free", points=12.50),
        call("identify", 4, "7", None, traits={"city": None, "points": 12.5}),
        page(5, "7", email="carried@x.example"),
        identify(2, "other", plan="silver"),
        identify(0, None, "device", plan="none yet"),
        page(1, "7", "device"),
    ]
    made.write([Arrived([each]) for each in said])
    made.process()
    yield made
    made.close()


def past(account: Account) -> Past:
    found = account.read(find_customer, account.settings, "7")
    assert isinstance(found, CustomerDetail)
    read: Past = account.read(read_past, account.reader.slice, account.sources, found.profile)
    return read


def test_each_value_stands_with_the_message_that_set_it(account: Account) -> None:
    found = {each.key: each for each in past(account).traits}
    values = {key: [was.value for was in (each.now, *each.before)] for key, each in found.items()}
    assert values == {
        "plan": ['"gold"', '"free"', '"none yet"'],
        "email": ['"carried@x.example"', '"new@x.example"', '"old@x.example"'],
        "city": [None, '"Oslo"'],
        "points": ["12.5"],
    }
    assert [was.message_id for was in (found["plan"].now, *found["plan"].before)] == [
        "identify-3-7",
        "identify-1-7",
        "identify-0-device",
    ]
    assert found["email"].now.message_id == "page-5-7"
    assert past(account).is_whole
    assert past(account).traits[-1].key == "city", "what was removed comes last"


def test_what_is_not_read_is_said(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trait_history, "MOST_READ", 1)
    found = past(account)
    assert not found.is_whole
    plan = next(each for each in found.traits if each.key == "plan")
    assert (plan.now.value, plan.now.message_id, plan.before) == ('"gold"', "identify-3-7", [])
