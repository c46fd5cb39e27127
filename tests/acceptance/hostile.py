"""A shop in which every value that somebody else chooses is hostile, sent by Segment's SDK."""

import json
from typing import Any

from segment.analytics.client import Client

from tests.server import Server, request
from tests.sink import Sink
from tests.web.story import HOSTILE

RUNS = "<img src=x onerror=ran=1><script>ran=2</script>\"'>"
SCRIPT_URL = "javascript:ran=3"
TURNED = "\u202egnp.eripxe\u2066\u200b\u200d\ufeff\u2028\u0301" * 3
"""Turns what follows around, joins, and takes no room."""
WIDE = "W" * 120 + "\U0001d54e" * 40 + "﷽" * 8
NAMES = (RUNS, SCRIPT_URL, TURNED, WIDE)
UID = f"u/{RUNS}"
TEMPLATE = "{{ 7 * 7 }}${7 * 7}{% include 'layout.html' %}"


def furnish(server: Server, sink: Sink) -> None:
    """Make definitions whose names are hostile, connected to a stranger who answers with something hostile."""
    shop = make(server, "/sources", {"name": RUNS, "type": "server"})
    make(server, "/sources", {"name": TURNED, "type": "mobile"})
    connected: dict[str, Any] = {"name": WIDE[:100], "sources": [shop["id"]], "endpoint": sink.start()}
    make(server, "/destinations", {**connected, "settings": {"apiKey": RUNS, "apiSecret": RUNS}})
    drop = {"title": RUNS, "if": f'event = "{SCRIPT_URL}"', "actions": [{"type": "DROP"}]}
    make(server, "/destinations", {"name": RUNS, "settings": {"apiKey": "x"}, "filters": [drop], "enabled": False})
    make(server, "/connectors", {"name": RUNS})
    told = {"webhook": f"{connected['endpoint']}/{TURNED}?<b>", "emails": ["o'brien@example.com"]}
    for name in (RUNS, WIDE[:100]):
        make(server, "/alarms", {"kind": "disk", "threshold": 1, "name": name, **told})  # It opens.
    where = [{"property": f"{SCRIPT_URL}", "op": "!=", "value": RUNS}]
    condition = {
        "or": [
            {"event": RUNS, "where": where},
            {"event": "Order Completed"},
            {"trait": TEMPLATE, "op": "=", "value": RUNS},
        ]
    }
    for name in (RUNS, TURNED, WIDE[:100]):
        make(server, "/audiences", {"name": name, "condition": condition})
    make(server, "/traits", {"name": RUNS, "key": "hostile", "kind": "most_frequent", "event": RUNS, "property": "url"})
    make(server, "/alarms", {"kind": "dead_letters", "name": RUNS})
    server.wait_key(shop["writeKey"])
    send(server, str(shop["writeKey"]))
    letter = {
        "from": {"uid": UID, "name": RUNS, "email": "eve@example.com"},
        "subject": RUNS,
        "body": f"{RUNS}\n{TURNED}\n{SCRIPT_URL}",
    }
    make(
        server,
        "/channels/chat/messages",
        {**letter, "attachments": [{"name": RUNS, "contentType": RUNS}, {"name": WIDE}]},
    )
    server.wait_processed()


def make(server: Server, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Make something by the API."""
    answer = server.api("POST", path, body)
    assert answer.status < 300, f"{path}: {answer.status} {answer.body.decode()}"
    return dict(answer.json())


def send(server: Server, key: str) -> None:
    """Send what hostile people do, through the SDK, and what is refused at the door."""
    failures: list[Exception] = []
    client = Client(key, host=server.url, sync_mode=False, on_error=lambda error, _: failures.append(error))
    context = {
        "page": {"url": SCRIPT_URL, "referrer": SCRIPT_URL, "title": RUNS, "path": RUNS},
        "campaign": {"name": RUNS, "source": TURNED, "medium": WIDE},
        "userAgent": RUNS,
        "ip": RUNS,
        "locale": RUNS,
    }
    traits = {
        "name": RUNS,
        "email": f"{HOSTILE}@x",
        "phone": RUNS,
        "website": SCRIPT_URL,
        "avatar": SCRIPT_URL,
        RUNS: [RUNS],
        TEMPLATE: RUNS,
    }
    item = {
        "name": RUNS,
        "product_id": RUNS,
        "sku": WIDE,
        "url": SCRIPT_URL,
        "image_url": SCRIPT_URL,
        "price": RUNS,
        "quantity": RUNS,
    }
    order = {
        "order_id": RUNS,
        "order_status": RUNS,
        "total": RUNS,
        "currency": RUNS,
        "tracking_url": SCRIPT_URL,
        "products": [item, RUNS],
    }
    who = {"user_id": UID, "anonymous_id": RUNS, "context": context}
    client.identify(UID, traits, context=context, anonymous_id=RUNS, message_id=RUNS)
    client.group(UID, RUNS, {"name": RUNS, "industry": TURNED}, context=context)
    client.page(name=RUNS, properties={"url": SCRIPT_URL, "title": RUNS, "richpanel_session_id": RUNS}, **who)
    client.track(event="Order Completed", properties=order, **who)
    for name in (*NAMES, TEMPLATE):
        client.track(event=name, properties={name: {name: [name]}, "url": SCRIPT_URL, "order_id": RUNS}, **who)
        client.identify(
            f"u-{name}", {"email": f"{len(name)}@example.com", "firstName": name, "lastName": name}, context=context
        )
        client.page(anonymous_id=f"a-{name}", name=name, properties={"url": SCRIPT_URL}, context=context)
    client.flush()
    client.join()
    assert failures == []
    wrong = {"writeKey": key, "messageId": RUNS + "-bad", "event": RUNS}
    assert request("POST", f"{server.url}/v1/track", json.dumps(wrong).encode()).status == 400
