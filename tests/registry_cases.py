# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What holds of the registry of sites and VOs, in the unit tests' stand-in and in a real Nomad alike."""

from __future__ import annotations

import json
import uuid
from typing import Any

VO = "vo.imagine-ai.eu"
OTHER_VO = "/vo.lifewatch.eu/openbiomap"
ENTITLEMENT = "urn:mace:egi.eu:group:vo.imagine-ai.eu:role=vm_operator#aai.egi.eu"


def site(name: str, number: int, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "domain": name,
        "vos": [VO],
        "status": "active",
        "nodes": [
            {
                "name": f"{name}-server",
                "address": f"10.{number}.0.11",
                "public_address": f"203.0.113.{number}",
                "roles": ["server", "ingress"],
            },
            {"name": f"{name}-compute", "address": f"10.{number}.0.21", "roles": ["compute"]},
        ],
        **changes,
    }


FACTS: dict[str, Any] = {
    "title": "Walton Institute, “WIT” ü",
    "country": "IE",
    "latitude": 52.25,
    "longitude": -7.11,
    "pue": 1.3,
    "contact": "cloud@walton.example.org",
    "certificate_fingerprint": "SHA256:" + ":".join(["AB"] * 32),
}


WANTED: dict[str, Any] = {"name": VO, "namespace": "imagine", "base_domain": "deployments.example.org"}


SITE_MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"name": "Wrong_Name"}, "cannot be the name of a site"),
    ({"name": "-x"}, "cannot be the name of a site"),
    ({"name": "x/../y ü"}, "cannot be the name of a site"),
    ({"name": "x" * 64}, "cannot be the name of a site"),
    ({"domain": "ifca.example.org"}, "has domain 'ifca.example.org': write one DNS label"),
    ({"domain": ""}, "has domain ''"),
    ({"country": "Spain"}, "a country code of two capital letters"),
    ({"latitude": 91}, "a number from -90 to 90"),
    ({"longitude": -181}, "a number from -180 to 180"),
    ({"pue": 0.5}, "a number from 1 to 10"),
    ({"contact": "nobody"}, "write an e-mail address"),
    ({"certificate_fingerprint": "abc"}, "is no SHA-256 fingerprint"),
    ({"vos": ["vo.imagine-ai.eeu"]}, 'did you mean "vo.imagine-ai.eu"'),
    ({"nodes": []}, "has no nodes"),
    ({"nodes": [{"name": "n", "address": "10.9.0.1", "roles": ["compute"]}]}, "has no ingress"),
    ({"nodes": [{"name": "n", "address": "localhost", "roles": ["ingress"]}]}, "is not an IP address"),
    ({"nodes": [{"name": "n", "address": "127.0.0.1", "roles": ["ingress"]}]}, "is not an address that other"),
    ({"nodes": [{"name": "n", "address": "10.9.0.1"}]}, "has no roles"),
    ({"nodes": [{"name": "n", "roles": ["ingress"]}]}, "has no address"),
    ({"nodes": [{"name": "n.x", "address": "10.9.0.1", "roles": ["ingress"]}]}, "cannot be the name of a node"),
    (
        {
            "nodes": [
                {"name": "n", "address": "10.9.0.1", "roles": ["ingress"]},
                {"name": "N", "address": "10.9.0.2", "roles": ["compute"]},
            ]
        },
        "listed twice",
    ),
    (
        {"nodes": [{"name": "n", "address": "10.9.0.1", "roles": ["ingress"], "vos": ["nothing"]}]},
        "serves the VO 'nothing'",
    ),
    ({"domain": "ifca"}, "The domain 'ifca' of site 'wrong' belongs to site 'ifca'"),
    (
        {"nodes": [{"name": "n", "address": "10.1.0.21", "roles": ["ingress"]}]},
        "The address '10.1.0.21' of node 'n' of site 'wrong' belongs to node 'ifca-compute' of site 'ifca'",
    ),
    (
        {"nodes": [{"name": "n", "address": "203.0.113.1", "roles": ["ingress"]}]},
        "The address '203.0.113.1' of node 'n' of site 'wrong' belongs to site 'ifca'",
    ),
    (
        {"nodes": [{"name": "IFCA-Compute", "address": "10.9.0.1", "roles": ["ingress"]}]},
        "The node name 'ifca-compute' of node 'IFCA-Compute' of site 'wrong' belongs to node 'ifca-compute'",
    ),
    (
        {
            "nodes": [
                {"name": "n", "address": "10.9.0.1", "roles": ["ingress"]},
                {"name": "m", "address": "10.9.0.1", "roles": ["compute"]},
            ]
        },
        "give each node its own",
    ),
]

