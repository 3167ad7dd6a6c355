# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The life of each type of object in a real Nomad, and what only a real one can show."""

from __future__ import annotations

from typing import Any

import nomad_cases
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from nomad_cases import CASES, RULES, Case

from ansible_collections.imagine.platform.plugins.module_utils.nomad import NomadClient

PRIVATE_KEY = (
    rsa.generate_private_key(65537, 2048)
    .private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    .decode()
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_life(nomad: Any, case: Case) -> None:
    nomad_cases.live(case, nomad)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_many_in_one_call(nomad: Any, case: Case) -> None:
    nomad_cases.many(case, nomad)


@pytest.fixture
def api(nomad_agent: Any) -> Any:
    """Requests to Nomad past the modules."""

    def call(method: str, path: str, body: Any = None, **params: Any) -> Any:
        response = requests.request(
            method,
            f"{nomad_agent.address}/v1/{path}",
            json=body,
            params=params,
            headers={"X-Nomad-Token": nomad_agent.token},
            verify=str(nomad_agent.directory / "ca.pem"),
            timeout=10,
        )
        response.raise_for_status()
        return response.json() if response.content else None

    return call


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Do something between what a module reads and what it writes."""

    def before(method: str, action: Any, times: int = 1) -> list[int]:
        done: list[int] = []
        original = getattr(NomadClient, method)

        def write(self: NomadClient, *args: Any, **kwargs: Any) -> Any:
            if len(done) < times:
                done.append(1)
                action(len(done))
            return original(self, *args, **kwargs)

        monkeypatch.setattr(NomadClient, method, write)
        return done

    return before


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_key_that_nomad_does_not_take(nomad: Any, case: Case) -> None:
    for key in case.wrong:
        message = nomad(case.module, fails=True, **{**case.make, **key})["msg"]
        assert ":" in message
        assert "Nomad at" not in message, "it is known before Nomad is asked"
        assert "\n" not in message


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"nomad_token": "00000000-0000-0000-0000-000000000001"}, "nomad_token is not accepted"),
        ({"nomad_token": ""}, "nomad_token is not set"),
        ({"nomad_address": "https://127.0.0.1:1"}, "Connection refused"),
        ({"nomad_ca_cert": "other-ca.pem"}, "TLS"),
    ],
)
def test_no_rights_and_no_server(nomad: Any, nomad_agent: Any, case: Case, options: Any, words: str) -> None:
    files = {name: str(nomad_agent.directory / path) if "pem" in path else path for name, path in options.items()}
    calls = [(case.module, {**case.key, **case.make})]
    # Without any token some lists are empty rather than refused.
    if case.info is not None and options != {"nomad_token": ""}:
        calls.append((f"{case.module}_info", case.info))
    for module, arguments in calls:
        result = nomad(module, fails=True, **{**arguments, **files})
        assert words in result["msg"], result["msg"]
        assert "\n" not in result["msg"]
        assert "Traceback" not in result["_output"]


# Variables


def test_two_who_change_one_variable_lose_nothing(nomad: Any, api: Any, interrupt: Any) -> None:
    nomad("nomad_variable", path="race", items={"a": "1"})

    def other(_time: int) -> None:
        raw = api("get", "var/race", namespace="default")
        api("put", "var/race", {"Items": {**raw["Items"], "b": "2"}}, namespace="default", cas=raw["ModifyIndex"])

    done = interrupt("post", other)
    result = nomad("nomad_variable", path="race", merge=True, items={"c": "3"})
    assert done == [1]
    assert result["operation"] == "update"
    assert api("get", "var/race", namespace="default")["Items"] == {"a": "1", "b": "2", "c": "3"}
    assert result["diff"]["before"] == {"default:race": {"items": {"a": "(value)", "b": "(value)"}}}


def test_a_variable_that_somebody_else_makes_first(nomad: Any, api: Any, interrupt: Any) -> None:
    interrupt("post", lambda _time: api("put", "var/first", {"Items": {"b": "2"}}, namespace="default"))
    result = nomad("nomad_variable", path="first", merge=True, items={"a": "1"})
    assert result["operation"] == "update"
    assert result["variable"]["item_names"] == ["a", "b"]


def test_a_variable_that_never_comes_to_rest(nomad: Any, api: Any, interrupt: Any) -> None:
    nomad("nomad_variable", path="busy", items={"a": "0"})

    def other(time: int) -> None:
        api("put", "var/busy", {"Items": {"a": f"a secret of somebody else {time}"}}, namespace="default")

    interrupt("post", other, times=9)
    result = nomad("nomad_variable", fails=True, path="busy", items={"a": "1"})
    assert "changed it at the same time (409)" in result["msg"]
    assert "somebody else 3" not in result["_output"]
    assert result["changed"] is False


def test_a_variable_that_is_deleted_meanwhile(nomad: Any, api: Any, interrupt: Any) -> None:
    nomad("nomad_variable", path="gone", items={"a": "1"})
    interrupt("delete", lambda _time: api("delete", "var/gone", namespace="default"))
    result = nomad("nomad_variable", path="gone", state="absent")
    assert (result["changed"], result["operation"]) == (False, "none")


def test_a_variable_with_a_given_index(nomad: Any) -> None:
    made = nomad("nomad_variable", path="index", items={"a": "1"}, cas=0)
    index = made["variable"]["modify_index"]
    for check_mode in (True, False):
        late = nomad("nomad_variable", fails=True, path="index", items={"a": "2"}, cas=0, check_mode=check_mode)
        assert f"has the modify index {index}, and cas is 0" in late["msg"]
        late = nomad("nomad_variable", fails=True, path="index", state="absent", cas=1, check_mode=check_mode)
        assert "and cas is 1" in late["msg"]
        assert (
            "does not exist, and cas is 7"
            in (
                nomad("nomad_variable", fails=True, path="index-2", items={"a": "2"}, cas=7, check_mode=check_mode)[
                    "msg"
                ]
            )
        )
    assert nomad("nomad_variable", path="index", items={"a": "1"}, cas=0)["changed"] is False
    assert nomad("nomad_variable", path="index", items={"a": "2"}, cas=index)["operation"] == "update"
    (listed,) = nomad("nomad_variable_info", paths=["index"])["variables"]
    assert nomad("nomad_variable", path="index", state="absent", cas=listed["modify_index"])["operation"] == "delete"


def test_a_variable_with_a_given_index_meets_another_operator(nomad: Any, api: Any, interrupt: Any) -> None:
    index = nomad("nomad_variable", path="meet", items={"a": "1"})["variable"]["modify_index"]
    interrupt("post", lambda _time: api("put", "var/meet", {"Items": {"a": "2"}}, namespace="default"))
    assert f"and cas is {index}" in nomad("nomad_variable", fails=True, path="meet", items={"a": "3"}, cas=index)["msg"]


def test_values_are_returned_only_when_asked_for(nomad: Any) -> None:
    nomad("nomad_variable", path="look", items={"password": "v4lue-to-look-at", "n": 1})
    result = nomad("nomad_variable_info", prefix="look")
    assert "v4lue-to-look-at" not in result["_output"]
    assert result["variables"][0]["item_names"] == ["n", "password"]
    result = nomad("nomad_variable_info", paths=["look"], return_values=True)
    assert result["variables"][0]["item_values"] == {"n": "1", "password": "v4lue-to-look-at"}


def test_short_values_do_not_make_results_unreadable(nomad: Any) -> None:
    result = nomad(
        "nomad_variable", path="short", items={"default": "default", "one": "1", "yes": True, "long": "x" * 9}
    )
    assert result["variable"]["namespace"] == "default"
    assert result["variable"]["item_names"] == ["default", "long", "one", "yes"]
    assert result["changed"] is True
    assert "x" * 9 not in result["_output"]


def test_variables_of_another_namespace(nomad: Any) -> None:
    nomad("nomad_namespace", name="with-variables")
    made = nomad(
        "nomad_variable",
        nomad_namespace="with-variables",
        variables=[
            {"path": "p/one", "items": {"a": "1"}},
            {"path": "p/two", "items": {"a": "1"}, "namespace": "default"},
            {"path": "p/three", "items": {"a": "1"}},
        ],
    )
    assert [one["namespace"] for one in made["variables"]] == ["with-variables", "default", "with-variables"]
    found = nomad("nomad_variable_info", namespace="*", prefix="p/")["variables"]
    assert [(one["namespace"], one["path"]) for one in found] == [
        ("default", "p/two"),
        ("with-variables", "p/one"),
        ("with-variables", "p/three"),
    ]
    refused = nomad("nomad_namespace", fails=True, name="with-variables", state="absent")["msg"]
    assert "delete its variables first" in refused
    nomad("nomad_variable", nomad_namespace="with-variables", state="absent", variables=[{"path": "p/one"}])
    nomad("nomad_variable", namespace="with-variables", path="p/three", state="absent")
    assert nomad("nomad_namespace", name="with-variables", state="absent")["operation"] == "delete"
    for check_mode in (True, False):
        missing = {"namespace": "nowhere", "path": "x", "items": {"a": "1"}}
        result = nomad("nomad_variable", fails=True, **missing, check_mode=check_mode)
        assert "namespace that does not exist" in result["msg"]


def test_a_locked_variable(nomad: Any, api: Any) -> None:
    nomad("nomad_variable", path="locked", items={"a": "1"})
    lock = api("put", "var/locked?lock-acquire", {"Path": "locked", "Items": {"a": "1"}, "Lock": {"TTL": "15s"}})
    try:
        assert nomad("nomad_variable_info", paths=["locked"])["variables"][0]["locked"] is True
        for options in ({"items": {"a": "2"}}, {"state": "absent"}):
            assert "is locked" in nomad("nomad_variable", fails=True, path="locked", **options)["msg"]
    finally:
        api("put", "var/locked?lock-release", {"Path": "locked", "Lock": {"ID": lock["Lock"]["ID"]}})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"items": {}}, "would have no items"),
        ({}, "would have no items"),
        ({"items": {"a": None}}, "has no value"),
        ({"items": {"a": None}, "merge": True}, "would have no items"),
        ({"items": {"a": ["x"]}}, "is a list, but values are strings"),
        ({"items": {"a": "x"}, "namespace": "*"}, "needs one namespace"),
        ({"items": {"a": "x" * 70000}}, "split it into several"),
        ({"items": {"a": "x"}, "path": "nomad/other"}, "valid paths under the top-level"),
    ],
)
def test_variable_mistakes(nomad: Any, options: Any, words: str) -> None:
    result = nomad("nomad_variable", fails=True, **{"path": "mistake", **options})
    assert words in result["msg"]
    assert "xxxxxxxx" not in result["_output"]


# Roles, auth methods, binding rules


def test_a_role_with_a_policy_that_is_missing(nomad: Any) -> None:
    message = nomad("nomad_acl_role", fails=True, name="no-policy", policies=["missing"])["msg"]
    assert "cannot find policy missing" in message
    assert "make the policy first" in message
    assert "has no policies" in nomad("nomad_acl_role", fails=True, name="no-policy", check_mode=True)["msg"]


def test_roles_that_somebody_else_changes_meanwhile(nomad: Any, api: Any, interrupt: Any) -> None:
    nomad("nomad_acl_policy", policies=[{"name": name, "rules": RULES} for name in ("one", "two")])
    wanted = {"Name": "race", "Policies": [{"Name": "one"}]}
    interrupt("post", lambda _time: api("post", "acl/role", wanted))
    result = nomad("nomad_acl_role", name="race", policies=["two"])
    assert (result["operation"], result["diff"]["before"]["race"]["policies"]) == ("update", ["one"])
    identifier = result["role"]["id"]
    interrupt("post", lambda _time: api("delete", f"acl/role/{identifier}"))
    again = nomad("nomad_acl_role", name="race", description="again", policies=["two"])
    assert again["operation"] == "create"
    assert again["role"]["id"] != identifier
    identifier = again["role"]["id"]
    interrupt("delete", lambda _time: api("delete", f"acl/role/{identifier}"))
    assert nomad("nomad_acl_role", name="race", state="absent")["operation"] == "none"


@pytest.mark.parametrize(
    ("module", "options", "path"),
    [
        ("nomad_namespace", {}, "namespace/meanwhile"),
        ("nomad_node_pool", {}, "node/pool/meanwhile"),
        ("nomad_acl_policy", {"rules": RULES}, "acl/policy/meanwhile"),
        (
            "nomad_acl_auth_method",
            {"type": "JWT", "max_token_ttl": "1h", "jwks_url": "https://x"},
            "acl/auth-method/meanwhile",
        ),
    ],
)
def test_objects_that_somebody_else_deletes_meanwhile(
    nomad: Any, api: Any, interrupt: Any, module: str, options: Any, path: str
) -> None:
    nomad(module, name="meanwhile", **options)
    interrupt("delete", lambda _time: api("delete", path))
    # Of a policy Nomad does not say that there is none.
    expected = "delete" if module == "nomad_acl_policy" else "none"
    assert nomad(module, name="meanwhile", state="absent")["operation"] == expected


def test_tokens_that_somebody_else_deletes_meanwhile(nomad: Any, api: Any, interrupt: Any) -> None:
    for method, options in (("post", {"policies": ["two"]}), ("delete", {"state": "absent"})):
        made = nomad("nomad_acl_token", name="meanwhile", policies=["one"])
        path = f"acl/token/{made['token']['accessor_id']}"
        interrupt(method, lambda _time, path=path: api("delete", path))
        result = nomad("nomad_acl_token", name="meanwhile", **options)
        assert result["operation"] == ("create" if method == "post" else "none")
        nomad("nomad_acl_token", name="meanwhile", state="absent")


def test_rules_that_somebody_else_deletes_meanwhile(nomad: Any, api: Any, interrupt: Any) -> None:
    nomad(*nomad_cases.METHOD[:1], **nomad_cases.METHOD[1])
    rule = {"auth_method": "case-idp", "bind_type": "management"}
    for method, options in (("post", {"description": "x"}), ("delete", {"state": "absent"})):
        path = f"acl/binding-rule/{nomad('nomad_acl_binding_rule', **rule)['binding_rule']['id']}"
        interrupt(method, lambda _time, path=path: api("delete", path))
        result = nomad("nomad_acl_binding_rule", **rule, **options)
        assert result["operation"] == ("create" if method == "post" else "none")
        nomad("nomad_acl_binding_rule", **rule, state="absent")


def test_secrets_are_written_again_when_asked_for(nomad: Any, api: Any) -> None:
    method = dict(next(case for case in CASES if case.key == {"name": "case-oidc"}).make, name="secrets")
    nomad("nomad_acl_auth_method", **method)
    assert nomad("nomad_acl_auth_method", **{**method, "oidc_client_secret": "renewed"})["changed"] is False
    for check_mode in (True, False, False):
        forced = nomad(
            "nomad_acl_auth_method",
            name="secrets",
            oidc_client_secret="renewed-secret",
            update_secrets="always",
            check_mode=check_mode,
        )
        assert forced["operation"] == "update"
        assert forced["diff"]["after"]["secrets"]["secrets"] == {"oidc_client_secret": "set anew"}
        assert "renewed-secret" not in forced["_output"]
    refused = nomad("nomad_acl_auth_method", fails=True, name="secrets", oidc_client_id="other", check_mode=True)
    assert "give oidc_client_secret as well" in refused["msg"]
    nomad("nomad_acl_auth_method", name="secrets", state="absent")


def test_client_assertion(nomad: Any) -> None:
    key = {"key_source": "private_key", "pem_key": PRIVATE_KEY, "key_id": "k1"}
    method = {
        "name": "assertion",
        "type": "OIDC",
        "max_token_ttl": "1h",
        "oidc_discovery_url": "https://idp.example.org",
        "oidc_client_id": "nomad",
    }
    made = nomad("nomad_acl_auth_method", **method, oidc_client_assertion=key)
    assert made["auth_method"]["secrets"] == {"pem_key": "set"}
    assert made["auth_method"]["oidc_client_assertion"]["audience"] == ["https://idp.example.org"]
    body = "".join(PRIVATE_KEY.splitlines()[1:-1])[:40]
    assert body not in made["_output"]
    assert nomad("nomad_acl_auth_method", **method, oidc_client_assertion=key)["changed"] is False
    without = {**key, "pem_key": None, "key_id": "k2"}
    refused = nomad("nomad_acl_auth_method", fails=True, name="assertion", oidc_client_assertion=without)
    assert "give pem_key as well" in refused["msg"]
    changed = nomad("nomad_acl_auth_method", name="assertion", oidc_client_assertion={**key, "key_id": "k2"})
    assert changed["auth_method"]["oidc_client_assertion"]["key_id"] == "k2"
    from_nomad = nomad("nomad_acl_auth_method", name="assertion", oidc_client_assertion={"key_source": "nomad"})
    assert from_nomad["auth_method"]["secrets"] == {}
    assert (
        nomad("nomad_acl_auth_method", name="assertion", oidc_client_assertion={"key_source": "nomad"})["changed"]
        is False
    )
    gone = nomad("nomad_acl_auth_method", name="assertion", oidc_client_assertion={})
    assert gone["auth_method"]["oidc_client_assertion"] is None
    bad = nomad("nomad_acl_auth_method", fails=True, name="assertion", oidc_client_assertion={"key_id": "x"})
    assert "has no key_source" in bad["msg"]
    nomad("nomad_acl_auth_method", name="assertion", state="absent")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "has no type and no max_token_ttl"),
        ({"type": "OIDC", "max_token_ttl": "1h"}, "has no oidc_discovery_url and no oidc_client_id"),
        ({"type": "JWT", "max_token_ttl": "1h"}, "has no keys to check tokens with"),
        ({"type": "JWT", "max_token_ttl": "soon"}, "max_token_ttl 'soon', which is no duration"),
        ({"type": "JWT", "max_token_ttl": "1s", "jwks_url": "https://x"}, "within the limits of the servers"),
    ],
)
def test_auth_method_mistakes(nomad: Any, options: Any, words: str) -> None:
    assert words in nomad("nomad_acl_auth_method", fails=True, name="mistake", **options)["msg"]


def test_only_one_auth_method_is_the_default(nomad: Any) -> None:
    methods = [
        {"name": name, "type": "JWT", "max_token_ttl": "1h", "jwks_url": "https://x", "default": True}
        for name in ("first", "second")
    ]
    result = nomad("nomad_acl_auth_method", fails=True, auth_methods=methods)
    assert "default method already exists: first" in result["msg"]
    assert "take default from that auth method first" in result["msg"]
    assert [one["name"] for one in result["auth_methods"]] == ["first"]
    assert "of type JWT" in nomad("nomad_acl_auth_method", fails=True, name="first", type="OIDC")["msg"]
    nomad("nomad_acl_auth_method", state="absent", auth_methods=[{"name": "first"}])


def test_binding_rules_by_id(nomad: Any, api: Any) -> None:
    nomad(*nomad_cases.METHOD[:1], **nomad_cases.METHOD[1])
    rule = {"auth_method": "case-idp", "bind_type": "role", "bind_name": "a", "selector": "value.x == y"}
    made = nomad("nomad_acl_binding_rule", **rule)["binding_rule"]
    changed = nomad("nomad_acl_binding_rule", id=made["id"], bind_name="b", selector="")
    assert changed["binding_rule"] == {**made, "bind_name": "b", "selector": ""}
    assert nomad("nomad_acl_binding_rule", id=made["id"], bind_type="policy")["operation"] == "update"
    for options, words in (
        ({"auth_method": "other"}, "belongs to the auth method 'case-idp'"),
        ({"bind_type": "management"}, "does not change to management"),
        ({"selector": "=="}, "write it as in"),
    ):
        assert words in nomad("nomad_acl_binding_rule", fails=True, id=made["id"], **options)["msg"]
    api("post", "acl/binding-rule", {"AuthMethod": "case-idp", "BindType": "policy", "BindName": "b"})
    twins = {"auth_method": "case-idp", "bind_type": "policy", "bind_name": "b"}
    assert "give id to choose one" in nomad("nomad_acl_binding_rule", fails=True, **twins)["msg"]
    rules = nomad("nomad_acl_binding_rule_info", auth_methods=["case-idp"])["binding_rules"]
    gone = nomad("nomad_acl_binding_rule", state="absent", binding_rules=[{"id": one["id"]} for one in rules])
    assert {one["operation"] for one in gone["binding_rules"]} == {"delete"}
    assert nomad("nomad_acl_binding_rule", id=made["id"], state="absent")["operation"] == "none"
    assert "no ACL binding rule with the id" in nomad("nomad_acl_binding_rule", fails=True, id=made["id"])["msg"]
    assert (
        "make the auth method first"
        in (nomad("nomad_acl_binding_rule", fails=True, auth_method="nobody", bind_type="management")["msg"])
    )


def test_tokens_with_roles_of_another_name(nomad: Any, api: Any) -> None:
    nomad("nomad_acl_policy", name="one", rules=RULES)
    role = nomad("nomad_acl_role", name="old-name", policies=["one"])["role"]
    nomad("nomad_acl_token", name="with role", roles=["old-name"])
    api("post", f"acl/role/{role['id']}", {"ID": role["id"], "Name": "new-name", "Policies": [{"Name": "one"}]})
    assert nomad("nomad_acl_token", name="with role", roles=["new-name"])["changed"] is False
    (listed,) = nomad("nomad_acl_token_info", names=["with role"])["tokens"]
    assert (listed["roles"], listed["expires"], listed["expired"]) == (["new-name"], None, False)
    assert "make the role first" in nomad("nomad_acl_token", fails=True, name="x", roles=["missing"])["msg"]


def test_tokens_are_listed_without_secrets(nomad: Any, nomad_agent: Any) -> None:
    nomad("nomad_acl_policy", name="one", rules=RULES)
    made = nomad("nomad_acl_token", name="secret", policies=["one"], expiration_ttl="1h", return_secrets=True)
    listed = nomad("nomad_acl_token_info")
    assert made["token"]["secret_id"] not in listed["_output"]
    assert nomad_agent.token not in listed["_output"]
    (one,) = [token for token in listed["tokens"] if token["name"] == "secret"]
    assert one["expires"] > one["created"]


# Namespaces, node pools, scheduler


def test_a_namespace_with_a_quota_of_the_enterprise_edition(nomad: Any) -> None:
    message = nomad("nomad_namespace", fails=True, name="with-quota", quota="small")["msg"]
    assert "non-existent quota" in message
    assert "make the quota first, which needs Nomad Enterprise" in message


def test_a_namespace_that_is_in_use(nomad: Any, api: Any) -> None:
    nomad("nomad_namespace", name="in-use")
    task = {"Name": "t", "Driver": "raw_exec", "Config": {"command": "/bin/sleep", "args": ["600"]}}
    job = {"ID": "j", "Name": "j", "Namespace": "in-use", "TaskGroups": [{"Name": "g", "Tasks": [task]}]}
    api("post", "jobs", {"Job": {**job, "Datacenters": ["*"]}}, namespace="in-use")
    try:
        message = nomad("nomad_namespace", fails=True, name="in-use", state="absent")["msg"]
        assert "has non-terminal jobs" in message
        assert "stop its jobs first" in message
    finally:
        api("delete", "job/j", namespace="in-use", purge="true")


def test_a_node_pool_of_the_enterprise_edition(nomad: Any) -> None:
    for option in ("scheduler_algorithm", "memory_oversubscription"):
        value = {"scheduler_algorithm": "spread", "memory_oversubscription": "disabled"}[option]
        message = nomad("nomad_node_pool", fails=True, name="enterprise", **{option: value})["msg"]
        assert "unlicensed" in message
        assert "leave out scheduler_algorithm" in message
    assert "is no duration" in nomad("nomad_node_pool", fails=True, name="x", node_identity_ttl="0")["msg"]


def test_descriptions_that_are_too_long(nomad: Any) -> None:
    for module, options in (("nomad_namespace", {}), ("nomad_node_pool", {}), ("nomad_acl_policy", {"rules": RULES})):
        message = nomad(module, fails=True, name="long", description="ü" * 129, **options)["msg"]
        assert "258 bytes: shorten it to 256" in message


def test_job_acl_needs_its_parents(nomad: Any) -> None:
    job_acl = {"namespace": "default", "task": "t"}
    message = nomad("nomad_acl_policy", fails=True, name="x", rules=RULES, job_acl=job_acl)["msg"]
    assert "has job_acl with task but no group" in message


def test_built_in_node_pools_are_listed(nomad: Any) -> None:
    found = nomad("nomad_node_pool_info")["node_pools"]
    assert {one["name"] for one in found if one["built_in"]} == {"all", "default"}


def test_scheduler_config_is_read(nomad: Any) -> None:
    written = nomad("nomad_scheduler_config", memory_oversubscription=True)["scheduler_config"]
    assert nomad("nomad_scheduler_config_info")["scheduler_config"] == written


def test_scheduler_config_meets_another_operator(nomad: Any, api: Any, interrupt: Any) -> None:
    nomad("nomad_scheduler_config", algorithm="binpack", preemption_batch=False)

    def other(time: int) -> None:
        raw = api("get", "operator/scheduler/configuration")["SchedulerConfig"]
        raw["PreemptionConfig"]["BatchSchedulerEnabled"] = time % 2 == 1
        api("put", "operator/scheduler/configuration", raw)

    interrupt("post", other)
    done = nomad("nomad_scheduler_config", algorithm="spread")
    assert done["scheduler_config"]["preemption_batch"] is True
    assert done["diff"]["before"]["preemption_batch"] is True
    interrupt("post", other, times=9)
    assert "was changed by somebody else" in nomad("nomad_scheduler_config", fails=True, algorithm="binpack")["msg"]
