# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The registry of sites and VOs in a real Nomad."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nomad as python_nomad
import pytest
import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from ansible_collections.imagine.platform.plugins.module_utils import registry
from ansible_collections.imagine.platform.plugins.module_utils.nomad import NomadClient, NomadError

VO = "vo.imagine-ai.eu"
OTHER_VO = "/vo.lifewatch.eu/openbiomap"
ENTITLEMENT = "urn:mace:egi.eu:group:vo.imagine-ai.eu:role=vm_operator#aai.egi.eu"
MODULES = Path(__file__).parents[2] / ".collections"


@pytest.fixture
def api(nomad_agent: Any) -> Any:
    """Requests to Nomad past the modules; None for what does not exist."""

    def call(method: str, path: str, body: Any = None, token: str = "", expected: Any = (404,), **params: Any) -> Any:
        response = requests.request(
            method,
            f"{nomad_agent.address}/v1/{path}",
            json=body,
            params=params,
            headers={"X-Nomad-Token": token or nomad_agent.token},
            verify=str(nomad_agent.directory / "ca.pem"),
            timeout=10,
        )
        assert response.ok or response.status_code in expected, response.text
        return response.json() if response.content and response.ok else None

    return call


@pytest.fixture
def client(nomad_agent: Any) -> NomadClient:
    return NomadClient(nomad_agent.address, nomad_agent.token, str(nomad_agent.directory / "ca.pem"))


@pytest.fixture
def empty(api: Any) -> Iterator[None]:
    """No registry, and none of what a VO leaves."""

    def clear() -> None:
        raw = api("get", "var/imagine/registry")
        for name in ("imagine", "lifewatch"):
            for job in api("get", "jobs", namespace=name) or []:
                api("delete", f"job/{job['ID']}", namespace=name, purge="true")
        if raw:
            api("delete", "var/imagine/registry")
        for role in api("get", "acl/roles"):
            if role["Name"].startswith("vo-"):
                api("delete", f"acl/role/{role['ID']}")
        for policy in api("get", "acl/policies"):
            if policy["Name"].startswith("vo-"):
                api("delete", f"acl/policy/{policy['Name']}")
        for namespace in api("get", "namespaces"):
            if namespace["Name"] in ("imagine", "lifewatch"):
                api("delete", f"namespace/{namespace['Name']}")

    clear()
    yield
    clear()