VO_MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"name": "a b ü"}, "cannot be the name of a VO"),
    ({"name": ""}, "cannot be the name of a VO"),
    ({"namespace": "with.dot"}, "letters, digits and hyphens"),
    ({"namespace": "x" * 121}, "1 to 120"),
    ({"namespace": "default"}, "is not for a VO"),
    ({"namespace": "lifewatch"}, "The namespace 'lifewatch' of VO 'new' belongs to VO"),
    ({"base_domain": "nodots"}, "write a DNS name"),
    ({"entitlements": ["vm_operator"]}, "write it as urn:mace:egi.eu"),
    ({"entitlements": ['urn:a"b']}, "write it as urn:mace:egi.eu"),
    ({"claim": "a.b"}, "letters, digits and underscores"),
    ({"description": "x" * 257}, "256"),
    ({"auth_method": "nothing", "entitlements": [ENTITLEMENT]}, "does not exist: make it first"),
    ({"auth_method": "case-check-in", "entitlements": [ENTITLEMENT], "claim": "roles"}, "maps no claim to the list"),
    ({"harbor_project": "imagine"}, "give harbor_url"),
    ({"harbor_url": "nonsense"}, "harbor_url is 'nonsense'"),
]


def two_vos(nomad: Any) -> None:
    """Two VOs."""
    nomad(
        "vo",
        vos=[
            {"name": VO, "namespace": "imagine", "base_domain": "deployments.example.org"},
            {"name": OTHER_VO, "namespace": "lifewatch", "base_domain": "lifewatch.example.org"},
        ],
    )


def login_methods(nomad: Any) -> None:
    """Two ways to log in."""
    for name in ("case-check-in", "case-other"):
        nomad(
            "nomad_acl_auth_method",
            name=name,
            type="JWT",
            max_token_ttl="1h",
            jwks_url="https://127.0.0.1:1/jwks",
            list_claim_mappings={"eduperson_entitlement": "entitlements", "groups": "groups"},
        )


def objects(nomad: Any) -> dict[str, Any]:
    """What there is of the VO's objects, as other modules see them."""
    return {
        "namespace": nomad("nomad_namespace_info", names=["imagine"])["namespaces"],
        "policy": nomad("nomad_acl_policy_info", names=["vo-imagine"])["policies"],
        "role": nomad("nomad_acl_role_info", names=["vo-imagine"])["roles"],
        "rules": [
            rule for rule in nomad("nomad_acl_binding_rule_info")["binding_rules"] if rule["bind_name"] == "vo-imagine"
        ],
    }


