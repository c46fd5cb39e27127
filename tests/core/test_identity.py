"""Identity (semantics.md 3): whose a device's messages are, as links come in any order."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.identity import (
    MAX_UIDS,
    NOBODY,
    Move,
    Run,
    Runs,
    from_links,
    is_shared,
    link,
    moves,
    owner,
    pack,
    part,
    spans,
    split_run,
    unlink,
    unpack,
    visitor_spans,
    without,
)
from richpanel.core.stamps import Stamp

FOREVER = 1 << 62
UIDS = st.integers(1, 3)
STAMPS = st.builds(lambda t, message: (t, f"m{message}", "src"), st.integers(0, 6), st.integers(0, 9))
LINKS = st.dictionaries(STAMPS, UIDS, max_size=12)

Link = tuple[Stamp, int]


def at(t: int, message: str = "m") -> Stamp:
    return (t, message, "src")


def runs(*links: tuple[int, int]) -> Runs:
    """Runs that start at these times, at these uids."""
    return tuple(Run(at(t), uid) for t, uid in links)


def compressed(links: Sequence[Link]) -> Runs:
    """The runs of links, by looking at all of them in order."""
    found: list[Run] = []
    for stamp, uid in sorted(links):
        if not found or found[-1].uid != uid:
            found.append(Run(stamp, uid))
    return tuple(found)


def linked(links: Sequence[Link]) -> Runs:
    """The runs of links that come one by one, each looking up in the ones before when the split run resumes."""
    found: Runs = ()
    for number, (stamp, uid) in enumerate(links):
        split = split_run(found, stamp, uid)
        later = [s for s, other in links[:number] if split is not None and other == split.uid and s > stamp]
        found = link(found, stamp, uid, min(later, default=None))
    return found


def naive_owner(links: Sequence[Link], t: int, max_uids: int = MAX_UIDS) -> int | None:
    """The uid of the latest link at or before `t`, else of the earliest after it."""
    if len({uid for _, uid in links}) > max_uids:
        return None
    before = [uid for stamp, uid in sorted(links) if stamp[0] <= t]
    return before[-1] if before else min(links)[1] if links else None


@pytest.mark.parametrize(
    ("known", "t", "expected"),
    [
        (runs(), 5, None),
        (runs((10, 1)), 10, 1),
        (runs((10, 1)), 99, 1),
        (runs((10, 1)), 3, 1),  # Before its first link: the earliest after.
        (runs((10, 1), (20, 2)), 19, 1),
        (runs((10, 1), (20, 2)), 20, 2),  # At a login: the one who logs in.
        (runs((10, 1), (20, 2), (30, 1)), 29, 2),
        (runs((10, 1), (20, 2), (30, 1)), 30, 1),
        (runs((10, 1), (20, 2)), 0, 1),
    ],
)
def test_owner(known: Runs, t: int, expected: int | None) -> None:
    assert owner(known, t) == expected


def test_of_links_at_one_instant_the_last_by_the_order_owns_it() -> None:
    known = (Run(at(10, "a"), 1), Run(at(10, "b"), 2))
    assert owner(known, 10) == 2
    assert owner(known, 9) == 1


@pytest.mark.parametrize(("uids", "shared"), [(MAX_UIDS, False), (MAX_UIDS + 1, True)])
def test_a_device_of_too_many_uids_is_nobodys(uids: int, shared: bool) -> None:
    known = runs(*((t, t) for t in range(1, uids + 1)))
    assert is_shared(known) is shared
    assert owner(known, 5) == (None if shared else 5)
    assert bool(spans(known, 5)) is not shared
    assert visitor_spans(known) == ([(0, FOREVER)] if shared else [])


def test_many_logins_of_few_people_are_not_shared() -> None:
    assert not is_shared(runs(*((t, t % 2 + 1) for t in range(2 * MAX_UIDS))))


@given(LINKS, st.randoms())
def test_links_in_any_order_give_the_runs_of_the_sorted_list(links: dict[Stamp, int], random) -> None:
    shuffled = list(links.items())
    random.shuffle(shuffled)
    assert linked(shuffled) == compressed(shuffled)


@given(LINKS, st.data())
def test_links_that_are_taken_away_have_never_been(links: dict[Stamp, int], data: st.DataObject) -> None:
    gone = data.draw(st.permutations(sorted(links))) if links else []
    known, left = linked(sorted(links.items())), dict(links)
    for stamp in gone:
        uid = left.pop(stamp)
        known = unlink(
            known, stamp, min((other for other in left if other > stamp and left[other] == uid), default=None)
        )
        assert known == compressed(sorted(left.items()))


@given(LINKS, st.dictionaries(UIDS, STAMPS))
def test_links_before_a_cut_do_not_count(links: dict[Stamp, int], cuts: dict[int, Stamp]) -> None:
    counting = [(stamp, uid) for stamp, uid in sorted(links.items()) if uid not in cuts or stamp > cuts[uid]]
    assert from_links(links.items(), cuts) == compressed(counting)


@given(LINKS, st.integers(-1, 8), st.integers(1, 3))
def test_the_owner_is_that_of_the_links(links: dict[Stamp, int], t: int, max_uids: int) -> None:
    known = compressed(list(links.items()))
    assert owner(known, t, max_uids) == naive_owner(list(links.items()), t, max_uids)


@given(LINKS, st.integers(1, 3))
def test_spans_say_whose_each_instant_is(links: dict[Stamp, int], max_uids: int) -> None:
    known = compressed(list(links.items()))
    everyone: dict[int | None, list[tuple[int, int]]] = {uid: spans(known, uid, max_uids) for uid in (1, 2, 3)}
    everyone[None] = visitor_spans(known, max_uids)
    for t in (*range(8), FOREVER - 1):
        here = [uid for uid, found in everyone.items() for start, end in found if start <= t < end]
        assert here == [owner(known, t, max_uids)]


@given(LINKS, LINKS, st.integers(1, 3))
def test_moves_take_each_instant_from_its_old_owner_to_its_new(
    before: dict[Stamp, int], more: dict[Stamp, int], max_uids: int
) -> None:
    old, new = compressed(list(before.items())), compressed(list({**before, **more}.items()))
    found = moves(old, new, max_uids)
    for t in (*range(8), FOREVER - 1):
        here = [move for move in found if move.from_t <= t < move.to_t]
        was, now = owner(old, t, max_uids), owner(new, t, max_uids)
        assert [(move.old, move.new) for move in here] == ([] if was == now else [(was, now)])


def test_a_first_link_moves_all_of_the_visitors() -> None:
    assert moves((), runs((10, 1))) == [Move(0, FOREVER, None, 1)]


def test_a_late_link_moves_only_its_span() -> None:
    assert moves(runs((10, 1), (30, 2)), runs((10, 1), (20, 3), (30, 2))) == [Move(20, 30, 1, 3)]


@pytest.mark.parametrize(
    ("known", "stamp", "uid", "expected"),
    [
        (runs(), at(5), 1, None),
        (runs((10, 1)), at(5), 2, None),  # Before all runs: it splits none.
        (runs((10, 1)), at(15), 1, None),
        (runs((10, 1)), at(15), 2, Run(at(10), 1)),
        (runs((10, 1), (20, 2)), at(25), 1, Run(at(20), 2)),
    ],
)
def test_split_run(known: Runs, stamp: Stamp, uid: int, expected: Run | None) -> None:
    assert split_run(known, stamp, uid) == expected


@given(LINKS)
def test_packing_loses_nothing(links: dict[Stamp, int]) -> None:
    known = compressed(list(links.items()))
    assert unpack(pack(known)) == known


def test_an_alias_without_links_takes_no_room() -> None:
    assert pack(()) is None
    assert unpack(None) == ()


PARTS = st.sets(st.integers(0, 7), max_size=3)


def parted(links: dict[Stamp, int], times: set[int]) -> Runs:
    """Runs of links, parted at these instants."""
    cut = {(t, "", ""): NOBODY for t in times}
    found: list[Run] = []
    for stamp, uid in sorted({**links, **cut}.items()):
        if not found or found[-1].uid != uid or uid == NOBODY:
            found.append(Run(stamp, uid))
    return tuple(found)


def owner_among_parts(links: dict[Stamp, int], times: set[int], t: int, max_uids: int) -> int | None:
    """The owner by the links of the part in which `t` lies."""
    if len(set(links.values())) > max_uids:
        return None
    start, end = max((at for at in times if at <= t), default=-1), min((at for at in times if at > t), default=FOREVER)
    return naive_owner([(stamp, uid) for stamp, uid in links.items() if start <= stamp[0] < end], t)


@given(LINKS, PARTS, st.integers(-1, 8), st.integers(1, 3))
def test_nobody_looks_across_a_part(links: dict[Stamp, int], times: set[int], t: int, max_uids: int) -> None:
    assert owner(parted(links, times), t, max_uids) == owner_among_parts(links, times, t, max_uids)


@given(LINKS, PARTS, st.integers(1, 3))
def test_spans_of_parts_say_whose_each_instant_is(links: dict[Stamp, int], times: set[int], max_uids: int) -> None:
    known = parted(links, times)
    everyone: dict[int | None, list[tuple[int, int]]] = {uid: spans(known, uid, max_uids) for uid in (1, 2, 3)}
    everyone[None] = visitor_spans(known, max_uids)
    for t in (*range(8), FOREVER - 1):
        here = [uid for uid, found in everyone.items() for start, end in found if start <= t < end]
        assert here == [owner(known, t, max_uids)]


@given(LINKS, PARTS, st.randoms())
def test_links_find_their_part_in_any_order(links: dict[Stamp, int], times: set[int], random) -> None:
    """Of a run that is split the next link is looked up, as in the processing."""
    shuffled = list(links.items())
    random.shuffle(shuffled)
    known = parted({}, times)
    for number, (stamp, uid) in enumerate(shuffled):
        split = split_run(known, stamp, uid)
        later = [s for s, other in shuffled[:number] if split is not None and other == split.uid and s > stamp]
        known = link(known, stamp, uid, min(later, default=None))
    assert known == parted(links, times)


@given(LINKS, PARTS, UIDS)
def test_without_a_uid_the_others_links_stay(links: dict[Stamp, int], times: set[int], uid: int) -> None:
    left = {stamp: other for stamp, other in links.items() if other != uid}
    assert without(parted(links, times), uid) == parted(left, times)


@given(LINKS, st.integers(0, 7))
def test_a_part_begins_where_no_run_does(links: dict[Stamp, int], t: int) -> None:
    known = {stamp: uid for stamp, uid in links.items() if stamp[0] < t}
    assert part(parted(known, set()), (t, "", "")) == parted(known, {t}) == part(parted(known, {t}), (t, "", ""))
