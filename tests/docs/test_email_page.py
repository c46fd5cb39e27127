"""`docs/howto/email.md` names the codes, the replies and the limits of the e-mail channel as they are."""

import re
from pathlib import Path

import pytest

from richpanel.config import Settings, read_settings
from richpanel.core.channel import MAX_TEXT_BYTES
from richpanel.core.codes import Code
from richpanel.core.mime import MAX_DEPTH, MAX_HEAD_BYTES, MAX_PARTS
from richpanel.core.mime import MAX_TEXT_BYTES as MAX_PART_BYTES
from richpanel.source.lmtp import MAX_MAIL_BYTES, MAX_RECIPIENTS, Bounds
from richpanel.source.mailroom import refused

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "email.md").read_text(encoding="utf-8")
ACCEPTED = (Code.BOUNCE, Code.AUTOMATIC_MAIL, Code.BULK_MAIL)
REFUSED = (Code.MAIL_TOO_LARGE, Code.NO_SENDER, Code.MAIL_UNREADABLE)


@pytest.mark.parametrize("code", [*ACCEPTED, *REFUSED], ids=str)
def test_every_code_is_named(code: Code) -> None:
    row = f"| `{code}` | {code.text} |" if code in ACCEPTED else f" | `{code}`: {code.text} | bounces it |"
    assert row in PAGE
    assert (code.status < 400) == (code in ACCEPTED)


@pytest.mark.parametrize(
    "code", [Code.LOG_FULL, Code.SHUTTING_DOWN, Code.SOURCE_DISABLED, Code.MAIL_TOO_LARGE], ids=str
)
def test_every_reply_is_named(code: Code) -> None:
    assert f"| {' '.join(refused(code).split()[:2])} |" in PAGE


@pytest.mark.parametrize(
    "limit",
    [
        f"A mail may have {MAX_MAIL_BYTES:,} bytes and {MAX_RECIPIENTS} recipients",
        f"{Bounds().connections} connections, {Bounds().command_seconds / 60:.0f} minutes",
        f"take {Bounds().unfinished_bytes >> 20} MiB together",
        f"{MAX_PARTS} parts and {MAX_DEPTH} levels",
        f"{MAX_HEAD_BYTES:,} bytes of headers",
        f"{MAX_TEXT_BYTES:,} bytes of it",
    ],
)
def test_every_limit_is_as_it_is(limit: str) -> None:
    assert limit in " ".join(PAGE.split())
    assert MAX_HEAD_BYTES == MAX_PART_BYTES, "said in one number"
    assert (Bounds().session_seconds, "half an hour" in PAGE) == (1_800, True)


def test_the_settings_are_settings() -> None:
    places = re.findall(r"--lmtp (\S+)", PAGE)
    assert len(places) == 2
    for place in places:
        assert read_settings({"lmtp": place}, {}).settings.lmtp == place
    assert Settings.lmtp is None
    form = re.search(r"RICHPANEL_CONTACT_FORMS=(\S+)", PAGE)
    assert form is not None
    assert read_settings({}, {"RICHPANEL_CONTACT_FORMS": form[1]}).settings.contact_forms == (form[1],)
