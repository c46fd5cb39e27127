"""Orders as the reference folds them: whose each is, what it comes to, how it is shown (semantics.md 6)."""

from collections import defaultdict
from decimal import Decimal
from typing import Any

from richpanel.core.events import order_event
from richpanel.core.money import amount, average, text, total
from richpanel.core.order import TRACKING
from richpanel.core.timestamps import iso
from tests.process.reference_messages import Message, Stamp

VOID = {"cancelled", "canceled", "refunded", "voided"}
DEFAULT_STATUS = {"completed", "refunded", "cancelled"}

Who = tuple[str, str]


def order(order_id: str, events: list[Message]) -> dict[str, Any] | None:
    """A fold over all its events, oldest first; None while none of the four order events is among them."""
    fields: dict[str, tuple[Any, int]] = {}
    refunds, given, default, updated = [], None, None, 0
    kinds = [(each, order_event(each.item["event"])) for each in events]
    for each, kind in kinds:
        for key, value in each.properties.items():
            if key in ("order_id", "richpanel_session_id", "order_status"):
                continue
            if kind in ("completed", "updated") or key in TRACKING:
                fields[key] = (value, each.t)
        status = each.properties.get("order_status")
        given = (status, each.t) if status else given
        default = (kind, each.t) if kind in DEFAULT_STATUS else default
        if kind == "refunded":
            refunded = amount(each.properties.get("total", each.properties.get("revenue")))
            refunds.append({"amount": refunded, "items": each.properties.get("products"), "refundedAt": iso(each.t)})
        updated = each.t if kind else updated
    placing = [each for each, kind in kinds if kind == "completed"] or [each for each, kind in kinds if kind]
    if not placing:
        return None
    status = default and default[0]
    if given and (default is None or default[1] <= given[1]):
        status = given[0]
    return {
        "order_id": order_id,
        "status": status,
        "fields": {key: value for key, (value, _) in fields.items()},
        "refunds": refunds,
        "placed": placing[0].t,
        "updated": max([updated, *(t for _, t in fields.values()), given[1] if given else 0]),
        "void": status is not None and status.lower().replace("_", " ").replace("-", " ") in VOID,
        "events": [(iso(each.t), each.item["event"], each.stamp[1], each.stamp[2]) for each in events],
    }


def net(found: dict[str, Any]) -> Decimal:
    """`total` (else `revenue`, else 0) less refund amounts."""
    gross = amount(found["fields"].get("total", found["fields"].get("revenue", 0))) or Decimal(0)
    return gross - total(refund["amount"] for refund in found["refunds"] if refund["amount"] is not None)


def currency(found: dict[str, Any]) -> str:
    return str(found["fields"].get("currency", "USD"))


def figures(orders: list[dict[str, Any]]) -> dict[str, Any]:
    """Over non-void orders per currency; `ordersCount` over all."""
    nets: dict[str, list[Decimal]] = defaultdict(list)
    for found in orders:
        if not found["void"]:
            nets[currency(found)].append(net(found))
    own = nets.get("USD", [])
    return {
        "ordersCount": len(orders),
        "ltv": text(total(own)),
        "aov": text(average(total(own), len(own))) if own else None,
        "ltvByCurrency": {code: text(total(each)) for code, each in sorted(nets.items())},
    }


def orders_by_owner(histories: dict[Who, list[Message]], customers: set[Who]) -> dict[Who, list[dict[str, Any]]]:
    """Each order is of the profile of its newest event among customers, else of its newest event."""
    events: dict[tuple[str, str], list[tuple[Stamp, Who, Message]]] = defaultdict(list)
    for who, history in histories.items():
        for message in history:
            order_id = message.properties.get("order_id")
            if message.kind == "track" and order_id:
                events[(message.shop, order_id)].append((message.stamp, who, message))
    owned: dict[Who, list[dict[str, Any]]] = defaultdict(list)
    for (_, order_id), found in events.items():
        found.sort(key=lambda event: event[0])
        owner = next((who for _, who, _ in reversed(found) if who in customers), found[-1][1])
        folded = order(order_id, [message for _, _, message in found])
        if folded:
            owned[owner].append(folded)
    return owned


def place(order: dict[str, Any]) -> tuple[str, str, str]:
    """An order's place in a list that is to be compared."""
    return order["placedAt"], order["orderId"], order["events"][0]["source"]


def shown(found: dict[str, Any]) -> dict[str, Any]:
    """An order as the REST API gives it."""
    fields = found["fields"]
    return {
        "orderId": found["order_id"],
        "status": found["status"],
        "total": text(Decimal(str(fields["total"]))) if "total" in fields else None,
        "currency": currency(found),
        "items": fields.get("products", []),
        "refunds": [
            {**each, "amount": None if each["amount"] is None else text(each["amount"])} for each in found["refunds"]
        ],
        "fulfillment": {key: fields[key] for key in sorted(TRACKING & fields.keys())},
        "placedAt": iso(found["placed"]),
        "updatedAt": iso(found["updated"]),
        "void": found["void"],
        "net": text(net(found)),
        "events": [
            {"timestamp": at, "event": name, "messageId": message, "source": source}
            for at, name, message, source in found["events"]
        ],
    }
