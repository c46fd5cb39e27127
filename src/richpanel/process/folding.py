"""Folding: load the profiles that a batch touches, fold their messages, write each once."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from sqlalchemy import Connection

from richpanel.core import pipeline, traits
from richpanel.core import profile as people
from richpanel.core.ids import phone_address
from richpanel.core.pipeline import Change
from richpanel.core.profile import Profile
from richpanel.core.session import Book, Session
from richpanel.process.growing import Growing
from richpanel.process.incoming import IDENTIFY, Incoming
from richpanel.process.memory import Memory
from richpanel.store import profile_rows as profiles
from richpanel.store import session_rows as sessions
from richpanel.store.account import AccountSettings
from richpanel.store.profile_rows import Keys, Written

_HUNDREDTHS_LIMIT: Final = 1 << 62
Times = tuple[int, int]
"""The first and the last event time of something, ms."""


class Open:
    """A profile taken up for a batch: its state, its loaded sessions, which rows those came from, its own row's keys.

    `stored` is None where the profile has no row yet.
    """

    __slots__ = ("book", "number", "profile", "renamed", "rows", "seen", "stored")

    def __init__(self, number: int, profile: Profile, loaded: list[Session], gap: int, stored: Keys | None) -> None:
        self.number = number
        self.profile = profile
        self.stored = stored
        self.seen = profile.seen
        self.renamed = False
        self.rows = {sessions.place_of(session): session.events for session in loaded}
        self.book = Book([*profile.open, *loaded], gap)


def shown_as(profile: Profile, phone_country: str) -> tuple[str, str, str]:
    """Give the name, email and phone by which a person is found: the phone as given, as bare digits and as E.164."""
    contact = traits.contact(profile.traits, profile.carried_email)
    name = contact.name or (profile.called[1] if profile.called else None)
    phone = contact.phone or ""
    digits = "".join(filter(str.isdigit, phone))
    spellings = dict.fromkeys((phone, digits, phone_address(phone, phone_country) or ""))
    return (name or "", contact.email or "", " ".join(spellings).strip())


class Folding:
    """The profiles that a batch has taken up, until they are written."""

    def __init__(self, connection: Connection, memory: Memory, account: AccountSettings) -> None:
        self.connection = connection
        self.memory = memory
        self.account = account
        self.open: dict[int, Open] = {}
        self.gone: set[int] = set()
        self.changes: dict[int, list[Change]] = {}
        self.new_customers: set[int] = set()
        self._named: dict[tuple[int, str], Session | None] = {}
        """Sessions by profile and key, read ahead; None where there is no row."""

    def load(self, numbers: Iterable[int]) -> None:
        """Read many profiles at once, so that taking them up needs no query each; what was dropped stays so."""
        self.memory.load_profiles(self.connection, set(numbers) - self.gone)

    def take(
        self, number: int, t: int, *, times: Sequence[Times] = (), keys: Iterable[str] = (), whole: bool = False
    ) -> Open:
        """Take up a profile, made now if it is new, with the sessions that may touch what is in `times` or has `keys`.

        A profile is taken up once in a batch: whoever does it first must name all that the batch will touch.
        """
        known = self.open.get(number)
        if known is not None:
            return known
        profile = self.memory.profiles.get(number)
        stored: Keys | None = None
        if profile is None:
            profile = Profile(created=t, seen=t)
            self.memory.profiles[number] = profile
        else:
            stored = self._keys(profile)
        loaded: list[Session] = []
        if profile.closed:
            loaded = self._closed_sessions(number, profile, times, keys, whole=whole)
        opened = Open(number, profile, loaded, self.account.session_gap, stored)
        self.open[number] = opened
        return opened

    def _closed_sessions(
        self, number: int, profile: Profile, times: Sequence[Times], keys: Iterable[str], *, whole: bool
    ) -> list[Session]:
        if whole:
            return sessions.all_of(self.connection, number)
        newest = max((session.start for session in profile.open if not session.key), default=None)
        open_keys = {session.key for session in profile.open}
        missing = [key for key in keys if key and key not in open_keys]
        late = [] if newest is None else [each for each in times if each[0] < newest]
        known = [self._named[number, key] for key in missing if (number, key) in self._named]
        missing = [key for key in missing if (number, key) not in self._named]
        loaded = [session for session in known if session is not None]
        if late or missing:
            loaded += sessions.touching(self.connection, number, _joined(late, self.account.session_gap), missing)
        return loaded

    def read_ahead(self, groups: Mapping[int, list[Incoming]]) -> None:
        """Read the sessions that messages name, by profile, all at once: each query may be a trip over a network."""
        wanted: set[tuple[int, str]] = set()
        for number, messages in groups.items():
            profile = self.memory.profiles.get(number)
            if profile is not None and profile.closed and number not in self.open:
                open_keys = {session.key for session in profile.open}
                wanted.update((number, key) for key in _touched(messages)[1] - open_keys)
        self._named = dict.fromkeys(wanted) | sessions.named(self.connection, wanted)

    def fold(self, number: int, messages: list[Incoming], *, trace: bool = True) -> None:
        """Fold messages of one profile, in any order; with `trace`, note what each changed."""
        known = self.memory.profiles.get(number)
        times, keys = _touched(messages) if known is not None and known.closed else ((), ())  # Else none has a row.
        opened = self.take(number, messages[0].t, times=times, keys=keys)
        was_customer = opened.profile.customer is not None
        for message in messages:
            changed = fold_one(opened, message)
            if changed:
                opened.renamed = True
                if trace:
                    self.changes.setdefault(message.n, []).extend(changed)
        if not was_customer and opened.profile.customer is not None:
            self.new_customers.add(number)

    def join(self, visitors: list[int], into: int, messages: list[Incoming]) -> None:
        """Give visitors' whole profiles to another: they were that person all along. `messages` follow by `fold`."""
        found = [self.take(number, 0, whole=True) for number in visitors if number in self.memory.profiles]
        if not found:
            return
        times, keys = _touched(messages)
        for visitor in found:
            times += [(session.start, session.end) for session in visitor.book.generated]
            keys |= visitor.book.explicit.keys()
        opened = self.take(into, found[0].profile.created, times=times, keys=keys)
        was_customer = opened.profile.customer is not None
        for visitor in found:
            people.merge(opened.profile, visitor.profile)
            for session in visitor.book.all():
                opened.book.add(session)
            self.drop(visitor.number)
        opened.renamed = True
        if not was_customer and opened.profile.customer is not None:
            self.new_customers.add(into)

    def add(self, number: int, part: Profile) -> None:
        """Give a profile that is folded afresh what some of its messages make together, with all their sessions."""
        opened = self.take(number, part.created)
        was_customer = opened.profile.customer is not None
        people.merge(opened.profile, part)
        for session in part.open:
            opened.book.add(session)
        opened.renamed = True
        if not was_customer and opened.profile.customer is not None:
            self.new_customers.add(number)

    def drop(self, number: int) -> None:
        """Forget a profile: its messages are somebody else's, or it is folded afresh."""
        self.open.pop(number, None)
        self.memory.forget_profile(number)
        self.gone.add(number)

    def keep_figures(self, before: Mapping[int, Profile]) -> None:
        """Carry the figures of orders over to profiles that were folded afresh: orders are folds of their own.

        Their orders need another look only where they became customers, or are none any more.
        """
        for number, old in before.items():
            opened = self.open.get(number)
            if opened is not None:
                opened.profile.orders, opened.profile.currencies = old.orders, old.currencies
                opened.renamed = True
            if (opened is not None and opened.profile.customer is not None) == (old.customer is not None):
                self.new_customers.discard(number)
            else:
                self.new_customers.add(number)

    def _keys(self, profile: Profile) -> Keys:
        figure = profile.currencies.get(self.account.currency)
        ltv = 0 if figure is None else _hundredths(figure.total)
        return Keys(int(profile.customer is not None), profile.created, ltv)

    def write(self, uids: dict[int, str]) -> None:
        """Write every profile taken up, once. `uids` names those that the search must find by uid."""
        sessions.remove_all(self.connection, self.gone)
        profiles.remove(self.connection, self.gone)
        closed: list[tuple[int, Session]] = []
        deleted: list[tuple[int, str, int]] = []
        written: list[Written] = []
        for number, opened in self.open.items():
            _close_sessions(opened, closed, deleted)
            renamed = opened.renamed and opened.profile.customer is not None
            shown = shown_as(opened.profile, self.account.phone_country) if renamed else None
            keys = self._keys(opened.profile)
            written.append(Written(number, opened.profile, shown, keys, opened.stored, opened.seen))
        sessions.remove(self.connection, deleted)
        sessions.save(self.connection, closed)
        profiles.save(self.connection, written, uids)


