# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Nodes and sites that are removed, in the order in which the federation shrinks; at the end it grows again."""

from __future__ import annotations

import datetime
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clients import image, until
from federation import INVENTORIES, REPOSITORY, Federation, Node, connect, evaluated
from load import Load, Target, allocations, module_behind, restarts, undisturbed
from machines import containers, docker
from runs import Run, execute, kill_at, play
from scenario_figures import record

Json = dict[str, Any]
DEADLINE = 25
# A run may end at any of its steps, and the next one goes on from there.
KILLED_AT = (
    "Begin to move away what runs there",
    "Remove the federation's keys, tokens, configuration and state",
    "Remove the nodes from Nomad",
)
# Where the federation's keys, tokens and state are on a node.
PLACES = "/etc/nomad.d /etc/consul.d /etc/traefik /var/lib/nomad /var/lib/consul /var/lib/traefik"


class State:
    """What the federation knows, each time asked anew."""

    def __init__(self, federation: Federation) -> None:
        self.federation = federation
        self.token = str(federation.secrets["nomad"]["management_token"])
        self.servers = federation.having("server")

    def nomad(self, path: str, method: str = "GET", body: Any = None) -> Any:
        """Ask whichever server answers."""
        for server in self.servers:
            try:
                answer = self.federation.nomad(path, self.token, node=server, method=method, body=body)
            except OSError:
                continue
            assert answer.status == 200, answer.body
            return answer.json() if answer.body else None
        raise AssertionError("no server answers")

    def nodes(self) -> dict[str, str]:
        return {node["Name"]: node["SchedulingEligibility"] for node in self.nomad("/v1/nodes")}

    def eligible(self, name: str, wanted: bool) -> None:
        """Let a node take jobs, or not."""
        (node,) = [one["ID"] for one in self.nomad("/v1/nodes") if one["Name"] == name]
        body = {"Eligibility": "eligible" if wanted else "ineligible"}
        self.nomad(f"/v1/node/{node}/eligibility", "POST", body)

    def peers(self) -> list[str]:
        """The servers in Raft, without their region."""
        found = self.nomad("/v1/operator/raft/configuration")["Servers"]
        return sorted(server["Node"].partition(".")[0] for server in found)

    def gossip(self) -> list[str]:
        members = self.nomad("/v1/agent/members")["Members"]
        return sorted(member["Name"].partition(".")[0] for member in members if member["Status"] != "left")

    def leader(self) -> str:
        found = self.nomad("/v1/operator/raft/configuration")["Servers"]
        return next(server["Node"].partition(".")[0] for server in found if server["Leader"])

    def registry(self) -> dict[str, list[str]]:
        """Names of the nodes by site."""
        items = self.nomad("/v1/var/imagine/registry?namespace=default")["Items"]
        sites = {name[len("site/") :]: json.loads(text) for name, text in items.items() if name.startswith("site/")}
        return {name: sorted(node["name"] for node in site["nodes"]) for name, site in sites.items()}

    def secrets(self) -> Json:
        return dict(Federation().secrets["sites"])

    def consul(self, site: str, path: str) -> Any:
        """Ask a site's Consul server with its management token."""
        node = next(one for one in self.servers if one.site == site)
        return node.consul(path, self.federation.secrets["sites"][site]["consul_management_token"]).json()

    def everything(self) -> Json:
        """All of it, to see that nothing was changed."""
        return {
            "nodes": self.nodes(),
            "peers": self.peers(),
            "gossip": self.gossip(),
            "registry": self.registry(),
            "secrets": self.secrets(),
            "tokens": {site: len(self.consul(site, "/v1/acl/tokens")) for site in self.federation.sites},
        }


@pytest.fixture(scope="module")
def federation() -> Federation:
    return Federation()


@pytest.fixture(scope="module")
def state(federation: Federation) -> State:
    return State(federation)


@pytest.fixture(scope="module")
def reference(federation: Federation) -> str:
    """The image of the module."""
    return image(federation)


def remove(*names: str, fails: bool = False, arguments: tuple[str, ...] = (), **variables: Any) -> Run:
    given = {"node_remove_nodes": list(names), "node_remove_drain_deadline": DEADLINE, **variables}
    return play("imagine.platform.node_remove", *arguments, fails=fails, **given)


