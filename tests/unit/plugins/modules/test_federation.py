# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Sites, nodes and VOs against a stand-in of Nomad: the cases, conflicts, and a Nomad that misbehaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import registry_cases as cases
from harbor_standin.fixtures import harbor_document, harbor_server, standin
from harbor_standin.server import ADMIN, Standin
from nomad_stand_in import TOKEN, Nomad, stand_in
from registry_cases import ENTITLEMENT, OTHER_VO, VO, WANTED, site

from ansible_collections.imagine.platform.plugins.module_utils import crud, registry

__all__ = ["harbor_document", "harbor_server", "standin"]

MODULES = ("site", "site_info", "node_info", "vo", "vo_info")
NEEDED: dict[str, Any] = {"site": {"name": "ifca", "domain": "ifca"}, "vo": WANTED}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nomad]:
    for variable in ("ADDR", "TOKEN", "CACERT", "NAMESPACE", "REGION", "CLIENT_CERT", "CLIENT_KEY"):
        monkeypatch.delenv(f"NOMAD_{variable}", raising=False)
    for variable in ("URL", "USERNAME", "PASSWORD", "CA_CERT", "TIMEOUT"):
        monkeypatch.delenv(f"HARBOR_{variable}", raising=False)
    monkeypatch.setattr(crud.time, "sleep", lambda _seconds: None)
    with stand_in() as nomad:
        yield nomad


@pytest.fixture
def nomad(server: Nomad, run_module: Callable[..., Any]) -> Callable[..., Any]:
    """Run a module; expects success unless C(fails) is set."""

    def call(module: str, /, fails: bool = False, check_mode: bool = False, **options: Any) -> Any:
        connection = {"nomad_address": server.address, "nomad_token": TOKEN, "nomad_timeout": 2}
        result = run_module(module, check=check_mode, **{**connection, **options})
        assert bool(result.get("failed")) == fails, result
        if fails:
            assert "\n" not in result["msg"]
            assert "Traceback" not in json.dumps(result)
        return result

    return call


@pytest.fixture
def api(server: Nomad) -> Callable[..., Any]:
    """Requests to Nomad past the modules."""

    def call(method: str, path: str, body: Any = None, **params: Any) -> Any:
        query = "&".join(f"{name}={value}" for name, value in params.items())
        status, answer = server.answer(method.upper(), f"/v1/{path}?{query}", body, {"X-Nomad-Token": TOKEN})
        server.asked.pop()
        return json.loads(json.dumps(answer)) if status == 200 else None

    return call


class Asked(list[str]):
    """Paths that the stand-in was asked for."""

    def __init__(self, server: Nomad) -> None:
        self.server = server

    def clear(self) -> None:
        self.server.asked.clear()

    def __eq__(self, other: object) -> bool:
        return [path for _method, path in self.server.asked] == other

    def __len__(self) -> int:
        return len(self.server.asked)

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.__name__)
def test_case(nomad: Any, api: Any, server: Nomad, case: Any) -> None:
    case(nomad, api, Asked(server))


@pytest.mark.parametrize(("changes", "words"), cases.SITE_MISTAKES)
def test_mistakes_in_a_site(nomad: Any, server: Nomad, changes: Any, words: str) -> None:
    cases.two_vos(nomad)
    nomad("site", **site("ifca", 1))
    before = dict(server.stores["var"])
    for check_mode in (True, False):
        assert words in nomad("site", fails=True, check_mode=check_mode, **{**site("wrong", 9), **changes})["msg"]
    assert server.stores["var"] == before


@pytest.mark.parametrize(("changes", "words"), cases.VO_MISTAKES)
def test_mistakes_in_a_vo(nomad: Any, server: Nomad, changes: Any, words: str) -> None:
    cases.two_vos(nomad)
    cases.login_methods(nomad)
    before = dict(server.stores["var"])
    wanted = {"name": "new", "namespace": "new", "base_domain": "new.example.org", **changes}
    assert words in nomad("vo", fails=True, **wanted)["msg"]
    assert server.stores["var"] == before


# Conflicts


def items(server: Nomad) -> dict[str, str]:
    return dict(server.stores["var"]["default:imagine/registry"]["Items"])


