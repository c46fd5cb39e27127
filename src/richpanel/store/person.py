"""A person as people see them: a profile with its figures, under the names of Richpanel's customer fields."""

from decimal import Decimal
from typing import Any, Final

import msgspec

from richpanel.core import traits
from richpanel.core.device import browser_and_os, device_type
from richpanel.core.figures import Figures
from richpanel.core.identity import ANONYMOUS, EMAIL, PHONE
from richpanel.core.ids import phone_address
from richpanel.core.money import average, text
from richpanel.core.profile import Profile
from richpanel.core.timestamps import iso
from richpanel.store.account import AccountSettings

decode_campaign: Final = msgspec.json.Decoder(tuple[str | None, ...]).decode
"""Reads the name, source and medium of a campaign, as `core.inside` writes them."""


class ProfileView(msgspec.Struct, rename="camel", kw_only=True):
    """A customer or visitor in a list. `profile` is the state's own number of it, not for the outside."""

    profile: int
    uid: str | None
    anonymous_id: str | None
    email: str | None
    first_name: str | None
    last_name: str | None
    name: str | None
    phone: str | None
    phone_e164: str | None = msgspec.field(name="phoneE164")
    created_at: str
    customer_since: str | None
    last_seen: str
    visits: int
    orders_count: int
    ltv: str
    aov: str | None
    traits: dict[str, msgspec.Raw]
    landing_page_url: str | None
    last_page_url: str | None
    source: str | None
    medium: str | None
    campaign: str | None
    device_type: str | None
    browser_name: str | None
    os_name: str | None


class Identity(msgspec.Struct, rename="camel", omit_defaults=True):
    """An id or address of a person, and the message that linked it: when it happened, its id, its source's id."""

    type: str
    value: str
    linked_at: str | None = None
    message_id: str | None = None
    source: str | None = None


class CustomerDetail(ProfileView, kw_only=True):
    """One person, with their identities, audiences and all figures of their orders."""

    identities: list[Identity]
    audiences: list[str] = []
    ltv_by_currency: dict[str, str] = {}
    order_ids: list[str] = []
    first_order_at: str | None = None
    last_order_at: str | None = None
    last_order_number: str | None = None
    last_order_amount: str | None = None
    last_order_tax_amount: str | None = None
    last_order_shipping_amount: str | None = None
    last_order_shipping_method: str | None = None
    last_order_payment_method: str | None = None
    last_order_shipping_date: str | None = None
    last_order_status_url: str | None = None
    last_order_tracking_company: str | None = None
    last_order_tracking_number: str | None = None
    last_order_tracking_url: str | None = None
    last_order_delivery_status: str | None = None


def last_order_fields(figures: Figures) -> dict[str, Any]:
    """Give the fields of `CustomerDetail` that tell of the order placed last."""
    names = [name for name in CustomerDetail.__struct_fields__ if name.startswith("last_order_")]
    fields = {name: getattr(figures, name) for name in names}
    if figures.last_order_at is not None:
        fields["last_order_at"] = iso(figures.last_order_at)
    return fields


def money_fields(profile: Profile, account: AccountSettings) -> dict[str, Any]:
    """Give `ltv`, `aov` and `orders_count` (`semantics.md` 6)."""
    own = profile.currencies.get(account.currency)
    total = own.total if own is not None else Decimal(0)
    return {
        "orders_count": profile.orders,
        "ltv": text(total),
        "aov": text(average(total, own.orders)) if own is not None and own.orders else None,
    }


def _shown_traits(profile: Profile, email: str | None) -> dict[str, msgspec.Raw]:
    shown = {key: msgspec.Raw(value.encode()) for key, (value, _) in profile.traits.items() if value is not None}
    if email is not None and "email" in shown:
        shown["email"] = msgspec.Raw(msgspec.json.encode(email))
    return dict(sorted(shown.items()))


def fields(number: int, kind: int, value: str, profile: Profile, account: AccountSettings) -> dict[str, Any]:
    """Give the fields of `ProfileView` for a profile whose identity is (`kind`, `value`).

    A provisional customer's uid is the address or id that it came by (`semantics.md` 3).
    """
    contact = traits.contact(profile.traits, profile.carried_email)
    phone = contact.phone or (value if kind == PHONE else None)
    campaign: tuple[str | None, ...] = (None, None, None)
    if profile.campaign is not None:
        campaign = decode_campaign(profile.campaign[1])
    agent = profile.agent[1] if profile.agent is not None else None
    browser, system = browser_and_os(agent)
    return {
        "profile": number,
        "uid": value if kind != ANONYMOUS or profile.customer is not None else None,
        "anonymous_id": value if kind == ANONYMOUS else None,
        "email": contact.email or (value if kind == EMAIL else None),
        "first_name": contact.firstName,
        "last_name": contact.lastName,
        "name": contact.name or (profile.called[1] if profile.called is not None else None),
        "phone": phone,
        "phone_e164": phone_address(phone, account.phone_country),
        "created_at": iso(profile.created),
        "customer_since": None if profile.customer is None else iso(profile.customer[0]),
        "last_seen": iso(profile.seen),
        "visits": profile.visits,
        **money_fields(profile, account),
        "traits": _shown_traits(profile, contact.email),
        "landing_page_url": profile.landing[1] if profile.landing is not None else None,
        "last_page_url": profile.last_page[1] if profile.last_page is not None else None,
        "campaign": campaign[0],
        "source": campaign[1],
        "medium": campaign[2],
        "device_type": None if agent is None else device_type(agent, None, ""),
        "browser_name": browser,
        "os_name": system,
    }