def remove_site(name: str, fails: bool = False, arguments: tuple[str, ...] = (), **variables: Any) -> Run:
    given = {"site_remove_site": name, "site_remove_drain_deadline": DEADLINE, **variables}
    return play("imagine.platform.site_remove", *arguments, fails=fails, **given)


def job(name: str, kind: str, image_name: str, condition: str) -> str:
    """A job that sleeps until it is told to stop."""
    service = "reschedule { unlimited = true }" if kind == "service" else "reschedule { attempts = 0 }"
    return f"""
job "{name}" {{
  namespace = "imagine"
  type      = "{kind}"
  {condition}
  group "g" {{
    {service}
    task "main" {{
      driver = "docker"
      config {{
        image   = "{image_name}"
        command = "python"
        args    = ["-c", "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(0)); time.sleep(3600)"]
      }}
      resources {{
        cpu    = 100
        memory = 64
      }}
    }}
  }}
}}
"""


def prefers(node: str) -> str:
    return f"""affinity {{
    attribute = "${{node.unique.name}}"
    value     = "{node}"
    weight    = 100
  }}
  constraint {{
    attribute = "${{meta.type}}"
    value     = "compute"
  }}"""


def needs(node: str) -> str:
    return f"""constraint {{
    attribute = "${{node.unique.name}}"
    value     = "{node}"
  }}"""


class Jobs:
    """Jobs of the tests."""

    def __init__(self, state: State, reference: str) -> None:
        self.state, self.reference = state, reference

    def start(self, name: str, kind: str, condition: str) -> None:
        """Register a job and wait until it runs."""
        text = job(name, kind, self.reference, condition)
        parsed = self.state.nomad("/v1/jobs/parse", "POST", {"JobHCL": text, "Canonicalize": True})
        self.state.nomad("/v1/jobs?namespace=imagine", "POST", {"Job": parsed})
        until(f"{name} runs", 120, lambda: self.runs_on(name))

    def runs_on(self, name: str) -> list[str]:
        allocations = self.state.nomad(f"/v1/job/{name}/allocations?namespace=imagine")
        return [one["NodeName"] for one in allocations if one["ClientStatus"] == "running"]

    def ended(self, name: str) -> float:
        """When the allocation of a job ended, in seconds since 1970."""
        (allocation,) = self.state.nomad(f"/v1/job/{name}/allocations?namespace=imagine&task_states=true")
        return datetime.datetime.fromisoformat(allocation["TaskStates"]["main"]["FinishedAt"]).timestamp()

    def status(self, name: str) -> tuple[str, bool]:
        found = self.state.nomad(f"/v1/job/{name}?namespace=imagine")
        return found["Status"], bool(found["Stop"])


@pytest.fixture(scope="module")
def jobs(state: State, reference: str) -> Iterator[Jobs]:
    yield Jobs(state, reference)
    for one in state.nomad("/v1/jobs?namespace=*"):
        state.nomad(f"/v1/job/{one['ID']}?purge=true&namespace={one['Namespace']}", "DELETE")


@pytest.fixture(scope="module")
def digits(federation: Federation, jobs: Jobs) -> Target:
    """A module that users ask at ifca while other nodes go."""
    play("testbed/demo.yml", demo_name="removal", demo_site="ifca")
    ingress = next(one for one in federation.having("ingress") if one.site == "ifca")
    target = module_behind(federation, [ingress], "removal")
    record("remove", "undisturbed", requests=undisturbed([target], seconds=30))
    return target


def is_bare(node: Node) -> bool:
    """Whether nothing of the federation is left on a machine."""
    left = node.run(f"ls -d {PLACES} 2>/dev/null || true").split()
    units = node.run("systemctl list-units --all --no-legend nomad.service consul.service traefik.service").strip()
    mounted = node.run("grep -c /var/lib/nomad /proc/self/mounts || true").strip()
    assert (left, units, mounted) == ([], "", "0"), node.name
    return True


