"""REST: what came of the last check of an audience or computed trait, in which everybody is counted again (0025)."""

import msgspec
from litestar import get
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException

from richpanel.core.announcing import Class
from richpanel.core.timestamps import iso
from richpanel.store import checks
from richpanel.store.checks import CheckRow
from richpanel.store.person import ProfileView
from richpanel.store.profiles import list_by_number
from richpanel.web.audience_definitions import find
from richpanel.web.customers import outward
from richpanel.web.paging import Identifier
from richpanel.web.paths import decode_id
from richpanel.web.stores import Reading, Stores


class CheckView(msgspec.Struct, rename="camel", kw_only=True):
    """A check. `endedAt` is null while it goes on, or where it was cut short. `looked` people were judged again.

    Of `differing` something else was kept than their messages say; that is mended. `sample` are some of them.
    """

    began_at: str
    ended_at: str | None
    looked: int
    differing: int
    sample: list[ProfileView]


class Checked(msgspec.Struct):
    """The last check, null where there was none of the version in force."""

    checked: CheckView | None


@get(
    "/audiences/{audience_id:str}/checked",
    operation_id="lastAudienceCheck",
    tags=["Audiences"],
    raises=[NotFoundException],
)
async def of_audience(stores: Given[Stores], audience_id: Identifier) -> Checked:
    """Tell what came of counting everybody again, which is done once a day (`audience_check_at`)."""
    return await _last(stores, "audience", decode_id(audience_id))


@get(
    "/traits/{trait_id:str}/checked",
    operation_id="lastTraitCheck",
    tags=["Computed traits"],
    raises=[NotFoundException],
)
async def of_trait(stores: Given[Stores], trait_id: Identifier) -> Checked:
    """Tell what came of computing everybody's value again, which is done once a day (`audience_check_at`)."""
    return await _last(stores, "trait", decode_id(trait_id))


async def _last(stores: Stores, kind: Class, wanted: str) -> Checked:
    plan = (await stores.look_up(lambda conn: find(conn, kind, wanted))).live

    def run(reading: Reading) -> Checked:
        row = None if plan is None else checks.last(reading.state, plan.number)
        return Checked(None if row is None else _view(reading, row))

    return await stores.read(run)


def _view(reading: Reading, row: CheckRow) -> CheckView:
    people = list_by_number(reading.state, reading.account, row.sample)
    return CheckView(
        began_at=iso(row.began),
        ended_at=None if row.ended is None else iso(row.ended),
        looked=row.looked,
        differing=row.differing,
        sample=[outward(person) for person in people],
    )


audience_checks_api = [of_audience, of_trait]