def test_a_write_that_came_too_late_is_repeated(nomad: Any, server: Nomad) -> None:
    cases.two_vos(nomad)
    nomad("site", **site("ifca", 1))

    def other() -> None:
        entry = {**registry.decode("x", items(server)["site/ifca"]), "title": "by somebody else"}
        server.put_variable("default", "imagine/registry", {**items(server), "site/ifca": registry.encode(entry)})

    server.do_before("POST", "var/.*", other)
    result = nomad("site", name="ifca", contact="me@example.org")
    assert (result["site"]["title"], result["site"]["contact"]) == ("by somebody else", "me@example.org")
    assert result["diff"]["before"]["ifca"]["title"] == "by somebody else"


def test_who_takes_the_domain_meanwhile_has_it(nomad: Any, server: Nomad) -> None:
    cases.two_vos(nomad)
    taken = {**registry.NO_SITE, "domain": "wanted"}
    server.do_before(
        "POST",
        "var/.*",
        lambda: (
            server.put_variable("default", "imagine/registry", {**items(server), "site/faster": registry.encode(taken)})
            and None
        ),
    )
    message = nomad("site", fails=True, **site("slower", 1, domain="wanted"))["msg"]
    assert "The domain 'wanted' of site 'slower' belongs to site 'faster'" in message


def test_somebody_who_never_stops(nomad: Any, server: Nomad) -> None:
    cases.two_vos(nomad)
    server.do_before(
        "POST",
        "var/.*",
        lambda: server.put_variable("default", "imagine/registry", items(server)) and None,
        times=99,
    )
    server.asked.clear()
    message = nomad("site", fails=True, **site("ifca", 1))["msg"]
    assert message.startswith("Others kept changing the registry of the federation")
    assert "lifewatch" not in message
    assert len(server.asked) == 2 * registry.Sites.attempts


def test_the_registry_goes_with_its_last_entry(nomad: Any, server: Nomad) -> None:
    nomad("site", name="walton", domain="walton")
    nomad("site", name="walton", state="absent")
    assert server.stores["var"] == {}
    nomad("site", name="walton", domain="walton")
    server.do_before(
        "DELETE", "var/.*", lambda: server.put_variable("default", "imagine/registry", items(server)) and None
    )
    assert nomad("site", name="walton", state="absent")["operation"] == "delete"
    assert server.stores["var"] == {}


# A Nomad that misbehaves


@pytest.mark.parametrize(
    ("rubbish", "words"),
    [
        (b"<html>Sign in</html>", "something that is not JSON"),
        (b'{"Items": {"secret', "something that is not JSON (an incomplete object)"),
        ("words", "a form that is not Nomad's"),
        ([1], "a form that is not Nomad's"),
        ({}, "a form that is not Nomad's"),
        ({"Items": [], "ModifyIndex": 1}, "a form that is not Nomad's"),
        ({"Items": {}, "ModifyIndex": "x"}, "a form that is not Nomad's"),
        ({"Items": {"site/a": 5}, "ModifyIndex": 1}, "The item 'site/a' of the Nomad variable"),
    ],
)
@pytest.mark.parametrize("module", MODULES)
def test_rubbish_in_place_of_the_registry(nomad: Any, server: Nomad, module: str, rubbish: Any, words: str) -> None:
    server.answer_instead("GET", "var/.*", 200, rubbish, times=9)
    assert words in nomad(module, fails=True, **NEEDED.get(module, {}))["msg"]


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("site/ifca", {"nodes": 5}),
        ("site/ifca", {"nodes": [{}]}),
        ("site/ifca", {"nodes": [{"name": "a", "roles": "compute"}]}),
        ("site/ifca", {"vos": None}),
        ("site/ifca", {"vos": [1]}),
        ("site/ifca", {"domain": ["a"]}),
        ("site/ifca", {"latitude": "north"}),
        ("vo/dteam", {"namespace": 7}),
    ],
)
@pytest.mark.parametrize("module", MODULES)
def test_entries_of_another_form(nomad: Any, server: Nomad, module: str, name: str, entry: Any) -> None:
    server.put_variable("default", "imagine/registry", {name: json.dumps({"domain": "ifca", **entry})})
    result = nomad(module, fails=True, **NEEDED.get(module, {}))
    assert f"The item '{name}' of the Nomad variable 'imagine/registry'" in result["msg"]


def test_what_an_older_version_left_out(nomad: Any, server: Nomad) -> None:
    entry = {"domain": "ifca", "nodes": [{"name": "a", "address": "10.1.0.1", "roles": ["ingress"]}]}
    server.put_variable("default", "imagine/registry", {"site/ifca": json.dumps(entry), "vo/dteam": "{}"})
    assert nomad("site_info")["sites"][0]["nodes"][0]["public_address"] == ""
    assert nomad("site", name="ifca")["changed"] is False