def life_of_a_site(nomad: Any, api: Any, asked: list[str]) -> None:
    two_vos(nomad)
    wanted = {**site("walton", 4), **FACTS}
    planned = nomad("site", **wanted, check_mode=True)
    assert (planned["changed"], planned["operation"]) == (True, "create")
    assert nomad("site_info")["sites"] == []
    made = nomad("site", **wanted)
    assert made["operation"] == "create"
    assert made["diff"] == {"before": {"walton": {}}, "after": planned["diff"]["after"]}
    assert made["site"]["certificate_fingerprint"] == "ab" * 32
    assert made["site"]["nodes"][0] == {
        "name": "walton-compute",
        "address": "10.4.0.21",
        "public_address": "",
        "roles": ["compute"],
        "vos": [],
    }
    for check_mode in (True, False):
        assert nomad("site", **wanted, check_mode=check_mode)["changed"] is False
    assert nomad("site", name="walton")["site"] == made["site"], "what is not given stays"

    changes: dict[str, Any] = {
        "domain": "waterford",
        "title": "",
        "country": "GB",
        "latitude": 1.5,
        "longitude": 2.5,
        "pue": 1.1,
        "contact": "other@walton.example.org",
        "vos": [OTHER_VO, VO],
        "status": "leaving",
        "certificate_fingerprint": "",
    }
    for option, value in changes.items():
        before = nomad("site", name="walton")["site"][option]
        changed = nomad("site", name="walton", **{option: value})
        assert changed["operation"] == "update", option
        assert changed["diff"]["before"]["walton"][option] == before
        differing = [
            key
            for key, old in changed["diff"]["before"]["walton"].items()
            if changed["diff"]["after"]["walton"][key] != old
        ]
        assert differing == [option]
        assert changed["site"][option] == value
        assert nomad("site", name="walton", **{option: value})["changed"] is False

    assert nomad("site", name="walton", state="absent", check_mode=True)["operation"] == "delete"
    gone = nomad("site", name="walton", state="absent")
    assert (gone["operation"], gone["site"]) == ("delete", {})
    assert nomad("site", name="walton", state="absent")["changed"] is False
    assert nomad("site_info", name="walton")["sites"] == []


def nodes_of_a_site(nomad: Any, api: Any, asked: list[str]) -> None:
    two_vos(nomad)
    nomad("site", **site("ifca", 1))
    added = nomad(
        "site",
        name="ifca",
        purge_nodes=False,
        nodes=[{"name": "ifca-gpu", "address": "10.1.0.22", "roles": ["compute"]}],
    )
    assert [node["name"] for node in added["site"]["nodes"]] == ["ifca-compute", "ifca-gpu", "ifca-server"]
    changed = nomad(
        "site", name="ifca", purge_nodes=False, nodes=[{"name": "ifca-gpu", "vos": [VO], "roles": ["tryme", "batch"]}]
    )
    assert changed["site"]["nodes"][1] == {
        "name": "ifca-gpu",
        "address": "10.1.0.22",
        "public_address": "",
        "roles": ["batch", "tryme"],
        "vos": [VO],
    }
    removed = nomad("site", name="ifca", purge_nodes=False, nodes=[{"name": "ifca-gpu", "state": "absent"}])
    assert removed["operation"] == "update"
    assert nomad("site", **site("ifca", 1))["changed"] is False
    last = nomad("site", fails=True, name="ifca", purge_nodes=False, nodes=[{"name": "ifca-server", "state": "absent"}])
    assert "has no ingress" in last["msg"]
    assert nomad("site", name="ifca", nodes=[], status="leaving")["site"]["nodes"] == []


def a_new_site_needs_a_domain(nomad: Any, api: Any, asked: list[str]) -> None:
    assert "has no domain" in nomad("site", fails=True, name="walton")["msg"]
    message = nomad("site", fails=True, name="walton", domain="walton", vos=["any"])["msg"]
    assert message == (
        "Site 'walton' serves the VO 'any', which the federation does not have: correct the name, or register the VO "
        "first with the module vo."
    )
    assert nomad("site", name="walton", domain="walton")["site"]["status"] == "requested"


def a_name_that_is_claimed(nomad: Any, api: Any, asked: list[str]) -> None:
    mine, theirs = {"certificate_fingerprint": "ab" * 32}, {"certificate_fingerprint": "cd" * 32}
    claim = {"name": "walton", "domain": "walton", "title": "Walton", "claim": True}
    assert "is claimed without certificate_fingerprint" in nomad("site", fails=True, **claim)["msg"]
    assert nomad("site", **claim, **mine)["operation"] == "create"
    assert nomad("site", **claim, **mine)["changed"] is False
    message = nomad("site", fails=True, **{**claim, "title": "Others"}, **theirs)["msg"]
    assert message.startswith(
        "The site name 'walton' is taken by Walton, whose operators have the key abababababababab"
    )
    assert nomad("site", name="walton", certificate_fingerprint="")["changed"] is True
    assert "which the federation's own operators deploy" in nomad("site", fails=True, **claim, **mine)["msg"]
    assert nomad("site_info")["sites"][0]["title"] == "Walton"


