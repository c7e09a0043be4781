"""The API's description, made from the table of routes and the wire types."""

import re
from typing import Any

import msgspec
from aiohttp import web

from server import wire
from server.http.apidocs import docs_page
from server.http.problems import json_answer
from server.http.service import Handler, Route, Service

_PARAMETER = re.compile(r"{(\w+)(?::[^}]*)?}")


def describe(routes: tuple[Route, ...]) -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    types = [wire.Problem, *(t for r in routes for t in (r.body, r.answer) if isinstance(t, type) or _generic(t))]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    by_type = dict(zip(map(str, types), schemas, strict=True))
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(_PARAMETER.sub(r"{\1}", route.path), {})[route.method.lower()] = _operation(route, by_type)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Diemcau", "version": str(wire.PROTOCOL), "description": "See PROTOCOL.md for the socket."},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "diemcau_session"},
                "token": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _generic(kind: object) -> bool:
    return kind is not None and not isinstance(kind, str)


def _content(kind: object, by_type: dict[str, Any]) -> dict[str, Any]:
    if isinstance(kind, str):
        return {kind: {"schema": {"type": "string", "format": "binary"}}}
    return {"application/json": {"schema": by_type[str(kind)]}}


def _operation(route: Route, by_type: dict[str, Any]) -> dict[str, Any]:
    names = _PARAMETER.findall(route.path)
    operation: dict[str, Any] = {
        "summary": route.summary,
        "description": f"For: {route.who}.",
        "parameters": [_parameter(name, "path") for name in names]
        + [_parameter(name, "query") for name in route.query],
        "responses": {
            str(route.status): _good(route, by_type),
            "default": {"description": "Why not", "content": _content(wire.Problem, by_type)},
        },
        "security": [] if route.who == "anyone" else [{"session": []}, {"token": []}],
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(route.body, by_type)}
    return operation


def _good(route: Route, by_type: dict[str, Any]) -> dict[str, Any]:
    return {"description": "Done", **({"content": _content(route.answer, by_type)} if route.answer else {})}


def _parameter(name: str, place: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}}


def docs_handler(document: dict[str, Any]) -> Handler:
    text = docs_page(document)

    async def docs(request: web.Request, service: Service) -> web.StreamResponse:
        return web.Response(text=text, content_type="text/html")

    return docs


def openapi_handler(document: dict[str, Any]) -> Handler:
    async def openapi(request: web.Request, service: Service) -> web.StreamResponse:
        return json_answer(document)

    return openapi