@pytest.mark.parametrize("path", ["nodes", "allocations"])
@pytest.mark.parametrize("rubbish", [[1], {"a": 1}, [{}]])
def test_rubbish_in_place_of_nodes(nomad: Any, server: Nomad, path: str, rubbish: Any) -> None:
    server.answer_instead("GET", path, 200, rubbish)
    assert "a form that is not Nomad's" in nomad("node_info", fails=True)["msg"]


@pytest.mark.parametrize("module", MODULES)
def test_no_rights_and_no_server(nomad: Any, module: str) -> None:
    options = NEEDED.get(module, {})
    assert "not accepted" in nomad(module, fails=True, nomad_token="wrong", **options)["msg"]
    assert "nomad_token is not set" in nomad(module, fails=True, nomad_token="", **options)["msg"]
    assert "Connection refused" in nomad(module, fails=True, nomad_address="http://127.0.0.1:1", **options)["msg"]
    assert "no HTTP address" in nomad(module, fails=True, nomad_address="nonsense", **options)["msg"]


# Nodes

GPU = {"Vendor": "nvidia", "Type": "gpu", "Name": "Tesla T4"}


def node(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "ID": f"id-{name}",
        "Name": name,
        "Datacenter": "ifca",
        "Status": "ready",
        "SchedulingEligibility": "eligible",
        "Address": "10.1.0.21",
        "Version": "1.11.3",
        "ModifyIndex": 5,
        "NodeResources": {
            "Cpu": {"TotalCpuCores": 8, "CpuShares": 20800},
            "Memory": {"MemoryMB": 32000},
            "Disk": {"DiskMB": 100000},
            "Devices": [
                {**GPU, "Instances": [{"Healthy": True}, {"Healthy": True}, {"Healthy": False}]},
                {**GPU, "Type": "fpga", "Instances": [{"Healthy": True}]},
            ],
        },
        "Meta": {"status": "ready"},
        **changes,
    }


def allocation(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "ID": f"a{number}",
        "NodeID": "id-ifca-compute",
        "JobID": f"module-{number}",
        "Namespace": "imagine",
        "ClientStatus": "running",
        "DesiredStatus": "run",
        "AllocatedResources": {
            "Tasks": {
                "main": {
                    "Cpu": {"CpuShares": 100},
                    "Memory": {"MemoryMB": 50},
                    "Devices": [{**GPU, "DeviceIDs": ["one"]}],
                },
                "side": {"Cpu": {"CpuShares": 10}, "Memory": {"MemoryMB": 5}, "Devices": None},
            },
            "Shared": {"DiskMB": 300},
        },
        **changes,
    }


@pytest.fixture
def federation(nomad: Any, server: Nomad) -> Nomad:
    """A site with two nodes, one of which was set up anew, and a node that nobody has registered."""
    cases.two_vos(nomad)
    nomad("site", sites=[site("ifca", 1), site("incd", 2, vos=[OTHER_VO])])
    old = node("ifca-compute", ID="id-old", Status="down", ModifyIndex=9)
    server.stores["node"] = {
        one["ID"]: one for one in (old, node("ifca-compute"), node("stranger", Datacenter="elsewhere"))
    }
    server.allocations = [
        allocation(2),
        allocation(1, ClientStatus="pending"),
        allocation(3, ClientStatus="complete"),
        allocation(4, DesiredStatus="stop"),
        allocation(5, NodeID="id-stranger", AllocatedResources=None),
    ]
    return server


def test_gpus_and_what_is_allocated(nomad: Any, federation: Nomad) -> None:
    federation.asked.clear()
    found = {one["name"]: one for one in nomad("node_info", metadata=False)["nodes"]}
    assert [path for _method, path in federation.asked] == ["var/imagine/registry", "nodes", "allocations"]
    assert list(found) == ["stranger", "ifca-compute", "ifca-server", "incd-compute", "incd-server"]
    compute = found["ifca-compute"]
    assert (compute["id"], compute["client_status"]) == ("id-ifca-compute", "ready")
    assert compute["gpus"] == [{"vendor": "nvidia", "model": "Tesla T4", "count": 3, "used": 2, "free": 0}]
    assert compute["allocated"] == {"cpu_mhz": 220, "memory": 110, "disk": 600}
    assert [one["id"] for one in compute["allocations"]] == ["a1", "a2"]
    assert found["stranger"]["gpus"][0]["free"] == 2
    assert found["stranger"]["allocated"] == {"cpu_mhz": 0, "memory": 0, "disk": 0}
    assert found["stranger"]["registered"] is False
    assert found["ifca-server"]["client_status"] == "missing"
    with_metadata = {one["name"]: one for one in nomad("node_info")["nodes"]}
    assert with_metadata["ifca-compute"]["meta"] == {"status": "ready"}
    assert "meta" not in with_metadata["ifca-server"]


