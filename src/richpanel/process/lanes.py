"""Lanes: which messages of a batch can be applied beside others', and who must be kept out meanwhile.

A batch is cut into parts, each a transaction of its own. Most messages concern one person, in one lane (`store.locks`);
a link, an order or a device concerns several. What cannot be told beforehand, such as who else has part
in an order of somebody who becomes a customer, is found while it is applied: then the part is applied again, with more
lanes (`Lanes.check`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection

from richpanel.core.channel import CHANNEL_TYPE
from richpanel.core.identity import ANONYMOUS, UID, Runs, owner, unpack
from richpanel.core.ids import hash64
from richpanel.process.channels import Addresses
from richpanel.process.definitions import Definitions
from richpanel.process.incoming import Incoming, Opened
from richpanel.process.orders import of_message
from richpanel.store import channels, identities, locks
from richpanel.store import order_rows as orders

EVERYBODY: Final = None
WORTH_A_PART: Final = 1_000
"""Messages: a transaction has a cost of its own, some 10 ms, so smaller batches are cut into fewer parts."""
_ORDER: Final = "order"


class TooNarrowError(Exception):
    """What is applied concerns lanes that are not held: these, or where it is None, everybody's."""

    def __init__(self, lanes: set[int] | None) -> None:
        super().__init__("more lanes are needed")
        self.lanes = lanes


def lane_of_order(secret: bytes, order_id: str) -> int:
    """Give the lane of the orders with this id, whichever shop's."""
    return locks.lane(hash64(secret, _ORDER, order_id))


@dataclass
class Part:
    """Messages and discards to be applied in one transaction; `lanes` is None where nobody may do so beside it."""

    opened: Opened
    lanes: set[int] | None = field(default_factory=set)


