# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What consul_acl asks and writes, with a server that answers as it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

Result = dict[str, Any]
SECRET = "b1gs0000-0000-0000-0000-000000000000"
POLICY = {"name": "traefik", "description": "Read", "rules": "rules"}
RAW_POLICY = {"ID": "p1", "Name": "traefik", "Description": "Read", "Rules": "rules", "Hash": "x", "ModifyIndex": 3}


@pytest.fixture
def acl(stub: Any, run_module: Callable[..., Result]) -> Callable[..., Result]:
    """Run the module against the server, which is bootstrapped with the secret."""
    stub.on("GET", "/v1/acl/token/self", {"AccessorID": "m"})

    def run(**options: Any) -> Result:
        defaults = {
            "consul_address": stub.address + "/",
            "consul_ca_cert": requests.certs.where(),
            "consul_token": SECRET,
        }
        return run_module("consul_acl", **{**defaults, **options})

    return run


def test_bootstrap(acl: Callable[..., Result], stub: Any) -> None:
    stub.on("GET", "/v1/acl/token/self", "ACL not found", status=403)
    stub.on("PUT", "/v1/acl/bootstrap", {"SecretID": SECRET})
    planned = acl(policies=[POLICY], check=True)
    assert (planned["bootstrapped"], planned["operations"]) == (True, {"policy traefik": "create"})
    assert stub.written() == []
    stub.on("PUT", "/v1/acl/policy", RAW_POLICY)
    done = acl(policies=[POLICY])
    assert (done["bootstrapped"], done["operations"]) == (True, {"policy traefik": "create"})
    assert stub.written() == [
        ("PUT", "/v1/acl/bootstrap", {"BootstrapSecret": SECRET}),
        ("PUT", "/v1/acl/policy", {"Name": "traefik", "Description": "Read", "Rules": "rules"}),
    ]
    assert stub.asked[0].headers["X-Consul-Token"] == SECRET


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("ACL bootstrap no longer allowed (reset index: 13)", "reset index: 13"),
        ("Permission denied", "403 Permission denied"),
    ],
)
def test_bootstrap_is_refused(acl: Callable[..., Result], stub: Any, words: str, expected: str) -> None:
    stub.on("GET", "/v1/acl/token/self", "ACL not found", status=403)
    stub.on("PUT", "/v1/acl/bootstrap", words, status=403)
    result = acl()
    assert expected in result["msg"]
    assert ("with another secret" in result["msg"]) == ("no longer" in words)


def test_update_keeps_what_has_no_option(acl: Callable[..., Result], stub: Any) -> None:
    stub.on("GET", "/v1/acl/policy/name/traefik", {**RAW_POLICY, "Datacenters": ["ifca"]})
    stub.on("PUT", "/v1/acl/policy/p1", RAW_POLICY)
    assert acl(policies=[POLICY])["changed"] is False
    done = acl(policies=[{**POLICY, "rules": "other"}])
    assert done["diff"] == {
        "before": {"policy traefik": {"description": "Read", "rules": "rules"}},
        "after": {"policy traefik": {"description": "Read", "rules": "other"}},
    }
    sent = {"ID": "p1", "Name": "traefik", "Description": "Read", "Rules": "other", "Datacenters": ["ifca"]}
    assert stub.written() == [("PUT", "/v1/acl/policy/p1", sent)]
    assert "diff" not in acl(policies=[POLICY], diff=False)


def test_roles(acl: Callable[..., Result], stub: Any) -> None:
    stub.on("GET", "/v1/acl/role/name/a%20role", {"ID": "r1", "Name": "a role", "Policies": [{"ID": "p", "Name": "b"}]})
    role = {"name": "a role", "policies": ["b", "b"]}
    assert acl(roles=[role])["changed"] is False
    stub.on("PUT", "/v1/acl/role/r1", {})
    assert acl(roles=[{**role, "policies": ["c", "b"]}])["diff"]["after"] == {
        "role a role": {"description": "", "policies": ["b", "c"]}
    }
    stub.on("GET", "/v1/acl/role/name/a%20role", status=404)
    stub.on("PUT", "/v1/acl/role", {})
    assert acl(roles=[role])["operations"] == {"role a role": "create"}


