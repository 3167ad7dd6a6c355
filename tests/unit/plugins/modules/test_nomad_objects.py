# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The Nomad modules against a stand-in: the life of each type, and a Nomad that misbehaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import nomad_cases
import pytest
from nomad_cases import CASES, RULES, Case
from nomad_stand_in import TOKEN, Nomad, stand_in

METHOD: dict[str, Any] = {"type": "JWT", "max_token_ttl": "1h", "jwks_url": "https://idp.example.org/keys"}
INFOS = (
    ("nomad_namespace_info", "namespaces"),
    ("nomad_node_pool_info", "node/pools"),
    ("nomad_acl_policy_info", "acl/policies"),
    ("nomad_acl_role_info", "acl/roles"),
    ("nomad_acl_token_info", "acl/tokens"),
    ("nomad_acl_auth_method_info", "acl/auth-methods"),
    ("nomad_acl_binding_rule_info", "acl/binding-rules"),
    ("nomad_variable_info", "vars"),
    ("nomad_scheduler_config_info", "operator/scheduler/configuration"),
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nomad]:
    for variable in ("ADDR", "TOKEN", "CACERT", "NAMESPACE", "REGION", "CLIENT_CERT", "CLIENT_KEY"):
        monkeypatch.delenv(f"NOMAD_{variable}", raising=False)
    with stand_in() as nomad:
        yield nomad


@pytest.fixture
def nomad(server: Nomad, run_module: Callable[..., Any]) -> Callable[..., Any]:
    """Run a module; expects success unless C(fails) is set."""

    def call(module: str, /, fails: bool = False, check_mode: bool = False, **options: Any) -> Any:
        connection = {"nomad_address": server.address, "nomad_token": TOKEN, "nomad_timeout": 2}
        result = run_module(module, check=check_mode, **{**connection, **options})
        result["_output"] = json.dumps(result, ensure_ascii=False)
        assert bool(result.get("failed")) == fails, result
        if fails:
            assert "\n" not in result["msg"]
            assert "Traceback" not in result["_output"]
        return result

    return call


@pytest.mark.parametrize("case", CASES, ids=str)
def test_life(nomad: Any, case: Case) -> None:
    nomad_cases.live(case, nomad)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_many_in_one_call(nomad: Any, case: Case) -> None:
    nomad_cases.many(case, nomad)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_keys_that_nomad_does_not_take(nomad: Any, server: Nomad, case: Case) -> None:
    for key in case.wrong:
        nomad(case.module, fails=True, **{**case.make, **key})
    assert server.asked == []


# A Nomad that misbehaves

RUBBISH: tuple[tuple[Any, str], ...] = (
    (b"<html>Sign in</html>", "something that is not JSON (<html>Sign in</html>)"),
    (b'[{"Name": "case", "SecretID": "s3cret-of-the-client"', "something that is not JSON (an incomplete object)"),
    ("words", "a form that is not Nomad's"),
    (7, "a form that is not Nomad's"),
    ([1, 2], "a form that is not Nomad's"),
    ([{}], "a form that is not Nomad's"),
    ([None], "a form that is not Nomad's"),
    (b"[" * 100000, "something that is not JSON"),
)


@pytest.mark.parametrize(("rubbish", "words"), RUBBISH, ids=range(len(RUBBISH)))
@pytest.mark.parametrize("case", CASES, ids=str)
def test_rubbish_in_place_of_objects(nomad: Any, server: Nomad, case: Case, rubbish: Any, words: str) -> None:
    for module, options in case.before:
        nomad(module, **options)
    server.answer_instead("GET", ".*", 200, rubbish, times=99)
    result = nomad(case.module, fails=True, **case.key, **case.make)
    assert words in result["msg"]
    assert "s3cret" not in result["_output"]


@pytest.mark.parametrize("fields", [{"Capabilities": 1}, {"Meta": [1]}, {"Capabilities": {"EnabledTaskDrivers": 3}}])
def test_fields_of_another_type(nomad: Any, server: Nomad, fields: Any) -> None:
    server.stores["namespace"]["case"] = {"Name": "case", **fields}
    result = nomad("nomad_namespace", fails=True, name="case")
    assert "in a form that is not Nomad's" in result["msg"]
    assert "listing the namespaces" in result["msg"]


