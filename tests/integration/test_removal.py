# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Nodes that are taken away, and what a real Nomad and a real Consul then know of them."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import example_playbook
import pytest
from nomad_agent import AgentProcess, Server, client_beside, make_client, unmount_below

JOB = """
job "sleeper" {
  constraint {
    attribute = "${node.unique.name}"
    operator  = "regexp"
    value     = "node-[13]"
  }
  affinity {
    attribute = "${node.unique.name}"
    value     = "node-3"
    weight    = 100
  }
  group "g" {
    update {
      health_check     = "task_states"
      min_healthy_time = "1s"
    }
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sleep"
        args    = ["3600"]
      }
      resources {
        cpu    = 50
        memory = 20
      }
    }
  }
}
"""


@pytest.fixture
def second(nomad: Any, nomad_process: AgentProcess, tmp_path: Path) -> Iterator[Server]:
    """A node beside those that other tests have or had, with a job on it."""
    with client_beside(nomad_process, tmp_path, "node-3") as client:
        nomad("nomad_node_info", names=["node-1", "node-3"], wait=True, wait_timeout=60)
        nomad("nomad_job", hcl=JOB, wait_timeout=60)
        yield client
        nomad("nomad_job", id="sleeper", state="absent")


def test_a_node_of_nomad(nomad: Any, second: Server, eventually: Callable[..., Any]) -> None:
    def plan(**options: Any) -> Any:
        return nomad("node_removal_info", names=["node-3"], machines={"node-3": "reachable"}, **options)

    found = plan()
    (there,) = found["nodes"]
    assert (there["name"], there["running"], len(there["clients"])) == ("node-3", True, 1)
    assert there["drain"] == there["clients"]
    assert [(job["id"], job["nodes"], job["action"]) for job in found["jobs"]] == [("sleeper", ["node-3"], "move")]
    assert [job["action"] for job in plan(jobs="stop")["jobs"]] == ["stop"]
    # Nobody can stop what is not in the inventory.
    assert "is not in the inventory" in nomad("node_removal_info", names=["node-3"])["refusals"][0]

    running = nomad("nomad_node", fails=True, name="node-3", state="absent", wait=False)
    assert running["msg"] == "Node 'node-3' is ready and would register again: stop its Nomad client first."
    drain = {"name": "node-3", "drain": True, "drain_deadline": 30}
    assert nomad("nomad_node", **drain, wait=False)["changed"] is True
    # A drain that is under way is waited for as well.
    assert nomad("nomad_node", **drain, check_mode=True)["changed"] is False
    nomad("nomad_node", **drain)
    assert nomad("nomad_node_info", names=["node-3"])["nodes"][0]["draining"] is False
    followed = eventually(
        lambda: [
            job
            for job in nomad("node_removal_info", follow=found["jobs"])["followed"]
            if (job["state"], job["nodes"]) == ("running", ["node-1"])
        ]
    )
    assert followed[0]["id"] == "sleeper"

    second.stop()
    planned = nomad("nomad_node", name="node-3", state="absent", check_mode=True)
    assert nomad("nomad_node_info", names=["node-3"])["nodes"] != []
    # Nomad has not seen yet that it is down.
    done = nomad("nomad_node", name="node-3", state="absent", wait_timeout=90)
    assert (planned["operation"], done["operation"], done["node"]) == ("delete", "delete", {})
    assert nomad("nomad_node_info", names=["node-3"])["nodes"] == []
    for check_mode in (True, False):
        again = nomad("nomad_node", nodes=[{"name": "node-3", "state": "absent"}], check_mode=check_mode)
        assert (again["changed"], again["nodes"][0]["operation"]) == (False, "none")
    (refused,) = nomad("node_removal_info", names=["node-3"])["refusals"]
    assert refused.startswith(
        "Node 'node-3' is neither in the inventory nor known to the federation, did you mean \"node-"
    )
    assert refused.endswith("? correct its name, or leave it out where it has been removed.")


