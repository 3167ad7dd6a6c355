# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Harbor's OpenAPI document: where to get it, and whether a request or an answer keeps to it.

The document is Swagger 2.0. Its schemas are JSON Schema of draft 4 with a few additions, which jsonschema checks after
they have been put into its words. Where the document is loose, the meaning is that of go-swagger, from which Harbor
makes its server: an object of which nothing is said may be any value.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import yaml
from jsonschema import Draft4Validator, FormatChecker
from jsonschema.exceptions import best_match
from referencing import Registry
from referencing.jsonschema import DRAFT4

MODULE = "github.com/goharbor/go-client"
VERSION = "v0.213.1"
FILE = Path("api", "v2.0", "swagger.yaml")
BASE = "/api/v2.0"
URI = "urn:harbor"

# What Harbor answers although its document does not say so, always with its usual body of errors: the checks that come
# before an operation, and what operations pass on from below.
UNDECLARED = (400, 401, 403, 404, 409, 412, 429, 500, 502, 503)
# Harbor adds these to any answer.
COMMON_HEADERS = ("content-length", "content-type", "date", "server", "set-cookie", "retry-after", "x-request-id")

FORMATS = FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)
def _date_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.datetime.fromisoformat(value).tzinfo is not None


@FORMATS.checks("int32")
def _int32(value: object) -> bool:
    return not isinstance(value, int) or -(2**31) <= value < 2**31


@FORMATS.checks("int64")
def _int64(value: object) -> bool:
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def fetch() -> Path:
    """The document, from the cache or through the Go module proxy, which checks it against Go's checksum database."""
    cache = Path(os.environ.get("LOCAL_CACHE_DIR") or Path.home() / ".cache" / "imagine-platform")
    path = cache / "harbor" / VERSION / "swagger.yaml"
    if not path.is_file():
        with tempfile.TemporaryDirectory(prefix="harbor-openapi-") as directory:
            # Outside of any module, so that no go.mod has a say.
            answer = subprocess.run(
                ["go", "mod", "download", "-json", f"{MODULE}@{VERSION}"],
                cwd=directory,
                env={**os.environ, "GOFLAGS": "-mod=mod"},
                capture_output=True,
                text=True,
                check=False,
            )
        found = json.loads(answer.stdout or "{}")
        if answer.returncode or "Dir" not in found:
            raise RuntimeError(f"go could not obtain {MODULE}@{VERSION}: {found.get('Error') or answer.stderr.strip()}")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_bytes((Path(found["Dir"]) / FILE).read_bytes())
        partial.replace(path)
    return path


class Violation(AssertionError):
    """A request or an answer that does not keep to the document."""


class Operation:
    """One method of one path."""

    def __init__(self, method: str, template: str, raw: Mapping[str, Any], parameters: list[dict[str, Any]]) -> None:
        self.method = method
        self.template = template
        self.raw = raw
        self.parameters = parameters

    @property
    def name(self) -> str:
        return str(self.raw["operationId"])

    def of(self, place: str) -> dict[str, dict[str, Any]]:
        """Parameters in one place, by name; headers in lower case."""
        return {
            one["name"].lower() if place == "header" else one["name"]: one
            for one in self.parameters
            if one["in"] == place
        }


