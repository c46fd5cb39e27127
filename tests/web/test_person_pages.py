"""A person's page: each tab has what it is for, each filter lets through what it says, and each link leads on."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from shutil import copytree

import pytest

from tests.web.running import Site, running, segment
from tests.web.story import LURKER, UID, call, tell

ADA = f"/customers/{segment(UID)}"


@pytest.fixture(scope="module")
def shop(furnished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The story's shop, and somebody with a long history; signed in."""
    with running(Path(copytree(furnished, tmp_path_factory.mktemp("people") / "data"))) as site:
        tell(site)
        site.send(
            [
                *(call("page", f"b{n}", n, userId="busy", name=f"Page {n}") for n in range(100)),
                call("identify", "busy-1", 1, userId="busy", traits={"plan": "free"}),
                call("identify", "busy-2", 50, userId="busy", traits={"plan": "gold"}),
                call(
                    "page", "now", 1_438, userId="here", name="Cart", context={"page": {"url": "https://x.example/c"}}
                ),
                call("identify", "here-1", 1_438, userId="here", traits={"email": "here@x.example"}),
            ]
        )
        site.process()
        site.sign_in()
        yield site


def text(site: Site, path: str) -> str:
    answer = site.page(path)
    assert answer.status == 200, (path, answer.status)
    return unescape(answer.body.decode())


def names(html: str) -> list[str]:
    return re.findall(r'class="entry-name">([^<]*)', html)


def link(html: str, rel: str) -> str | None:
    found = re.search(rf'href="([^"]*)" rel="{rel}"', html)
    return found and found[1]


def test_the_head_answers_at_a_glance(shop: Site) -> None:
    html = text(shop, ADA)
    assert "Last order" in html
    assert "1001 · $45.50" in html
    assert "partly refunded" in html
    assert "shop.example/mugs" in html
    assert "Active now" not in html
    here = text(shop, "/customers/here")
    assert "Active now" in here
    assert "In the shop now" in here
    visitor = text(shop, f"/visitors/{segment(LURKER)}")
    assert '<span class="pill">Visitor</span>' in visitor


def test_each_tab_has_its_own(shop: Site) -> None:
    tabs = {
        tab: text(shop, f"{ADA}?tab={tab}")
        for tab in ("properties", "orders", "audiences", "identities", "conversations")
    }
    assert "12.5" in tabs["properties"]
    assert 'href="/messages/m-identify?source=' in tabs["properties"]
    assert "Mug, blue" in tabs["orders"]
    assert "Refunded" in tabs["orders"]
    assert 'href="/messages/m-refund?source=' in tabs["orders"]
    assert "No audiences yet" in tabs["audiences"]
    assert 'href="/messages/m-identify?source=' in tabs["identities"]
    assert "ada@example.com" in tabs["identities"]
    assert "my mug has not come" in tabs["conversations"]
    assert all('aria-current="page"' in html for html in tabs.values())
    assert shop.page(f"{ADA}?tab=nothing").status == 400


def test_a_property_has_its_history(shop: Site) -> None:
    html = text(shop, "/customers/busy?tab=properties")
    assert "1 earlier value" in html
    assert html.index("gold") < html.index("free")
    assert 'href="/messages/busy-1?source=' in html


def test_the_timeline_is_sifted(shop: Site) -> None:
    assert names(text(shop, f"{ADA}?kind=pages")) == ["Viewed Pricing", "Viewed Mugs"]
    assert names(text(shop, f"{ADA}?kind=orders")) == ["Order Refunded", "Order Completed"]
    assert names(text(shop, f"{ADA}?kind=events")) == ["Order Refunded", "Order Completed", "Product Added"]
    assert names(text(shop, f"{ADA}?kind=conversations")) == ["Email message"]
    assert names(text(shop, f"{ADA}?event=mug")) == ["Viewed Mugs"]
    assert "Nothing here fits" in text(shop, f"{ADA}?event=nothing")


def test_the_timeline_leads_on_and_back(shop: Site) -> None:
    first = text(shop, "/customers/busy")
    older = link(first, "next")
    assert older is not None
    second = text(shop, older)
    assert names(first)[0] == "Viewed Page 99"
    assert len({*names(first), *names(second)}) == 80
    assert "Page 59" in "".join(names(second))
    third = text(shop, str(link(second, "next")))
    assert names(text(shop, str(link(third, "prev")))) == names(second)
    assert names(text(shop, str(link(second, "prev")))) == names(first)
    assert link(first, "prev") is None


def test_a_day_is_jumped_to(shop: Site) -> None:
    assert names(text(shop, f"{ADA}?until=2025-11-22")) == []
    assert len(names(text(shop, f"{ADA}?until=2025-11-23"))) == 5
    assert shop.page(f"{ADA}?until=yesterday").status == 400
    assert shop.page(f"{ADA}?until=2025-99-99").status == 400
