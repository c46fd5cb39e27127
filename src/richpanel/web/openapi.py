"""The OpenAPI document, made from the routes and the very types that read and write the bodies."""

import inspect
import re
from collections.abc import Iterator
from http import HTTPStatus
from types import NoneType
from typing import Any, Final, get_args, get_origin

import msgspec
from litestar import Litestar, Response, get
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from richpanel.core import condition_json
from richpanel.web.paging import Query
from richpanel.web.problems import MEDIA_TYPE, Problem

PREFIX: Final = "/api/v1"
_REF: Final = "#/components/schemas/{name}"
_PATH_PARAMETER: Final = re.compile(r"\{(\w+):str\}")
_REDIRECT: Final = 308
_HIDDEN: Final = {"ProfileView": "profile", "CustomerDetail": "profile"}
"""Fields that are left out of the answers (`customers.outward`)."""
_CONDITIONS: Final = ("NewAudience", "AudiencePatch", "AudienceView", "AskedPreview")
"""What has a field `condition`, which is read and written apart from the rest."""
Json = dict[str, Any]


def _routes(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    """Give (path, method, handler) of each route of the API."""
    for route in app.routes:
        if isinstance(route, HTTPRoute) and route.path.startswith(PREFIX):
            for handler in route.route_handlers:
                if handler.operation_id is not None:
                    yield route.path, next(iter(handler.http_methods)).lower(), handler


def _types(handler: HTTPRouteHandler) -> Json:
    """Give what a handler takes (`asked`, `data`) and gives (`return`), where it does."""
    signature = handler.parsed_fn_signature
    types: Json = {
        name: signature.parameters[name].annotation for name in ("asked", "data") if name in signature.parameters
    }
    given = signature.return_type.annotation
    if get_origin(given) is Response:  # One with headers of its own.
        (given,) = get_args(given)
    return types if given is NoneType else types | {"return": given}


class _Writer:
    """Writes the operations, with the schemas that `msgspec` gives for the types."""

    def __init__(self, types: list[Any]) -> None:
        schemas, self.components = msgspec.json.schema_components([*types, Problem], ref_template=_REF)
        for name, field in _HIDDEN.items():
            del self.components[name]["properties"][field]
            self.components[name]["required"].remove(field)
        self.components.update(condition_json.schema())
        for name in _CONDITIONS:
            self.components[name]["properties"]["condition"] = {"$ref": _REF.format(name="Condition")}
        self._schemas = {repr(kind): schema for kind, schema in zip([*types, Problem], schemas, strict=True)}

    def schema(self, kind: Any) -> Json:
        """Give a type's schema."""
        return self._schemas[repr(kind)]

    def query(self, kind: type[Query]) -> list[Json]:
        """Write a query's fields as parameters."""
        fields = msgspec.json.schema(kind)["$defs"][kind.__name__]["properties"]
        return [self._parameter(name, schema) for name, schema in fields.items()]

    @staticmethod
    def _parameter(name: str, schema: Json) -> Json:
        """Write one field: null and a default of null mean that it is left out."""
        choices = [choice for choice in schema.get("anyOf", [schema]) if choice != {"type": "null"}]
        kept = dict(choices[0])
        if schema.get("default") is not None:
            kept["default"] = schema["default"]
        if None in kept.get("enum", []):
            kept["enum"] = [value for value in kept["enum"] if value is not None]
        parameter = {"name": name, "in": "query", "required": False, "schema": kept}
        return parameter | {"description": kept.pop("description")} if "description" in kept else parameter

    def operation(self, path: str, handler: HTTPRouteHandler) -> Json:
        """Write one operation."""
        types = _types(handler)
        summary, _, rest = (inspect.getdoc(inspect.unwrap(handler.fn)) or "").partition("\n\n")
        parameters = [self._path_parameter(name) for name in _PATH_PARAMETER.findall(path)]
        if "asked" in types:
            parameters += self.query(types["asked"])
        operation: Json = {"operationId": handler.operation_id, "summary": " ".join(summary.split())}
        operation["tags"] = sorted({tag for layer in handler.ownership_layers for tag in layer.tags or ()})
        if rest:
            operation["description"] = rest
        if parameters:
            operation["parameters"] = parameters
        if "data" in types:
            content = {"application/json": {"schema": self.schema(types["data"])}}
            operation["requestBody"] = {"required": True, "content": content}
        operation["responses"] = self._responses(handler, types)
        return operation

    @staticmethod
    def _path_parameter(name: str) -> Json:
        description = "Percent-encoded: it may hold anything, slashes included."
        schema = {"type": "string", "minLength": 1}
        return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}

    def _responses(self, handler: HTTPRouteHandler, types: Json) -> Json:
        good: Json = {"description": HTTPStatus(handler.status_code).phrase}
        if "return" in types:
            good["content"] = {"application/json": {"schema": self.schema(types["return"])}}
        statuses = {error.status_code for error in handler.raises or ()} | {401, 403}
        if "asked" in types or "data" in types:
            statuses.add(400)
        if "data" in types:
            statuses |= {413, 415}
        responses = {str(handler.status_code): good}
        for status in sorted(statuses):
            responses[str(status)] = self._error(status)
        return responses

    def _error(self, status: int) -> Json:
        if status == _REDIRECT:
            location = {"description": "Where it is now.", "required": True, "schema": {"type": "string"}}
            return {"description": "Known under another id now.", "headers": {"Location": location}}
        content = {MEDIA_TYPE: {"schema": self.schema(Problem)}}
        return {"description": HTTPStatus(status).phrase, "content": content}


def document(app: Litestar, version: str) -> Json:
    """Write the OpenAPI 3.1 document of the API."""
    routes = list(_routes(app))
    of_bodies = [_types(handler) for _, _, handler in routes]
    kinds = {repr(kind): kind for types in of_bodies for name, kind in types.items() if name != "asked"}
    writer = _Writer(list(kinds.values()))
    paths: Json = {}
    for path, method, handler in sorted(routes, key=lambda route: route[:2]):
        paths.setdefault(_PATH_PARAMETER.sub(r"{\1}", path), {})[method] = writer.operation(path, handler)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Richpanel destination", "version": version},
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": writer.components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


@get(f"{PREFIX}/openapi.json")
async def openapi_json(state: State) -> Response[bytes]:
    """Answer the document; it needs no token."""
    return Response(state.openapi, media_type="application/json")