def test_names_that_several_living_nodes_have(nomad: Any, federation: Nomad) -> None:
    """What was set up anew is alone alive; who takes a name is told, wherever he says that he is."""
    assert nomad("node_info")["ambiguous"] == []
    for number, changes in enumerate(
        [{"Datacenter": "elsewhere"}, {"Status": "initializing"}, {"Status": "disconnected"}, {"Status": "down"}]
    ):
        federation.stores["node"][f"id-{number}"] = node("ifca-compute", ID=f"id-{number}", **changes)
    told = [
        {
            "name": "ifca-compute",
            "nodes": [
                {"id": "id-0", "site": "elsewhere", "address": "10.1.0.21", "status": "ready"},
                {"id": "id-1", "site": "ifca", "address": "10.1.0.21", "status": "initializing"},
                {"id": "id-ifca-compute", "site": "ifca", "address": "10.1.0.21", "status": "ready"},
            ],
        }
    ]
    assert nomad("node_info")["ambiguous"] == told
    assert nomad("node_info", metadata=False, role="server")["ambiguous"] == told
    assert nomad("node_info", names=["ifca-compute"])["ambiguous"] == told
    assert nomad("node_info", names=["stranger"])["ambiguous"] == []


def test_what_nomad_is_asked_to_pick_by(nomad: Any, federation: Nomad) -> None:
    federation.filters.clear()
    nomad("node_info", site="ifca", status=["test", "error"], vo=VO)
    nomad("node_info")
    assert federation.filters == [
        'Datacenter == "ifca" and (Meta.status == "test" or Meta.status == "error") and '
        'Meta.namespace matches "(^|,)imagine(,|$)"',
        "",
    ]
    assert 'did you mean "vo.imagine-ai.eu"' in nomad("node_info", fails=True, vo="vo.imagine-ai.e")["msg"]
    assert "correct site" in nomad("node_info", fails=True, site='a"')["msg"]
    assert [one["name"] for one in nomad("node_info", role="ingress")["nodes"]] == ["ifca-server", "incd-server"]
    assert [one["name"] for one in nomad("node_info", names=["stranger"])["nodes"]] == ["stranger"]


def test_node_that_goes_while_it_is_read(nomad: Any, federation: Nomad) -> None:
    federation.answer_instead("GET", "node/.*", 404, "not found", times=9)
    found = {one["name"]: one["client_status"] for one in nomad("node_info")["nodes"]}
    assert "stranger" not in found
    assert found["ifca-compute"] == "missing"


def test_sites_and_their_nodes(nomad: Any, federation: Nomad) -> None:
    federation.asked.clear()
    found = nomad("site_info")
    assert [path for _method, path in federation.asked] == ["var/imagine/registry", "nodes"]
    assert found["unregistered_sites"] == ["elsewhere"]
    ifca = found["sites"][0]
    assert ifca["hosts"] == {VO: "ifca-deployments.example.org"}
    assert (ifca["nodes_ready"], ifca["nodes_missing"]) == (1, ["ifca-server"])
    assert ifca["nodes"][0]["id"] == "id-ifca-compute"
    assert [one["name"] for one in nomad("site_info", vo=OTHER_VO)["sites"]] == ["incd"]
    assert nomad("site_info", status=["leaving"])["sites"] == []


# VOs


def test_a_vo_that_is_used_stays(nomad: Any, federation: Nomad) -> None:
    assert "is still served by site ifca" in nomad("vo", fails=True, name=VO, state="absent")["msg"]
    nomad("site", sites=[{"name": name, "state": "absent"} for name in ("ifca", "incd")])
    for number in range(7):
        job = {"ID": f"module-{number}", "Namespace": "imagine", "Status": "running" if number else "dead"}
        federation.stores["job"][job["ID"]] = job
    message = nomad("vo", fails=True, name=VO, state="absent")["msg"]
    assert "(module-1, module-2, module-3, module-4, module-5 and 1 more)" in message
    assert nomad("vo_info", names=[VO])["vos"][0]["jobs"] == 6
    assert nomad("vo", name=VO, state="absent", force=True)["operation"] == "delete"
    assert list(federation.stores["job"]) == ["module-0"]


