"""The OpenAPI document tells the truth: schemathesis tries the running server with what it allows and forbids."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import positive_data_acceptance
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation

from tests.web.running import TOKEN, Site
from tests.web.story import tell

PATHS = {
    "/alarms",
    "/alarms/{alarm_id}",
    "/alarms/{alarm_id}/test",
    "/audit",
    "/audiences",
    "/audiences/preview",
    "/audiences/{audience_id}",
    "/audiences/{audience_id}/checked",
    "/audiences/{audience_id}/members",
    "/audiences/{audience_id}/sizes",
    "/audiences/{audience_id}/versions",
    "/catalog",
    "/channels/{channel}/messages",
    "/connectors",
    "/connectors/{connector_id}",
    "/connectors/{connector_id}/rotate",
    "/customers",
    "/customers/{uid}",
    "/customers/{uid}/audiences/{audience_id}/history",
    "/customers/{uid}/audiences/{audience_id}/why",
    "/customers/{uid}/links",
    "/customers/{uid}/orders",
    "/customers/{uid}/sessions",
    "/customers/{uid}/timeline",
    "/customers/{uid}/traits/{trait_id}/history",
    "/customers/{uid}/traits/{trait_id}/why",
    "/customers/{uid}/unlinks",
    "/deliveries",
    "/deliveries/overview",
    "/deliveries/{delivery_id}",
    "/deliveries/{delivery_id}/drop",
    "/deliveries/{delivery_id}/retry",
    "/deliveries/{delivery_id}/replay",
    "/destinations",
    "/destinations/{destination_id}",
    "/destinations/{destination_id}/filters/try",
    "/destinations/{destination_id}/test",
    "/messages",
    "/messages/{message_id}",
    "/messages/{message_id}/undo",
    "/regulations",
    "/regulations/{regulation_id}",
    "/replays",
    "/replays/{replay_id}",
    "/replays/{replay_id}/cancel",
    "/replays/{replay_id}/resume",
    "/sources",
    "/sources/{source_id}",
    "/sources/{source_id}/rotate",
    "/status",
    "/suppressions",
    "/tokens",
    "/tokens/{token_id}",
    "/traits",
    "/traits/preview",
    "/traits/{trait_id}",
    "/traits/{trait_id}/checked",
    "/traits/{trait_id}/values",
    "/traits/{trait_id}/versions",
    "/visitors",
    "/visitors/{visitor_id}",
    "/visitors/{visitor_id}/timeline",
}

UNSAYABLE = (
    "This cursor is not one",
    "there is no source with the id",
    "`from` needs a uid",
    "An API Key is required",
    "The filters cannot be saved",
    "The filter cannot be tried",
    "The definition cannot be used",
    "The test cannot be sent",
    "This anonymousId stands",
    "This id stands",
    "A regulation names at least one",
    "An address is an email",
    "The endpoint ",
    "The limit is from",
    "An e-mail address ends",
    "The webhook ",
    "This kind of alarm",
    "There is no destination with",
    "Nobody is told of this alarm",
    "Requests are signed with the API Secret",
    "There is no destination with this id",
    "There is no source with this id",
    "The source is not connected",
    "This is no ISO 8601 time",
    "SUPPRESS",
    "UNSUPPRESS",
)
"""What is wrong with requests that no schema could tell to be wrong."""


def test_the_document_needs_no_token_and_names_every_path(shop: Site) -> None:
    answer = shop.api("GET", "/openapi.json", token=None)
    assert answer.status == 200
    document = answer.json()
    assert document["openapi"].startswith("3.1")
    assert {path.removeprefix("/api/v1") for path in document["paths"]} == PATHS
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert all(operation["summary"] and operation["tags"] for operation in operations)
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert "profile" not in document["components"]["schemas"]["CustomerDetail"]["properties"]


def test_the_reference_names_every_operation(shop: Site) -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    for path, operations in shop.api("GET", "/openapi.json").json()["paths"].items():
        for method in operations:
            assert f"`{method.upper()} {path.removeprefix('/api/v1')}" in text


def operations(site: Site) -> Iterator[APIOperation[Any, Any, Any, Any]]:
    """Read the operations from the server's document, as schemathesis understands it."""
    schema = schemathesis.openapi.from_url(f"{site.url}/api/v1/openapi.json")
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        yield result.ok()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_operation_does_as_the_document_says(site: Site, mode: GenerationMode) -> None:
    tell(site)
    for operation in operations(site):

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        def agree(case: Case) -> None:
            answer = case.call(headers={"Authorization": f"Bearer {TOKEN}"})
            excused = answer.status_code == 400 and answer.json()["detail"].startswith(UNSAYABLE)
            case.validate_response(answer, excluded_checks=[positive_data_acceptance] if excused else [])

        agree()
