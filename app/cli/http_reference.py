"""The HTTP reference: the API's own OpenAPI document and table of problems, as Markdown."""

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from app.api.application import create_application
from app.api.errors import KINDS, UNEXPECTED, Kind
from app.cli.markdown import page, table
from app.metrics import Metrics
from app.settings import Settings
from app.task_queue.task_queue import TaskQueue

Schema = Mapping[str, Any]

HEAD: Final = (
    "The running API serves the same document at `/openapi.json` and shows it at `/docs`; times are"
    " integer milliseconds UTC. Every error is a problem (RFC 9457, `application/problem+json`):"
    " `type`, `title`, `status`, `detail` and `code`; a 422 also lists `errors`, each with a"
    " `pointer` to the field, a `detail` and, where there is one, the `limit`. 429 and 503 carry"
    " `Retry-After`."
)


def http_page() -> str:
    """Every call, every schema, every problem."""
    # The document needs the routes, not the stores behind them.
    document = create_application(Settings(), cast(TaskQueue, None), Metrics()).openapi()
    blocks = [HEAD, "## Calls"]
    for path, methods in document["paths"].items():
        blocks += [_call(path, method, call) for method, call in methods.items()]
    blocks += ["## Problems", _problems(), "## Schemas"]
    blocks += [_schema(name, each) for name, each in document["components"]["schemas"].items()]
    return page("HTTP API", "the OpenAPI document and problems of `app/api`", *blocks)


def _call(path: str, method: str, call: Schema) -> str:
    parts = [f"### `{method.upper()} {path}`"]
    if call.get("description"):
        parts.append(call["description"])
    parameters = [
        (
            f"`{each['name']}`",
            each["in"],
            _kind(each["schema"]) + _limits(each["schema"]),
            "yes" if each.get("required") else _default(each["schema"]),
            each.get("description", ""),
        )
        for each in call.get("parameters", ())
    ]
    if parameters:
        head = ("parameter", "in", "value", "required, or default", "what it does")
        parts.append(table(head, parameters))
    if content := call.get("requestBody", {}).get("content"):
        parts.append("Body: " + _content(content))
    parts.append(table(("answer", "when", "body"), _answers(call["responses"])))
    return "\n\n".join(parts)


def _answers(responses: Mapping[str, Schema]) -> list[tuple[str, str, str]]:
    """One row an answer; all refusals share the last one."""
    rows, refusals = [], []
    for status, each in responses.items():
        body = _content(each.get("content", {}))
        if "[Problem]" in body:
            refusals.append(status)
        else:
            rows.append((status, each.get("description", ""), body))
    if refusals:
        rows.append((", ".join(sorted(refusals)), "Refused.", "[Problem](#problem)"))
    return rows


def _content(content: Mapping[str, Schema]) -> str:
    return ", ".join(
        f"`{media}` {kind}"
        for media, each in content.items()
        if (kind := _kind(each.get("schema", {})))
    )


def _problems() -> str:
    kinds: dict[str, Kind] = {}
    for kind in (*KINDS.values(), UNEXPECTED):
        kinds.setdefault(kind.code, kind)
    ordered = sorted(kinds.values(), key=lambda kind: (kind.status, kind.code))
    rows = [(str(kind.status), f"`{kind.code}`", kind.title) for kind in ordered]
    return table(("status", "code", "title"), rows)


def _schema(name: str, schema: Schema) -> str:
    required = set(schema.get("required", ()))
    rows = [
        (
            f"`{member}`",
            _kind(each) + _limits(each),
            "yes" if member in required else _default(each),
            each.get("description", ""),
        )
        for member, each in schema.get("properties", {}).items()
    ]
    parts = [f"### {name}"]
    if schema.get("description"):
        parts.append(schema["description"])
    if "enum" in schema:
        parts.append(_kind(schema))
    if rows:
        parts.append(table(("member", "value", "required, or default", "meaning"), rows))
    return "\n\n".join(parts)


def _kind(schema: Schema) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            kinds = (_kind(each) + _limits(each) for each in schema[union])
            return " or ".join(filter(None, kinds))
    if values := schema.get("enum") or [schema[name] for name in ("const",) if name in schema]:
        return " or ".join(f"`{each}`" for each in values)
    kind = schema.get("type", "")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {})) or 'anything'}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _limits(schema: Schema) -> str:
    words = {
        "minimum": "≥ {}",
        "exclusiveMinimum": "> {}",
        "maximum": "≤ {}",
        "exclusiveMaximum": "< {}",
        "maxLength": "at most {} characters",
        "maxItems": "at most {} items",
        "pattern": "`{}`",
    }
    found = [words[name].format(schema[name]) for name in words if name in schema]
    return ", " + ", ".join(found) if found else ""


def _default(schema: Schema) -> str:
    default = schema.get("default")
    if default is None or default == "" or isinstance(default, dict | list):
        return "none"
    return f"`{json.dumps(default)}`"