def test_tokens(acl: Callable[..., Result], stub: Any) -> None:
    token = {
        "accessor_id": "a1",
        "secret_id": "s3cret",
        "description": "traefik",
        "policies": ["traefik"],
        "node_identities": ["n1"],
    }
    raw = {
        "AccessorID": "a1",
        "SecretID": "s3cret",
        "Description": "traefik",
        "Policies": [{"ID": "p", "Name": "traefik"}],
        "NodeIdentities": [{"NodeName": "n1", "Datacenter": "ifca"}],
        "Local": False,
    }
    stub.on("GET", "/v1/agent/self", {"Config": {"Datacenter": "ifca"}})
    stub.on("GET", "/v1/acl/token/a1", "ACL not found", status=403)
    stub.on("PUT", "/v1/acl/token", raw)
    made = acl(tokens=[token])
    assert made["operations"] == {"token traefik": "create"}
    assert "s3cret" not in str(made)
    assert stub.written()[0][2]["SecretID"] == "s3cret"
    stub.on("GET", "/v1/acl/token/a1", raw)
    assert acl(tokens=[token])["changed"] is False
    raw["NodeIdentities"] = [{"NodeName": "n1", "Datacenter": "incd"}]
    stub.on("GET", "/v1/acl/token/a1", raw)
    stub.on("PUT", "/v1/acl/token/a1", raw)
    moved = acl(tokens=[token])
    assert moved["diff"]["before"]["token traefik"]["node_identities"] == ["n1 in incd"]
    assert stub.written()[1][2]["NodeIdentities"] == [{"NodeName": "n1", "Datacenter": "ifca"}]
    stub.on("GET", "/v1/acl/token/a1", {**raw, "SecretID": "<hidden>"})
    assert acl(tokens=[token])["operations"] == {"token traefik": "update"}
    stub.on("GET", "/v1/acl/token/a1", {**raw, "SecretID": "another"})
    assert "exists with another secret" in acl(tokens=[token])["msg"]


def test_services_of_tokens(acl: Callable[..., Result], stub: Any) -> None:
    token = {"accessor_id": "a1", "secret_id": "s3cret", "description": "api"}
    raw = {
        "AccessorID": "a1",
        "SecretID": "s3cret",
        "Description": "api",
        "ServiceIdentities": [{"ServiceName": "api"}],
    }
    stub.on("GET", "/v1/agent/self", {"Config": {"Datacenter": "ifca"}})
    stub.on("GET", "/v1/acl/token/a1", "ACL not found", status=403)
    stub.on("PUT", "/v1/acl/token", raw)
    wanted = {**token, "service_identities": ["api"]}
    assert acl(tokens=[wanted])["operations"] == {"token api": "create"}
    assert stub.written()[0][2]["ServiceIdentities"] == [{"ServiceName": "api"}]
    stub.on("GET", "/v1/acl/token/a1", raw)
    stub.on("PUT", "/v1/acl/token/a1", raw)
    assert acl(tokens=[wanted])["changed"] is False
    assert acl(tokens=[token])["changed"] is False
    assert acl(tokens=[{**token, "service_identities": []}])["operations"] == {"token api": "update"}
    assert stub.written()[1][2]["ServiceIdentities"] == []


def test_revoked_secrets(acl: Callable[..., Result], stub: Any) -> None:
    stub.on("GET", "/v1/acl/token/self", {"AccessorID": "a1", "Description": "traefik on ifca-server"})
    stub.on("DELETE", "/v1/acl/token/a1", True)
    planned = acl(revoked_secrets=["s3cret"], check=True)
    assert planned["operations"] == {"token traefik on ifca-server (a1)": "delete"}
    assert stub.written() == []
    done = acl(revoked_secrets=["s3cret"])
    assert done["operations"] == planned["operations"]
    assert done["diff"]["before"] == {"token traefik on ifca-server (a1)": {"description": "traefik on ifca-server"}}
    assert "s3cret" not in str(done)
    assert [one[:2] for one in stub.written()] == [("DELETE", "/v1/acl/token/a1")]
    assert "s3cret" in [one.headers["X-Consul-Token"] for one in stub.asked]
    assert "take it out" in acl(revoked_secrets=[SECRET])["msg"]


def test_tokens_with_one_description(acl: Callable[..., Result], stub: Any) -> None:
    stub.on("GET", "/v1/agent/self", {"Config": {"Datacenter": "ifca"}})
    tokens = [{"accessor_id": name, "secret_id": name * 8, "description": "twin"} for name in ("a", "b")]
    unnamed = {"accessor_id": "c", "secret_id": "s"}
    assert set(acl(tokens=[*tokens, unnamed], check=True)["operations"]) == {
        "token twin (a)",
        "token twin (b)",
        "token c",
    }
    assert "'twin (a)' is listed twice" in acl(tokens=[tokens[0], tokens[0]])["msg"]


def test_auth_methods(acl: Callable[..., Result], stub: Any) -> None:
    method = {"name": "jwt/1", "type": "jwt", "config": {"BoundAudiences": ["consul.io"]}}
    raw = {"Name": "jwt/1", "Type": "jwt", "Config": {"BoundAudiences": ["consul.io"], "ClockSkewLeeway": 0}}
    stub.on("GET", "/v1/acl/auth-method/jwt%2F1", raw)
    stub.on("PUT", "/v1/acl/auth-method/jwt%2F1", raw)
    assert acl(auth_methods=[method])["changed"] is False
    other = {**method, "config": {"BoundAudiences": ["other"], "JWKSURL": "https://x"}}
    done = acl(auth_methods=[other])
    assert done["diff"]["before"]["auth method jwt/1"]["config"] == {"BoundAudiences": ["consul.io"], "JWKSURL": None}
    assert stub.written()[0][2]["Config"] == {
        "BoundAudiences": ["other"],
        "ClockSkewLeeway": 0,
        "JWKSURL": "https://x",
    }


