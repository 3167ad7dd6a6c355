# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What holds for each of the modules: wrong credentials, a server that is down or talks rubbish, sessions, load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from harbor_standin.server import CSRF, Fault, Standin
from throwaway import free_ports

ROOT = Path(__file__).resolve().parents[5]
CALLS: dict[str, dict[str, Any]] = {
    "harbor_artifact_info": {"project": "private"},
    "harbor_configuration": {"settings": {"token_expiration": 45}},
    "harbor_configuration_info": {},
    "harbor_garbage_collection": {"schedule": "daily"},
    "harbor_garbage_collection_info": {},
    "harbor_project": {"name": "new"},
    "harbor_project_info": {},
    "harbor_project_member": {"project": "private", "name": "alice", "role": "guest"},
    "harbor_project_member_info": {"project": "private"},
    "harbor_quota": {"project": "private", "storage_limit": "1GB"},
    "harbor_quota_info": {},
    "harbor_registry": {"name": "new", "type": "harbor", "url": "https://x"},
    "harbor_registry_info": {},
    "harbor_replication_policy": {"name": "new", "src_registry": "hub"},
    "harbor_replication_policy_info": {},
    "harbor_retention_policy": {"project": "private", "rules": [{"keep": "always"}]},
    "harbor_retention_policy_info": {"project": "private"},
    "harbor_robot_account": {"project": "private", "name": "new", "permissions": [{"access": ["repository:pull"]}]},
    "harbor_robot_account_info": {"project": "private"},
    "harbor_tag_immutability_rule": {"project": "private", "tags": "v*"},
    "harbor_tag_immutability_rule_info": {"project": "private"},
}
WRITERS = [name for name in CALLS if not name.endswith("_info")]


@pytest.fixture(autouse=True)
def objects(standin: Standin) -> None:
    standin.make_project("private")
    standin.registries[1] = {
        "id": 1,
        "name": "hub",
        "type": "harbor",
        "url": "https://hub",
        "credential": {},
        "insecure": False,
    }


def test_none_is_missing() -> None:
    # Images go to any registry, over another protocol and with other options.
    images = {"harbor_image", "harbor_image_info"}
    here = {path.stem for path in (ROOT / "plugins" / "modules").glob("harbor_*.py")} - images
    assert set(CALLS) == here
    groups = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"]
    assert here <= set(groups["harbor"])


@pytest.mark.parametrize("name", CALLS)
def test_it_works(harbor: Any, name: str) -> None:
    assert harbor(name, **CALLS[name])["changed"] is (name in WRITERS)


@pytest.mark.parametrize("name", CALLS)
def test_wrong_credentials(harbor: Any, standin: Standin, name: str) -> None:
    for check in (True, False):
        message = harbor(name, fails=True, check=check, harbor_password="Wrong12345", **CALLS[name])["msg"]
        assert "harbor_username 'admin' or harbor_password is wrong" in message
        assert "Wrong12345" not in message


@pytest.mark.parametrize("name", [name for name in CALLS if "project" in CALLS[name] or name == "harbor_project"])
def test_wrong_credentials_where_anybody_may_read(harbor: Any, standin: Standin, name: str) -> None:
    options = {**CALLS[name], "name" if name == "harbor_project" else "project": "library"}
    message = harbor(name, fails=True, check=True, harbor_password="Wrong12345", **options)["msg"]
    assert "harbor_username 'admin' or harbor_password is wrong" in message


@pytest.mark.parametrize("name", [name for name in CALLS if name not in ("harbor_project", "harbor_project_info")])
def test_account_without_the_right(harbor: Any, name: str) -> None:
    alice = {"harbor_username": "alice", "harbor_password": "Alice12345"}
    assert "'alice' lacks the right" in harbor(name, fails=True, **alice, **CALLS[name])["msg"]


@pytest.mark.parametrize("name", CALLS)
def test_server_down(harbor: Any, name: str) -> None:
    message = harbor(name, fails=True, harbor_url=f"http://127.0.0.1:{free_ports(1)[0]}", **CALLS[name])["msg"]
    assert "Cannot connect" in message
    assert "Connection refused" in message


# What a proxy, another product or a broken Harbor may answer: text, half a JSON, and JSON of all other forms.
RUBBISH = [
    b"<html>It works!</html>",
    b'{"name": "trunc',
    b'"text"',
    b"7",
    b"[[]]",
    b'[{"name": 1, "id": "x", "metadata": [], "permissions": {}, "entity_name": 7, "ref": 1, "tag_selectors": 1}]',
    b'{"name": [], "metadata": "x", "schedule": 1, "auth_mode": {"value": 1, "editable": "yes"}, "project_id": "x"}',
    b"\xff\xfe",
]