def host_names_that_run_into_each_other(nomad: Any, api: Any, asked: list[str]) -> None:
    nomad(
        "vo",
        vos=[
            {"name": "one", "namespace": "imagine", "base_domain": "b-c.example.org"},
            {"name": "two", "namespace": "lifewatch", "base_domain": "c.example.org"},
        ],
    )
    nomad("site", **site("first", 1, domain="a", vos=["one", "two"]))
    message = nomad("site", fails=True, **site("second", 2, domain="a-b", vos=["two"]))["msg"]
    assert "The host name 'a-b-c.example.org' of site 'second' belongs to site 'first'" in message
    nomad("site", **site("second", 2, domain="a-b", vos=[]))
    nomad("vo", name="two", base_domain="d.example.org")
    nomad("site", name="second", vos=["two"])
    clash = nomad("vo", fails=True, name="two", base_domain="c.example.org")["msg"]
    assert "With these base domains the host name 'a-b-c.example.org'" in clash


def many_sites_are_one_write(nomad: Any, api: Any, asked: list[str]) -> None:
    two_vos(nomad)
    sites = [site(f"site-{number}", number) for number in range(20)]
    asked.clear()
    made = nomad("site", sites=sites)
    assert [one["operation"] for one in made["sites"]] == ["create"] * 20
    assert asked == ["var/imagine/registry"] * 2
    asked.clear()
    assert nomad("site", sites=sites)["changed"] is False
    assert asked == ["var/imagine/registry"]

    before = api("get", "var/imagine/registry")["ModifyIndex"]
    spoiled = [{**sites[0], "title": "changed"}, site("new", 3)]
    assert "belongs to" in nomad("site", fails=True, sites=spoiled)["msg"]
    assert api("get", "var/imagine/registry")["ModifyIndex"] == before, "all of a call, or nothing"
    assert "listed twice" in nomad("site", fails=True, sites=[sites[0], sites[0]])["msg"]

    # A domain can go from one site to another in one call.
    swapped = nomad("site", sites=[{"name": "site-0", "domain": "site-1"}, {"name": "site-1", "domain": "site-0"}])
    assert swapped["changed"] is True
    gone = nomad("site", sites=[{"name": one["name"], "state": "absent"} for one in sites])
    assert {one["operation"] for one in gone["sites"]} == {"delete"}
    assert nomad("site", sites=[])["changed"] is False


def a_large_site_fits(nomad: Any, api: Any, asked: list[str]) -> None:
    two_vos(nomad)
    nodes = [
        {
            "name": f"gpu-{number}",
            "address": f"10.1.{number // 250}.{number % 250 + 1}",
            "roles": ["compute", "ingress"],
        }
        for number in range(1200)
    ]
    nomad("site", **site("ifca", 1, nodes=nodes))
    assert api("get", "var/imagine/registry")["Items"]["site/ifca"].startswith("zlib:")
    assert nomad("site", **site("ifca", 1, nodes=nodes))["changed"] is False
    assert len(nomad("site_info", name="ifca")["sites"][0]["nodes"]) == 1200


def more_than_a_variable_holds(nomad: Any, api: Any, asked: list[str]) -> None:
    two_vos(nomad)
    noise = [
        {"name": f"n{uuid.uuid4().hex}", "address": f"10.{number // 250}.0.{number % 250 + 1}", "roles": ["ingress"]}
        for number in range(2500)
    ]
    message = nomad("site", fails=True, **site("ifca", 1, nodes=noise))["msg"]
    assert "has become larger than a Nomad variable may be" in message


