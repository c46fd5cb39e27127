"""Manual links: follow what people linked, cut and took back (`core.manual`)."""

from collections.abc import Iterable

from richpanel.core.identity import MAX_UIDS, moves
from richpanel.core.manual import UNDO
from richpanel.process.incoming import Incoming
from richpanel.process.memory import Memory
from richpanel.process.people import afresh, changing_hands, parted
from richpanel.process.refold import Reader
from richpanel.store import identities, manual_rows
from richpanel.store.manual_rows import ManualRow


def follow(reader: Reader, memory: Memory, arrived: list[Incoming]) -> tuple[set[int], set[int]]:
    """Keep new records; give the profiles to fold afresh, and the aliases that are another's now."""
    if not arrived:
        return set(), set()
    memory.identities.write(reader.connection)
    rows = []
    for message in arrived:
        alias, uid = (0, 0) if message.kind == UNDO else (message.alias, message.identity)
        undoes = message.manual.undoes if message.manual is not None else None
        rows.append(ManualRow(message.n, message.kind, alias, uid, *message.stamp, undoes))
    manual_rows.add(reader.connection, rows)
    memory.any_manual = True
    return relink(reader, memory, manual_rows.touched(reader.connection, [row.n for row in rows]), set())


def relink(reader: Reader, memory: Memory, aliases: Iterable[int], known: set[int]) -> tuple[set[int], set[int]]:
    """Find anew whose aliases are, from all their links; give the profiles and aliases that this moves.

    `known` are uids that may have links beside those that have runs or were cut by hand.
    """
    profiles: set[int] = set()
    moved: set[int] = set()
    for alias, (_, value, before) in identities.by_number(reader.connection, aliases).items():
        runs = afresh(reader.connection, alias, known | {run.uid for run in before}, reader.stamp, parted(before))
        if runs == before:
            continue
        identities.relink(reader.connection, alias, runs)
        memory.identities.relink(value, runs)
        moved.add(alias)
        profiles |= changing_hands(reader.connection, alias, moves(before, runs, MAX_UIDS))
    return profiles, moved