def test_what_fails_on_the_way_goes_on_later(nomad: Any, server: Nomad) -> None:
    cases.login_methods(nomad)
    server.answer_instead("POST", "acl/role", 500, "disk full")
    failed = nomad("vo", fails=True, **WANTED, auth_method="case-check-in", entitlements=[ENTITLEMENT])
    assert "disk full" in failed["msg"]
    assert failed["msg"].endswith("run again to go on with what is left.")
    assert failed["changed"] is True
    assert nomad("vo", name=VO)["operation"] == "update"
    assert len(server.stores["acl/binding-rule"]) == 1
    server.answer_instead("DELETE", "namespace/.*", 400, "namespace has non-terminal jobs")
    assert "stop its jobs first" in nomad("vo", fails=True, name=VO, state="absent")["msg"]
    assert nomad("vo", name=VO, state="absent")["operation"] == "delete"
    assert not server.stores["acl/binding-rule"]
    assert server.stores["var"] == {}


def test_two_who_take_one_namespace(nomad: Any, server: Nomad) -> None:
    taken = registry.encode({**registry.NO_VO, "namespace": "imagine", "base_domain": "other.example.org"})
    server.do_before(
        "POST", "var/.*", lambda: server.put_variable("default", "imagine/registry", {"vo/b": taken}) and None
    )
    message = nomad("vo", fails=True, **WANTED)["msg"]
    assert "The namespace 'imagine' of VO 'vo.imagine-ai.eu' belongs to VO 'b'" in message
    assert "imagine" not in server.stores["namespace"], "nothing is made before the registry says whose it is"


@pytest.fixture
def harbor(standin: Standin) -> dict[str, str]:
    return {"harbor_url": standin.url, "harbor_username": ADMIN[0], "harbor_password": ADMIN[1]}


def test_harbor_project_of_a_vo(nomad: Any, harbor: dict[str, str], standin: Standin, run_module: Any) -> None:
    planned = nomad("vo", **WANTED, harbor_project="imagine", **harbor, check_mode=True)
    assert planned["operation"] == "create"
    assert run_module("harbor_project_info", **harbor, names=["imagine"])["projects"] == []
    made = nomad("vo", **WANTED, harbor_project="imagine", **harbor)
    assert made["vo"]["harbor_project_exists"] is True
    found = run_module("harbor_project_info", **harbor, names=["imagine"])["projects"]
    assert [project["public"] for project in found] == [False]
    assert nomad("vo", name=VO, **harbor)["changed"] is False
    standin.asked.clear()
    assert nomad("vo", name=VO)["changed"] is False, "without an account Harbor is not asked"
    assert standin.asked == []
    assert nomad("vo_info")["vos"][0]["harbor_project"] == "imagine"

    run_module("harbor_project", name="imagine", state="absent", **harbor)
    assert nomad("vo", name=VO, **harbor)["operation"] == "update"
    assert nomad("vo", name=VO, harbor_project="", **harbor)["changed"] is True
    assert len(run_module("harbor_project_info", **harbor, names=["imagine"])["projects"]) == 1
    nomad("vo", name=VO, harbor_project="imagine", **harbor)
    assert nomad("vo", name=VO, state="absent", **harbor)["operation"] == "delete"
    assert run_module("harbor_project_info", **harbor, names=["imagine"])["projects"] == []


def test_a_harbor_that_refuses(nomad: Any, server: Nomad, harbor: dict[str, str]) -> None:
    wrong = {**harbor, "harbor_password": "wrong"}
    message = nomad("vo", fails=True, **WANTED, harbor_project="imagine", **wrong)["msg"]
    assert "Harbor at" in message
    assert "imagine" not in server.stores["namespace"]
    assert "cannot be the name of a project" in nomad("vo", fails=True, **WANTED, harbor_project="A b", **harbor)["msg"]
    down = {**harbor, "harbor_url": "http://127.0.0.1:1"}
    assert "Connection refused" in nomad("vo", fails=True, **WANTED, harbor_project="imagine", **down)["msg"]