class Document:
    """The document, ready to judge."""

    def __init__(self, path: Path) -> None:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self.raw: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), loader)  # noqa: S506 a safe loader
        self.operations = list(self._operations())
        # An answer may leave out what is empty; a request may not set what Harbor would ignore.
        self._answers = self._registry(request=False)
        self._requests = self._registry(request=True)
        #: by the schema in the document, which stays where it is
        self._validators: dict[tuple[int, bool], Draft4Validator] = {}
        self._errors = {"schema": {"$ref": "#/definitions/Errors"}, "headers": {}}

    def _operations(self) -> Iterator[Operation]:
        for template, item in self.raw["paths"].items():
            shared = item.get("parameters", [])
            for method, raw in item.items():
                if method != "parameters":
                    parameters = [self._resolve(one) for one in [*shared, *raw.get("parameters", [])]]
                    yield Operation(method.upper(), template, raw, parameters)

    def _resolve(self, raw: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in raw:
            return raw
        found: Any = self.raw
        for step in raw["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return dict(found)

    def _registry(self, request: bool) -> Registry[Any]:
        definitions = {name: self._schema(raw, request) for name, raw in self.raw["definitions"].items()}
        resource = DRAFT4.create_resource({"definitions": definitions})
        return Registry().with_resource(URI, resource)

    def _schema(self, raw: Any, request: bool) -> Any:
        """A schema in the words of draft 4."""
        if "$ref" in raw:
            return {"$ref": raw["$ref"].replace("#", f"{URI}#", 1)}
        schema = {
            key: value
            for key, value in raw.items()
            if key in ("type", "format", "enum", "maxLength", "minLength", "maximum", "minimum", "required")
        }
        properties = raw.get("properties")
        additional = raw.get("additionalProperties")
        if properties is not None:
            known = {name: one for name, one in properties.items() if not (request and one.get("readOnly"))}
            schema["properties"] = {name: self._schema(one, request) for name, one in known.items()}
            schema["additionalProperties"] = self._schema(additional, request) if additional else False
        elif isinstance(additional, dict):
            schema["additionalProperties"] = self._schema(additional, request)
        elif schema.get("type") == "object":
            # Any value, as in go-swagger.
            schema.pop("type")
        if "items" in raw:
            schema["items"] = self._schema(raw["items"], request)
        if raw.get("x-nullable") or raw.get("x-isnullable"):
            return {"anyOf": [schema, {"type": "null"}]}
        return schema

    def _judge(self, raw: Mapping[str, Any], value: Any, request: bool, where: str) -> None:
        key = (id(raw), request)
        if key not in self._validators:
            registry = self._requests if request else self._answers
            schema = self._schema(raw, request)
            self._validators[key] = Draft4Validator(schema, registry=registry, format_checker=FORMATS)
        validator = self._validators[key]
        # Most keep to it, and looking for the best words takes long.
        error = None if validator.is_valid(value) else best_match(validator.iter_errors(value))
        if error is not None:
            place = "/".join(str(step) for step in error.absolute_path)
            raise Violation(f"{where}: {place or 'the whole'}: {error.message}")

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
        """The operation for a path that has been decoded once, and the values in the path, not decoded further."""
        steps = path.removeprefix(BASE).split("/")
        for operation in self.operations:
            wanted = operation.template.split("/")
            if operation.method != method or len(wanted) != len(steps):
                continue
            values = {}
            for name, value in zip(wanted, steps, strict=True):
                if name.startswith("{"):
                    if not value:
                        break
                    values[name[1:-1]] = value
                elif name != value:
                    break
            else:
                # A fixed path goes before one with a value in the same place.
                if not any(other is not operation and self._fixed(other, method, steps) for other in self.operations):
                    return operation, values
                if "{" not in operation.template:
                    return operation, values
        return None

    @staticmethod
    def _fixed(other: Operation, method: str, steps: list[str]) -> bool:
        return other.method == method and other.template.split("/") == steps

    def check_request(
        self, operation: Operation, values: Mapping[str, str], query: str, headers: Mapping[str, str], body: bytes
    ) -> Any:
        """The decoded body of a request that keeps to the document."""
        where = f"{operation.method} {operation.template}"
        for name, parameter in operation.of("path").items():
            self._judge_text(parameter, unquote(values[name]), f"{where}: {name} in the path")
        given = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
        known = operation.of("query")
        for name, value in given:
            if name not in known:
                raise Violation(f"{where}: the document has no query parameter {name}")
            self._judge_text(known[name], value, f"{where}: {name} in the query")
        for name, parameter in known.items():
            if parameter.get("required") and name not in dict(given):
                raise Violation(f"{where}: the query parameter {name} is missing")
        known = operation.of("header")
        for name, value in headers.items():
            if name.lower() in known:
                self._judge_text(known[name.lower()], value, f"{where}: the header {name}")
            elif name.lower().startswith("x-") and name.lower() != "x-harbor-csrf-token":
                raise Violation(f"{where}: the document has no header {name}")
        bodies = [one for one in operation.parameters if one["in"] == "body"]
        if not body:
            if any(one.get("required") for one in bodies):
                raise Violation(f"{where}: the body is missing")
            return None
        if not bodies:
            raise Violation(f"{where}: the document has no body")
        if not headers.get("Content-Type", "").startswith("application/json"):
            raise Violation(f"{where}: the body is not declared as JSON")
        decoded = json.loads(body)
        self._judge(bodies[0]["schema"], decoded, True, f"{where}: the body")
        return decoded

    def _judge_text(self, parameter: dict[str, Any], value: str, where: str) -> None:
        kinds: dict[str, Any] = {"integer": int, "boolean": lambda text: {"true": True, "false": False}[text]}
        try:
            decoded = kinds.get(parameter["type"], str)(value)
        except (ValueError, KeyError):
            raise Violation(f"{where} is '{value}', which is no {parameter['type']}") from None
        self._judge(parameter, decoded, True, where)

    def check_answer(self, operation: Operation, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Fail for an answer that the document does not know."""
        where = f"{operation.method} {operation.template} -> {status}"
        declared = operation.raw["responses"].get(str(status))
        if declared is None:
            if status not in UNDECLARED:
                raise Violation(f"{where}: the document has no such answer")
            declared = self._errors
        declared = self._resolve(declared)
        if status >= 400 and "schema" not in declared:
            # An omission: all errors have the same body.
            declared = {**declared, **self._errors}
        known = {name.lower() for name in declared.get("headers", {})}
        for name in headers:
            if name.lower() not in (*known, *COMMON_HEADERS, "x-harbor-csrf-token"):
                raise Violation(f"{where}: the document has no header {name}")
        schema = declared.get("schema")
        if not body.strip():
            return
        if schema is None:
            raise Violation(f"{where}: the document has no body")
        self._judge(schema, json.loads(body), False, f"{where}: the body")

    def omit_empty(self, operation: Operation, status: int, value: Any) -> Any:
        """What is left of an answer after Go has left out what is empty."""
        declared = operation.raw["responses"].get(str(status))
        schema = self._resolve(declared).get("schema") if declared else None
        return value if schema is None else self._omit(schema, value)

    def _omit(self, schema: dict[str, Any], value: Any) -> Any:
        schema = self._resolve(schema)
        if isinstance(value, list):
            return [self._omit(schema.get("items", {}), one) for one in value]
        if not isinstance(value, dict):
            return value
        properties = schema.get("properties")
        if properties is None:
            additional = schema.get("additionalProperties")
            return {
                name: self._omit(additional, one) if isinstance(additional, dict) else one
                for name, one in value.items()
            }
        left = {}
        for name, one in value.items():
            inner = properties.get(name, {})
            pointer = inner.get("x-nullable") or inner.get("x-isnullable") or "$ref" in inner
            empty = one is None or (not pointer and one in ("", 0, False, [], {}) and not isinstance(one, dict))
            if not empty or (inner.get("x-omitempty") is False and one is not None):
                left[name] = self._omit(inner, one)
        return left


def decode_once(path: str) -> str:
    """A path as Harbor's router sees it: what was encoded once is decoded, so that an encoded slash separates."""
    return unquote(re.sub(r"//+", "/", path))
