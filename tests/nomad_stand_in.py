# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""A small Nomad in memory, for unit tests: ACL objects, namespaces, node pools, variables, scheduler configuration, and
nodes, jobs and allocations as they were put there.

It has the quirks that the modules rest on; nomad_cases.py runs against it and against a real Nomad, so that the two
cannot drift apart. Any request can be given another answer.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Json = dict[str, Any]
Answer = tuple[int, Any]
TOKEN = "ffffffff-0000-0000-0000-000000000000"


class Refused(Exception):
    """What Nomad answers to a request that it does not take."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.answer = (status, words)


class QuietServer(ThreadingHTTPServer):
    """Clients that hang up are part of the tests."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        return


class Nomad:
    """The state, and the requests that were made."""

    def __init__(self) -> None:
        self.index = 10
        self.stores: dict[str, dict[str, Json]] = {
            "namespace": {"default": {"Name": "default", "Description": "Default namespace"}},
            "node/pool": {name: {"Name": name} for name in ("all", "default")},
            **{f"acl/{kind}": {} for kind in ("policy", "role", "token", "auth-method", "binding-rule")},
            "var": {},
            **{kind: {} for kind in ("node", "job")},
        }
        self.allocations: list[Json] = []
        #: filters of nodes that were asked for; nothing is left out for them
        self.filters: list[str] = []
        self.scheduler: Json = {"SchedulerAlgorithm": "binpack", "ModifyIndex": 1, "LicenceField": "kept"}
        self.asked: list[tuple[str, str]] = []
        #: other answers: method, expression that the path matches, how often, what instead
        self.instead: list[tuple[str, str, list[int], Callable[[], Answer | None]]] = []
        nomad = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Header and body are two packets; the second would wait for the first to be acknowledged.
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answer = nomad.answer(self.command, self.path, json.loads(body) if body else None, self.headers)
                content = (
                    answer if isinstance(answer, bytes) else b"" if answer is None else json.dumps(answer).encode()
                )
                if status >= 400 and isinstance(answer, str):
                    content = answer.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_PUT = do_DELETE = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                return

        self.http = QuietServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer_instead(self, method: str, path: str, status: int, body: Any, times: int = 1) -> None:
        """Answer so to the next requests whose path matches the expression."""
        self.instead.append((method, path, [times], lambda: (status, body)))

    def do_before(self, method: str, path: str, action: Callable[[], object], times: int = 1) -> None:
        """Do something before the next requests whose path matches the expression."""
        self.instead.append((method, path, [times], lambda: action() and None))

    def answer(self, method: str, target: str, body: Any, headers: Any) -> Answer:
        """The answer to one request."""
        split = urlsplit(target)
        path = split.path.removeprefix("/v1/")
        query = {name: values[0] for name, values in parse_qs(split.query, keep_blank_values=True).items()}
        self.asked.append((method, path))
        for known, expression, left, action in list(self.instead):
            if known == method and left[0] and re.fullmatch(expression, path):
                left[0] -= 1
                answer = action()
                if answer is not None:
                    return answer
        if headers.get("X-Nomad-Token") != TOKEN:
            return 403, "Permission denied"
        try:
            return 200, self.route(method, path, body, query)
        except Refused as refused:
            return refused.answer

    def route(self, method: str, path: str, body: Any, query: dict[str, str]) -> Any:
        """Do what a request asks for."""
        if path == "operator/scheduler/configuration":
            return self.configure(method, body, query)
        if path == "vars":
            return self.variables(query)
        if path == "allocations":
            return self.allocations
        if path == "nodes":
            self.filters.append(query.get("filter", ""))
            return [{k: v for k, v in raw.items() if k != "Meta"} for raw in self.stores["node"].values()]
        if path == "jobs":
            return [raw for raw in self.stores["job"].values() if query["namespace"] in ("*", raw["Namespace"])]
        lists = {
            "namespaces": "namespace",
            "node/pools": "node/pool",
            "acl/policies": "acl/policy",
            "acl/roles": "acl/role",
            "acl/tokens": "acl/token",
            "acl/auth-methods": "acl/auth-method",
            "acl/binding-rules": "acl/binding-rule",
        }
        if path in lists:
            return [self.listed(lists[path], raw) for raw in self.stores[lists[path]].values()]
        kind = next(kind for kind in self.stores if path == kind or path.startswith(kind + "/"))
        name = unquote(path.removeprefix(kind).removeprefix("/"))
        if kind == "var":
            return self.variable(method, name, body, query)
        store = self.stores[kind]
        if method == "GET":
            if name not in store:
                raise Refused(404, "not found")
            return self.read(kind, store[name])
        if method == "DELETE":
            if name not in store:
                raise Refused(
                    *((400, "Cannot delete nonexistent tokens: x") if kind == "acl/token" else (404, "not found"))
                )
            del store[name]
            return None
        return self.write(kind, name, body)

    def write(self, kind: str, name: str, body: Json) -> Json | None:
        """Create or update an object."""
        store = self.stores[kind]
        self.index += 1
        body = copy.deepcopy(body)
        if kind in ("namespace", "node/pool", "acl/policy", "acl/auth-method"):
            identifier = body["Name"]
            if kind == "acl/auth-method":
                body["Config"] = body.get("Config") or store[identifier]["Config"]
            if kind == "node/pool" and body.get("NodeIdentityTTL") == "12h":
                body["NodeIdentityTTL"] = 12 * 3600 * 10**9
        else:
            field = "AccessorID" if kind == "acl/token" else "ID"
            noun = {"acl/role": "role", "acl/token": "token", "acl/binding-rule": "binding rule"}[kind]
            if name and name not in store:
                raise Refused(400, f"cannot find {noun} {name}")
            if kind == "acl/role" and not name and any(raw["Name"] == body["Name"] for raw in store.values()):
                raise Refused(400, f"role with name {body['Name']} already exists")
            identifier = body[field] = name or str(uuid.uuid4())
        if kind == "acl/token":
            body["Roles"] = [{"ID": self.role_id(link["Name"])} for link in body["Roles"]]
            body.setdefault("SecretID", store[identifier]["SecretID"] if name else str(uuid.uuid4()))
            body["CreateTime"] = "2026-01-01T00:00:00Z"
        store[identifier] = {**body, "CreateIndex": 1, "ModifyIndex": self.index, "Hash": "x"}
        return self.read(kind, store[identifier])

    def role_id(self, name: str) -> str:
        """Tokens keep IDs of roles."""
        found = [raw["ID"] for raw in self.stores["acl/role"].values() if raw["Name"] == name]
        if not found:
            raise Refused(400, f"cannot find role {name}")
        return str(found[0])

    @staticmethod
    def read(kind: str, raw: Json) -> Json:
        """An object as a read returns it."""
        if kind != "acl/auth-method":
            return raw
        shown = copy.deepcopy(raw)
        config = shown["Config"]
        if config.get("OIDCClientSecret"):
            config["OIDCClientSecret"] = "redacted"
        key = (config.get("OIDCClientAssertion") or {}).get("PrivateKey") or {}
        if key.get("PemKey"):
            key["PemKey"] = "redacted"
        return shown

    @staticmethod
    def listed(kind: str, raw: Json) -> Json:
        """An object as a list shows it."""
        if kind == "acl/policy":
            job = raw.get("JobACL") or {}
            parts = [raw["Name"], raw["Description"], raw["Rules"]]
            parts += [job.get(name, "") for name in ("Namespace", "JobID", "Group", "Task")]
            digest = hashlib.blake2b("".join(parts).encode(), digest_size=32).digest()
            return {**{k: v for k, v in raw.items() if k != "Rules"}, "Hash": base64.b64encode(digest).decode()}
        if kind == "acl/token":
            return {name: value for name, value in raw.items() if name != "SecretID"}
        if kind == "acl/binding-rule":
            return {name: raw[name] for name in ("ID", "AuthMethod", "Description")}
        if kind == "acl/auth-method":
            return {name: raw[name] for name in ("Name", "Type")}
        return raw

    def configure(self, method: str, body: Any, query: dict[str, str]) -> Json:
        """The scheduler configuration."""
        if method == "GET":
            return {"SchedulerConfig": self.scheduler}
        if int(query["cas"]) != self.scheduler["ModifyIndex"]:
            return {"Updated": False}
        self.index += 1
        self.scheduler = {**body, "ModifyIndex": self.index}
        return {"Updated": True}

    def variables(self, query: dict[str, str]) -> list[Json]:
        """The list of variables, which has no items."""
        return [
            {name: value for name, value in raw.items() if name != "Items"}
            for raw in self.stores["var"].values()
            if query.get("namespace") in ("*", raw["Namespace"]) and raw["Path"].startswith(query.get("prefix", ""))
        ]

    def variable(self, method: str, path: str, body: Any, query: dict[str, str]) -> Json | None:
        """One variable."""
        store, key = self.stores["var"], f"{query.get('namespace', 'default')}:{path}"
        raw = store.get(key)
        if method == "GET":
            if raw is None:
                raise Refused(404, "variable not found")
            return raw
        if "cas" in query and (int(query["cas"]) != (raw["ModifyIndex"] if raw else 0) or (raw or {}).get("Lock")):
            raise Refused(409, json.dumps(raw or {}))
        if method == "DELETE":
            del store[key]
            return None
        if sum(len(text.encode()) for item in body["Items"].items() for text in item) > 64 * 1024:
            raise Refused(400, "RPC Error:: 400,variables are limited to 64KiB in total size")
        return self.put_variable(query.get("namespace", "default"), path, body["Items"])

    def put_variable(self, namespace: str, path: str, items: Json) -> Json:
        """Write a variable, as another operator would."""
        self.index += 1
        raw = {"Namespace": namespace, "Path": path, "Items": items, "ModifyIndex": self.index}
        self.stores["var"][f"{namespace}:{path}"] = raw
        return raw


@contextmanager
def stand_in() -> Iterator[Nomad]:
    """A stand-in for as long as it is needed."""
    nomad = Nomad()
    try:
        yield nomad
    finally:
        nomad.http.shutdown()
        nomad.http.server_close()
