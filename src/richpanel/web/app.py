"""The pages and the REST API as one ASGI application."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.types import ASGIApp, Scope

from richpanel.log.contract import LogReader, LogWriter
from richpanel.store.secrets import SecretBox
from richpanel.web.access import SESSION_SECONDS
from richpanel.web.account_pages import account_pages
from richpanel.web.alarm_pages import alarm_pages
from richpanel.web.alarms import alarms_api
from richpanel.web.audience_checks import audience_checks_api
from richpanel.web.audience_looks import audience_looks_api
from richpanel.web.audience_pages import audience_pages
from richpanel.web.audiences import audiences_api
from richpanel.web.audit import Journal
from richpanel.web.audit_pages import audit_pages, list_audit
from richpanel.web.builder_pages import builder_pages
from richpanel.web.catalog import search_catalog
from richpanel.web.catalog_pages import catalog_pages
from richpanel.web.channels import add_channel_message
from richpanel.web.computed_traits import computed_traits_api
from richpanel.web.connectors import connectors_api
from richpanel.web.customer_export import export_pages
from richpanel.web.customer_pages import customer_pages
from richpanel.web.customers import customers_api
from richpanel.web.debugger_pages import debugger_pages
from richpanel.web.deliveries import deliveries_api
from richpanel.web.delivery_pages import delivery_pages
from richpanel.web.destination_pages import destination_pages
from richpanel.web.destinations import EndpointPolicy, destinations_api
from richpanel.web.filter_pages import filter_pages
from richpanel.web.following import Follower
from richpanel.web.getting_started import getting_started_pages
from richpanel.web.guard import guard
from richpanel.web.headers import with_headers
from richpanel.web.integration_pages import integration_pages
from richpanel.web.manual_links import manual_links_api
from richpanel.web.membership_history import membership_history_api
from richpanel.web.message_pages import message_pages
from richpanel.web.messages import messages_api
from richpanel.web.openapi import PREFIX, document, openapi_json
from richpanel.web.overview import overview
from richpanel.web.pages import Pages, answer_error, provide_guest, provide_viewer
from richpanel.web.paging import read_query
from richpanel.web.paths import route_by_raw_path
from richpanel.web.people_pages import people_pages
from richpanel.web.person_live import Watcher, live_pages
from richpanel.web.privacy_pages import privacy_pages
from richpanel.web.regulations import regulations_api
from richpanel.web.remembered import MUCH
from richpanel.web.replay_pages import replay_pages
from richpanel.web.replays import replays_api
from richpanel.web.shop_pages import shop_pages
from richpanel.web.signin import Door, sign_in, sign_in_code, sign_in_page, sign_out
from richpanel.web.source_pages import source_pages
from richpanel.web.sources import sources_api
from richpanel.web.static import Assets, favicon, static_file
from richpanel.web.status import status
from richpanel.web.stores import Places, Stores, follow_file
from richpanel.web.tester import Lines, Tester, test_destination
from richpanel.web.tester_pages import tester_pages
from richpanel.web.token_pages import token_pages
from richpanel.web.tokens import tokens_api
from richpanel.web.trait_looks import trait_looks_api
from richpanel.web.trait_pages import trait_pages
from richpanel.web.versions import versions_api
from richpanel.web.view_pages import view_pages

MAX_BODY: Final = 262_144
_FOLLOW_SECONDS: Final = 1.0


def peer(scope: Scope) -> str:
    """Give the address at the other end of the connection."""
    client = scope["client"]
    return client[0] if client else ""


def asked_for(scope: Scope) -> tuple[str, str]:
    """Give scheme and host as the request itself has them."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    return scope["scheme"], host.decode("latin-1")


@dataclass(frozen=True, kw_only=True)
class WebOptions:
    """What the pages and the API need.

    `log_writer` is None in a process that does not own the log; channel messages are refused there. `now` gives ms UTC.
    `secure_cookies`: cookies are sent over https alone. `public_url`: how clients reach the server, for snippets; where
    it is None, `origin` tells scheme and host from a request. `client` tells a request's address, for the limit on
    sign-in tries. Both know which proxies to believe. `lines`: how test events leave; without them none is sent.
    `much`: how many rows are looked at each time rather than remembered (`web.remembered`).
    """

    state_url: str
    account_url: str
    delivery_url: str
    log_writer: LogWriter | None
    log_reader: LogReader
    secrets: SecretBox
    now: Callable[[], int]
    version: str
    secure_cookies: bool = False
    allow_private_endpoints: bool = False
    session_seconds: int = SESSION_SECONDS
    audit_days: int = 365
    public_url: str | None = None
    lines: Lines | None = None
    client: Callable[[Scope], str] = field(default=peer)
    origin: Callable[[Scope], tuple[str, str]] = field(default=asked_for)
    much: int = MUCH