@pytest.mark.parametrize("rubbish", RUBBISH)
@pytest.mark.parametrize("name", CALLS)
def test_rubbish(harbor: Any, standin: Standin, name: str, rubbish: bytes) -> None:
    standin.faults = [Fault(200, times=99, body=rubbish)]
    message = harbor(name, fails=True, **CALLS[name])["msg"]
    assert "check that harbor_url is the address of Harbor" in message
    assert "\n" not in message


@pytest.mark.parametrize("name", CALLS)
def test_answer_that_breaks_off(harbor: Any, standin: Standin, name: str) -> None:
    standin.faults = [Fault(200, times=99, body=b"[", break_off=True)]
    assert "broke off" in harbor(name, fails=True, **CALLS[name])["msg"]


@pytest.mark.parametrize("name", CALLS)
def test_load(harbor: Any, standin: Standin, name: str) -> None:
    standin.faults = [Fault(429, headers={"Retry-After": "0"}, times=2), Fault(503, times=1, match="GET")]
    assert harbor(name, **CALLS[name])["changed"] is (name in WRITERS)
    standin.faults = [Fault(500, times=99, match="GET")]
    assert "failed (500" in harbor(name, fails=True, **CALLS[name])["msg"]


@pytest.mark.parametrize("name", WRITERS)
def test_session_cookie(harbor: Any, standin: Standin, name: str) -> None:
    standin.sends_cookie = True
    assert harbor(name, **CALLS[name])["changed"] is True
    assert harbor(name, **CALLS[name])["changed"] is False


@pytest.mark.parametrize("name", WRITERS)
def test_failed_write(harbor: Any, standin: Standin, name: str) -> None:
    body = json.dumps({"errors": [{"code": "UNKNOWN", "message": "internal server error"}]}).encode()
    standin.faults = [Fault(500, times=1, match=method, body=body) for method in ("POST", "PUT")]
    message = harbor(name, fails=True, **CALLS[name])["msg"]
    assert "failed (500 internal server error)" in message
    assert "run again" in message
    assert harbor(name, **CALLS[name])["changed"] is True


@pytest.mark.parametrize("name", WRITERS)
def test_conflict_that_does_not_end(harbor: Any, standin: Standin, name: str) -> None:
    body = json.dumps({"errors": [{"code": "CONFLICT", "message": "always"}]}).encode()
    standin.faults = [Fault(409, times=99, match=method, body=body) for method in ("POST", "PUT")]
    assert "run again" in harbor(name, fails=True, **CALLS[name])["msg"]


def test_environment(run_module: Any, standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARBOR_URL", standin.url)
    monkeypatch.setenv("HARBOR_USERNAME", "admin")
    monkeypatch.setenv("HARBOR_PASSWORD", "Harbor12345")
    monkeypatch.setenv("HARBOR_TIMEOUT", "7")
    result = run_module("harbor_project_info")
    assert [project["name"] for project in result["projects"]] == ["library", "private"]
    monkeypatch.delenv("HARBOR_URL")
    assert "harbor_url" in run_module("harbor_project_info")["msg"]


def test_requests_missing(run_module: Any, standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.imagine.platform.plugins.module_utils import harbor as client_module

    monkeypatch.setattr(client_module, "REQUESTS_IMPORT_ERROR", "no module")
    result = run_module("harbor_project_info", harbor_url=standin.url)
    assert "requests" in result["msg"]


def test_the_standin_is_strict(standin: Standin) -> None:
    """The judge of the other tests can say no."""
    import requests

    def ask(method: str, path: str, **options: Any) -> int:
        auth = ("admin", "Harbor12345")
        return requests.request(method, f"{standin.url}/api/v2.0/{path}", auth=auth, timeout=5, **options).status_code

    wrong: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "projects?page_size=101", {}),
        ("GET", "projects?nonsense=1", {}),
        ("GET", "projects?public=yes", {}),
        ("POST", "projects", {"json": {"project_name": "x", "nonsense": 1}}),
        ("POST", "projects", {"json": {"project_name": "x", "metadata": {"public": True}}}),
        ("POST", "projects", {}),
        ("POST", "projects", {"data": "{}"}),
        ("DELETE", "projects/library", {"json": {}}),
        ("GET", "quotas/x", {}),
        ("GET", "projects", {"headers": {"X-Nonsense": "1"}}),
        ("GET", "health", {}),
    ]
    for number, (method, path, options) in enumerate(wrong, 1):
        assert ask(method, path, **options) == 422, (method, path)
        assert len(standin.violations) == number
    assert ask("GET", "projects/library/repositories/a%2Fb/artifacts") == 404
    standin.projects[1] = {"project_id": "text", "name": "x", "metadata": {"public": "true"}, "owner_name": ""}
    assert ask("GET", "projects") == 422
    standin.violations.clear()
    assert CSRF.startswith("X-")