@pytest.mark.parametrize("answer", [7, [], {}, {"ID": None}])
def test_rubbish_after_a_write(nomad: Any, server: Nomad, answer: Any) -> None:
    nomad("nomad_acl_policy", name="one", rules=RULES)
    server.answer_instead("POST", "acl/role", 200, answer)
    options: dict[str, Any] = {"roles": [{"name": "a", "policies": ["one"]}, {"name": "b", "policies": ["one"]}]}
    if answer == {"ID": None}:
        assert nomad("nomad_acl_role", **options)["roles"][0]["id"] is None
        return
    result = nomad("nomad_acl_role", fails=True, **options)
    assert "in a form that is not Nomad's" in result["msg"]
    assert "creating ACL role 'a'" in result["msg"]
    assert result["roles"] == []


@pytest.mark.parametrize(("module", "path"), INFOS)
def test_each_list_may_be_rubbish(nomad: Any, server: Nomad, module: str, path: str) -> None:
    nomad(module)
    for rubbish in (b"<html>", [[]], "x", {"SchedulerConfig": 3}):
        server.answer_instead("GET", path, 200, rubbish)
        result = nomad(module, fails=True)
        assert server.address in result["msg"]
    server.answer_instead("GET", path, 500, "No cluster leader", times=99)
    assert "has no leader" in nomad(module, fails=True, nomad_timeout=1)["msg"]


@pytest.mark.parametrize(("module", "path"), INFOS)
def test_no_server_and_no_rights(nomad: Any, module: str, path: str) -> None:
    assert "Connection refused" in nomad(module, fails=True, nomad_address="http://127.0.0.1:1")["msg"]
    assert "nomad_token is not accepted" in nomad(module, fails=True, nomad_token="other")["msg"]
    assert "nomad_token is not set" in nomad(module, fails=True, nomad_token="")["msg"]
    assert "no HTTP address" in nomad(module, fails=True, nomad_address="nomad")["msg"]


# What the options ask for


def test_nothing_is_written_where_a_later_item_is_wrong(nomad: Any, server: Nomad) -> None:
    methods = [{"name": "good", **METHOD}, {"name": "bad", "type": "OIDC", "max_token_ttl": "1h"}]
    assert "has no oidc_discovery_url" in nomad("nomad_acl_auth_method", fails=True, auth_methods=methods)["msg"]
    assert server.stores["acl/auth-method"] == {}


def test_info_lists_everything_in_order(nomad: Any, server: Nomad) -> None:
    nomad("nomad_acl_policy", policies=[{"name": name, "rules": RULES} for name in ("b", "a")])
    assert [one["name"] for one in nomad("nomad_acl_policy_info")["policies"]] == ["a", "b"]
    assert [one["name"] for one in nomad("nomad_acl_policy_info", names=["b", "missing"])["policies"]] == ["b"]
    nomad("nomad_acl_auth_method", auth_methods=[{"name": name, **METHOD} for name in ("b", "a")])
    assert [one["name"] for one in nomad("nomad_acl_auth_method_info")["auth_methods"]] == ["a", "b"]
    rules = [{"auth_method": name, "bind_type": "management"} for name in ("b", "a")]
    nomad("nomad_acl_binding_rule", binding_rules=rules)
    assert [one["auth_method"] for one in nomad("nomad_acl_binding_rule_info")["binding_rules"]] == ["a", "b"]
    for path in ("b", "a", "c/d"):
        nomad("nomad_variable", path=path, items={"x": "y"})
    assert [one["path"] for one in nomad("nomad_variable_info")["variables"]] == ["a", "b", "c/d"]
    assert [one["path"] for one in nomad("nomad_variable_info", paths=["b"])["variables"]] == ["b"]
    server.answer_instead("GET", "var/c/d", 404, "variable not found")
    assert [one["path"] for one in nomad("nomad_variable_info", prefix="c")["variables"]] == []