def what_is_kept_of_other_versions(nomad: Any, api: Any, asked: list[str]) -> None:
    two_vos(nomad)
    nomad("site", **site("ifca", 1))
    raw = api("get", "var/imagine/registry")
    items = raw["Items"]
    items["site/ifca"] = json.dumps({**json.loads(items["site/ifca"]), "newer": True})
    items["newer/thing"] = "{}"
    api("put", "var/imagine/registry", {**raw, "Items": items})
    nomad("site", name="ifca", title="changed")
    after = api("get", "var/imagine/registry")["Items"]
    assert json.loads(after["site/ifca"])["newer"] is True
    assert after["newer/thing"] == "{}"
    for broken in ("{", "[]", "zlib:AAAA", "zlib:ü"):
        api("put", "var/imagine/registry", {**raw, "Items": {**items, "site/ifca": broken}})
        for module, options in (("site", {"name": "ifca"}), ("site_info", {}), ("node_info", {})):
            message = nomad(module, fails=True, **options)["msg"]
            assert "The item 'site/ifca' of the Nomad variable 'imagine/registry'" in message
            assert "\n" not in message


def life_of_a_vo(nomad: Any, api: Any, asked: list[str]) -> None:
    login_methods(nomad)
    full = {**WANTED, "auth_method": "case-check-in", "entitlements": [ENTITLEMENT]}
    planned = nomad("vo", **full, check_mode=True)
    assert planned["operation"] == "create"
    assert not any(objects(nomad).values())
    made = nomad("vo", **full)
    assert made["operation"] == "create"
    assert made["diff"] == planned["diff"]
    assert made["vo"]["role"] == "vo-imagine"
    there = objects(nomad)
    assert there["namespace"][0]["description"] == VO
    assert there["policy"][0]["rules"] == 'namespace "imagine" {\n  policy = "read"\n}\n'
    assert there["role"][0]["policies"] == ["vo-imagine"]
    assert [(rule["auth_method"], rule["bind_type"], rule["selector"]) for rule in there["rules"]] == [
        ("case-check-in", "role", f'"{ENTITLEMENT}" in list.entitlements')
    ]
    for check_mode in (True, False):
        assert nomad("vo", **full, check_mode=check_mode)["changed"] is False
    assert nomad("vo", name=VO)["changed"] is False, "what is not given stays"

    nomad("nomad_acl_policy", name="more", rules='node {\n  policy = "read"\n}\n')
    other = "urn:mace:egi.eu:group:vo.imagine-ai.eu:members:role=member#aai.egi.eu"
    changes: dict[str, Any] = {
        "base_domain": "other.example.org",
        "description": "Aquatic sciences ü",
        "entitlements": [ENTITLEMENT, other],
        "auth_method": "case-other",
        "claim": "groups",
        "access": "write",
        "policies": ["more"],
    }
    for option, value in changes.items():
        assert nomad("vo", name=VO, **{option: value}, check_mode=True)["changed"] is True, option
        changed = nomad("vo", name=VO, **{option: value})
        assert changed["operation"] == "update", option
        assert changed["vo"][option] == (sorted(value) if isinstance(value, list) else value)
        assert nomad("vo", name=VO, **{option: value})["changed"] is False, option
    there = objects(nomad)
    assert there["namespace"][0]["description"] == "Aquatic sciences ü"
    assert 'policy = "write"' in there["policy"][0]["rules"]
    assert there["role"][0]["policies"] == ["more", "vo-imagine"]
    assert sorted((rule["auth_method"], rule["selector"]) for rule in there["rules"]) == sorted(
        ("case-other", f'"{one}" in list.groups') for one in (ENTITLEMENT, other)
    )
    assert nomad("vo", name=VO, auth_method="")["changed"] is True
    assert objects(nomad)["rules"] == []

    nomad("vo", name=VO, auth_method="case-check-in", claim="entitlements")
    by_hand = {"auth_method": "case-other", "bind_type": "role", "bind_name": "vo-imagine", "selector": ""}
    nomad("nomad_acl_binding_rule", **by_hand)
    assert nomad("vo", name=VO)["changed"] is False
    assert len(objects(nomad)["rules"]) == 3
    assert nomad("vo", name=VO, state="absent", check_mode=True)["operation"] == "delete"
    gone = nomad("vo", name=VO, state="absent")
    assert (gone["operation"], gone["vo"]) == ("delete", {})
    assert not any(objects(nomad).values())
    assert nomad("vo", name=VO, state="absent")["changed"] is False


