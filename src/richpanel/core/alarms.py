"""Alarms: what can be watched, when an alarm opens and resolves, and how it is said. Pure: `now` is an argument."""

from typing import Any, Final, Literal, NamedTuple, get_args

Kind = Literal["no_events", "failing", "waiting", "dead_letters", "behind", "disk"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
Happening = Literal["opened", "resolved", "reminder", "test"]
OPENS_AFTER_MS: Final = 15_000
"""How long a value is at its limit or above before an alarm opens: one look may be a hiccup."""
RESOLVES_AFTER_MS: Final = 60_000
"""How long it is well below before it resolves, so that one that goes up and down around the limit is told of once."""
_WELL_BELOW: Final = 0.9


class KindInfo(NamedTuple):
    """A kind of alarm: its title, what is measured, in which unit, between what a limit lies, and whose it is."""

    title: str
    help: str
    unit: str
    usual: int
    least: int
    most: int
    of: Literal["source", "destination"] | None = None


INFO: Final[dict[Kind, KindInfo]] = {
    "no_events": KindInfo("No calls from a source", "Minutes since its last call.", "minutes", 30, 1, 1_440, "source"),
    "failing": KindInfo(
        "A destination fails",
        "The share of tries of the last ten minutes that failed, from five tries on.",
        "%",
        20,
        1,
        100,
        "destination",
    ),
    "waiting": KindInfo(
        "Deliveries wait",
        "Minutes that the oldest call has waited for delivery.",
        "minutes",
        15,
        1,
        10_080,
        "destination",
    ),
    "dead_letters": KindInfo(
        "Dead letters grow", "Calls that were given up in the last hour.", "calls", 1, 1, 1_000_000, "destination"
    ),
    "behind": KindInfo(
        "Processing is behind", "Seconds that the oldest call in the log is old.", "seconds", 60, 5, 86_400
    ),
    "disk": KindInfo("The disk fills up", "How full the disk of the data directory is.", "%", 90, 1, 100),
}


class Measured(NamedTuple):
    """What was measured of a subject: its id and name (both empty where there is but one), and the value.

    The value is None where it cannot be told just now; then nothing changes.
    """

    subject: str
    name: str
    value: float | None


class Standing(NamedTuple):
    """Since when a value has been at its limit or above, or well below (ms UTC); None where it is not."""

    above_since: int | None = None
    below_since: int | None = None


def judge(
    standing: Standing, *, is_open: bool, value: float | None, limit: float, now: int
) -> tuple[Standing, Literal["opened", "resolved"] | None]:
    """Say what a value does to an alarm. Between the limit and 90 % of it an open alarm stays open."""
    if value is None:
        return standing, None
    if value >= limit:
        since = now if standing.above_since is None else standing.above_since
        opens = not is_open and now - since >= OPENS_AFTER_MS
        return Standing(above_since=since), "opened" if opens else None
    if value >= limit * _WELL_BELOW:
        return Standing(), None
    since = now if standing.below_since is None else standing.below_since
    resolves = is_open and now - since >= RESOLVES_AFTER_MS
    return Standing(below_since=since), "resolved" if resolves else None


def is_reminder_due(last_said_at: int, every_hours: int, now: int) -> bool:
    """Tell whether an open alarm is to be told of again; times are ms UTC, and 0 hours never is."""
    return every_hours > 0 and now - last_said_at >= every_hours * 3_600_000


def said(value: float) -> str:
    """Write a value without digits that say nothing."""
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def sentence(kind: Kind, name: str, value: float, limit: float) -> str:
    """Say in a sentence what is wrong, or was."""
    number, most = said(value), said(limit)
    match kind:
        case "no_events":
            return f"No call from {name} for {number} minutes (limit {most})."
        case "failing":
            return f"{number} % of the tries at {name} failed in the last ten minutes (limit {most} %)."
        case "waiting":
            return f"The oldest call for {name} has waited for {number} minutes (limit {most})."
        case "dead_letters":
            return f"{number} calls for {name} were given up in the last hour (limit {most})."
        case "behind":
            return f"Processing is {number} seconds behind (limit {most})."
        case "disk":
            return f"The disk is {number} % full (limit {most} %)."


class Notice(NamedTuple):
    """What is told: of which alarm, what happened, of whom, the value then, and since when (ms UTC)."""

    id: str
    alarm: str
    alarm_name: str
    kind: Kind
    happening: Happening
    subject: str
    name: str
    value: float
    limit: float
    since: str
    at: str
    link: str | None


_WORDS: Final[dict[Happening, str]] = dict(
    zip(get_args(Happening), ("Alarm", "Resolved", "Still open", "Test"), strict=True)
)


def headline(notice: Notice) -> str:
    """Write the subject of a mail, on one line whatever people have named things."""
    about = f" ({notice.name})" if notice.name else ""
    return " ".join(f"[{_WORDS[notice.happening]}] {notice.alarm_name}{about}".split())


def text_of(notice: Notice) -> str:
    """Say what happened in one sentence."""
    if notice.happening == "test":
        return "This is a test: notices of this alarm arrive here."
    sentence_ = sentence(notice.kind, notice.name, notice.value, notice.limit)
    return f"It is over. Last: {sentence_}" if notice.happening == "resolved" else sentence_


def webhook_body(notice: Notice) -> dict[str, Any]:
    """Write what a webhook is sent; `id` is the same however often it is tried."""
    return {
        "id": notice.id,
        "type": f"alarm.{notice.happening}",
        "createdAt": notice.at,
        "text": f"{headline(notice)}: {text_of(notice)}",  # What chat programs show of a webhook.
        "alarm": {"id": notice.alarm, "name": notice.alarm_name, "kind": notice.kind, "threshold": notice.limit},
        "subject": {"id": notice.subject, "name": notice.name} if notice.subject else None,
        "value": notice.value,
        "openedAt": notice.since,
        "url": notice.link,
    }


def mail_body(notice: Notice) -> str:
    """Write the text of a mail."""
    lines = [text_of(notice), "", f"Alarm: {notice.alarm_name}"]
    if notice.happening != "test":
        lines.append(f"Open since: {notice.since}")
    if notice.link:
        lines.append(notice.link)
    return "\n".join([*lines, "", f"Notice {notice.id}", ""])
