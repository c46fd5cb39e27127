"""Makes calls through segment-analytics-python, whichever generation comes first on the path.

In: {"host", "writeKey", "options": {...}, "calls": [{"type", "userId", ...}]}; out: {"version", "sent", "errors"}.
"""

import json
import sys
from datetime import datetime
from typing import Any

from segment.analytics.client import Client
from segment.analytics.version import VERSION

ARGUMENTS = {
    "userId": "user_id",
    "anonymousId": "anonymous_id",
    "previousId": "previous_id",
    "groupId": "group_id",
    "messageId": "message_id",
}


def main() -> None:
    """Makes each call in turn, waits until all are sent and says with which message ids."""
    order = json.load(sys.stdin)
    errors: list[str] = []
    options = {"on_error": lambda error, _items: errors.append(repr(error)), **order["options"]}
    client = Client(order["writeKey"], host=order["host"], **options)
    sent = [made(client, dict(call)) for call in order["calls"]]
    if not client.sync_mode:
        client.flush()
        client.join()
    json.dump({"version": VERSION, "sent": sent, "errors": errors}, sys.stdout)


def made(client: Client, call: dict[str, Any]) -> str:
    """One call; gives the message id that the SDK made for it."""
    method = getattr(client, call.pop("type"))
    if "timestamp" in call:
        call["timestamp"] = datetime.fromisoformat(call["timestamp"])
    ok, message = method(**{ARGUMENTS.get(name, name): value for name, value in call.items()})
    assert ok
    return str(message["messageId"])


main()