@pytest.mark.parametrize(
    ("names", "more", "words"),
    [
        ([], {}, "node_remove_nodes is empty: name the nodes to remove"),
        (
            ["ifca-comput"],
            {},
            'is neither in the inventory nor known to the federation, did you mean "ifca-compute"?',
        ),
        (["ifca-server"], {}, "Without ifca-server, the last ingress of site 'ifca', none of its users' addresses"),
        (
            ["ifca-server", "incd-server"],
            {},
            "Without ifca-server and incd-server, 1 of the 3 Nomad servers would run, fewer than the 2 of a majority",
        ),
        (["ifca-server", "ifca-compute"], {}, "are all that site 'ifca' has: remove the site with the playbook"),
        (
            ["ifca-server", "incd-server", "tubitak-server"],
            {"node_remove_force": True},
            "the federation would have no Nomad server: add others first.",
        ),
        (
            ["ifca-compute"],
            {"node_remove_drain_deadline": 0},
            "The drain deadline is 0, with which a node may never be",
        ),
        (["ifca-compute"], {"arguments": ("--limit", "site_ifca")}, '--limit is "site_ifca"'),
        (["ifca-compute"], {"node_remove_job": "stop"}, "node_remove_job = stop: nothing reads this variable"),
        (["ifca-compute"], {"node_remove_jobs": "kill"}, "value of node_remove_jobs must be one of: move, stop"),
    ],
)
def test_refusals(state: State, names: list[str], more: Json, words: str) -> None:
    before = state.everything()
    refused = remove(*names, fails=True, **more)
    assert words in refused.text
    assert sum(refused.changed.values()) == 0
    assert state.everything() == before


def test_a_site_that_nobody_knows(state: State) -> None:
    before = state.everything()
    refused = remove_site("tubitac", fails=True)
    assert (
        "Site 'tubitac' is neither in the inventory nor known to the federation, did you mean \"tubitak\"?"
        in refused.text
    )
    assert "site_remove_site is empty: name the site to remove" in remove_site("", fails=True).text
    assert state.everything() == before


def test_a_server_that_the_others_need(state: State, federation: Federation) -> None:
    down = federation.nodes["tubitak-server"]
    down.run("systemctl stop nomad.service")
    try:
        until(
            "the others see it",
            120,
            lambda: any(
                member["Name"].startswith("tubitak-server") and member["Status"] == "failed"
                for member in state.nomad("/v1/agent/members")["Members"]
            ),
        )
        rebooted = play(
            "imagine.platform.reboot",
            *("--limit", "site_ifca"),
            fails=True,
            maintenance_reboot_all=True,
            maintenance_accept_outage=True,
        )
        assert "Not all Nomad servers are well: tubitak-server; mend or remove them first" in rebooted.text
        assert rebooted.changes == 0
        # Autopilot may have taken the vote from the dead one by now, or may do so meanwhile.
        before = state.nodes(), state.registry(), state.secrets()
        refused = remove_site("incd", fails=True)
        assert re.search(
            r"Without incd-server, 1 of the [23] Nomad servers would run, fewer than the 2 of a majority, and the "
            r"federation would stand still: ",
            refused.text,
        ), refused.output
        assert (state.nodes(), state.registry(), state.secrets()) == before
        assert {"ifca-server", "incd-server"} <= set(state.peers())
    finally:
        down.run("systemctl start nomad.service")
    until("it is back", 120, lambda: "tubitak-server" in state.gossip() and len(state.peers()) == 3)
    until("its node is back", 120, lambda: all(node["Status"] == "ready" for node in state.nomad("/v1/nodes")))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[str, str], dict[str, Node]]:
    """A site without a Nomad server, whose two ingress nodes are its Consul servers: its inventory and its nodes."""
    directory = tmp_path_factory.mktemp("pair") / "inventory"
    shutil.copytree(Path(REPOSITORY) / "inventories" / "local-walton", directory)
    text = (directory / "walton.yml").read_text(encoding="utf-8")
    for roles in ("[compute]", "[ingress]"):
        assert text.count(f"node_roles: {roles}") == 1
        text = text.replace(f"node_roles: {roles}", "node_roles: [ingress, compute]")
    (directory / "walton.yml").write_text(text, encoding="utf-8")
    more = ("-i", str(directory))
    execute(["ansible-playbook", *INVENTORIES, *more, "testbed/create.yml"])
    play("imagine.platform.deploy", *more)
    found = evaluated([*INVENTORIES, f"--inventory={directory}"])
    return more, {name: Node(name, found[name], connect(found[name])) for name in ("walton-server", "walton-compute")}