def _always(value: Any) -> Provide:
    """Provide one and the same object to every handler that names it."""
    return Provide(lambda: value, sync_to_thread=False, use_cache=True)


def _api() -> Router:
    """Everything behind a bearer token (`web.guard`)."""
    handlers = [
        *customers_api,
        *messages_api,
        *deliveries_api,
        *manual_links_api,
        *regulations_api,
        *replays_api,
        *audiences_api,
        *audience_looks_api,
        *audience_checks_api,
        *computed_traits_api,
        *trait_looks_api,
        *versions_api,
        *membership_history_api,
        status,
        list_audit,
        add_channel_message,
        search_catalog,
        test_destination,
    ]
    routers = [sources_api, tokens_api, connectors_api, destinations_api, alarms_api]
    return Router(PREFIX, route_handlers=[*handlers, *routers])


def _dependencies(
    options: WebOptions, stores: Stores, assets: Assets, pages: Pages, follower: Follower
) -> dict[str, Provide]:
    """Name what handlers may ask for."""
    door = Door(pages, stores, options.session_seconds, options.client, asyncio.Semaphore(1))
    return {
        "stores": _always(stores),
        "assets": _always(assets),
        "pages": _always(pages),
        "door": _always(door),
        "secrets": _always(options.secrets),
        "tester": _always(Tester(stores, options.secrets, options.lines)),
        "follower": _always(follower),
        "watcher": _always(Watcher(pages)),
        "policy": _always(EndpointPolicy(options.allow_private_endpoints)),
        "log_writer": _always(options.log_writer),
        "asked": Provide(read_query),
        "viewer": Provide(provide_viewer),
        "guest": Provide(provide_guest),
    }


def build(options: WebOptions) -> ASGIApp:
    """Make the application. Its threads and connections end with its lifespan."""
    return with_headers(route_by_raw_path(site(options)), https=options.secure_cookies)


def site(options: WebOptions) -> Litestar:
    """Put the application together, with its route table to be read."""
    stores = Stores(
        Places(options.state_url, options.account_url, options.delivery_url, options.log_reader, options.now),
        options.much,
    )
    assets, follower = Assets(), Follower(stores.log)

    def origin(scope: Scope) -> str:
        return options.public_url or "://".join(options.origin(scope))

    journal = Journal(stores, options.client, options.audit_days)
    pages = Pages(stores, assets, secure_cookies=options.secure_cookies, origin=origin)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        loading = asyncio.create_task(asyncio.to_thread(pages.load))
        keeping = asyncio.create_task(journal.keep())
        following = asyncio.create_task(follow_file(stores.state, _FOLLOW_SECONDS))
        yield
        following.cancel()
        keeping.cancel()
        await journal.flush()
        await loading
        follower.close()
        stores.close()

    app = Litestar(
        route_handlers=[
            *(_api(), openapi_json),
            *(overview, sign_in, sign_in_code, sign_in_page, sign_out, static_file, favicon),
            *(*live_pages, *export_pages, *view_pages),
            *(*customer_pages, *message_pages, *source_pages, *debugger_pages, *privacy_pages),
            *(*catalog_pages, *destination_pages, *filter_pages, *tester_pages, *integration_pages),
            *(*people_pages, *account_pages, *audit_pages, *token_pages),
            *(*delivery_pages, *replay_pages, *audience_pages, *trait_pages, *builder_pages),
            *(*alarm_pages, *getting_started_pages, *shop_pages),
        ],
        dependencies=_dependencies(options, stores, assets, pages, follower),
        guards=[guard],
        before_send=[journal.before_send],
        exception_handlers={Exception: answer_error},
        lifespan=[lifespan],
        openapi_config=None,
        logging_config=None,  # The program sets its log up itself.
        request_max_body_size=MAX_BODY,
        state=State({"stores": stores, "pages": pages, "client": options.client}),
    )
    app.state.openapi = msgspec.json.encode(document(app, options.version))
    return app
