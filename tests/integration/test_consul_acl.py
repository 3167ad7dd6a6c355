# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""ACLs of a real Consul: bootstrap with a given secret, and all objects of a call."""

from __future__ import annotations

import copy
import uuid
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ACCESSOR = "8f246b77-f3e1-ff88-5b48-8ec93abf3e05"
SECRET = "0d9bf5d4-9d1a-4a36-8a25-b3f6f64a9c9f"
RULES = 'service_prefix "" { policy = "read" }\n'


@pytest.fixture(scope="module")
def public_key() -> str:
    """A key that logins could be signed with."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture
def objects(public_key: str) -> dict[str, Any]:
    """One object of each type, all with the same word in their names so that tests do not meet."""
    return {
        "policies": [{"name": "traefik", "description": "Read the catalogue", "rules": RULES}],
        "roles": [{"name": "tasks", "description": "What a task may read", "policies": ["traefik"]}],
        "tokens": [
            {
                "accessor_id": ACCESSOR,
                "secret_id": SECRET,
                "description": "traefik on ifca-server",
                "policies": ["traefik"],
                "node_identities": ["ifca-server"],
            }
        ],
        "auth_methods": [
            {
                "name": "nomad-workloads",
                "type": "jwt",
                "config": {
                    "JWTValidationPubKeys": [public_key],
                    "BoundAudiences": ["consul.io"],
                    "ClaimMappings": {"nomad_service": "nomad_service"},
                },
            }
        ],
        "binding_rules": [
            {
                "auth_method": "nomad-workloads",
                "description": "A service",
                "bind_type": "service",
                "bind_name": "${value.nomad_service}",
                "selector": '"nomad_service" in value',
            },
            {
                "auth_method": "nomad-workloads",
                "description": "A task",
                "bind_type": "role",
                "bind_name": "tasks",
                "selector": '"nomad_service" not in value',
            },
        ],
    }


@pytest.fixture
def get(consul_agent: Any) -> Any:
    """Ask the server without the collection."""

    def ask(path: str, token: str | None = None) -> requests.Response:
        return requests.get(
            f"{consul_agent.address}/v1/{path}",
            headers={"X-Consul-Token": consul_agent.token if token is None else token},
            verify=str(consul_agent.directory / "ca.pem"),
            timeout=10,
        )

    return ask


def test_bootstrap_and_all_objects(consul_acl: Any, objects: dict[str, Any], get: Any, consul_agent: Any) -> None:
    done = consul_acl(**objects)
    # Another test may have bootstrapped the server before.
    assert done["operations"] == {
        "policy traefik": "create",
        "role tasks": "create",
        "token traefik on ifca-server": "create",
        "auth method nomad-workloads": "create",
        "binding rule nomad-workloads: A service": "create",
        "binding rule nomad-workloads: A task": "create",
    }
    for check_mode in (True, False):
        again = consul_acl(**objects, check_mode=check_mode)
        assert (again["changed"], again["bootstrapped"], again["operations"]) == (False, False, {})
        assert again["diff"] == {"before": {}, "after": {}}
    for secret in (SECRET, consul_agent.token):
        assert secret not in done["_output"]
    assert get("catalog/services", "").status_code == 200
    assert get("acl/policies", "").status_code == 403
    token = get("acl/token/self", SECRET).json()
    assert token["AccessorID"] == ACCESSOR
    assert token["NodeIdentities"] == [{"NodeName": "ifca-server", "Datacenter": "ifca"}]


CHANGES: list[tuple[str, int, dict[str, Any], str, dict[str, Any], dict[str, Any]]] = [
    ("policies", 0, {"description": "x"}, "policy traefik", {"description": "Read the catalogue"}, {}),
    ("policies", 0, {"rules": 'node_prefix "" { policy = "read" }'}, "policy traefik", {"rules": RULES}, {}),
    ("roles", 0, {"description": ""}, "role tasks", {"description": "What a task may read"}, {}),
    ("roles", 0, {"policies": []}, "role tasks", {"policies": ["traefik"]}, {}),
    ("tokens", 0, {"policies": []}, "token traefik on ifca-server", {"policies": ["traefik"]}, {}),
    (
        *("tokens", 0, {"node_identities": ["b", "a"]}, "token traefik on ifca-server"),
        *({"node_identities": ["ifca-server"]}, {"node_identities": ["a", "b"]}),
    ),
    ("auth_methods", 0, {"description": "x"}, "auth method nomad-workloads", {"description": ""}, {}),
    (
        *("binding_rules", 1, {"bind_type": "policy", "bind_name": "traefik"}),
        *("binding rule nomad-workloads: A task", {"bind_type": "role", "bind_name": "tasks"}, {}),
    ),
    (
        *("binding_rules", 0, {"selector": ""}, "binding rule nomad-workloads: A service"),
        *({"selector": '"nomad_service" in value'}, {}),
    ),
]


@pytest.mark.parametrize(("option", "index", "change", "label", "before", "after"), CHANGES)
def test_update_of_each_option(
    consul_acl: Any,
    objects: dict[str, Any],
    option: str,
    index: int,
    change: dict[str, Any],
    label: str,
    before: dict[str, Any],
    after: dict[str, Any],
) -> None:
    consul_acl(**objects)
    changed = copy.deepcopy(objects)
    changed[option][index].update(change)
    planned = consul_acl(**changed, check_mode=True)
    assert planned["operations"] == {label: "update"}
    done = consul_acl(**changed)
    assert done["operations"] == {label: "update"}
    assert done["diff"] == planned["diff"]
    have, want = done["diff"]["before"][label], done["diff"]["after"][label]
    assert {name: value for name, value in have.items() if value != want[name]} == before
    assert {name: value for name, value in want.items() if value != have[name]} == (after or change)
    assert consul_acl(**changed)["changed"] is False
    assert consul_acl(**objects)["operations"] == {label: "update"}


def test_settings_of_a_method(consul_acl: Any, objects: dict[str, Any], get: Any) -> None:
    consul_acl(**objects)
    objects["auth_methods"][0]["config"]["BoundAudiences"] = ["consul.io", "other"]
    done = consul_acl(auth_methods=objects["auth_methods"])
    assert done["operations"] == {"auth method nomad-workloads": "update"}
    # What is not given is kept.
    del objects["auth_methods"][0]["config"]["ClaimMappings"]
    assert consul_acl(auth_methods=objects["auth_methods"])["changed"] is False
    objects["auth_methods"][0]["config"]["BoundAudiences"] = ["consul.io"]
    assert consul_acl(auth_methods=objects["auth_methods"])["changed"] is True
    assert get("acl/auth-method/nomad-workloads").json()["Config"]["ClaimMappings"]


def test_what_has_no_option_is_kept(consul_acl: Any, objects: dict[str, Any], get: Any, consul_agent: Any) -> None:
    consul_acl(**objects)
    role = get("acl/role/name/tasks").json()
    role["ServiceIdentities"] = [{"ServiceName": "web"}]
    requests.put(
        f"{consul_agent.address}/v1/acl/role/{role['ID']}",
        json=role,
        headers={"X-Consul-Token": consul_agent.token},
        verify=str(consul_agent.directory / "ca.pem"),
        timeout=10,
    ).raise_for_status()
    assert consul_acl(**objects)["changed"] is False
    objects["roles"][0]["description"] = "Another"
    assert consul_acl(**objects)["operations"] == {"role tasks": "update"}
    assert get("acl/role/name/tasks").json()["ServiceIdentities"] == [{"ServiceName": "web"}]


def test_names_with_odd_characters(consul_acl: Any) -> None:
    policies = [{"name": "a_-" + "b" * 120, "rules": RULES}]
    tokens = [
        {"accessor_id": str(uuid.uuid4()), "secret_id": str(uuid.uuid4()), "description": 'ü "quoted" / 100 %'}
        for _ in range(2)
    ]
    done = consul_acl(policies=policies, tokens=tokens)
    assert {f"token {token['description']} ({token['accessor_id']})" for token in tokens} < set(done["operations"])
    assert consul_acl(policies=policies, tokens=tokens)["changed"] is False
    refused = consul_acl(fails=True, policies=[{"name": "a b/c?d", "rules": RULES}])
    assert "Invalid Policy: invalid Name" in refused["msg"]


def test_failure_says_what_had_been_done(consul_acl: Any) -> None:
    result = consul_acl(
        fails=True,
        policies=[{"name": "half", "rules": RULES}],
        roles=[{"name": "other-half", "policies": ["missing"]}],
    )
    assert "missing" in result["msg"]
    assert (result["changed"], result["operations"]) == (True, {"policy half": "create"})


def test_token_with_another_secret(consul_acl: Any, objects: dict[str, Any]) -> None:
    consul_acl(**objects)
    objects["tokens"][0]["secret_id"] = str(uuid.uuid4())
    for check_mode in (True, False):
        result = consul_acl(fails=True, tokens=objects["tokens"], check_mode=check_mode)
        assert f"Token {ACCESSOR} (traefik on ifca-server) exists with another secret" in result["msg"]
        assert objects["tokens"][0]["secret_id"] not in result["_output"]
        assert SECRET not in result["_output"]


def test_revoked_secrets(consul_acl: Any, objects: dict[str, Any], get: Any) -> None:
    consul_acl(**objects)
    secret = str(uuid.uuid4())
    token = {**objects["tokens"][0], "secret_id": secret, "accessor_id": str(uuid.uuid4()), "description": "gone"}
    consul_acl(tokens=[token])
    for check_mode in (True, False):
        done = consul_acl(revoked_secrets=[secret], check_mode=check_mode)
        assert done["operations"] == {f"token gone ({token['accessor_id']})": "delete"}
        assert secret not in done["_output"]
    assert get("acl/token/self", secret).status_code == 403
    assert get("acl/token/self", SECRET).status_code == 200
    assert consul_acl(revoked_secrets=[secret])["changed"] is False


def test_listed_twice(consul_acl: Any) -> None:
    policy = {"name": "twice", "rules": RULES}
    assert "'twice' is listed twice" in consul_acl(fails=True, policies=[policy, policy])["msg"]


def test_bootstrapped_with_another_secret(consul_acl: Any) -> None:
    consul_acl()
    result = consul_acl(fails=True, consul_token=str(uuid.uuid4()))
    assert "was bootstrapped with another secret" in result["msg"]
    assert "\n" not in result["msg"]


def test_token_without_rights(consul_acl: Any, objects: dict[str, Any]) -> None:
    consul_acl(**objects)
    result = consul_acl(fails=True, consul_token=SECRET, policies=objects["policies"])
    assert "Permission denied" in result["msg"]


def test_check_mode_before_the_first_run(consul_acl: Any, objects: dict[str, Any], tmp_path: Path) -> None:
    for options in ({"consul_ca_cert": str(tmp_path / "ca.pem")}, {"consul_address": "https://127.0.0.1:1"}):
        planned = consul_acl(**objects, **options, check_mode=True)
        assert (planned["changed"], planned["bootstrapped"], len(planned["operations"])) == (True, True, 6)
        assert planned["diff"]["after"]["token traefik on ifca-server"]["node_identities"] == ["ifca-server"]


def test_cannot_reach_consul(consul_acl: Any, consul_agent: Any, tmp_path: Path) -> None:
    assert "there is no such file" in consul_acl(fails=True, consul_ca_cert=str(tmp_path / "ca.pem"))["msg"]
    assert "Connection refused" in consul_acl(fails=True, consul_address="https://127.0.0.1:1", timeout=0)["msg"]
    other = str(consul_agent.directory / "other-ca.pem")
    for check_mode in (True, False):
        assert "TLS with" in consul_acl(fails=True, consul_ca_cert=other, check_mode=check_mode)["msg"]