def test_one_of_two_consul_servers(
    federation: Federation, state: State, jobs: Jobs, pair: tuple[tuple[str, str], dict[str, Node]]
) -> None:
    more, nodes = pair
    token = state.secrets()["walton"]["consul_management_token"]

    def voters(node: Node) -> list[str]:
        return sorted(peer["Node"] for peer in node.consul("/v1/operator/raft/configuration", token).json()["Servers"])

    first = nodes["walton-server"]
    assert voters(first) == sorted(nodes)
    address = first.consul("/v1/status/leader", token).json().partition(":")[0]
    (leader,) = [node for node in nodes.values() if node.address == address]
    (other,) = [node for node in nodes.values() if node is not leader]
    # Users ask a module that runs on the node that goes, through the ingress node that stays.
    state.eligible(other.name, False)
    play("testbed/demo.yml", *more, demo_name="moves", demo_site="walton")
    state.eligible(other.name, True)
    assert [one.node for one in allocations(federation).values()] == [leader.name]
    with Load([module_behind(federation, [other], "moves")]) as load:
        load.settle()
        # Without force: while both are there, one can hand its vote over.
        done = remove(leader.name, arguments=more, node_remove_drain_deadline=300)
        load.wait(5)
    record("remove", "the node that serves a module", seconds=done.seconds, requests=load.summaries())
    assert load.failures() == [], load.bursts()
    assert [one.node for one in allocations(federation).values()] == [other.name]
    assert restarts(federation) == {}
    assert state.nomad("/v1/vars?prefix=imagine/surge&namespace=default") == []
    assert voters(other) == [other.name]
    assert other.consul("/v1/kv/written", token, method="PUT", body="since").json() is True
    assert [member["Name"] for member in other.consul("/v1/agent/members", token).json()] == [other.name]
    assert state.registry()["walton"] == [other.name]
    assert is_bare(leader)
    assert sum(remove(leader.name, arguments=more).changed.values()) == 0

    remove_site("walton", arguments=more)
    assert "walton" not in {*state.registry(), *state.secrets()}
    assert is_bare(other)


def test_check_mode(state: State, jobs: Jobs) -> None:
    jobs.start("wanderer", "service", prefers("incd-compute"))
    before = state.everything()
    run = remove("incd-compute", arguments=("--check", "--diff"))
    assert sum(run.changed.values()) > 0
    assert "imagine/wanderer on incd-compute moves to other nodes" in run.text
    assert state.everything() == before
    assert jobs.runs_on("wanderer") == ["incd-compute"]
    assert sum(remove_site("tubitak", arguments=("--check",)).changed.values()) > 0
    assert state.everything() == before


def test_a_compute_node(state: State, federation: Federation, jobs: Jobs, digits: Target, capfd: Any) -> None:
    # A batch job may finish its work until the deadline; what is bound to the node has nowhere to go.
    jobs.start("worker", "batch", needs("incd-compute"))
    jobs.start("bound", "service", needs("incd-compute"))
    with Load([digits]) as load:
        load.settle()
        run = remove("incd-compute")
    record("remove", "a compute node", seconds=run.seconds, requests=load.summaries())
    with capfd.disabled():
        print(f"\nnode: {run.seconds:.0f} s", *load.summaries(), sep="\n")
    assert load.failures() == []
    # The service ends when the drain begins, since no other node takes it, and the batch job at the deadline.
    assert DEADLINE - 5 < jobs.ended("worker") - jobs.ended("bound") < DEADLINE + 20
    moved = jobs.runs_on("wanderer")
    assert len(moved) == 1
    assert f"imagine/wanderer runs on {moved[0]}" in run.text
    assert "imagine/bound waits for a node" in run.text
    assert jobs.runs_on("worker") == jobs.runs_on("bound") == []
    assert jobs.status("bound") == ("pending", False)
    assert "Take incd-compute out of the inventory" in run.text

    assert "incd-compute" not in state.nodes()
    assert state.registry()["incd"] == ["incd-server"]
    assert sorted(state.secrets()["incd"]["consul_tokens"]) == ["incd-server"]
    assert [node["Node"] for node in state.consul("incd", "/v1/catalog/nodes")] == ["incd-server"]
    assert [member["Name"] for member in state.consul("incd", "/v1/agent/members")] == ["incd-server"]
    descriptions = [token["Description"] for token in state.consul("incd", "/v1/acl/tokens")]
    assert [text for text in descriptions if "incd-compute" in text] == []
    assert [text for text in descriptions if "incd-server" in text]
    assert is_bare(federation.nodes["incd-compute"])

    again = remove("incd-compute")
    assert sum(again.changed.values()) == 0
    assert again.changed