@pytest.fixture
def vos(nomad: Any, empty: None) -> None:
    """Two VOs."""
    nomad(
        "vo",
        vos=[
            {"name": VO, "namespace": "imagine", "base_domain": "deployments.example.org"},
            {"name": OTHER_VO, "namespace": "lifewatch", "base_domain": "lifewatch.example.org"},
        ],
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What Nomad was asked for."""
    paths: list[str] = []
    original = python_nomad.api.base.Requester.request

    def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
        paths.append(self.ENDPOINT)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(python_nomad.api.base.Requester, "request", counting)
    return paths


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


def test_life_of_a_site(nomad: Any, vos: None) -> None:
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


def test_nodes_of_a_site(nomad: Any, vos: None) -> None:
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


@pytest.mark.parametrize(
    ("changes", "words"),
    [
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
    ],
)
def test_each_mistake_in_a_site_has_its_sentence(
    nomad: Any, api: Any, vos: None, changes: dict[str, Any], words: str
) -> None:
    nomad("site", **site("ifca", 1))
    before = api("get", "var/imagine/registry")
    for check_mode in (True, False):
        result = nomad("site", fails=True, **{**site("wrong", 9), **changes}, check_mode=check_mode)
        assert words in result["msg"], result["msg"]
        assert "\n" not in result["msg"]
        assert "Traceback" not in result["_output"]
    assert api("get", "var/imagine/registry") == before


def test_a_new_site_needs_a_domain(nomad: Any, empty: None) -> None:
    assert "has no domain" in nomad("site", fails=True, name="walton")["msg"]
    message = nomad("site", fails=True, name="walton", domain="walton", vos=["any"])["msg"]
    assert message == (
        "Site 'walton' serves the VO 'any', which the federation does not have: correct the name, or register the VO "
        "first with the module vo."
    )
    assert nomad("site", name="walton", domain="walton")["site"]["status"] == "requested"


def test_host_names_that_run_into_each_other(nomad: Any, empty: None) -> None:
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


def test_many_sites_are_one_write(nomad: Any, vos: None, api: Any, asked: list[str]) -> None:
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


def test_a_large_site_fits(nomad: Any, vos: None, api: Any) -> None:
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


def test_more_than_a_variable_holds(nomad: Any, vos: None) -> None:
    noise = [
        {"name": f"n{uuid.uuid4().hex}", "address": f"10.{number // 250}.0.{number % 250 + 1}", "roles": ["ingress"]}
        for number in range(2500)
    ]
    message = nomad("site", fails=True, **site("ifca", 1, nodes=noise))["msg"]
    assert "has become larger than a Nomad variable may be" in message


def test_what_is_kept_of_other_versions(nomad: Any, vos: None, api: Any) -> None:
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


# Several operators at once

WRITER = """
import json, sys
sys.path.insert(0, sys.argv[1])
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": json.load(sys.stdin)}).encode()
basic._ANSIBLE_PROFILE = "legacy"
from ansible_collections.imagine.platform.plugins.modules import site
site.main()
"""


def at_once(nomad_agent: Any, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run the module in processes of their own, all at once."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(MODULES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _call in calls
    ]
    results: list[dict[str, Any]] = [{} for _call in calls]

    def talk(number: int) -> None:
        options = json.dumps({**nomad_agent.connection, **calls[number]}).encode()
        out, err = processes[number].communicate(options, 120)
        results[number] = json.loads(out) if out else {"failed": True, "msg": err.decode()}

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_operators_at_once_lose_nothing(nomad: Any, nomad_agent: Any, vos: None) -> None:
    results = at_once(nomad_agent, [site(f"site-{number}", number) for number in range(8)])
    assert [result.get("operation") for result in results] == ["create"] * 8, results
    assert [one["name"] for one in nomad("site_info")["sites"]] == [f"site-{number}" for number in range(8)]


def test_of_those_who_claim_the_same_one_wins(nomad: Any, nomad_agent: Any, vos: None) -> None:
    results = at_once(nomad_agent, [site(f"site-{number}", number, domain="wanted") for number in range(6)])
    won = [result for result in results if not result.get("failed")]
    assert len(won) == 1, results
    winner = won[0]["site"]["name"]
    for result in results:
        if result.get("failed"):
            assert f"belongs to site '{winner}'" in result["msg"]
    assert [one["name"] for one in nomad("site_info")["sites"]] == [winner]


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Do something between what a module reads and what it writes."""

    def before(action: Any, times: int = 1) -> list[int]:
        done: list[int] = []
        original = registry.Registry.write

        def write(self: registry.Registry, *args: Any) -> None:
            if len(done) < times:
                done.append(1)
                action(len(done))
            original(self, *args)

        monkeypatch.setattr(registry.Registry, "write", write)
        return done

    return before


def test_a_write_that_came_too_late_is_repeated(nomad: Any, vos: None, client: NomadClient, interrupt: Any) -> None:
    nomad("site", **site("ifca", 1))

    def other(_time: int) -> None:
        there = registry.Registry(client).read()
        changed = {**there.sites["ifca"], "title": "by somebody else"}
        there.client.post(
            "var/imagine/registry",
            "writing as somebody else",
            {
                "Items": {
                    **{f"vo/{n}": registry.encode(v) for n, v in there.vos.items()},
                    "site/ifca": registry.encode(changed),
                }
            },
            params={"cas": there.index},
        )

    done = interrupt(other)
    result = nomad("site", name="ifca", contact="me@example.org")
    assert done
    assert (result["site"]["title"], result["site"]["contact"]) == ("by somebody else", "me@example.org")
    assert result["diff"]["before"]["ifca"]["title"] == "by somebody else"


def test_somebody_removes_the_registry_meanwhile(nomad: Any, vos: None, api: Any, interrupt: Any) -> None:
    nomad("site", **site("ifca", 1))
    interrupt(lambda _time: api("delete", "var/imagine/registry"))
    assert "serves the VO" in nomad("site", fails=True, name="ifca", vos=[OTHER_VO], domain="ifca")["msg"]


def test_somebody_who_never_stops(
    nomad: Any, vos: None, client: NomadClient, interrupt: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.Sites, "attempts", 3)

    def other(time: int) -> None:
        there = registry.Registry(client).read()
        items = {f"vo/{n}": registry.encode(v) for n, v in there.vos.items()}
        body = {"Items": {**items, "newer/count": json.dumps({"time": time})}}
        there.client.post("var/imagine/registry", "writing", body)

    interrupt(other, times=99)
    message = nomad("site", fails=True, **site("ifca", 1))["msg"]
    assert message.startswith("Others kept changing the registry")
    assert "lifewatch" not in message


@pytest.mark.parametrize("module", ["site", "site_info", "node_info", "vo", "vo_info"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"nomad_token": str(uuid.UUID(int=1))}, "nomad_token is not accepted"),
        ({"nomad_token": ""}, "nomad_token is not set"),
        ({"nomad_address": "https://127.0.0.1:1"}, "Connection refused"),
        ({"nomad_ca_cert": "other-ca.pem"}, "TLS"),
    ],
)
def test_no_rights_and_no_server(nomad: Any, nomad_agent: Any, module: str, options: Any, words: str) -> None:
    files = {name: str(nomad_agent.directory / path) if "pem" in path else path for name, path in options.items()}
    needed = {
        "site": {"name": "ifca", "domain": "ifca"},
        "vo": {"name": VO, "namespace": "imagine", "base_domain": "deployments.example.org"},
    }.get(module, {})
    result = nomad(module, fails=True, **needed, **files)
    assert words in result["msg"], result["msg"]
    assert "\n" not in result["msg"]
    assert "Traceback" not in result["_output"]


