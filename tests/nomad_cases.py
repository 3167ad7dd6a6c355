# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""One life of each type of Nomad object, for the unit tests' stand-in and for a real Nomad alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
RULES = 'namespace "*" {\n  policy = "read"\n}\n'
OTHER_RULES = 'node {\n  policy = "read"\n}\n'
SECRETS = ("s3cret-of-the-client", "an0ther-s3cret", "v4lue-of-an-item", "0ther-value")
PUBLIC_KEY = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqwFmHmBBWgTOXBeAHtgmgEPTTN7c
h7sxvGFpQZzBe6V/0zAnSzoTGbJXVSEMX1uzz2bRKpAopFG7jqOqLRjkqA==
-----END PUBLIC KEY-----
"""


@dataclass(frozen=True)
class Case:
    """A type of object: how to make one, how to change each option, and what must never be seen."""

    module: str
    single: str
    many: str
    #: what names the object
    key: Json
    #: options to make it with, and what is returned of them where that is not the same
    make: Json
    made: Json = field(default_factory=dict)
    #: changes of one option each: options, and what is returned then
    changes: tuple[tuple[Json, Json], ...] = ()
    #: what must be there before: modules with their options
    before: tuple[tuple[str, Json], ...] = ()
    #: key of a second object, with odd characters as far as Nomad takes them
    odd: Json = field(default_factory=dict)
    #: keys that Nomad does not take
    wrong: tuple[Json, ...] = ()
    #: options of the info module that choose the object
    info: Json | None = None
    #: the part of the object's state that the info module names otherwise
    left_out: tuple[str, ...] = ("operation",)

    def __str__(self) -> str:
        return self.module


METHOD = (
    "nomad_acl_auth_method",
    {"name": "case-idp", "type": "JWT", "max_token_ttl": "1h", "jwt_validation_pub_keys": [PUBLIC_KEY]},
)
POLICIES = (
    "nomad_acl_policy",
    {"policies": [{"name": "case-one", "rules": RULES}, {"name": "case-two", "rules": RULES}]},
)
ROLE = ("nomad_acl_role", {"name": "case-role", "policies": ["case-one"]})

CASES = (
    Case(
        "nomad_namespace",
        "namespace",
        "namespaces",
        {"name": "case"},
        {"description": "vo.example.org", "meta": {"vo": "vo.example.org", "open": True}},
        {"meta": {"vo": "vo.example.org", "open": "true"}, "quota": ""},
        (
            ({"description": "Üther"}, {}),
            ({"description": ""}, {}),
            ({"meta": {"only": 1, "gone": None}}, {"meta": {"only": "1"}}),
            (
                {"capabilities": {"disabled_task_drivers": ["raw_exec"]}},
                {
                    "capabilities": {
                        "enabled_task_drivers": [],
                        "disabled_task_drivers": ["raw_exec"],
                        "enabled_network_modes": [],
                        "disabled_network_modes": [],
                    }
                },
            ),
            (
                {"capabilities": {"enabled_network_modes": ["host", "bridge"]}},
                {
                    "capabilities": {
                        "enabled_task_drivers": [],
                        "disabled_task_drivers": ["raw_exec"],
                        "enabled_network_modes": ["bridge", "host"],
                        "disabled_network_modes": [],
                    }
                },
            ),
        ),
        odd={"name": "0-Odd-" + "x" * 122},
        wrong=({"name": "vo.dotted"}, {"name": "a/b"}, {"name": ""}, {"name": "ü"}, {"name": "y" * 129}),
        info={"names": ["case"]},
    ),
    Case(
        "nomad_node_pool",
        "node_pool",
        "node_pools",
        {"name": "case"},
        {"description": "Training", "meta": {"owner": "me"}},
        {"node_identity_ttl": "24h", "scheduler_algorithm": "inherit", "memory_oversubscription": "inherit"},
        (
            ({"description": "Trials"}, {}),
            ({"meta": {}}, {}),
            ({"node_identity_ttl": "720m"}, {"node_identity_ttl": "12h"}),
        ),
        odd={"name": "0_Odd-_"},
        wrong=({"name": "a b"}, {"name": "default"}, {"name": "all"}),
        info={"names": ["case"]},
        left_out=("operation", "built_in"),
    ),
    Case(
        "nomad_acl_policy",
        "policy",
        "policies",
        {"name": "case"},
        {"description": "first", "rules": RULES},
        {"job_acl": {}},
        (
            ({"description": "second"}, {}),
            ({"rules": OTHER_RULES}, {}),
            (
                {"job_acl": {"namespace": "default", "job_id": "a job", "group": "g", "task": "t"}},
                {},
            ),
            ({"job_acl": {"namespace": "default"}}, {}),
            ({"job_acl": {}}, {}),
        ),
        odd={"name": "0-Odd-"},
        wrong=({"name": "a/b ü"},),
        info={"names": ["case"]},
    ),
    Case(
        "nomad_acl_role",
        "role",
        "roles",
        {"name": "case"},
        {"description": "first", "policies": ["case-two", "case-one", "case-one"]},
        {"policies": ["case-one", "case-two"]},
        (({"description": "second"}, {}), ({"policies": ["case-two"]}, {})),
        before=(POLICIES,),
        odd={"name": "0-Odd-"},
        wrong=({"name": "a_b"},),
        info={"names": ["case"]},
    ),
    Case(
        "nomad_acl_token",
        "token",
        "tokens",
        {"name": "case täst / odd"},
        {"policies": ["case-two", "case-one"]},
        {"policies": ["case-one", "case-two"], "type": "client", "roles": [], "global": False},
        (
            ({"policies": ["case-one"]}, {}),
            ({"roles": ["case-role"]}, {}),
            ({"type": "management"}, {"policies": [], "roles": []}),
        ),
        before=(POLICIES, ROLE),
        odd={"name": "%2F ?#\"'"},
        wrong=({"name": ""}, {"name": "x" * 257}),
        info={"names": ["case täst / odd"]},
        left_out=("operation", "created", "expires", "expired"),
    ),
    Case(
        "nomad_acl_auth_method",
        "auth_method",
        "auth_methods",
        {"name": "case"},
        {
            "type": "JWT",
            "max_token_ttl": "90m",
            "jwt_validation_pub_keys": [PUBLIC_KEY],
            "bound_audiences": ["b", "a"],
            "claim_mappings": {"sub": "user"},
        },
        {"max_token_ttl": "1h30m", "token_locality": "local", "bound_audiences": ["a", "b"], "secrets": {}},
        (
            ({"max_token_ttl": "8h"}, {}),
            ({"token_locality": "global"}, {}),
            ({"token_name_format": "${value.user}"}, {}),
            ({"default": True}, {}),
            ({"default": False}, {}),
            ({"bound_issuers": ["https://idp.example.org"]}, {}),
            ({"bound_audiences": ["c"]}, {}),
            ({"signing_algorithms": ["RS256", "ES256"]}, {"signing_algorithms": ["ES256", "RS256"]}),
            ({"claim_mappings": {}}, {}),
            ({"list_claim_mappings": {"entitlements": "entitlements"}}, {}),
            ({"expiration_leeway": "30s"}, {}),
            ({"not_before_leeway": "60s"}, {"not_before_leeway": "1m"}),
            ({"clock_skew_leeway": "1m30s"}, {}),
            ({"verbose_logging": True}, {}),
        ),
        odd={"name": "0-Odd-"},
        wrong=({"name": "check in"},),
        info={"names": ["case"]},
    ),
    Case(
        "nomad_acl_auth_method",
        "auth_method",
        "auth_methods",
        {"name": "case-oidc"},
        {
            "type": "OIDC",
            "max_token_ttl": "1h",
            "oidc_discovery_url": "https://idp.example.org/realms/x",
            "oidc_client_id": "nomad",
            "oidc_client_secret": SECRETS[0],
        },
        {"secrets": {"oidc_client_secret": "set"}},
        (
            ({"oidc_client_id": "other", "oidc_client_secret": SECRETS[0]}, {}),
            (
                {"oidc_scopes": ["openid", "email"], "oidc_client_secret": SECRETS[0]},
                {"oidc_scopes": ["email", "openid"]},
            ),
            ({"oidc_enable_pkce": True, "oidc_client_secret": SECRETS[0]}, {}),
            ({"oidc_disable_userinfo": True, "oidc_client_secret": SECRETS[0]}, {}),
            ({"allowed_redirect_uris": ["https://nomad.example.org/x"], "oidc_client_secret": SECRETS[0]}, {}),
            ({"discovery_ca_certs": ["x"], "oidc_client_secret": SECRETS[0]}, {}),
            ({"oidc_discovery_url": "https://idp.example.org/y", "oidc_client_secret": SECRETS[0]}, {}),
            # Nothing of the configuration changes, and the secret stays although it is not given.
            ({"max_token_ttl": "2h"}, {"secrets": {"oidc_client_secret": "set"}}),
            ({"oidc_client_secret": ""}, {"secrets": {}}),
            ({"oidc_client_secret": SECRETS[1]}, {"secrets": {"oidc_client_secret": "set"}}),
        ),
        info={"names": ["case-oidc"]},
    ),
    Case(
        "nomad_acl_binding_rule",
        "binding_rule",
        "binding_rules",
        {
            "auth_method": "case-idp",
            "bind_type": "role",
            "bind_name": "role-${value.vo}",
            "selector": '"urn:mace:egi.eu:group:ü:role=x#aai.egi.eu" in list.entitlements',
        },
        {"description": "first"},
        {},
        (({"description": "second"}, {}), ({"description": ""}, {})),
        before=(METHOD,),
        odd={"auth_method": "case-idp", "bind_type": "policy", "bind_name": "täst / odd", "selector": " "},
        wrong=(
            {"auth_method": "case-idp"},
            {"auth_method": "case-idp", "bind_type": "role"},
            {"auth_method": "case-idp", "bind_type": "management", "bind_name": "x"},
        ),
        info={"auth_methods": ["case-idp"]},
    ),
    Case(
        "nomad_variable",
        "variable",
        "variables",
        {"path": "case/a~b_c-D"},
        {"items": {"user": "me", "password": SECRETS[2]}},
        {"item_names": ["password", "user"], "namespace": "default"},
        (
            ({"items": {"password": SECRETS[3]}, "merge": True}, {"item_names": ["password", "user"]}),
            ({"items": {"ödd name": "x", "user": None}, "merge": True}, {"item_names": ["password", "ödd name"]}),
            ({"items": {"number": 7, "flag": True, "empty": ""}}, {"item_names": ["empty", "flag", "number"]}),
        ),
        odd={"path": "0/~_-/x/"},
        wrong=({"path": "a b"}, {"path": "a.b"}, {"path": "ü"}, {"path": ""}),
        info={"paths": ["case/a~b_c-D"]},
        left_out=("operation", "locked"),
    ),
)


def live(case: Case, call: Callable[..., Json]) -> None:
    """Everything that an object of the type goes through; C(call) runs a module and expects that it succeeds."""
    output: list[str] = []

    def run(check_mode: bool = False, **options: Any) -> Json:
        result = call(case.module, check_mode=check_mode, **{**case.key, **options})
        output.append(result["_output"])
        return result

    for module, options in case.before:
        call(module, **options)
    label = _make(case, run)
    state = call(case.module, **{**case.key, **case.make})[case.single]
    for options, returned in case.changes:
        state = _change(case, run, label, state, options, returned)
    if case.info is not None:
        listed = call(f"{case.module}_info", **case.info)
        output.append(listed["_output"])
        assert listed["changed"] is False
        assert [{k: v for k, v in one.items() if k not in case.left_out} for one in listed[case.many]] == [state]
    _take_away(run, label)
    if case.info is not None:
        assert call(f"{case.module}_info", **case.info)[case.many] == []
    text = "\n".join(output)
    assert not [secret for secret in SECRETS if secret in text]


def _make(case: Case, run: Callable[..., Json]) -> str:
    """Make it; the way in which the diff names it comes back."""
    planned = run(check_mode=True, **case.make)
    assert (planned["changed"], planned["operation"]) == (True, "create")
    assert run(check_mode=True, **case.make)["operation"] == "create", "check mode wrote something"
    made = run(**case.make)
    assert (made["changed"], made["operation"]) == (True, "create")
    assert made["diff"] == planned["diff"]
    label = str(next(iter(made["diff"]["after"])))
    assert made["diff"]["before"] == {label: {}}
    expected = {**case.key, **case.make, **case.made}
    got = made[case.single]
    assert {name: got[name] for name in expected if name in got} == {k: v for k, v in expected.items() if k in got}
    assert set(case.made) <= set(got)
    for check_mode in (True, False):
        again = run(check_mode=check_mode, **case.make)
        assert (again["changed"], again["operation"], again["diff"]) == (False, "none", {"before": {}, "after": {}})
        assert again[case.single] == got
    return label


def _change(case: Case, run: Callable[..., Json], label: str, state: Json, options: Json, returned: Json) -> Json:
    """Change one option."""
    planned = run(check_mode=True, **options)
    assert (planned["changed"], planned["operation"]) == (True, "update"), options
    done = run(**options)
    assert (done["changed"], done["operation"]) == (True, "update"), options
    assert done["diff"] == planned["diff"]
    new: Json = done[case.single]
    for name, value in {**options, **returned}.items():
        if name in new:
            assert new[name] == returned.get(name, value)
    before, after = done["diff"]["before"][label], done["diff"]["after"][label]
    assert before != after
    if "item_names" not in new:
        # The diff is exact: it has the whole state before and after, and nothing differs but what was asked for.
        differing = {name for name in after if after[name] != before[name]}
        assert differing <= {*options, *returned, *(("secrets",) if "oidc_client_secret" in options else ())}
        assert {name: state[name] for name in before} == before
        assert {name: new[name] for name in after} == after
    again = run(**options)
    assert (again["changed"], again["diff"]) == (False, {"before": {}, "after": {}}), options
    assert again[case.single] == new
    return new


def _take_away(run: Callable[..., Json], label: str) -> None:
    planned = run(check_mode=True, state="absent")
    assert (planned["changed"], planned["operation"]) == (True, "delete")
    gone = run(state="absent")
    assert (gone["changed"], gone["operation"]) == (True, "delete")
    assert gone["diff"] == planned["diff"]
    assert gone["diff"]["before"][label]
    assert gone["diff"]["after"] == {label: {}}
    for check_mode in (True, False):
        again = run(check_mode=check_mode, state="absent")
        assert (again["changed"], again["operation"]) == (False, "none")


def many(case: Case, call: Callable[..., Json]) -> None:
    """Two objects in one call."""
    for module, options in case.before:
        call(module, **options)
    objects = [{**case.key, **case.make}, {**case.make, **(case.odd or case.key)}][: 2 if case.odd else 1]
    made = call(case.module, **{case.many: objects})
    assert [one["operation"] for one in made[case.many]] == ["create"] * len(objects)
    again = call(case.module, **{case.many: objects})
    assert again["changed"] is False
    mixed = [{**objects[0], "state": "absent"}, *objects[1:]]
    done = call(case.module, **{case.many: mixed})
    assert [one["operation"] for one in done[case.many]] == ["delete", "none"][: len(objects)]
    keys = [case.key, case.odd][: len(objects)]
    gone = call(case.module, state="absent", **{case.many: keys})
    assert [one["operation"] for one in gone[case.many]] == ["none", "delete"][: len(objects)]
    assert call(case.module, **{case.many: []})["changed"] is False