def test_many_variables_cost_few_requests(nomad: Any, server: Nomad) -> None:
    variables = [{"path": f"many/{number}", "items": {"a": "b"}} for number in range(5)]
    nomad("nomad_variable", variables=variables)
    assert server.asked == [("GET", "vars"), *(("POST", f"var/many/{number}") for number in range(5))]
    server.asked.clear()
    assert nomad("nomad_variable", variables=variables)["changed"] is False
    assert server.asked == [("GET", "vars"), *(("GET", f"var/many/{number}") for number in range(5))]


def test_conflicts_of_variables(nomad: Any, server: Nomad) -> None:
    server.put_variable("default", "race", {"a": "1"})
    server.do_before("POST", "var/race", lambda: server.put_variable("default", "race", {"a": "1", "b": "2"}))
    assert nomad("nomad_variable", path="race", merge=True, items={"c": "3"})["operation"] == "update"
    assert server.stores["var"]["default:race"]["Items"] == {"a": "1", "b": "2", "c": "3"}
    server.do_before(
        "POST", "var/race", lambda: server.put_variable("default", "race", {"a": "s3cret of others"}), times=9
    )
    result = nomad("nomad_variable", fails=True, path="race", items={"c": "4"})
    assert "changed it at the same time (409)" in result["msg"]
    assert "s3cret" not in result["_output"]
    # What the other one wrote is what was wanted.
    server.instead.clear()
    server.do_before("POST", "var/race", lambda: server.put_variable("default", "race", {"c": "5"}))
    assert nomad("nomad_variable", path="race", items={"c": "5"})["operation"] == "none"
    server.do_before("DELETE", "var/race", lambda: server.stores["var"].clear())
    assert nomad("nomad_variable", path="race", state="absent")["operation"] == "none"


def test_index_of_a_variable(nomad: Any, server: Nomad) -> None:
    index = server.put_variable("default", "x", {"a": "1"})["ModifyIndex"]
    for check_mode in (True, False):
        for options in ({"items": {"a": "2"}}, {"state": "absent"}):
            result = nomad("nomad_variable", fails=True, path="x", cas=1, check_mode=check_mode, **options)
            assert f"has the modify index {index}, and cas is 1" in result["msg"]
        result = nomad("nomad_variable", fails=True, path="y", items={"a": "2"}, cas=3, check_mode=check_mode)
        assert "does not exist, and cas is 3" in result["msg"]
    server.do_before("POST", "var/x", lambda: server.put_variable("default", "x", {"a": "9"}))
    assert "and cas is" in nomad("nomad_variable", fails=True, path="x", items={"a": "2"}, cas=index)["msg"]


def test_locked_variables(nomad: Any, server: Nomad) -> None:
    server.put_variable("default", "x", {"a": "1"})["Lock"] = {"TTL": "15s"}
    assert nomad("nomad_variable_info")["variables"][0]["locked"] is True
    for options in ({"items": {"a": "2"}}, {"state": "absent"}):
        assert "is locked" in nomad("nomad_variable", fails=True, path="x", **options)["msg"]


def test_namespaces_of_variables(nomad: Any, server: Nomad) -> None:
    wanted = {"path": "x", "items": {"a": "1"}, "namespace": "nowhere"}
    assert "namespace that does not exist" in nomad("nomad_variable", fails=True, **wanted)["msg"]
    server.answer_instead("GET", "namespace/nowhere", 500, "broken")
    assert "broken" in nomad("nomad_variable", fails=True, **wanted)["msg"]
    server.answer_instead("GET", "namespace/nowhere", 403, "Permission denied")
    assert nomad("nomad_variable", **wanted)["variable"]["namespace"] == "nowhere"
    assert "not '*'" in nomad("nomad_variable", fails=True, path="x", nomad_namespace="*", items={"a": "1"})["msg"]
    server.stores["var"]["default:odd"] = {"Namespace": "default", "Path": "odd", "ModifyIndex": 3, "Items": [1]}
    assert "Items that are no object" in nomad("nomad_variable", fails=True, path="odd", items={"a": "1"})["msg"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "would have no items"),
        ({"items": {}}, "would have no items"),
        ({"items": {"a": None}}, "has no value"),
        ({"items": {"a": None}, "merge": True}, "would have no items"),
        ({"items": {"a": {"b": 1}}}, "is a dict, but values are strings"),
    ],
)
def test_items_that_make_no_variable(nomad: Any, options: Any, words: str) -> None:
    assert words in nomad("nomad_variable", fails=True, path="x", check_mode=True, **options)["msg"]