def test_rights_that_suffice(nomad: Any, vos: None) -> None:
    nomad(
        "nomad_acl_policy",
        policies=[
            {
                "name": "registrar",
                "rules": 'namespace "default" {\n  variables {\n    path "imagine/*" {\n'
                '      capabilities = ["read", "write", "list", "destroy"]\n    }\n  }\n}\n',
            },
            {"name": "reader", "rules": 'namespace "default" {\n  policy = "read"\n}\nnode {\n  policy = "read"\n}\n'},
        ],
    )
    secrets = {
        name: nomad("nomad_acl_token", name=name, policies=[name], return_secrets=True)["token"]["secret_id"]
        for name in ("registrar", "reader")
    }
    assert nomad("site", **site("ifca", 1), nomad_token=secrets["registrar"])["changed"] is True
    assert "403" in nomad("site_info", fails=True, nomad_token=secrets["reader"])["msg"]


# What Nomad sees


@pytest.fixture
def node(nomad: Any) -> dict[str, Any]:
    """The one node, once it is ready."""
    nodes = nomad("nomad_node_info", names=["node-1"], wait=True, wait_timeout=60)["nodes"]
    return dict(nodes[0])


def registered(node: dict[str, Any]) -> dict[str, Any]:
    return site(
        "ifca",
        1,
        nodes=[
            {"name": "node-1", "address": "10.1.0.21", "roles": ["compute", "ingress"]},
            {"name": "ifca-server", "address": "10.1.0.11", "roles": ["server"]},
            {"name": "ifca-gpu", "address": "10.1.0.22", "roles": ["compute"]},
        ],
    )


