"""The API's description as a page to read, without any script."""

import html
import json
from typing import Any

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
h2{font-size:1.1rem;margin:2rem 0 .25rem}code,pre{font-family:ui-monospace,monospace;font-size:.9em}
pre{background:#f4f6f8;padding:1rem;overflow:auto}.method{display:inline-block;min-width:4rem;font-weight:700}
"""


def docs_page(document: dict[str, Any]) -> str:
    """HTML of an OpenAPI document."""
    operations = "".join(
        _operation(path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    schemas = "".join(_schema(name, schema) for name, schema in sorted(document["components"]["schemas"].items()))
    title = html.escape(document["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title} API</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style><h1>{title} API</h1>'
        '<p>The same as <a href="/api/openapi.json">OpenAPI 3.1</a>. The socket is told in PROTOCOL.md.</p>'
        f"{operations}<h1>Types</h1>{schemas}"
    )


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    query = [p["name"] for p in operation["parameters"] if p["in"] == "query"]
    parts = [
        f'<h2><span class="method">{method.upper()}</span> <code>{html.escape(path)}</code></h2>',
        f"<p>{html.escape(operation['summary'])}. {html.escape(operation['description'])}</p>",
        f"<p>Query: <code>{html.escape(', '.join(query))}</code></p>" if query else "",
        _content("Takes", operation.get("requestBody", {})),
        _content("Gives", next(iter(operation["responses"].values()))),
    ]
    return "".join(parts)


def _content(label: str, body: dict[str, Any]) -> str:
    return "".join(
        f"<p>{label} <code>{html.escape(kind)}</code> {_type(content['schema'])}</p>"
        for kind, content in body.get("content", {}).items()
    )


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = html.escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    return html.escape(str(schema.get("type", "")))


def _schema(name: str, schema: dict[str, Any]) -> str:
    text = html.escape(json.dumps(schema, indent=2, ensure_ascii=False))
    return f'<h2 id="{html.escape(name)}">{html.escape(name)}</h2><pre>{text}</pre>'
