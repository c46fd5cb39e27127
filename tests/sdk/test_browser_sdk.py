"""@segment/analytics-next in a real browser, on a page of another origin: both generations, both ways of delivery."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.sdk.browser import Shopper, body_of
from tests.sdk.clients import NODE_MODULES
from tests.sdk.conftest import OpenShop
from tests.sdk.network import LossyLine, shop_origin
from tests.server import Server, Source

HERE = Path(__file__).parent
# From 1.84.0 on it sends an Authorization header, so every call of it needs a preflight.
PACKAGES = {"new": ("@segment/analytics-next", "1.84.3"), "older": ("analytics-next-older", "1.83.0")}
BATCHING = {"strategy": "batching", "config": {"size": 3, "timeout": 300}}
# The older one's batching knows https alone: test_snippet_nginx.py has it.
DELIVERIES = pytest.mark.parametrize(
    ("generation", "delivery"),
    [
        pytest.param("new", None, id="new-standard"),
        pytest.param("new", BATCHING, id="new-batching"),
        pytest.param("older", None, id="older-standard"),
    ],
    indirect=["generation"],
)

Visit = Callable[..., AbstractContextManager[Shopper]]


@pytest.fixture(params=PACKAGES)
def generation(request: pytest.FixtureRequest) -> str:
    """Each generation of the SDK in turn."""
    assert isinstance(request.param, str)
    return request.param


@pytest.fixture
def visit(generation: str, server: Server, website: Source, open_shop: OpenShop, tmp_path: Path) -> Visit:
    """Opens a page of another origin, on which the SDK is pointed at the server by its settings alone."""

    @contextmanager
    def visited(delivery: object = None, host: str = server.url) -> Iterator[Shopper]:
        folder = shop_folder(tmp_path / "shop", generation)
        segment_io = {"apiHost": f"{urlsplit(host).netloc}/v1", "protocol": "http"}
        if delivery is not None:
            segment_io["deliveryStrategy"] = delivery  # type: ignore[assignment]
        settings = {"writeKey": website.write_key, "cdnURL": host}
        loading = [settings, {"integrations": {"Segment.io": segment_io}}]
        (folder / "loading.js").write_text(f"window.loading = {json.dumps(loading)}")
        with shop_origin(folder) as origin, open_shop() as someone:
            someone.page.goto(f"{origin}/shop.html")
            yield someone

    return visited


def shop_folder(folder: Path, generation: str) -> Path:
    """The page, and beside it the browser build of the npm package."""
    package, version = PACKAGES[generation]
    installed = NODE_MODULES / package
    assert json.loads((installed / "package.json").read_text())["version"] == version
    shutil.copytree(installed / "dist" / "umd", folder / "sdk", ignore=shutil.ignore_patterns("*.map", "*.gz"))
    shutil.copy(HERE / "shop.html", folder)
    return folder


def assert_clean(someone: Shopper, generation: str) -> None:
    """Nothing went wrong on the page, and the credentials went where this generation puts them."""
    assert someone.errors == []
    for post in someone.posts:
        body = body_of(post)
        headers = post.request.all_headers()
        assert body["writeKey"]
        assert ("authorization" in headers) == (generation == "new")
        assert headers["content-type"] == "text/plain"
        assert headers["origin"] != f"{urlsplit(post.url).scheme}://{urlsplit(post.url).netloc}"


@DELIVERIES
def test_anonymous_shopper_becomes_a_customer_with_the_history_S7(
    visit: Visit, server: Server, generation: str, delivery: object
) -> None:
    uid = f"shopper-{generation}-{'batching' if delivery else 'standard'}"
    email = f"{uid}@shop.example"
    with visit(delivery) as someone:
        someone.page.evaluate("analytics.page('Home', {shelf: 'shoes'})")
        home = someone.wait_calls(1)[0]
        assert home["userId"] is None
        server.wait_processed()
        assert server.get(f"/visitors/{home['anonymousId']}")
        assert [entry["event"] for entry in server.timeline(home["anonymousId"], "visitors")] == ["Home"]
        assert server.get("/customers", q=email)["data"] == []

        someone.page.evaluate(f"analytics.identify('{uid}', {{email: '{email}', firstName: 'Ada'}})")
        someone.page.evaluate("analytics.track('Product Viewed', {sku: 'S-1'})")
        calls = {call["type"]: call for call in someone.wait_calls(3)}
        assert_clean(someone, generation)
    assert {call["anonymousId"] for call in calls.values()} == {home["anonymousId"]}

    server.wait_processed()
    customer = server.customer(uid)
    assert (customer["email"], customer["firstName"]) == (email, "Ada")
    assert [found["uid"] for found in server.get("/customers", q=email)["data"]] == [uid]
    timeline = [entry for entry in server.timeline(uid) if entry["type"] != "became_customer"]
    assert [(entry["type"], entry["event"]) for entry in timeline] == [("track", "Product Viewed"), ("page", "Home")]
    assert timeline[1]["id"] == home["messageId"]
    assert timeline[1]["properties"]["shelf"] == "shoes"


def test_the_three_calls_of_the_seeds_verbatim_S9_S11(visit: Visit, server: Server, generation: str) -> None:
    with visit() as someone:
        someone.page.add_script_tag(path=HERE / "seed_calls.js")
        calls = {call["type"]: call for call in someone.wait_posts(3)}
        assert_clean(someone, generation)
    assert set(calls) == {"identify", "page", "track"}

    server.wait_processed()
    customer = server.customer("userId123")
    assert (customer["uid"], customer["email"]) == ("userId123", "john.doe@segment.com")
    assert "richpanel_session_id" not in customer["traits"]
    ids = {calls["page"]["messageId"], calls["track"]["messageId"]}
    timeline = {entry["event"]: entry for entry in server.timeline("userId123") if entry["id"] in ids}
    assert set(timeline) == {"Pricing", "Clicked Login Button"}
    assert timeline["Pricing"]["properties"]["title"] == "Segment Pricing"
    assert timeline["Pricing"]["properties"]["url"] == "https://segment.com/pricing"
    for entry in timeline.values():
        assert entry["sessionId"] == "abc123"
        assert "richpanel_session_id" not in entry["properties"]
    sessions = server.get("/customers/userId123/sessions")["data"]
    assert [(session["sessionId"], session["generated"]) for session in sessions] == [("abc123", False)]


def test_preflight_only_where_the_browser_needs_one(visit: Visit, generation: str) -> None:
    with visit() as someone:
        someone.page.evaluate("analytics.track('Signed Up', {}, {userId: 'preflight'})")
        someone.wait_posts(1)
        assert_clean(someone, generation)
        asked = [preflight for preflight in someone.preflights if preflight["url"].endswith("/v1/t")]
    if generation == "older":
        assert asked == []  # a "simple" request: text/plain, no header of its own
    else:
        assert [preflight["method"] for preflight in asked] == ["OPTIONS"]
        wanted = {name.lower(): value for name, value in asked[0]["headers"].items()}
        assert "authorization" in wanted["access-control-request-headers"]


@DELIVERIES
def test_a_lost_answer_doubles_nothing(visit: Visit, server: Server, generation: str, delivery: object) -> None:
    uid = f"lost-{generation}-{'batching' if delivery else 'standard'}"
    with LossyLine(server.url).open() as line, visit(delivery, line.url) as someone:
        someone.page.evaluate(f"analytics.track('Product Added', {{}}, {{userId: '{uid}'}})")
        someone.wait_until(lambda: len(line.posts) >= 2)
        someone.page.wait_for_timeout(200)
    assert [status for _, _, status in line.posts] == [503, 200]
    (first, _, _), (second, retries, _) = line.posts
    assert first == second
    assert retries == ("1" if generation == "new" else None)

    server.wait_processed()
    (trace,) = server.traces(first[0])
    assert (trace["outcome"], trace["conflict"]) == ("kept", False)
    assert [entry["id"] for entry in server.timeline(uid, "visitors")] == first