def cut(connection: Connection, definitions: Definitions, opened: Opened) -> list[Part]:
    """Cut a batch into parts: one for each group of lanes, one of what concerns several, one that has to be alone.

    What is told by what others write meanwhile is only a guess; `Lanes.check` sees to it.
    """
    if opened.regulation is not None:
        return [Part(opened, EVERYBODY)]
    finder = _Finder(connection, definitions, opened.arrived)
    width = _width(len(opened.arrived))
    grouped: defaultdict[int, list[Incoming]] = defaultdict(list)
    several: list[Incoming] = []
    alone: list[Incoming] = []
    union: set[int] = set()
    for message in opened.arrived:
        lanes = finder.lanes(message)
        if lanes is EVERYBODY:
            alone.append(message)
            continue
        groups = {lane // width for lane in lanes}
        if len(groups) == 1:
            grouped[groups.pop()].append(message)
        else:
            several.append(message)
            union |= lanes
    if not (grouped or several or alone):
        grouped[0] = []
    parts = [Part(_only(opened, messages), _lanes_of(group, width)) for group, messages in sorted(grouped.items())]
    if several:
        parts.append(Part(_only(opened, several), union))
    if alone:
        parts.append(Part(_only(opened, alone), EVERYBODY))
    parts[0].opened = parts[0].opened._replace(refused=opened.refused, private=opened.private)
    return parts


def _width(messages: int) -> int:
    """Tell how many lanes a group has, so that each part is worth a transaction."""
    width: int = locks.LANES
    while width > 1 and messages > WORTH_A_PART * locks.LANES // width:
        width //= 2
    return width


def _lanes_of(group: int, width: int) -> set[int]:
    return set(range(group * width, (group + 1) * width))


def _only(opened: Opened, messages: list[Incoming]) -> Opened:
    return opened._replace(arrived=messages, refused=[], private=[])


class _Finder:
    """Finds whose lanes a batch's messages concern, by what the state tells just now."""

    def __init__(self, connection: Connection, definitions: Definitions, arrived: Sequence[Incoming]) -> None:
        self._secret = definitions.account.hash_key
        self._known: dict[tuple[int, str], tuple[int, Runs]] = {}
        for kind, values in ((UID, _given(m.uid for m in arrived)), (ANONYMOUS, _given(m.anonymous for m in arrived))):
            found = identities.find(connection, self._secret, kind, values)
            self._known.update(((kind, value), (number, unpack(runs))) for value, (number, runs) in found.items())
        owners = {run.uid for _, runs in self._known.values() for run in runs}
        self._owners = locks.lanes_of(connection, owners)
        self._lanes: dict[tuple[int, str], int] = {}
        self._orders = {id(m): event[0] for m in arrived if (event := of_message(m)) is not None}
        self._beside = self._of_orders(connection)
        self._writing = self._who_writes(connection, definitions, arrived)

    def lanes(self, message: Incoming) -> set[int] | None:
        """Give the lanes of a message; None where it concerns nobody knows whom."""
        if message.kind >= CHANNEL_TYPE or id(message) in self._writing:
            return EVERYBODY
        found: set[int] = set()
        if message.uid is not None:
            found.add(self._lane((UID, message.uid)))
        if message.anonymous is not None:
            self._add_alias(found, message)
        order_id = self._orders.get(id(message))
        if order_id is not None:
            found.add(lane_of_order(self._secret, order_id))
            found |= self._beside.get(order_id, set())
        return found

    def _lane(self, key: tuple[int, str]) -> int:
        known = self._lanes.get(key)
        if known is None:
            known = self._lanes[key] = locks.lane(identities.hash_key(self._secret, key))
        return known

    def _add_alias(self, found: set[int], message: Incoming) -> None:
        """Add whom an alias concerns: its owner, and where the message links it, all who ever had it."""
        key = (ANONYMOUS, message.anonymous or "")
        _, runs = self._known.get(key, (0, ()))
        if message.uid is None:
            uid = owner(runs, message.t)
            found.add(self._lane(key) if uid is None else self._owners.get(uid, self._lane(key)))
            return
        uid, _ = self._known.get((UID, message.uid), (-1, ()))
        if not runs or runs[-1].uid != uid or runs[-1].stamp > message.stamp:
            found.add(self._lane(key))
            found.update(self._owners[run.uid] for run in runs if run.uid in self._owners)

    def _of_orders(self, connection: Connection) -> Mapping[str, set[int]]:
        """Give the lanes of all who have part in the orders that messages are events of, by order id."""
        found: defaultdict[str, set[int]] = defaultdict(set)
        taking = orders.taking_part(connection, set(self._orders.values()))
        lanes = locks.lanes_of(connection, {profile for _, profile in taking})
        for order_id, profile in taking:
            found[order_id].add(lanes[profile])
        return found

    def _who_writes(self, connection: Connection, definitions: Definitions, arrived: Sequence[Incoming]) -> set[int]:
        """Find the messages by which channel activity may move: of somebody who wrote, or with an address."""
        if not channels.any_at_all(connection):
            return set()
        carried = Addresses(definitions.account)
        for message in arrived:
            if message.kind < CHANNEL_TYPE:
                carried.note(message)
        carrying = {id(message) for _, message, _ in carried.rows}
        numbers = {number for number, _ in self._known.values()} | {
            run.uid for _, runs in self._known.values() for run in runs
        }
        writers = channels.writers_among(connection, numbers)
        return carrying | {id(m) for m in arrived if self._concerns(m, writers)}

    def _concerns(self, message: Incoming, numbers: set[int]) -> bool:
        for key in ((UID, message.uid), (ANONYMOUS, message.anonymous)):
            if key[1] is not None:
                number, runs = self._known.get((key[0], key[1]), (0, ()))
                if number in numbers or any(run.uid in numbers for run in runs):
                    return True
        return False


def _given(values: Iterable[str | None]) -> set[str]:
    return {value for value in values if value is not None}


class Lanes:
    """The lanes that a transaction holds, and whether what it does stays within them."""

    def __init__(self, secret: bytes, held: Iterable[int]) -> None:
        self._secret = secret
        self._held = set(held)

    def check(self, connection: Connection, numbers: Iterable[int], order_ids: Iterable[str]) -> None:
        """See to it that these persons and aliases, and these orders, are in lanes that are held.

        Raises TooNarrowError.
        """
        needed = set(locks.lanes_of(connection, numbers).values())
        needed.update(lane_of_order(self._secret, order_id) for order_id in order_ids)
        if not needed <= self._held:
            raise TooNarrowError(needed | self._held)
