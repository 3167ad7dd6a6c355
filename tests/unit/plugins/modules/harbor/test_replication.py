# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Registries and replication policies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from harbor_standin.server import Standin

HUB = {"name": "hub / täst", "type": "docker-hub", "url": "https://hub.docker.com/"}
SECRET = "hub-secret"


@pytest.fixture
def registries(harbor: Any) -> None:
    for name in ("hub", "mirror"):
        harbor("harbor_registry", name=name, type="harbor", url=f"https://{name}.example.org")


def only(kept: dict[int, Any]) -> Any:
    (one,) = kept.values()
    return one


def test_registry_life(standin: Standin, harbor: Any, life: Any, change: Any, gone: Any) -> None:
    made = life("harbor_registry", **HUB)
    assert made["registry"]["url"] == "https://hub.docker.com"
    assert made["registry"]["id"] in standin.registries
    for option, value in {
        "url": "https://registry-1.docker.io",
        "description": "the hub",
        "insecure": True,
        "access_key": "imagine",
    }.items():
        assert change("harbor_registry", name=HUB["name"], **{option: value})[1][option] == value
    assert only(standin.registries)["credential"]["type"] == "basic"
    assert change("harbor_registry", name=HUB["name"], credential_type="oauth")[1] == {"credential_type": "oauth"}
    shown = harbor("harbor_registry_info", names=[HUB["name"], "missing"])["registries"]
    assert [(one["name"], one["status"], one["access_key"]) for one in shown] == [(HUB["name"], "healthy", "imagine")]
    after = change("harbor_registry", name=HUB["name"], access_key="")[1]
    assert after == {"access_key": "", "credential_type": ""}
    assert only(standin.registries)["credential"] == {}
    assert len(harbor("harbor_registry_info")["registries"]) == 1
    gone("harbor_registry", name=HUB["name"])


def test_registry_secret(standin: Standin, harbor: Any, life: Any, change: Any) -> None:
    hub = {**HUB, "access_key": "imagine", "access_secret": SECRET}
    made = life("harbor_registry", **hub)
    assert SECRET not in json.dumps(made)
    registry = only(standin.registries)
    assert registry["credential"] == {"type": "basic", "access_key": "imagine", "access_secret": SECRET}
    hub["access_secret"] = "other-secret"
    assert harbor("harbor_registry", **hub)["changed"] is False
    written = harbor("harbor_registry", **hub, update_secret="always")
    assert (written["operation"], written["registry"]["secret_changed"]) == ("update", True)
    assert "other-secret" not in json.dumps(written)
    assert only(standin.registries)["credential"]["access_secret"] == "other-secret"
    hub.update(access_key="robot", access_secret="third-secret")
    before, after = change("harbor_registry", **hub)
    assert before == {"access_key": "imagine", "secret_changed": False}
    assert after == {"access_key": "robot", "secret_changed": True}
    assert only(standin.registries)["credential"]["access_secret"] == "third-secret"
    # A description leaves the secret alone.
    change("harbor_registry", **hub, description="x")
    assert only(standin.registries)["credential"]["access_secret"] == "third-secret"


def test_registries_that_cannot_be(standin: Standin, harbor: Any, registries: Any) -> None:
    def message(**options: Any) -> str:
        return str(harbor("harbor_registry", fails=True, **options)["msg"])

    assert "1 to 64 characters" in message(name="x" * 65)
    assert "type of registry 'new' is not set" in message(name="new", url="https://x")
    assert "url of registry 'new' is not set" in message(name="new", type="harbor", url=" ")
    assert "cannot be changed" in message(name="hub", type="quay")
    assert "access_key is not" in message(name="hub", access_secret="x")
    assert "the registry is unhealthy" in message(name="new", type="harbor", url="https://unreachable")
    assert "it may have been done" in message(name="new", type="strange", url="https://x")


def test_registry_in_use(standin: Standin, harbor: Any, registries: Any) -> None:
    harbor("harbor_project", name="cache", registry="hub")
    harbor("harbor_replication_policy", name="p", src_registry="mirror")
    for name, words in (("hub", "proxy cache project"), ("mirror", "replication policies")):
        message = harbor("harbor_registry", fails=True, name=name, state="absent")["msg"]
        assert words in message
        assert "remove what stands in the way" in message


def test_many_registries(standin: Standin, harbor: Any, registries: Any) -> None:
    wanted: list[dict[str, Any]] = [
        {"name": "hub", "state": "absent"},
        {"name": "mirror", "url": "mirror.example.org/"},
        {"name": "new", "type": "quay", "url": "https://quay.io"},
    ]
    result = harbor("harbor_registry", registries=wanted)["registries"]
    assert [one["operation"] for one in result] == ["delete", "update", "create"]
    assert harbor("harbor_registry", registries=wanted)["changed"] is False