def test_binding_rules(acl: Callable[..., Result], stub: Any) -> None:
    def rule(description: str, **options: Any) -> dict[str, Any]:
        return {
            "auth_method": "nomad",
            "description": description,
            "bind_type": "service",
            "bind_name": "x",
            **options,
        }

    listed = [
        {"ID": "1", "AuthMethod": "nomad", "Description": "one", "BindType": "service", "BindName": "x"},
        {"ID": "2", "AuthMethod": "nomad", "Description": "two", "BindType": "role", "BindName": "y"},
    ]
    stub.on("GET", "/v1/acl/binding-rules?authmethod=nomad", listed)
    stub.on("PUT", "/v1/acl/binding-rule/2", {})
    stub.on("PUT", "/v1/acl/binding-rule", {})
    done = acl(binding_rules=[rule("one"), rule("two"), rule("three", selector="s")])
    assert done["operations"] == {"binding rule nomad: two": "update", "binding rule nomad: three": "create"}
    assert [path for _method, path, _body in stub.written()] == [
        "/v1/acl/binding-rule/2",
        "/v1/acl/binding-rule",
    ]
    assert sum(one.target.startswith("/v1/acl/binding-rules") for one in stub.asked) == 1


def test_what_is_postponed_is_only_compared(acl: Callable[..., Result], stub: Any) -> None:
    method = {"name": "jwt", "type": "jwt", "config": {"BoundAudiences": ["consul.io"]}}
    stub.on("GET", "/v1/acl/policy/name/traefik", {**RAW_POLICY, "Rules": "others"})
    stub.on("PUT", "/v1/acl/policy/p1", {})
    stub.on("GET", "/v1/acl/auth-method/jwt", "ACL not found", status=404)
    objects = {"policies": [POLICY], "auth_methods": [method], "postponed": ["auth_methods"]}
    done = acl(**objects)
    assert (done["operations"], done["postponed"]) == ({"policy traefik": "update"}, ["auth_methods"])
    assert list(done["diff"]["after"]) == ["policy traefik"]
    assert [path for _method, path, _body in stub.written()] == ["/v1/acl/policy/p1"]
    stub.on("GET", "/v1/acl/auth-method/jwt", {"Name": "jwt", "Type": "jwt", "Config": method["config"]})
    assert acl(**objects)["postponed"] == []
    assert acl(auth_methods=[method])["postponed"] == []


def test_waits_for_a_leader(acl: Callable[..., Result], stub: Any) -> None:
    stub.on("GET", "/v1/acl/token/self", "No cluster leader", status=500)
    stub.then("GET", "/v1/acl/token/self", {"AccessorID": "m"})
    assert acl()["changed"] is False
    assert len(stub.asked) == 2


def test_does_not_wait_for_what_stays_wrong(acl: Callable[..., Result], stub: Any) -> None:
    stub.on("PUT", "/v1/acl/policy", "rpc error making call: Invalid Policy: invalid Name", status=500)
    result = acl(policies=[POLICY, {**POLICY, "name": "b"}])
    assert "500 rpc error making call: Invalid Policy: invalid Name" in result["msg"]
    assert result["operations"] == {}
    assert len(stub.written()) == 1


def test_what_had_been_done_before_a_failure(acl: Callable[..., Result], stub: Any) -> None:
    stub.on("PUT", "/v1/acl/policy", RAW_POLICY)
    stub.on("PUT", "/v1/acl/role", "no", status=400)
    result = acl(policies=[POLICY], roles=[{"name": "r"}])
    assert result["failed"]
    assert (result["changed"], result["operations"]) == (True, {"policy traefik": "create"})


@pytest.mark.parametrize("answer", ["<html>hello</html>", '{"AccessorID": '])
def test_rubbish(acl: Callable[..., Result], stub: Any, answer: str) -> None:
    stub.on("GET", "/v1/acl/token/self", answer)
    assert "not JSON" in acl()["msg"]


@pytest.mark.parametrize("check", [True, False])
def test_nobody_answers(acl: Callable[..., Result], check: bool) -> None:
    result = acl(consul_address="https://127.0.0.1:1", policies=[POLICY], timeout=0, check=check)
    if check:
        assert result["operations"] == {"policy traefik": "create"}
    else:
        assert "Connection refused" in result["msg"]


def test_certificate_is_not_there_yet(acl: Callable[..., Result]) -> None:
    assert acl(consul_ca_cert="/missing/ca.pem", check=True)["bootstrapped"] is True
    assert "there is no such file" in acl(consul_ca_cert="/missing/ca.pem")["msg"]