def test_values_are_nowhere_in_the_output(nomad: Any, server: Nomad) -> None:
    server.answer_instead("POST", "var/x", 500, "cannot store s3cret-value")
    result = nomad("nomad_variable", fails=True, path="x", items={"a": "s3cret-value", "b": "abc-1"})
    assert "s3cret-value" not in result["_output"]
    assert "abc-1" not in result["_output"]
    variables = [{"path": "x", "items": {"a": "abc-1"}}, {"path": "y", "state": "absent"}]
    result = nomad("nomad_variable", variables=variables)
    assert "abc-1" not in result["_output"]
    assert result["invocation"]["module_args"]["variables"][0]["items"] == {"a": "(value)"}


def test_roles_that_others_change(nomad: Any, server: Nomad) -> None:
    nomad("nomad_acl_policy", policies=[{"name": name, "rules": RULES} for name in ("one", "two")])
    body = {"Name": "r", "Description": "", "Policies": [{"Name": "one"}]}
    server.do_before("POST", "acl/role", lambda: server.write("acl/role", "", body))
    result = nomad("nomad_acl_role", name="r", policies=["two"])
    assert result["operation"] == "update"
    assert list(server.stores["acl/role"]) == [result["role"]["id"]]
    server.do_before("POST", "acl/role/.*", lambda: server.stores["acl/role"].clear())
    assert nomad("nomad_acl_role", name="r", policies=["one"])["operation"] == "create"
    server.do_before("DELETE", "acl/role/.*", lambda: server.stores["acl/role"].clear())
    assert nomad("nomad_acl_role", name="r", state="absent")["operation"] == "none"
    server.answer_instead("POST", "acl/role", 400, "cannot find policy missing")
    assert "make the policy first" in nomad("nomad_acl_role", fails=True, name="r", policies=["missing"])["msg"]
    assert "has no policies" in nomad("nomad_acl_role", fails=True, name="r")["msg"]


def test_tokens(nomad: Any, server: Nomad) -> None:
    nomad("nomad_acl_policy", name="one", rules=RULES)
    nomad("nomad_acl_role", name="r", policies=["one"])
    made = nomad("nomad_acl_token", name="t", roles=["r"], expiration_ttl="1h", return_secrets=True)["token"]
    raw = server.stores["acl/token"][made["accessor_id"]]
    assert made["secret_id"] == raw["SecretID"]
    assert raw["ExpirationTTL"] == "1h"
    again = nomad("nomad_acl_token", name="t", roles=["r"], return_secrets=True)
    assert (again["changed"], again["token"]["secret_id"]) == (False, raw["SecretID"])
    # A role that was deleted is one that the token does not have.
    server.stores["acl/role"].clear()
    assert "neither policies nor roles" in nomad("nomad_acl_token", fails=True, name="t")["msg"]
    server.do_before("GET", "acl/token/.*", lambda: server.stores["acl/token"].clear())
    renewed = nomad("nomad_acl_token", name="t", policies=["one"])
    assert renewed["operation"] == "create"
    raw = server.stores["acl/token"][renewed["token"]["accessor_id"]]
    raw["ExpirationTime"] = "2020-01-01T00:00:00Z"
    listed = nomad("nomad_acl_token_info")["tokens"][0]
    assert (listed["expired"], listed["expires"]) == (True, "2020-01-01T00:00:00Z")
    assert nomad("nomad_acl_token", name="t", policies=["one"], check_mode=True)["operation"] == "create"
    raw["ExpirationTime"] = "0001-01-01T00:00:00Z"
    assert nomad("nomad_acl_token", name="t", policies=["one"])["changed"] is False
    assert "never changes" in nomad("nomad_acl_token", fails=True, name="t", **{"global": True})["msg"]
    by_accessor = {"accessor_id": renewed["token"]["accessor_id"], "name": "renamed"}
    assert nomad("nomad_acl_token", **by_accessor)["operation"] == "update"
    nomad("nomad_acl_token", **by_accessor, state="absent")
    assert nomad("nomad_acl_token", **by_accessor, state="absent")["operation"] == "none"
    assert "does not exist" in nomad("nomad_acl_token", fails=True, **by_accessor)["msg"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"type": "management", "policies": ["one"]}, "leave policies and roles out"),
        ({"policies": ["one"], "expiration_ttl": "tomorrow"}, "which is no duration"),
        ({}, "neither policies nor roles"),
    ],
)
def test_tokens_that_make_no_sense(nomad: Any, options: Any, words: str) -> None:
    assert words in nomad("nomad_acl_token", fails=True, name="t", **options)["msg"]