def test_policy_life(standin: Standin, harbor: Any, life: Any, change: Any, gone: Any, registries: Any) -> None:
    name = "mirror / täst"
    made = life("harbor_replication_policy", name=name, src_registry="hub")
    assert made["policy"]["enabled"] is True
    for option, value in {
        "description": "at night",
        "dest_namespace": "mirror",
        "dest_namespace_replace_count": 1,
        "replicate_deletion": True,
        "override": False,
        "enabled": False,
        "speed": 500,
        "copy_by_chunk": True,
        "trigger": "event_based",
    }.items():
        assert change("harbor_replication_policy", name=name, **{option: value})[1] == {option: value}
    scheduled = {"trigger": "scheduled", "cron": "0 0 2 * * *"}
    assert change("harbor_replication_policy", name=name, **scheduled)[1] == scheduled
    assert change("harbor_replication_policy", name=name, cron="0 0 3 * * *")[1] == {"cron": "0 0 3 * * *"}
    assert change("harbor_replication_policy", name=name, trigger="manual")[1] == {"trigger": "manual", "cron": ""}
    assert change("harbor_replication_policy", name=name, speed=-1)[1] == {"speed": 0}
    assert change("harbor_replication_policy", name=name, src_registry="mirror")[1] == {"src_registry": "mirror"}
    pushed = change("harbor_replication_policy", name=name, dest_registry="hub")
    assert pushed[1] == {"src_registry": "", "dest_registry": "hub"}
    assert change("harbor_replication_policy", name=name, src_registry="hub")[1]["dest_registry"] == ""
    listed = harbor("harbor_replication_policy_info", names=[name])["policies"]
    assert [one["src_registry"] for one in listed] == ["hub"]
    assert len(harbor("harbor_replication_policy_info")["policies"]) == 1
    gone("harbor_replication_policy", name=name)


def test_filters(standin: Standin, harbor: Any, life: Any, change: Any, registries: Any) -> None:
    filters = {"name": "library/**", "tags": "v*", "labels": ["b", "a", "a"], "resource": "image"}
    life("harbor_replication_policy", name="p", dest_registry="hub", filters=filters)
    assert only(standin.policies)["filters"] == [
        {"type": "name", "value": "library/**"},
        {"type": "tag", "value": "v*", "decoration": "matches"},
        {"type": "label", "value": ["a", "b"], "decoration": "matches"},
        {"type": "resource", "value": "image"},
    ]
    # Older ones say nothing where they match.
    only(standin.policies)["filters"][1].pop("decoration")
    assert harbor("harbor_replication_policy", name="p", filters=filters)["changed"] is False
    excluded = {"tags": "rc*", "tags_decoration": "excludes"}
    assert change("harbor_replication_policy", name="p", filters=excluded)[1] == {"filters": excluded}
    assert change("harbor_replication_policy", name="p", filters={})[1] == {"filters": {}}


def test_policies_that_cannot_be(standin: Standin, harbor: Any, registries: Any) -> None:
    def message(**options: Any) -> str:
        return str(harbor("harbor_replication_policy", fails=True, **{"name": "p", **options})["msg"])

    assert "name of a replication policy is empty" in message(name=" ")
    assert "needs one of src_registry" in message()
    assert "needs one of src_registry" in message(src_registry="hub", dest_registry="mirror")
    assert "has 5 fields" in message(src_registry="hub", trigger="scheduled", cron="0 2 * * *")
    assert "needs it: give cron" in message(src_registry="hub", trigger="scheduled")
    assert "no effect with the trigger manual" in message(src_registry="hub", cron="0 0 2 * * *")
    assert "create it with harbor_registry" in message(src_registry="nowhere")
    planned = harbor("harbor_replication_policy", check=True, name="p", src_registry="nowhere")
    assert planned["operation"] == "create"


def test_many_policies(standin: Standin, harbor: Any, registries: Any) -> None:
    policies: list[dict[str, Any]] = [{"name": f"p{number}", "src_registry": "hub"} for number in range(12)]
    assert harbor("harbor_replication_policy", policies=policies)["changed"] is True
    assert harbor("harbor_replication_policy", policies=policies)["changed"] is False
    mixed = [{**policies[0], "state": "absent"}, {"name": "p1", "enabled": False}]
    result = harbor("harbor_replication_policy", policies=mixed)["policies"]
    assert [one["operation"] for one in result] == ["delete", "update"]


def test_policy_made_or_deleted_in_the_meantime(standin: Standin, harbor: Any, registries: Any) -> None:
    harbor("harbor_replication_policy", name="p", src_registry="hub")
    kept = dict(standin.policies)
    standin.policies.clear()
    standin.meanwhile = lambda name: standin.policies.update(kept) if name == "createReplicationPolicy" else None
    assert harbor("harbor_replication_policy", name="p", src_registry="hub", speed=9)["operation"] == "update"
    standin.meanwhile = lambda name: standin.policies.clear() if name == "deleteReplicationPolicy" else None
    harbor("harbor_replication_policy", name="p", state="absent")
