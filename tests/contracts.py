"""The vendors' published OpenAPI documents as oracles: what is valid against them, and what they do not know.

The documents lie beside the checkout and are no part of it; tests that need them are skipped, saying so, without them.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

Json = dict[str, Any]
FOLDER = Path(__file__).resolve().parents[2] / "shared" / "contracts"
JAVA_PATTERNS = {
    r"^([^[\p{Cntrl}\s]])|([^[\p{Cntrl}\s]][[^[\p{Cntrl}\s]] ]*[^[\p{Cntrl}\s]])$": (
        r"^(?:[^\x00-\x1f\x7f\s]|[^\x00-\x1f\x7f\s](?:[^\x00-\x1f\x7f\s]| )*[^\x00-\x1f\x7f\s])$"
    ),
    r"^[\p{L}_$][\p{L}_$0-9]*$": r"^(?:[^\W\d]|\$)(?:[^\W\d]|[$0-9])*$",
}
"""What only Java reads, beside the same for Python."""
JAVA_ONLY = re.compile(r"\\p\{|\[[^\]]*\[|&&")
FORMATS = FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)
def _is_moment(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@FORMATS.checks("date", raises=ValueError)
def _is_date(value: object) -> bool:
    return not isinstance(value, str) or date.fromisoformat(value) is not None


@FORMATS.checks("uri")
def _is_uri(value: object) -> bool:
    return not isinstance(value, str) or re.match(r"[a-z][a-z0-9+.-]*://", value) is not None


def python_pattern(pattern: str) -> str:
    """A pattern of the document for Python's `re`; one that cannot be translated fails the test."""
    if pattern in JAVA_PATTERNS:
        return JAVA_PATTERNS[pattern]
    if JAVA_ONLY.search(pattern):
        raise ValueError(f"nobody has translated the Java pattern {pattern!r} yet")
    re.compile(pattern)
    return pattern


def contract(name: str) -> "Contract":
    """The published document with this file name, or skip the test where it is absent."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"{name} is not beside the checkout (looked in ../shared/contracts)")
    return _read(path)


def sample_files(folder: str) -> list[Path]:
    """Third-party samples in a folder of the contracts; none where they are absent."""
    return sorted((FOLDER / folder).glob("*"))


@cache
def _read(path: Path) -> "Contract":
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with path.open(encoding="utf-8") as file:
        document: Json = yaml.load(file, Loader=loader)
    is_older = str(document["openapi"]).startswith("3.0")
    return Contract(_translated(document, is_older))


def _translated(node: Any, is_older: bool) -> Any:
    """The same document with patterns for Python, and with 3.0's own words in those of JSON Schema."""
    if isinstance(node, list):
        return [_translated(item, is_older) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: _translated(value, is_older) for key, value in node.items()}
    if isinstance(found.get("pattern"), str):
        found["pattern"] = python_pattern(found["pattern"])
    return _newer(found) if is_older else found


def _newer(schema: Json) -> Json:
    for bound, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if schema.get(bound) is True:
            schema[bound] = schema.pop(limit)
        elif schema.get(bound) is False:
            del schema[bound]
    if schema.get("nullable") is True and isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    return schema