def test_tokens_with_one_name(nomad: Any, server: Nomad) -> None:
    for _number in range(2):
        server.write("acl/token", "", {"Name": "twin", "Type": "management", "Roles": []})
    assert "give accessor_id" in nomad("nomad_acl_token", fails=True, name="twin", state="absent")["msg"]


def test_policies(nomad: Any, server: Nomad) -> None:
    assert "has no rules" in nomad("nomad_acl_policy", fails=True, name="p")["msg"]
    job_acl = {"namespace": "default", "group": "g"}
    assert "no job_id" in nomad("nomad_acl_policy", fails=True, name="p", rules=RULES, job_acl=job_acl)["msg"]
    policies = [{"name": name, "rules": RULES} for name in ("a", "b")]
    nomad("nomad_acl_policy", policies=policies)
    server.asked.clear()
    assert nomad("nomad_acl_policy", policies=policies)["changed"] is False
    assert server.asked == [("GET", "acl/policies")]
    # A policy that is deleted after it was listed is absent.
    server.do_before("GET", "acl/policy/a", lambda: server.stores["acl/policy"].pop("a"))
    gone = nomad("nomad_acl_policy", policies=[{"name": "a", "state": "absent"}, {"name": "b"}])
    assert [one["operation"] for one in gone["policies"]] == ["none", "none"]


def test_secrets_of_auth_methods(nomad: Any, server: Nomad) -> None:
    method = dict(next(case for case in CASES if case.key == {"name": "case-oidc"}).make, name="m")
    nomad("nomad_acl_auth_method", **method)
    store = server.stores["acl/auth-method"]
    assert store["m"]["Config"]["OIDCClientSecret"] == nomad_cases.SECRETS[0]
    store["m"]["Config"]["FieldOfTheFuture"] = "kept"
    nomad("nomad_acl_auth_method", name="m", max_token_ttl="3h")
    assert store["m"]["Config"]["OIDCClientSecret"] == nomad_cases.SECRETS[0]
    renewed = {"name": "m", "oidc_client_secret": "an0ther-s3cret"}
    assert nomad("nomad_acl_auth_method", **renewed)["changed"] is False
    assert store["m"]["Config"]["OIDCClientSecret"] == nomad_cases.SECRETS[0]
    forced = nomad("nomad_acl_auth_method", **renewed, update_secrets="always")
    assert forced["auth_method"]["secrets"] == {"oidc_client_secret": "set anew"}
    assert "an0ther-s3cret" not in forced["_output"]
    assert store["m"]["Config"]["OIDCClientSecret"] == "an0ther-s3cret"
    assert store["m"]["Config"]["FieldOfTheFuture"] == "kept"
    refused = nomad("nomad_acl_auth_method", fails=True, check_mode=True, name="m", oidc_client_id="other")
    assert "give oidc_client_secret as well" in refused["msg"]


