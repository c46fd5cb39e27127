"""The shop's traffic on its way: through Segment's own Python SDK, with nothing changed but the host."""

from collections.abc import Callable, Iterable
from copy import deepcopy
from datetime import UTC, datetime

from segment.analytics.client import Client

from richpanel.demo.visits import Call

_AT_ONCE = 2_000
"""Calls that are handed to the SDK before it is waited for: its queue is bounded, and drops what does not fit."""


class NotSentError(Exception):
    """The SDK could not deliver some calls; the text says why."""


def send(calls: Iterable[Call], host: str, write_key: str, on_sent: Callable[[int], None]) -> None:
    """Send the calls in their order; `on_sent` hears how many more are through. Raises NotSentError."""
    failures: list[Exception] = []
    client = Client(
        write_key,
        host=host,
        on_error=lambda error, _items: failures.append(error),
        max_retries=5,
        upload_interval=0.05,
    )
    waiting = 0
    for call in calls:
        _hand_over(client, call)
        waiting += 1
        if waiting == _AT_ONCE:
            client.flush()
            on_sent(waiting)
            waiting = 0
    client.flush()
    client.join()
    if failures:
        raise NotSentError(f"{len(failures)} requests failed, the last one with: {failures[-1]}")
    on_sent(waiting)


def _hand_over(client: Client, call: Call) -> None:
    """Make the call as a shop's code would."""
    shared = {
        "context": deepcopy(call.context),  # The SDK adds to it.
        "timestamp": datetime.fromtimestamp(call.at / 1000, UTC),
        "anonymous_id": call.anonymous_id,
        "integrations": dict(call.integrations),
        "message_id": call.message_id,
    }
    if call.kind == "identify":
        client.identify(call.user_id, call.body, **shared)
    elif call.kind == "track":
        client.track(call.user_id, call.name, call.body, **shared)
    elif call.kind == "group":
        client.group(call.user_id, call.name, call.body, **shared)
    elif call.kind == "screen":
        client.screen(call.user_id, None, call.name, call.body, **shared)
    else:
        client.page(call.user_id, None, call.name, call.body, **shared)