@dataclass(frozen=True)
class Contract:
    """One OpenAPI document."""

    document: Json

    def problems_of_answer(self, method: str, path: str, status: int, body: Any) -> list[str]:
        """Why an answer is not what the document promises; nothing when it is."""
        template = self.template(path)
        responses = self.document["paths"][template][method.lower()]["responses"]
        schema = _json_schema(self.resolved(_for_status(responses, status)))
        return [] if schema is None else self.problems(schema, body)

    def problems_of_request(self, method: str, path: str, body: Any) -> list[str]:
        """Why a request body is not what the document asks for; nothing when it is."""
        operation = self.document["paths"][self.template(path)][method.lower()]
        schema = _json_schema(self.resolved(operation.get("requestBody", {})))
        if schema is None:
            return [] if body is None else ["the operation has no body"]
        return self.problems(schema, body)

    def problems_of_parameters(self, method: str, path: str, names: Collection[str]) -> list[str]:
        """Query parameters the operation does not have; a suffix like [GTE] is an operator of Paddle's."""
        item = self.document["paths"][self.template(path)]
        listed = [*item.get("parameters", ()), *item[method.lower()].get("parameters", ())]
        known = {parameter["name"] for parameter in map(self.resolved, listed) if parameter["in"] == "query"}
        return [name for name in names if re.sub(r"\[\w+\]$", "", name) not in known]

    def problems(self, schema: Json, instance: Any) -> list[str]:
        """What JSON Schema finds wrong."""
        return [
            f"{'.'.join(map(str, error.absolute_path)) or 'body'}: {error.message[:300]}"
            for error in self._validator(schema).iter_errors(instance)
        ]

    def schema(self, name: str) -> Json:
        """A schema by its name."""
        found: Json = self.document["components"]["schemas"][name]
        return found

    def unknown_fields(self, schema: Json, instance: Any, path: str = "") -> Iterator[str]:
        """Fields that no part of the schema describes; a free-form object describes them all."""
        schemas = list(self._flat(schema))
        schemas += [part for found in schemas for part in self._told_apart(found, instance)]
        if isinstance(instance, list):
            items = [found["items"] for found in schemas if "items" in found]
            for element in instance:
                yield from self.unknown_fields({"allOf": items}, element, f"{path}[]")
        if not isinstance(instance, dict):
            return
        described: dict[str, list[Json]] = {}
        for found in schemas:
            for name, inner in found.get("properties", {}).items():
                described.setdefault(name, []).append(inner)
        if not described:
            return
        for name, value in instance.items():
            where = f"{path}.{name}".lstrip(".")
            if name in described:
                yield from self.unknown_fields({"allOf": described[name]}, value, where)
            else:
                yield where

    def unknown_fields_of_answer(self, method: str, path: str, status: int, body: Any) -> set[str]:
        """The fields of an answer that the document does not know."""
        responses = self.document["paths"][self.template(path)][method.lower()]["responses"]
        schema = _json_schema(self.resolved(_for_status(responses, status)))
        return set() if schema is None else set(self.unknown_fields(schema, body))

    def template(self, path: str) -> str:
        """The path of the document that a request's path is an instance of; a literal one before one with gaps."""
        for template in sorted(self.document["paths"], key=lambda template: template.count("{")):
            if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), path):
                return str(template)
        raise KeyError(f"the document has no path {path}")

    def has(self, method: str, path: str) -> bool:
        """Whether the document describes the operation."""
        try:
            return method.lower() in self.document["paths"][self.template(path)]
        except KeyError:
            return False

    def resolved(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """The node a reference stands for."""
        while "$ref" in node:
            target: Any = self.document
            for part in str(node["$ref"]).removeprefix("#/").split("/"):
                target = target[part.replace("~1", "/").replace("~0", "~")]
            node = target
        return node

    def _flat(self, schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Every schema that may describe an instance of this one."""
        if "$ref" in schema:
            yield from self._flat(self.resolved(schema))
        for key in ("allOf", "oneOf", "anyOf"):
            for part in schema.get(key, ()):
                yield from self._flat(part)
        yield schema

    def _told_apart(self, schema: Mapping[str, Any], instance: Any) -> Iterator[Mapping[str, Any]]:
        """Find the schemas of the one kind, among several, that an instance says it is of."""
        by = schema.get("discriminator", {})
        kind = instance.get(by.get("propertyName")) if isinstance(instance, dict) else None
        if kind in by.get("mapping", {}):
            yield from self._flat({"$ref": by["mapping"][kind]})

    def _validator(self, schema: Json) -> Draft202012Validator:
        root = Resource.from_contents({"$id": "urn:contract", **self.document}, default_specification=DRAFT202012)
        registry: Registry[Any] = Registry().with_resource("urn:contract", root)
        return Draft202012Validator(_absolute(schema), registry=registry, format_checker=FORMATS)


def _absolute(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_absolute(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: f"urn:contract{value}" if key == "$ref" and isinstance(value, str) else _absolute(value)
        for key, value in schema.items()
    }


def _for_status(responses: Mapping[str, Json], status: int) -> Json:
    """The response described for a status, its class (4XX), or any."""
    return responses.get(str(status)) or responses.get(f"{status // 100}XX") or responses["default"]


def _json_schema(node: Mapping[str, Any]) -> Json | None:
    for media, content in node.get("content", {}).items():
        if "json" in media:
            found: Json = content["schema"]
            return found
    return None
