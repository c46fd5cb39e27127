"""Lanes: which messages of a batch can be applied beside others', and who must be kept out meanwhile.

A batch is cut into parts, each a transaction of its own. Most messages concern one person, in one lane (`store.locks`);
a link, an order or a device concerns several. What is new needs no lane: where two make the same identity or order, the
database tells the second one, who begins again and finds it. What cannot be told beforehand, such as who else has part
in an order of somebody who becomes a customer, is found while it is applied: then the part is applied again, with more
lanes (`Lanes.check`).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection

from richpanel.core.channel import CHANNEL_TYPE
from richpanel.core.identity import ANONYMOUS, UID, Runs, owner, unpack
from richpanel.process.channels import Addresses
from richpanel.process.definitions import Definitions
from richpanel.process.incoming import Incoming, Opened
from richpanel.process.memory import Memory
from richpanel.process.orders import of_message
from richpanel.store import channels, identities, locks
from richpanel.store import order_rows as orders
from richpanel.store.identities import Key

EVERYBODY: Final = None
WORTH_A_PART: Final = 20_000
"""Messages. A transaction has a cost of its own, and in each it has to be looked for what others have written: on two
cores one part of 16,000 messages costs half of what 17 parts do (docs/decisions/0017), so only larger ones are cut."""
_Tie = tuple[str, str]
"""What messages have in common that are applied together: an alias, or an order id."""
_ALIAS, _ORDER = "alias", "order"


class TooNarrowError(Exception):
    """What is applied concerns lanes that are not held: these, or where it is None, everybody's."""

    def __init__(self, lanes: set[int] | None) -> None:
        super().__init__("more lanes are needed")
        self.lanes = lanes


@dataclass
class Part:
    """Messages and discards to be applied in one transaction; `lanes` is None where nobody may do so beside it."""

    opened: Opened
    lanes: set[int] | None = field(default_factory=set)

    @property
    def is_alone(self) -> bool:
        """Whether nobody may apply anything beside it: all lanes are held, too."""
        return self.lanes is EVERYBODY or len(self.lanes) == locks.LANES


def cut(connection: Connection, definitions: Definitions, opened: Opened) -> list[Part]:
    """Cut a batch into parts: one for each group of lanes, one of what concerns several, one that has to be alone.

    What is told by what others write meanwhile is only a guess; `Lanes.check` sees to it.
    """
    if opened.regulation is not None:
        return [Part(opened, EVERYBODY)]
    width = _width(len(opened.arrived))
    if width == locks.LANES:
        return [Part(opened, _lanes_of(0, width))]
    finder = _Finder(connection, definitions, opened.arrived)
    grouped: defaultdict[int, list[Incoming]] = defaultdict(list)
    several: list[Incoming] = []
    alone: list[Incoming] = []
    union: set[int] = set()
    for message, lanes in finder.lanes(opened.arrived):
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