def test_sites_with_their_nodes(nomad: Any, vos: None, node: dict[str, Any], asked: list[str]) -> None:
    nomad("site", sites=[registered(node), site("incd", 2, vos=[OTHER_VO], status="admitted")])
    asked.clear()
    found = nomad("site_info")
    assert sorted(asked) == ["nodes", "var/imagine/registry"]
    assert [one["name"] for one in found["sites"]] == ["ifca", "incd"]
    ifca = found["sites"][0]
    assert ifca["hosts"] == {VO: "ifca-deployments.example.org"}
    assert (ifca["nodes_ready"], ifca["nodes_missing"], ifca["nodes_unregistered"]) == (1, ["ifca-gpu"], [])
    states = {one["name"]: one["client_status"] for one in ifca["nodes"]}
    assert states == {"ifca-gpu": "missing", "ifca-server": "none", "node-1": "ready"}
    joined = next(one for one in ifca["nodes"] if one["name"] == "node-1")
    assert joined["id"] == node["id"]
    assert joined["version"] == node["version"]
    assert found["unregistered_sites"] == []
    assert [one["name"] for one in nomad("site_info", vo=OTHER_VO)["sites"]] == ["incd"]
    assert [one["name"] for one in nomad("site_info", status=["admitted", "leaving"])["sites"]] == ["incd"]
    assert [one["name"] for one in nomad("site_info", name="ifca")["sites"]] == ["ifca"]
    nomad("site", name="ifca", nodes=[{"name": "ifca-server", "address": "10.1.0.11", "roles": ["ingress"]}])
    assert nomad("site_info", name="ifca")["sites"][0]["nodes_unregistered"] == ["node-1"]
    nomad("site", name="ifca", state="absent")
    assert nomad("site_info")["unregistered_sites"] == ["ifca"]


JOB: dict[str, Any] = {
    "ID": "module-1",
    "Name": "module-1",
    "Type": "service",
    "Datacenters": ["*"],
    "TaskGroups": [
        {
            "Name": "g",
            "EphemeralDisk": {"SizeMB": 150},
            "Tasks": [
                {
                    "Name": "main",
                    "Driver": "raw_exec",
                    "Config": {"command": "/bin/sleep", "args": ["600"]},
                    "Resources": {"CPU": 100, "MemoryMB": 50},
                }
            ],
        }
    ],
}


def run_job(api: Any, eventually: Any, namespace: str) -> None:
    api("put", "jobs", {"Job": {**JOB, "Namespace": namespace}}, namespace=namespace)
    eventually(
        lambda: [
            one
            for one in api("get", "job/module-1/allocations", namespace=namespace)
            if one["ClientStatus"] == "running"
        ]
    )


def test_nodes_with_what_runs_on_them(
    nomad: Any, vos: None, node: dict[str, Any], api: Any, eventually: Any, asked: list[str]
) -> None:
    nomad("site", **registered(node))
    run_job(api, eventually, "imagine")
    asked.clear()
    found = nomad("node_info", metadata=False)["nodes"]
    assert sorted(asked) == ["allocations", "nodes", "var/imagine/registry"]
    assert [one["name"] for one in found] == ["ifca-gpu", "ifca-server", "node-1"]
    assert [one["client_status"] for one in found] == ["missing", "none", "ready"]
    full = found[2]
    assert (full["site"], full["registered"], full["roles"]) == ("ifca", True, ["ingress", "compute"])
    assert full["address"] == "10.1.0.21"
    assert full["allocated"] == {"cpu_mhz": 100, "memory": 50, "disk": 150}
    assert [(one["job_id"], one["namespace"], one["status"]) for one in full["allocations"]] == [
        ("module-1", "imagine", "running")
    ]
    assert full["gpus"] == []
    assert full["resources"]["memory"] > 0
    assert full["drivers"]["raw_exec"]["detected"] is True
    assert "meta" not in full

    asked.clear()
    with_metadata = nomad("node_info", names=["node-1"])["nodes"]
    assert with_metadata == [{**full, "meta": node["meta"]}]
    assert len(asked) == 4
    assert [one["name"] for one in nomad("node_info", role="compute")["nodes"]] == ["ifca-gpu", "node-1"]
    assert [one["name"] for one in nomad("node_info", status=["test", "error"])["nodes"]] == ["node-1"]
    assert nomad("node_info", status=["ready"])["nodes"] == []
    assert [one["name"] for one in nomad("node_info", vo=VO)["nodes"]] == ["node-1"]
    assert nomad("node_info", vo=OTHER_VO)["nodes"] == []
    assert nomad("node_info", site="incd")["nodes"] == []
    assert len(nomad("node_info", site="ifca")["nodes"]) == 3
    assert 'did you mean "vo.imagine-ai.eu"' in nomad("node_info", fails=True, vo="vo.imagin-ai.eu")["msg"]
    assert "correct site" in nomad("node_info", fails=True, site='x" or "')["msg"]
    nomad("site", name="ifca", state="absent")
    alone = nomad("node_info", metadata=False)["nodes"]
    assert [(one["name"], one["registered"], one["address"]) for one in alone] == [("node-1", False, "127.0.0.1")]