def test_assertions_of_auth_methods(nomad: Any, server: Nomad) -> None:
    method = {
        "name": "m",
        "type": "OIDC",
        "max_token_ttl": "1h",
        "oidc_discovery_url": "https://idp.example.org",
        "oidc_client_id": "nomad",
    }
    key = {"key_source": "private_key", "pem_key": "s3cret-key", "pem_cert": "certificate"}
    made = nomad("nomad_acl_auth_method", **method, oidc_client_assertion=key)
    assert made["auth_method"]["secrets"] == {"pem_key": "set"}
    assert made["auth_method"]["oidc_client_assertion"]["key_id_header"] == "x5t#S256"
    assert "s3cret-key" not in made["_output"]
    stored = server.stores["acl/auth-method"]["m"]["Config"]["OIDCClientAssertion"]
    assert stored["PrivateKey"]["PemKey"] == "s3cret-key"
    assert nomad("nomad_acl_auth_method", **method, oidc_client_assertion=key)["changed"] is False
    refused = nomad("nomad_acl_auth_method", fails=True, name="m", oidc_enable_pkce=True)
    assert "give pem_key as well" in refused["msg"]
    in_file = {"key_source": "private_key", "pem_key_file": "/etc/key.pem", "key_id": "k"}
    changed = nomad("nomad_acl_auth_method", name="m", oidc_client_assertion=in_file)["auth_method"]
    assert (changed["secrets"], changed["oidc_client_assertion"]["key_id_header"]) == ({}, "kid")
    secret = {"key_source": "client_secret"}
    changed = nomad(
        "nomad_acl_auth_method", name="m", oidc_client_secret="s3cret-of-the-client", oidc_client_assertion=secret
    )["auth_method"]
    assert changed["oidc_client_assertion"]["key_algorithm"] == "HS256"
    assert changed["secrets"] == {"oidc_client_secret": "set"}
    gone = nomad("nomad_acl_auth_method", name="m", oidc_client_secret="", oidc_client_assertion={})
    assert (gone["auth_method"]["oidc_client_assertion"], gone["auth_method"]["secrets"]) == (None, {})
    bad = nomad("nomad_acl_auth_method", fails=True, name="m", oidc_client_assertion={"key_id": "x"})
    assert "has no key_source" in bad["msg"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "has no type and no max_token_ttl"),
        ({"type": "JWT", "max_token_ttl": "1h"}, "has no keys to check tokens with"),
        ({"type": "JWT", "max_token_ttl": "-1h"}, "which is no duration"),
        ({**METHOD, "clock_skew_leeway": "x"}, "clock_skew_leeway 'x', which is no duration"),
    ],
)
def test_auth_methods_that_make_no_sense(nomad: Any, options: Any, words: str) -> None:
    assert words in nomad("nomad_acl_auth_method", fails=True, name="m", **options)["msg"]


def test_auth_method_of_another_type(nomad: Any, server: Nomad) -> None:
    nomad("nomad_acl_auth_method", name="m", expiration_leeway="-1s", **METHOD)
    assert "is of type JWT" in nomad("nomad_acl_auth_method", fails=True, name="m", type="OIDC")["msg"]
    server.answer_instead("POST", "acl/auth-method/m", 400, "default method already exists: x")
    result = nomad("nomad_acl_auth_method", fails=True, name="m", default=True)
    assert "take default from that auth method first" in result["msg"]


def test_binding_rules_by_id(nomad: Any, server: Nomad) -> None:
    rule = {"auth_method": "m", "bind_type": "role", "bind_name": "a"}
    made = nomad("nomad_acl_binding_rule", **rule)["binding_rule"]
    changed = nomad("nomad_acl_binding_rule", id=made["id"], bind_name="b", selector=" x ")
    assert changed["binding_rule"] == {**made, "bind_name": "b", "selector": "x"}
    for options, words in (
        ({"auth_method": "other"}, "belongs to the auth method 'm'"),
        ({"bind_type": "management"}, "does not change to management"),
    ):
        assert words in nomad("nomad_acl_binding_rule", fails=True, id=made["id"], **options)["msg"]
    nomad("nomad_acl_binding_rule", **{**rule, "bind_name": "b", "selector": "x "})
    server.write("acl/binding-rule", "", {**server.stores["acl/binding-rule"][made["id"]], "ID": ""})
    twins = nomad("nomad_acl_binding_rule", fails=True, **{**rule, "bind_name": "b", "selector": "x"})
    assert "2 ACL binding rules are 'm: role b if x'" in twins["msg"]
    server.do_before("POST", "acl/binding-rule/.*", lambda: server.stores["acl/binding-rule"].clear())
    lost = nomad("nomad_acl_binding_rule", fails=True, id=made["id"], bind_name="c")
    assert "There is no ACL binding rule with the id" in lost["msg"]
    assert nomad("nomad_acl_binding_rule", id=made["id"], state="absent")["operation"] == "none"
    assert "needs auth_method" in nomad("nomad_acl_binding_rule", fails=True, auth_method="")["msg"]