def _touched(messages: list[Incoming]) -> tuple[list[Times], set[str]]:
    """Tell when messages' events without a session id of their own happened, and the ids of the others."""
    insides = [(message.t, message.inside.session_key) for message in messages if message.inside is not None]
    return [(t, t) for t, key in insides if not key], {key for _, key in insides if key}


def _joined(times: list[Times], gap: int) -> list[Times]:
    """Give times that lie far from each other instead: what is within a session's gap is one."""
    found: list[Times] = []
    for start, end in sorted(times):
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end + gap))
        else:
            found.append((start, end + gap))
    return found


def fold_one(opened: Open | Growing, message: Incoming) -> list[Change]:
    """Fold one message by its type (`core.pipeline`)."""
    if message.inside is not None:
        return pipeline.event(
            opened.profile,
            opened.book,
            message.inside,
            message.stamp,
            has_uid=message.uid is not None,
            source_type=pipeline.source_type(message.source.type, message.message),
        )
    if message.kind == IDENTIFY:
        has_uid = message.uid is not None
        return pipeline.identify(opened.profile, message.message, message.stamp, has_uid=has_uid, in_use=message.in_use)
    if message.activity is None:
        return []
    return pipeline.activity(opened.profile, message.activity, message.stamp)


def _close_sessions(opened: Open, closed: list[tuple[int, Session]], deleted: list[tuple[int, str, int]]) -> None:
    """Keep the newest generated and the newest explicit session with the profile; the others get rows."""
    book, profile = opened.book, opened.profile
    profile.visits += book.visits
    book.visits = 0
    if not opened.rows and len(book.generated) <= 1 and len(book.explicit) <= 1:
        profile.open = [*book.generated, *book.explicit.values()]  # The usual case: nothing to close.
        return
    kept = book.generated[-1:]
    if book.explicit:
        kept = [*kept, max(book.explicit.values(), key=lambda session: session.last)]
    profile.open = kept
    stay = {id(session) for session in kept}
    rows = set()
    for session in (*book.generated, *book.explicit.values()):
        if id(session) not in stay:
            place = sessions.place_of(session)
            rows.add(place)
            if opened.rows.get(place) != session.events:  # Whatever changes a session adds events to it.
                closed.append((opened.number, session))
    deleted += [(opened.number, *place) for place in opened.rows.keys() - rows]
    profile.closed += len(rows) - len(opened.rows)


def _hundredths(total: Decimal) -> int:
    return int(max(min(total * Decimal(100), Decimal(_HUNDREDTHS_LIMIT)), Decimal(-_HUNDREDTHS_LIMIT)))