def test_a_site_with_the_leader(state: State, federation: Federation, jobs: Jobs, digits: Target, capfd: Any) -> None:
    peer = next(
        one["ID"]
        for one in state.nomad("/v1/operator/raft/configuration")["Servers"]
        if "tubitak-server" in one["Node"]
    )
    if state.leader() != "tubitak-server":
        state.nomad(f"/v1/operator/raft/transfer-leadership?id={peer}", "PUT")
        until("tubitak-server leads", 60, lambda: state.leader() == "tubitak-server")
    jobs.start("stays", "service", needs("tubitak-compute"))
    options: Json = {"site_remove_site": "tubitak", "site_remove_jobs": "stop", "site_remove_drain_deadline": DEADLINE}
    with Load([digits]) as load:
        load.settle()
        told = [kill_at("imagine.platform.site_remove", task, **options) for task in KILLED_AT]
        run = remove_site("tubitak", site_remove_jobs="stop")
    record("remove", "a site with the leader, after kills", seconds=run.seconds, requests=load.summaries())
    with capfd.disabled():
        print(f"\nsite: {run.seconds:.0f} s", *load.summaries(), sep="\n")
    assert load.failures() == []
    assert jobs.status("stays") == ("dead", True)
    # The last run finds the server gone already.
    assert "2 Nomad servers would be left, of which none may fail" in told[0]
    assert "out of the inventory, else deploy makes them part of the federation" in run.text

    assert state.peers() == state.gossip() == ["ifca-server", "incd-server"]
    assert sorted(state.nodes()) == ["ifca-compute", "ifca-server", "incd-server"]
    assert sorted(state.registry()) == sorted(state.secrets()) == ["ifca", "incd"]
    assert not Path(federation.ca("consul-tubitak")).exists()
    for node in federation.nodes.values():
        assert node.site != "tubitak" or is_bare(node)

    again = remove_site("tubitak")
    assert sum(again.changed.values()) == 0
    assert again.changed


def test_force_goes_below_the_quorum(state: State, jobs: Jobs) -> None:
    refused = remove_site("incd", fails=True)
    assert "Without incd-server, 1 of the 2 Nomad servers would run, fewer than the 2 of a majority" in refused.text
    assert state.peers() == ["ifca-server", "incd-server"]
    remove_site("incd", site_remove_force=True)
    assert state.peers() == ["ifca-server"]
    assert state.leader() == "ifca-server"
    assert sorted(state.nodes()) == ["ifca-compute", "ifca-server"]
    assert sorted(state.registry()) == ["ifca"]


def test_a_node_that_is_gone(state: State, federation: Federation, jobs: Jobs) -> None:
    """Its machine is destroyed: nothing can be stopped there, and the last node but one of the site goes."""
    docker("kill", *containers(["ifca-compute"]))
    until(
        "Nomad sees it",
        120,
        lambda: any(
            node["Name"] == "ifca-compute" and node["Status"] in ("down", "disconnected")
            for node in state.nomad("/v1/nodes")
        ),
    )
    run = remove("ifca-compute")
    assert "ifca-compute could not be cleared: whoever has the machine has its keys" in run.text
    assert sorted(state.nodes()) == ["ifca-server"]
    assert state.registry() == {"ifca": ["ifca-server"]}
    assert [member["Name"] for member in state.consul("ifca", "/v1/agent/members")] == ["ifca-server"]
    play("testbed/create.yml")


def test_what_was_removed_can_be_deployed_again(state: State, federation: Federation, jobs: Jobs) -> None:
    play("imagine.platform.deploy")
    assert sorted(state.nodes()) == sorted(federation.nodes)
    assert state.peers() == sorted(node.name for node in federation.having("server"))
    assert sorted(state.registry()) == federation.sites
    again = play("imagine.platform.deploy")
    assert sum(again.changed.values()) == 0
