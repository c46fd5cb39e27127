"""Regulations as the REST API puts them into the log."""

import json

from richpanel.core.identity import ANONYMOUS, EMAIL, PHONE, UID
from richpanel.core.regulation import Named, Regulation, RegulationType, encode_regulation, hashed
from tests.process.account import Account, Arrived


def regulation(account: Account, kind: RegulationType, ids: dict[str, str], *, name: str = "reg_1") -> Arrived:
    """A record with a regulation; ids are given as uid, device, email and phone."""
    kinds = {"uid": UID, "device": ANONYMOUS, "email": EMAIL, "phone": PHONE}
    named = [Named(kinds[key], hashed(account.settings.hash_key, kinds[key], value)) for key, value in ids.items()]
    return Arrived([json.loads(encode_regulation(Regulation(name, kind, named)))], "Channels", door="regulation")
