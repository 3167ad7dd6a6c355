# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The registry of sites and VOs in a real Nomad."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import example_playbook
import nomad as python_nomad
import pytest
import registry_cases as cases
import requests
import yaml
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from harbor_standin.fixtures import harbor_document, harbor_server, standin
from harbor_standin.server import ADMIN, Standin
from registry_cases import ENTITLEMENT, OTHER_VO, VO, WANTED, objects, site

from ansible_collections.imagine.platform.plugins.module_utils import registry
from ansible_collections.imagine.platform.plugins.module_utils.nomad import NomadClient, NomadError

__all__ = ["harbor_document", "harbor_server", "standin"]
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
            if namespace["Name"] in ("imagine", "lifewatch", "ai4eosc", "tutorials"):
                api("delete", f"namespace/{namespace['Name']}")

    clear()
    yield
    clear()


@pytest.fixture
def vos(nomad: Any, empty: None) -> None:
    cases.two_vos(nomad)


@pytest.fixture
def methods(nomad: Any) -> None:
    cases.login_methods(nomad)


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


@pytest.mark.parametrize(
    ("changes", "words"),
    cases.SITE_MISTAKES,
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


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.__name__)
def test_case(nomad: Any, api: Any, asked: list[str], empty: None, case: Any) -> None:
    case(nomad, api, asked)


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
    assert with_metadata == [{**full, "consul_version": "", "meta": node["meta"]}]
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


# The documentation's examples, and the inventory's

EXAMPLES = ("vo", "vo_info", "site", "site_info", "node_info", "fedcloud_site_info")
# The second of two examples takes back what the first has done.
NOT_IDEMPOTENT = {
    "Register a site with two nodes",
    "Take one node out of the registry, whatever other nodes the site has",
    "See what would change if a site became active and another one left",
}


@pytest.mark.examples(*EXAMPLES)
def test_examples(
    nomad: Any, nomad_agent: Any, empty: None, methods: None, node: dict[str, Any], standin: Standin, tmp_path: Path
) -> None:
    nomad("vo", **WANTED)
    nomad("site", **site("ifca", 1, nodes=[{"name": "node-1", "address": "10.1.0.21", "roles": ["ingress"]}]))
    described = tmp_path / "fedcloud-catchall-operations" / "sites"
    described.mkdir(parents=True)
    (described / "IFCA-LCG2.yaml").write_text(
        "gocdb: IFCA-LCG2\nendpoint: https://keystone.example.org:5000/v3\n"
        "vos: [{name: vo.imagine-ai.eu, auth: {project_id: 0a}}]\n"
    )
    tasks = []
    for module in EXAMPLES:
        for task in example_playbook.examples(module):
            options = task.get(f"imagine.platform.{module}") or {}
            if "harbor_url" in options:
                options.update(harbor_url=standin.url, harbor_username=ADMIN[0])
            if str(options.get("src")).startswith("https://"):
                options["src"] = str(described)
            if options.get("auth_method"):
                options["auth_method"] = "case-check-in"
            tasks.append(task)
    play = {"vars": {"harbor_robot_secret": ADMIN[1]}, "tasks": tasks}
    for again in (False, True):
        done = example_playbook.run(tmp_path, play, example_playbook.connect(nomad_agent))
        found = example_playbook.results(done)
        assert not re.search(r"\[WARNING\]|DEPRECATION", done.stderr), done.stderr
        assert ADMIN[1] not in done.stdout
        changed = {name for name, result in found if result.get("changed")}
        assert changed <= NOT_IDEMPOTENT if again else changed > NOT_IDEMPOTENT


def test_sites_of_an_inventory(nomad: Any, nomad_agent: Any, empty: None, tmp_path: Path) -> None:
    """The task of the deployment, with and without a limit."""
    inventory = example_playbook.CHECKOUT / "inventories" / "example"
    data = yaml.safe_load((inventory / "group_vars" / "all" / "federation.yml").read_text())
    nomad("vo", vos=data["federation_vos"])
    play = {
        "hosts": "role_*",
        "vars": {"ansible_connection": "local"},
        "tasks": [{"ansible.builtin.include_role": {"name": "imagine.platform.nomad", "tasks_from": "sites"}}],
    }
    extra = tmp_path / "extra.yml"
    extra.write_text(yaml.safe_dump({"_nomad_api": nomad_agent.connection}))

    def deploy(*arguments: str) -> bool:
        done = example_playbook.run(tmp_path, play, {}, "-i", str(inventory), "-e", f"@{extra}", *arguments)
        return any(result.get("changed") for _name, result in example_playbook.results(done))

    assert deploy("--limit", "incd-tryme-1") is True
    assert [one["name"] for one in nomad("site_info")["sites"]] == ["incd-imagine"]
    assert deploy("--check") is True
    assert deploy() is True
    assert deploy() is False
    found = {one["name"]: one for one in nomad("site_info")["sites"]}
    assert list(found) == ["ifca-imagine", "incd-imagine", "tubitak-imagine"]
    ifca = found["ifca-imagine"]
    assert (ifca["title"], ifca["country"], ifca["pue"], ifca["status"]) == ("IFCA-CSIC", "ES", 1.3, "active")
    nodes = {one["name"]: one for one in ifca["nodes"]}
    assert nodes["ifca-server-1"]["public_address"] == "203.0.113.10"
    assert nodes["ifca-batch-1"]["vos"] == ["vo.imagine-ai.eu"]
    assert len(found["incd-imagine"]["nodes"]) == 8


# VOs


@pytest.mark.parametrize(
    ("changes", "words"),
    cases.VO_MISTAKES,
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
