"""Noticing: the notices of alarms leave, by webhook or mail; what fails is tried again for a day, ever more seldom."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from sqlalchemy import Engine

from richpanel.core.alarms import headline, mail_body, webhook_body
from richpanel.core.codes import Code
from richpanel.core.retrying import Outcome, Patience, code_of, verdict
from richpanel.core.signing import webhook_signature
from richpanel.deliver.sending import Sender
from richpanel.roles.mailing import Mailer, MailRefusedError
from richpanel.store import alarm_history
from richpanel.store.alarm_history import Told, Tried
from richpanel.store.alarms import signing_secret
from richpanel.store.database import reading
from richpanel.store.secrets import SecretBox

PATIENCE: Final = Patience(first=5_000, longest=15 * 60_000, lasting=24 * 3_600_000)
_AT_ONCE: Final = 20
_LONGEST_PROBLEM: Final = 300
_encode = msgspec.json.Encoder().encode


class Noticing:
    """Sends what is due. `mailer` is None where no server for mail is set."""

    def __init__(self, account: Engine, box: SecretBox, sender: Callable[[], Sender], mailer: Mailer | None) -> None:
        """`sender` makes one that sends webhooks, within an event loop."""
        self._account, self._box = account, box
        self._sender, self._mailer = sender, mailer

    def send_due(self, now: int) -> int:
        """Send what is due, and note what came of it; tell how many that were. Raises SQLAlchemyError."""
        with reading(self._account) as connection:
            found = alarm_history.due(connection, now, _AT_ONCE)
            alarms = {each.alarm for each in found if each.channel == "webhook"}
            signing = {number: signing_secret(connection, self._box, number) for number in alarms}
        if not found:
            return 0
        tried = asyncio.run(self._send(found, signing, now))
        with self._account.begin() as connection:
            alarm_history.note(connection, tried)
        return len(found)

    async def _send(self, found: Sequence[Told], signing: dict[int, str | None], now: int) -> list[Tried]:
        sender = self._sender()
        try:
            return await asyncio.gather(*(self._one(sender, each, signing.get(each.alarm), now) for each in found))
        finally:
            await sender.close()

    async def _one(self, sender: Sender, told: Told, secret: str | None, now: int) -> Tried:
        if told.channel == "webhook":
            outcome, problem = await self._post(sender, told, secret, now)
        else:
            outcome, problem = await asyncio.to_thread(self._mail, told)
        return judged(told, outcome, problem, now)

    async def _post(self, sender: Sender, told: Told, secret: str | None, now: int) -> tuple[Outcome, str | None]:
        body = _encode(webhook_body(told.notice))
        signed = webhook_signature(body, secret or "", now // 1000)
        headers = f"Richpanel-Signature: {signed}\r\nRichpanel-Notice: {told.notice.id}\r\n"
        answer = await sender.post(told.target, body, headers.encode())
        code = code_of(answer.outcome)
        return answer.outcome, None if code is None else _problem(answer.outcome, code)

    def _mail(self, told: Told) -> tuple[Outcome, str | None]:
        if self._mailer is None:
            return Outcome(None, Code.CONNECTION_FAILED), "No server for mail is set (smtp_url)."
        try:
            self._mailer.send(told.addresses, headline(told.notice), mail_body(told.notice), notice=told.notice.id)
        except MailRefusedError as error:
            return Outcome(400), f"The server for mail refused it: {error}"
        except OSError as error:
            return Outcome(None, Code.CONNECTION_FAILED), f"The server for mail did not take it: {error}"
        return Outcome(200), None


def _problem(outcome: Outcome, code: Code) -> str:
    return f"It answered {outcome.status}." if outcome.status is not None else code.text


def judged(told: Told, outcome: Outcome, problem: str | None, now: int) -> Tried:
    """Say what a notice is after a try: arrived, to be tried again, or given up."""
    tries = told.tries + 1
    found = verdict(outcome, tries, told.created_at, now, _jitter(), hosted=False, patience=PATIENCE)
    if problem is None:
        return Tried(told.number, tries, None, now, None)
    return Tried(told.number, tries, found.due_at, None, problem[:_LONGEST_PROBLEM])


def _jitter() -> float:
    """Give a number of [0.5, 1): a pause that is nearly none would tell nothing new."""
    return 0.5 + secrets.randbelow(1_000) / 2_000