def set_aside(
    connection: Connection, definitions: Definitions, part: Part, memory: Memory
) -> tuple[Opened, list[Incoming]]:
    """Tell what of a part concerns those whose lanes are held, and what does not, now that nobody else can change that.

    The part stays as it is: it may be applied again. What is found of its messages' ids goes into the lanes' memory.
    """
    held = part.lanes or set()
    finder = _Finder(connection, definitions, part.opened.arrived)
    aside: list[Incoming] = []
    left: list[Incoming] = []
    for message, lanes in finder.lanes(part.opened.arrived):
        (aside if lanes is EVERYBODY or not lanes <= held else left).append(message)
    memory.learn(finder.known)
    return part.opened._replace(arrived=left), aside


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
        self.known: dict[tuple[int, str], tuple[int, Runs]] = {}
        for kind, values in ((UID, _given(m.uid for m in arrived)), (ANONYMOUS, _given(m.anonymous for m in arrived))):
            found = identities.find(connection, self._secret, kind, values)
            self.known.update(((kind, value), (number, unpack(runs))) for value, (number, runs) in found.items())
        owners = {run.uid for _, runs in self.known.values() for run in runs}
        self._owners = locks.lanes_of(connection, owners)
        self._lanes: dict[tuple[int, str], int] = {}
        self._orders = {id(m): event[0] for m in arrived if (event := of_message(m)) is not None}
        self._beside = self._of_orders(connection)
        self._writing = self._who_writes(connection, definitions, arrived)

    def lanes(self, arrived: Sequence[Incoming]) -> Iterator[tuple[Incoming, set[int] | None]]:
        """Give the lanes of each message; None where it concerns nobody knows whom.

        Messages of one order, and of one alias that some of them link, have the same: each depends on the others.
        """
        linked = {message.anonymous for message in arrived if self._links(message)}
        tied: defaultdict[_Tie, set[int]] = defaultdict(set)
        found: list[tuple[Incoming, set[int] | None]] = []
        ties: list[tuple[list[_Tie], set[int]]] = []
        for message in arrived:
            if message.kind >= CHANNEL_TYPE or id(message) in self._writing:
                found.append((message, EVERYBODY))
                continue
            lanes = self._lanes_of(message, linked)
            found.append((message, lanes))
            keys = self._keys(message, linked)
            if keys:
                ties.append((keys, lanes))
        grown = True
        while grown:
            grown = False
            for keys, lanes in ties:
                lanes.update(*(tied[key] for key in keys))
                for key in keys:
                    grown = grown or not lanes <= tied[key]
                    tied[key] |= lanes
        for message, each in found:
            if each is not None and not each:  # Nobody is known whom it concerns: its own lane is as good as any.
                uid, alias = message.uid, message.anonymous
                each.add(self._lane((UID, uid) if uid is not None else (ANONYMOUS, alias or "")))
            yield message, each

    def _keys(self, message: Incoming, linked: Collection[str | None]) -> list[_Tie]:
        keys = [(_ALIAS, message.anonymous or "")] if message.anonymous in linked else []
        order_id = self._orders.get(id(message))
        return keys if order_id is None else [*keys, (_ORDER, order_id)]

    def _links(self, message: Incoming) -> bool:
        """Tell whether a message links its alias to another uid than the alias's newest, or earlier than that one."""
        if message.uid is None or message.anonymous is None:
            return False
        _, runs = self.known.get((ANONYMOUS, message.anonymous), (0, ()))
        uid, _ = self.known.get((UID, message.uid), (-1, ()))
        return not runs or runs[-1].uid != uid or runs[-1].stamp > message.stamp

    def _lanes_of(self, message: Incoming, linked: Collection[str | None]) -> set[int]:
        """Give the lanes of a message by itself."""
        found = set(self._beside.get(self._orders.get(id(message), ""), ()))
        if message.uid is not None:
            found.add(self._lane((UID, message.uid)))
        key = (ANONYMOUS, message.anonymous or "")
        number, runs = self.known.get(key, (0, ()))
        if message.anonymous in linked:  # Who links it has all who ever had it; that nobody knows it is told if not.
            if number:
                found.add(self._lane(key))
                found.update(self._owners[run.uid] for run in runs if run.uid in self._owners)
        elif message.uid is None and message.anonymous is not None:
            uid = owner(runs, message.t)
            found.add(self._lane(key) if uid is None else self._owners.get(uid, self._lane(key)))
        return found

    def _lane(self, key: tuple[int, str]) -> int:
        known = self._lanes.get(key)
        if known is None:
            known = self._lanes[key] = locks.lane(identities.hash_key(self._secret, key))
        return known

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
        numbers = {number for number, _ in self.known.values()} | {
            run.uid for _, runs in self.known.values() for run in runs
        }
        writers = channels.writers_among(connection, numbers)
        return carrying | {id(m) for m in arrived if self._concerns(m, writers)}

    def _concerns(self, message: Incoming, numbers: set[int]) -> bool:
        for key in ((UID, message.uid), (ANONYMOUS, message.anonymous)):
            if key[1] is not None:
                number, runs = self.known.get((key[0], key[1]), (0, ()))
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

    def check(self, connection: Connection, numbers: Iterable[int], messages: Sequence[Incoming]) -> None:
        """See to it that these persons and aliases are in lanes that are held. Raises TooNarrowError.

        For those whom `messages` name the database need not be asked.
        """
        known: dict[int, int] = {}
        for message in messages:
            if message.uid is not None and message.identity not in known:
                known[message.identity] = self._lane((UID, message.uid))
            alias = message.identity if message.uid is None else message.alias
            if message.anonymous is not None and alias not in known:
                known[alias] = self._lane((ANONYMOUS, message.anonymous))
        wanted = set(numbers)
        needed = {known[number] for number in wanted if number in known}
        needed.update(locks.lanes_of(connection, wanted - known.keys()).values())
        if not needed <= self._held:
            raise TooNarrowError(needed | self._held)

    def _lane(self, key: Key) -> int:
        return locks.lane(identities.hash_key(self._secret, key))
