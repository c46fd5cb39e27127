"""REST: the history of a membership or of a computed trait's value: what was told of somebody when, and to whom."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from litestar import get
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException

from richpanel.core.announcing import Class
from richpanel.core.timestamps import iso
from richpanel.store.computations import ComputationRow
from richpanel.store.delivery_reading import DeliveryView
from richpanel.store.told_messages import ToldMessage, list_told
from richpanel.web.audience_definitions import find
from richpanel.web.customers import MovedTo, find_number
from richpanel.web.messages import delivered_at
from richpanel.web.paging import Identifier, Listed
from richpanel.web.paths import decode_id
from richpanel.web.stores import Reading, Stores

MOST: Final = 100
_API: Final = "/api/v1/%s/%s"


class ToldTo(msgspec.Struct, rename="camel"):
    """A destination, by its id: what was decided about the message, and of one outside what became of it there."""

    destination: str
    outcome: str
    code: str | None
    status: str | None
    finished_at: str | None


class Change(msgspec.Struct, rename="camel"):
    """A change: the value from `at` on, the message that said so, and the destinations it was for."""

    value: msgspec.Raw
    at: str
    message_id: str
    source: str
    destinations: list[ToldTo]


def history_of(reading: Reading, row: ComputationRow, uid: str) -> list[Change]:
    """Give what was told of a customer, newest first."""
    found = list_told(reading.state, reading.bodies, reading.account, uid, row.id, limit=MOST)
    sent = delivered_at(reading, [each.place for each in found]) if found else {}
    return [
        Change(each.value, iso(each.t), each.message_id, reading.sources[each.source].id, _told_to(each, sent))
        for each in found
    ]


def _told_to(told: ToldMessage, sent: Mapping[int, Sequence[DeliveryView]]) -> list[ToldTo]:
    deliveries = {each.destination: each for each in sent.get(told.place, ())}
    found = []
    for made in told.decisions:
        delivery = deliveries.get(made.destination)
        code = None if made.code is None else made.code.value
        status, finished = (None, None) if delivery is None else (delivery.status, delivery.finished_at)
        found.append(ToldTo(made.destination, made.outcome, code, status, finished))
    return found


async def _history(stores: Stores, kind: Class, uid: str, id: str) -> Listed[Change]:
    person, wanted = decode_id(uid), decode_id(id)
    row = await stores.look_up(lambda conn: find(conn, kind, wanted))

    def look(reading: Reading) -> Sequence[Change]:
        find_number(reading, "customers", person, f"{_API}/{kind}s/{row.id}/history")
        return history_of(reading, row, person)

    return Listed(list(await stores.read(look)))


@get(
    "/customers/{uid:str}/audiences/{audience_id:str}/history",
    operation_id="listMembershipHistory",
    tags=["Audiences"],
    raises=[NotFoundException, MovedTo],
)
async def membership_history(stores: Given[Stores], uid: Identifier, audience_id: Identifier) -> Listed[Change]:
    """List when a customer was told to have entered and left an audience, newest first, the last hundred changes.

    It is read from the messages that said so, as long as they are kept.
    """
    return await _history(stores, "audience", uid, audience_id)


@get(
    "/customers/{uid:str}/traits/{trait_id:str}/history",
    operation_id="listTraitHistory",
    tags=["Computed traits"],
    raises=[NotFoundException, MovedTo],
)
async def trait_history(stores: Given[Stores], uid: Identifier, trait_id: Identifier) -> Listed[Change]:
    """List the values of a computed trait that were told of a customer, newest first, the last hundred.

    It is read from the messages that said so, as long as they are kept.
    """
    return await _history(stores, "trait", uid, trait_id)


membership_history_api = [membership_history, trait_history]