def test_scheduler_config(nomad: Any, server: Nomad) -> None:
    before = nomad("nomad_scheduler_config_info")["scheduler_config"]
    assert before["preemption_service"] is False
    planned = nomad("nomad_scheduler_config", preemption_service=True, check_mode=True)
    assert server.scheduler["SchedulerAlgorithm"] == "binpack"
    done = nomad("nomad_scheduler_config", preemption_service=True)
    assert done["diff"] == planned["diff"] == {"before": before, "after": {**before, "preemption_service": True}}
    assert server.scheduler["LicenceField"] == "kept"
    assert nomad("nomad_scheduler_config", preemption_service=True)["changed"] is False

    def other() -> None:
        server.scheduler["ModifyIndex"] += 1

    server.do_before("POST", "operator/.*", other)
    assert nomad("nomad_scheduler_config", algorithm="spread")["scheduler_config"]["algorithm"] == "spread"
    server.do_before("POST", "operator/.*", other, times=9)
    assert "changed by somebody else 3 times" in nomad("nomad_scheduler_config", fails=True, algorithm="binpack")["msg"]


@pytest.mark.parametrize(
    ("module", "words", "remedy"),
    [
        ("nomad_namespace", 'namespace "x" has non-terminal jobs in regions: [global]', "stop its jobs first"),
        ("nomad_namespace", 'namespace "x" has variables associated with it', "delete its variables first"),
        ("nomad_namespace", "something else", "while deleting namespace 'x'."),
        ("nomad_node_pool", 'node pool "x" has nodes in regions: [global]', "move its nodes to another pool first"),
    ],
)
def test_what_keeps_an_object_in_place(nomad: Any, server: Nomad, module: str, words: str, remedy: str) -> None:
    nomad(module, name="x")
    server.answer_instead("DELETE", ".*", 500, words)
    result = nomad(module, fails=True, name="x", state="absent")
    assert words in result["msg"]
    assert remedy in result["msg"]


def test_namespaces_and_pools_keep_what_is_not_managed(nomad: Any, server: Nomad) -> None:
    nomad("nomad_namespace", name="x", description="one")
    server.stores["namespace"]["x"]["NodePoolConfiguration"] = {"Default": "gpu"}
    nomad("nomad_namespace", name="x", description="two")
    assert server.stores["namespace"]["x"]["NodePoolConfiguration"] == {"Default": "gpu"}
    assert "cannot be deleted" in nomad("nomad_namespace", fails=True, name="default", state="absent")["msg"]
    pool = nomad("nomad_node_pool", name="p", scheduler_algorithm="spread", memory_oversubscription="disabled")
    assert pool["node_pool"]["memory_oversubscription"] == "disabled"
    stored = server.stores["node/pool"]["p"]["SchedulerConfiguration"]
    assert stored == {"SchedulerAlgorithm": "spread", "MemoryOversubscriptionEnabled": False}
    nomad("nomad_node_pool", name="p", scheduler_algorithm="inherit", memory_oversubscription="inherit")
    assert server.stores["node/pool"]["p"]["SchedulerConfiguration"] is None
    assert "is no duration" in nomad("nomad_node_pool", fails=True, name="p", node_identity_ttl="x")["msg"]
    long = nomad("nomad_namespace", fails=True, name="x", description="x" * 257)
    assert "257 bytes: shorten it to 256" in long["msg"]