def test_node_that_goes_while_it_is_read(
    nomad: Any, vos: None, node: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = NomadClient.get_object

    def gone(self: NomadClient, path: str, what: str, **kwargs: Any) -> Any:
        return None if path.startswith("node/") else original(self, path, what, **kwargs)

    monkeypatch.setattr(NomadClient, "get_object", gone)
    assert nomad("node_info")["nodes"] == []


# VOs

WANTED: dict[str, Any] = {"name": VO, "namespace": "imagine", "base_domain": "deployments.example.org"}


@pytest.fixture
def methods(nomad: Any) -> None:
    """Two ways to log in."""
    for name in ("check-in", "other"):
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


def test_life_of_a_vo(nomad: Any, empty: None, methods: None) -> None:
    full = {**WANTED, "auth_method": "check-in", "entitlements": [ENTITLEMENT]}
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
        ("check-in", "role", f'"{ENTITLEMENT}" in list.entitlements')
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
        "auth_method": "other",
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
        ("other", f'"{one}" in list.groups') for one in (ENTITLEMENT, other)
    )
    assert nomad("vo", name=VO, auth_method="")["changed"] is True
    assert objects(nomad)["rules"] == []

    nomad("vo", name=VO, auth_method="check-in", claim="entitlements")
    by_hand = {"auth_method": "other", "bind_type": "role", "bind_name": "vo-imagine", "selector": ""}
    nomad("nomad_acl_binding_rule", **by_hand)
    assert nomad("vo", name=VO)["changed"] is False
    assert len(objects(nomad)["rules"]) == 3
    assert nomad("vo", name=VO, state="absent", check_mode=True)["operation"] == "delete"
    gone = nomad("vo", name=VO, state="absent")
    assert (gone["operation"], gone["vo"]) == ("delete", {})
    assert not any(objects(nomad).values())
    assert nomad("vo", name=VO, state="absent")["changed"] is False


def test_each_part_of_a_vo_comes_back(nomad: Any, empty: None, methods: None) -> None:
    nomad("vo", **WANTED, auth_method="check-in", entitlements=[ENTITLEMENT])
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


def test_a_namespace_that_was_there_is_taken_over(nomad: Any, empty: None) -> None:
    nomad("nomad_namespace", name="imagine", description="as before", meta={"a": "b"})
    assert nomad("vo", **WANTED)["vo"]["description"] == "as before"
    assert nomad("vo", **WANTED)["changed"] is False
    assert objects(nomad)["namespace"][0]["meta"] == {"a": "b"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
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
        ({"auth_method": "check-in", "entitlements": [ENTITLEMENT], "claim": "roles"}, "maps no claim to the list"),
        ({"harbor_project": "imagine"}, "give harbor_url"),
        ({"harbor_url": "nonsense"}, "harbor_url is 'nonsense'"),
    ],
)
def test_each_mistake_in_a_vo_has_its_sentence(
    nomad: Any, vos: None, methods: None, api: Any, changes: dict[str, Any], words: str
) -> None:
    before = api("get", "var/imagine/registry")
    wanted = {"name": "new", "namespace": "new", "base_domain": "new.example.org", **changes}
    for check_mode in (True, False):
        result = nomad("vo", fails=True, **wanted, check_mode=check_mode)
        assert words in result["msg"], result["msg"]
        assert "\n" not in result["msg"]
    assert api("get", "var/imagine/registry") == before
    assert nomad("nomad_namespace_info", names=["new"])["namespaces"] == []