def each_part_of_a_vo_comes_back(nomad: Any, api: Any, asked: list[str]) -> None:
    login_methods(nomad)
    nomad("vo", **WANTED, auth_method="case-check-in", entitlements=[ENTITLEMENT])
    assert nomad("vo_info")["vos"][0]["missing"] == []
    rule = objects(nomad)["rules"][0]
    nomad("nomad_acl_binding_rule", id=rule["id"], state="absent")
    assert nomad("vo", name=VO)["operation"] == "update"
    nomad("nomad_acl_role", name="vo-imagine", state="absent")
    nomad("nomad_acl_policy", name="vo-imagine", state="absent")
    nomad("nomad_namespace", name="imagine", state="absent")
    assert nomad("vo_info")["vos"][0]["missing"] == ["namespace", "policy", "role"]
    result = nomad("vo", name=VO)
    assert result["diff"]["before"][VO]["role_policies"] is None
    assert all(objects(nomad).values())
    assert nomad("vo", name=VO)["changed"] is False


def a_namespace_that_was_there_is_taken_over(nomad: Any, api: Any, asked: list[str]) -> None:
    nomad("nomad_namespace", name="imagine", description="as before", meta={"a": "b"})
    assert nomad("vo", **WANTED)["vo"]["description"] == "as before"
    assert nomad("vo", **WANTED)["changed"] is False
    assert objects(nomad)["namespace"][0]["meta"] == {"a": "b"}


def what_a_vo_needs_and_keeps(nomad: Any, api: Any, asked: list[str]) -> None:
    two_vos(nomad)
    assert "has no namespace" in nomad("vo", fails=True, name="new", base_domain="a.example.org")["msg"]
    assert "has no base_domain" in nomad("vo", fails=True, name="new", namespace="new")["msg"]
    assert "cannot move" in nomad("vo", fails=True, name=VO, namespace="other")["msg"]


def many_vos_in_one_call(nomad: Any, api: Any, asked: list[str]) -> None:
    wanted: list[dict[str, Any]] = [
        WANTED,
        {"name": OTHER_VO, "namespace": "lifewatch", "base_domain": "deployments.example.org"},
    ]
    made = nomad("vo", vos=wanted)
    assert [one["operation"] for one in made["vos"]] == ["create", "create"]
    asked.clear()
    assert nomad("vo", vos=wanted)["changed"] is False
    assert len(asked) == 4, asked
    assert "belongs to VO" in nomad("vo", fails=True, vos=[wanted[0], {**wanted[1], "name": "third"}])["msg"]
    mixed = nomad("vo", vos=[wanted[0], {"name": OTHER_VO, "state": "absent"}])
    assert [one["operation"] for one in mixed["vos"]] == ["none", "delete"]
    nomad("site", **site("ifca", 1))
    found = nomad("vo_info")["vos"]
    assert [one["name"] for one in found] == [VO]
    assert found[0]["hosts"] == {"ifca": "ifca-deployments.example.org"}
    assert nomad("vo_info", names=["other"])["vos"] == []
    assert nomad("vo", vos=[])["changed"] is False


CASES = (
    life_of_a_site,
    nodes_of_a_site,
    a_new_site_needs_a_domain,
    a_name_that_is_claimed,
    host_names_that_run_into_each_other,
    many_sites_are_one_write,
    a_large_site_fits,
    more_than_a_variable_holds,
    what_is_kept_of_other_versions,
    life_of_a_vo,
    each_part_of_a_vo_comes_back,
    a_namespace_that_was_there_is_taken_over,
    what_a_vo_needs_and_keeps,
    many_vos_in_one_call,
)