def test_a_node_of_another_site_with_the_same_name(
    nomad: Any, nomad_process: AgentProcess, tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    rpc = json.loads((nomad_process.directory / "agent.json").read_text())["ports"]["rpc"]
    binary = os.environ["NOMAD_BINARY"]
    ours, theirs = (
        make_client(tmp_path / site, nomad_process.directory, rpc, "node-5", binary, site) for site in ("ifca", "incd")
    )

    def ids() -> dict[str, str]:
        """By site, the ID of its living node."""
        nodes = nomad("nomad_node_info")["nodes"]
        return {one["datacenter"]: one["id"] for one in nodes if (one["name"], one["status"]) == ("node-5", "ready")}

    try:
        for one in (ours, theirs):
            one.start()
        eventually(lambda: len(ids()) == 2, 60)
        other = ids()["incd"]
        (node,) = nomad(
            "node_removal_info",
            names=["node-5"],
            known=[{"name": "node-5", "site": "ifca", "roles": ["compute"]}],
            machines={"node-5": "reachable"},
        )["nodes"]
        assert node["clients"] == node["drain"] == [ids()["ifca"]]
        # The name would not do.
        assert "2 nodes have the name" in nomad("nomad_node", fails=True, name="node-5", drain=True)["msg"]
        nomad("nomad_node", nodes=[{"name": one, "drain": True, "drain_deadline": -1} for one in node["drain"]])
        ours.stop()
        nomad("nomad_node", nodes=[{"name": one} for one in node["clients"]], state="absent", wait_timeout=90)
        assert ids() == {"incd": other}
        assert [one["eligibility"] for one in nomad("nomad_node_info", names=[other])["nodes"]] == ["eligible"]
    finally:
        for one in (ours, theirs):
            one.kill()
            unmount_below(one.directory)
        nomad("nomad_node", name="node-5", state="absent", wait_timeout=90)


def test_a_plan_for_what_is_not_there(nomad: Any) -> None:
    assert "Site 'nowhere' is neither in the inventory" in nomad("node_removal_info", site="nowhere")["refusals"][0]
    known = [{"name": "gone", "site": "nowhere", "roles": ["compute"]}]
    assert nomad("node_removal_info", site="nowhere", known=known)["refusals"] == []
    wrong = nomad("node_removal_info", fails=True, names=["node-1"], machines={"node-1": "fine"})
    assert wrong["msg"] == "machines gives 'fine' for node 'node-1': use reachable or unreachable, or leave it out."
    assert "without namespace or id" in nomad("node_removal_info", fails=True, follow=[{"id": "x"}])["msg"]
    assert "token" in nomad("node_removal_info", fails=True, nomad_token=str(uuid.uuid4()))["msg"]


def test_checks_of_a_node(nomad: Any) -> None:
    nomad("nomad_node_info", names=["node-1"], wait=True, wait_timeout=60)
    sound = nomad("node_check_info", name="node-1", checks=["registered", "drivers"], drivers=["raw_exec"])
    assert [one["name"] for one in sound["checks"]] == ["registered", "drivers"]
    assert [problem for problem in sound["problems"] if "CNI" not in problem] == []
    # The agent of the tests has neither CNI plugins nor a version of the collection.
    checked = nomad("node_check_info", name="node-1", metadata={"domain": "incd"})
    assert checked["passed"] is False
    (problem,) = (one for one in checked["problems"] if one.startswith("metadata: its domain is"))
    assert problem.startswith("metadata: its domain is 'ifca' and not 'incd' as the inventory says: run deploy, or ")
    assert "metadata: the metadata have no 'ansible_version': run deploy" in checked["problems"]
    assert "storage: the machine cannot be examined over SSH: mend that" in checked["problems"]
    assert checked["meta"]["type"] == "compute"
    empty = nomad("node_check_info", fails=True, name="node-1", checks=[])
    assert "checks is empty, which proves nothing" in empty["msg"]
    # Other tests may have had further nodes.
    assert "(known: node-1" in nomad("node_check_info", fails=True, name="ghost")["msg"]


def test_a_node_of_consul(
    more_consul: Callable[..., Any], consul: Any, run_module: Callable[..., Any], eventually: Callable[..., Any]
) -> None:
    server = more_consul()
    run_module("consul_acl", **server.connection)
    client = more_consul(server=server)

    def ask(module: str, /, **options: Any) -> Any:
        return consul(module, agent=server, **options)

    def seen() -> Any:
        found = ask("consul_node_info", names=["ifca-client"])["nodes"]
        return found[0] if found else {}

    eventually(lambda: seen().get("in_catalog"))
    tokens = [
        {
            "accessor_id": str(uuid.uuid4()),
            "secret_id": str(uuid.uuid4()),
            "description": f"agent on {name}",
            "node_identities": [name],
        }
        for name in ("ifca-client", "ifca-server")
    ]
    ask("consul_acl", tokens=tokens)
    whole = ask("consul_node_info")
    assert [(one["name"], one["voter"], one["alive"], one["leader"]) for one in whole["servers"]] == [
        ("ifca-server", True, True, True)
    ]
    assert [(one["name"], one["member"], one["server"]) for one in whole["nodes"]] == [
        ("ifca-client", "alive", False),
        ("ifca-server", "alive", True),
    ]
    alive = ask("consul_node", fails=True, name="ifca-client", state="absent", wait_timeout=1)
    assert "is alive and would join again" in alive["msg"]
    itself = ask("consul_node", fails=True, name="ifca-server", state="absent")
    assert "cannot remove itself" in itself["msg"]

    client.process.kill()
    planned = ask("consul_node", name="ifca-client", state="absent", check_mode=True)
    assert seen() != {}
    done = ask("consul_node", name="ifca-client", state="absent", wait_timeout=60)
    assert (planned["operation"], done["operation"]) == ("delete", "delete")
    assert (done["node"]["in_catalog"], done["node"]["tokens"]) == (True, ["agent on ifca-client"])
    eventually(lambda: seen() == {})
    for check_mode in (True, False):
        again = ask("consul_node", name="ifca-client", state="absent", check_mode=check_mode)
        assert (again["changed"], again["node"]) == (False, {})
    # The other's token is still there.
    assert ask("consul_acl", tokens=tokens[1:])["changed"] is False
    assert list(ask("consul_acl", tokens=tokens)["operations"]) == ["token agent on ifca-client"]


@pytest.mark.examples("node_removal_info", "node_check_info", "consul_node", "consul_node_info")
def test_examples(nomad_agent: Any, nomad: Any, consul_agent: Any, consul: Any, tmp_path: Path) -> None:
    nomad("nomad_node_info", names=["node-1"], wait=True, wait_timeout=60)
    environment = {
        **example_playbook.connect(nomad_agent),
        "CONSUL_HTTP_ADDR": consul_agent.address,
        "CONSUL_CACERT": consul_agent.connection["consul_ca_cert"],
        "CONSUL_HTTP_TOKEN": consul_agent.token,
    }
    modules = ("node_removal_info", "node_check_info", "consul_node", "consul_node_info")
    tasks = [task for module in modules for task in example_playbook.examples(module)]
    for _again in (False, True):
        found = example_playbook.results(example_playbook.run(tmp_path, {"tasks": tasks}, environment))
        assert [name for name, _ in found] == [task["name"] for task in tasks]
        assert not any(result.get("changed") for _, result in found)