def test_what_a_vo_needs_and_keeps(nomad: Any, vos: None) -> None:
    assert "has no namespace" in nomad("vo", fails=True, name="new", base_domain="a.example.org")["msg"]
    assert "has no base_domain" in nomad("vo", fails=True, name="new", namespace="new")["msg"]
    assert "cannot move" in nomad("vo", fails=True, name=VO, namespace="other")["msg"]


def test_a_vo_that_is_used_stays(nomad: Any, vos: None, node: dict[str, Any], api: Any, eventually: Any) -> None:
    nomad("site", **site("ifca", 1))
    assert "is still served by site ifca" in nomad("vo", fails=True, name=VO, state="absent")["msg"]
    nomad("site", name="ifca", state="absent")
    run_job(api, eventually, "imagine")
    for check_mode in (True, False):
        message = nomad("vo", fails=True, name=VO, state="absent", check_mode=check_mode)["msg"]
        assert "still has jobs in namespace 'imagine' (module-1)" in message
        assert "force" in message
    assert nomad("vo_info", names=[VO])["vos"][0]["jobs"] == 1
    assert nomad("vo", name=VO, state="absent", force=True, check_mode=True)["operation"] == "delete"
    assert nomad("vo", name=VO, state="absent", force=True)["operation"] == "delete"
    assert api("get", "job/module-1", namespace="imagine") is None
    assert not any(objects(nomad).values())


def test_removal_that_failed_on_the_way_goes_on(nomad: Any, vos: None) -> None:
    nomad("nomad_variable", namespace="imagine", path="kept", items={"a": "b"})
    failed = nomad("vo", fails=True, name=VO, state="absent")
    assert failed["changed"] is True
    assert "variables" in failed["msg"]
    assert "run again to go on with what is left" in failed["msg"]
    assert nomad("vo_info", names=[VO])["vos"], "it is still known"
    nomad("nomad_variable", namespace="imagine", path="kept", state="absent")
    assert nomad("vo", name=VO, state="absent")["operation"] == "delete"


def test_many_vos_in_one_call(nomad: Any, empty: None, asked: list[str]) -> None:
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


def test_members_log_in_with_their_rights(nomad: Any, empty: None, api: Any) -> None:
    """A token of the identity provider's, an entitlement in it, and what it opens."""
    key = rsa.generate_private_key(65537, 2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    nomad(
        "nomad_acl_auth_method",
        name="login",
        type="JWT",
        max_token_ttl="1h",
        token_locality="local",
        jwt_validation_pub_keys=[public.decode()],
        list_claim_mappings={"eduperson_entitlement": "entitlements"},
    )
    nomad("vo", **WANTED, auth_method="login", entitlements=[ENTITLEMENT])

    def part(value: bytes) -> bytes:
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    def login(entitlement: str, **options: Any) -> Any:
        claims = {"sub": "a", "exp": int(time.time()) + 60, "eduperson_entitlement": [entitlement]}
        signed = part(b'{"alg":"RS256","typ":"JWT"}') + b"." + part(json.dumps(claims).encode())
        token = signed + b"." + part(key.sign(signed, padding.PKCS1v15(), hashes.SHA256()))
        return api("post", "acl/login", {"AuthMethodName": "login", "LoginToken": token.decode()}, **options)

    session = login(ENTITLEMENT)
    assert [role["Name"] for role in session["Roles"]] == ["vo-imagine"]
    assert api("get", "jobs", token=session["SecretID"], namespace="imagine") == []
    assert api("get", "jobs", token=session["SecretID"], namespace="default", expected=[403]) is None
    assert login(ENTITLEMENT.replace("vm_operator", "nobody"), expected=[400, 403, 500]) is None


def test_reading_an_error_of_a_full_registry_is_told_apart(client: NomadClient) -> None:
    with pytest.raises(NomadError, match="larger than a Nomad variable may be"):
        there = registry.Registry(client).read()
        there._items = {f"x/{n}": {"a": "b" * 2000} for n in range(40)}
        there.write("site", {})
