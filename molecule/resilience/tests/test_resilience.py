# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Breaks one thing after the other in a federation that serves users.

Each time the same is looked at: whether users of the other sites got their answers, whether the playbook status says
what is broken while it is, whether the command that it names mends that and deploy finds the federation as it was, and
whether all deployments run as before.

Containers share this machine's clock. That of one node jumps for its agents, which are run by testbed/another-clock,
and for the Python by which Ansible asks it for the time.

RESILIENCE_SEED repeats the tasks at which an earlier run killed the deployment.
"""

from __future__ import annotations

import contextlib
import email.utils
import json
import os
import random
import re
import shlex
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from clients import run_module, wait
from federation import Federation, Node
from load import (
    CHECKOUT,
    Load,
    allocations,
    deploy_module,
    deploy_modules,
    disturbed,
    module_at,
    undisturbed,
)
from machines import containers, docker
from runs import execute, kill_in, play
from scenario_figures import record

RATE = 20.0
# What a run of status may take on a machine that is busy with all nodes and the load, with nodes that do not answer.
STATUS_SECONDS = 150.0
BACK_SECONDS = 240.0
# For so long after it has started a service may be told not to be well: the others have to see that it is there.
SETTLED_SECONDS = 60.0
HOUR = 3600
SEED = int(os.environ.get("RESILIENCE_SEED") or random.SystemRandom().randrange(10**6))
Captured = pytest.CaptureFixture[str]


@dataclass
class Told:
    """What the playbook status said."""

    code: int
    report: dict[str, Any]
    seconds: float
    output: str = field(repr=False)
    page: str = field(repr=False)

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [one for one in self.report["findings"] if one["severity"] == "error"]

    @property
    def lines(self) -> list[str]:
        return [f"{one['severity']} {one['where']}: {one['message']}" for one in self.report["findings"]]

    def finding(self, where: str, words: str) -> dict[str, Any]:
        """The finding about something; fail the test where there is none."""
        found = [one for one in self.report["findings"] if one["where"] == where and re.search(words, one["message"])]
        assert found, f"nothing says {words!r} of {where}: {self.lines}"
        return dict(found[0])


def status(*arguments: str) -> Told:
    """Run the playbook status; it must end in time, by itself, and with a report."""
    with tempfile.TemporaryDirectory() as directory:
        data, page = Path(directory, "status.json"), Path(directory, "status.html")
        variables = {"status_data": str(data), "status_page": str(page)}
        done = play("imagine.platform.status", *arguments, fails=None, **variables)
        output = done.output
        assert "traceback (most recent" not in output.lower(), output[-4000:]
        assert done.status in (0, 2), output[-4000:]
        assert data.exists(), output[-4000:]
        report = json.loads(data.read_text())
        shown = page.read_text()
    assert done.seconds < STATUS_SECONDS, f"it took {done.seconds:.0f} s"
    # The exit status says whether all is well.
    assert (done.status == 0) == report["healthy"]
    return Told(done.status, report, done.seconds, output, shown)


def follow(finding: Mapping[str, Any]) -> float:
    """Run the command of a finding as it is printed, and return the seconds that it took."""
    return execute(shlex.split(finding["command"])).seconds


class Page(HTMLParser):
    """What a page has: its elements, the rows of its tables, and the words on its map; all that it opens it closes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: Counter[str] = Counter()
        self.rows: list[list[str]] = []
        self.labels: set[str] = set()
        self.inside: list[str] = []
        self.feed(text)
        self.close()
        assert self.inside == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.elements[tag] += 1
        # The one element of such a page that has no end.
        if tag != "meta":
            self.inside.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.elements[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.inside.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.inside):
            self.rows[-1][-1] += data
        if "svg" in self.inside and self.inside[-1] == "text":
            self.labels.add(data)


@pytest.fixture(scope="module")
def modules(federation: Federation) -> Iterator[None]:
    """A module at each site; their cores are free again for the checks that follow."""
    try:
        deploy_modules(federation)
        record("resilience", "undisturbed", requests=undisturbed([module_at(federation, s) for s in federation.sites]))
        yield
    finally:
        # Also those that no node took.
        for site in federation.sites:
            deploy_module(site, demo_state="absent")


def machines(federation: Federation, site: str) -> list[Node]:
    return [node for node in federation.nodes.values() if node.site == site]


AGENTS = {"consul": "Consul", "nomad": "Nomad", "docker": "Docker", "traefik": "Traefik"}
# By role, for those that only some of the nodes have.
ROLES = {"docker": "compute", "traefik": "ingress"}


def agents(node: Node) -> list[str]:
    """The agents that a node runs."""
    return [agent for agent in AGENTS if agent not in ROLES or ROLES[agent] in node.roles]


def leader(federation: Federation, but: str = "") -> Node:
    """The node of Nomad's leader, as a server of another site sees it."""
    found: list[Node] = []

    def known() -> bool:
        for node in federation.having("server"):
            if node.site == but:
                continue
            with contextlib.suppress(OSError, ValueError):
                address = federation.leader_address(node)
                found[:] = [one for one in federation.having("server") if one.address == address and one.site != but]
                if found:
                    return True
        return False

    wait("a leader", 60, known)
    return found[0]


class Disturbance:
    """The users of some sites while something is broken, and what came of it."""

    def __init__(self, federation: Federation, name: str, sites: Sequence[str], capfd: Captured) -> None:
        self.federation = federation
        self.name = name
        self.capfd = capfd
        self.load = Load([module_at(federation, site) for site in sites], rate=RATE)
        self.figures: dict[str, Any] = {}
        self.before = allocations(federation)
        self.jobs = self.running()

    def running(self) -> Counter[str]:
        """How many allocations of each job run."""
        return Counter(one.job for one in allocations(self.federation).values())

    def say(self, text: str) -> None:
        with self.capfd.disabled():
            print(f"\n  {self.name}: {text}", end="", flush=True)

    def __enter__(self) -> Disturbance:
        self.load.__enter__()
        self.load.settle()
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        self.load.__exit__(kind, *rest)
        for summary in self.load.summaries():
            self.say(str(summary))
        self.figures["requests"] = self.load.summaries()
        # What failed is in the table also where the test ends here.
        record("resilience", self.name, requests=self.figures["requests"])
        if kind is None:
            assert self.load.failures() == []

    def told(self, site: str, *arguments: str) -> Told:
        """Ask the playbook status, which must tell of no error at other sites than the broken one."""
        told = status(*arguments)
        places = {"federation", f"site {site}", *(node.name for node in machines(self.federation, site))}
        assert {one["where"] for one in told.errors} <= places, told.lines
        numbers = f"{told.report['errors']} errors, {told.report['warnings']} warnings"
        self.say(f"status took {told.seconds:.0f} s: {numbers}")
        for line in told.lines:
            self.say(f"    {line[:160]}")
        return told

    def mended(self) -> None:
        """Deploy once more, and see that all is as it was before."""
        done = play("imagine.platform.deploy")
        self.figures.update(deploy_seconds=done.seconds, deploy_changes=done.changes)
        if done.changes:
            again = play("imagine.platform.deploy")
            assert again.changes == 0, again.output[-6000:]
        self.say(f"deploy took {self.figures['deploy_seconds']:.0f} s, {self.figures['deploy_changes']} changes")
        last: list[Told] = []

        def well() -> bool:
            last[:] = [status()]
            return last[0].report["healthy"]

        with contextlib.suppress(AssertionError):
            wait("health", BACK_SECONDS, well)
        assert last[0].report["healthy"], last[0].lines
        # No deployment is lost, and none runs more often than before: each is served.
        wait("all jobs run as often as before", BACK_SECONDS, lambda: self.running() == self.jobs)
        with Load([module_at(self.federation, site) for site in self.federation.sites], rate=RATE) as load:
            load.settle(within=BACK_SECONDS)
        record(
            "resilience",
            self.name,
            seconds=self.figures.get("rebuild_seconds", self.figures["deploy_seconds"]),
            leaderless=self.figures.get("leaderless_seconds"),
            requests=self.figures["requests"],
        )


def others(federation: Federation, site: str) -> list[str]:
    return [one for one in federation.sites if one != site]


@pytest.mark.parametrize("agent", AGENTS)
def test_agents_are_killed(federation: Federation, modules: None, agent: str, capfd: Captured) -> None:
    """Without a chance to say goodbye, on all nodes of the site of Nomad's leader, one after the other."""
    site = leader(federation).site
    nodes = [node for node in machines(federation, site) if agent in agents(node)]
    # A site's own users miss its only ingress for the two seconds until it is there again, and what runs in Docker
    # until Nomad has started it again: it takes the end of the daemon for that of the containers.
    users = others(federation, site) if agent in ("traefik", "docker") else federation.sites
    with Disturbance(federation, f"kill-{agent}", users, capfd) as disturbance:
        for node in nodes:
            pid = node.run(f"systemctl show -p MainPID --value {agent}").strip()
            assert int(pid) > 1
            node.run(f"kill -9 {pid}")
        told = disturbance.told(site)
        for node in nodes:
            found = told.finding(node.name, rf"^{AGENTS[agent]} (does not run|died and was started again|runs since)")
            assert found["command"]
        # It is systemd that starts them again.
        for node in nodes:
            wait(f"{agent} runs", 60, lambda node=node: node.host.run(f"systemctl is-active {agent}").rc == 0)
        disturbance.load.wait(10)
    restarted = disturbed(disturbance.before, allocations(federation)).values()
    assert {one.node for one in restarted} <= ({node.name for node in nodes} if agent == "docker" else set())
    disturbance.mended()


@contextlib.contextmanager
def without_module(federation: Federation, node: Node) -> Iterator[None]:
    """Take the module of a node's site away for a while in which the node has no Docker."""
    token = federation.secrets["nomad"]["tokens"]["operator"]

    def well() -> bool:
        listed = federation.nomad("/v1/nodes", token).json()
        return any(one["Drivers"]["docker"]["Healthy"] for one in listed if one["Name"] == node.name)

    deploy_module(node.site, demo_state="absent")
    try:
        yield
        # Before that no node would take the module, and whoever deploys it is told so.
        wait("Nomad sees that Docker runs", 120, well)
    finally:
        deploy_module(node.site)


@pytest.mark.parametrize("agent", AGENTS)
def test_the_command_of_a_finding_mends_it(federation: Federation, modules: None, agent: str, capfd: Captured) -> None:
    """An agent that stays dead."""
    site = federation.sites[1]
    node = next(node for node in machines(federation, site) if ROLES.get(agent, "compute") in node.roles)
    # The site's own users miss all but Nomad: a node without Consul is taken for lost, and its services with it.
    users = federation.sites if agent == "nomad" else others(federation, site)
    # Docker's socket would start it again.
    units = "docker.socket docker.service" if agent == "docker" else agent
    # A deployment that cannot be started again fails for good, which is for its owner to see.
    absence = without_module(federation, node) if agent == "docker" else contextlib.nullcontext()
    with Disturbance(federation, f"stopped-{agent}", users, capfd) as disturbance, absence:
        node.run(f"systemctl stop {units}")
        told = disturbance.told(site)
        assert told.code == 2
        dead = rf"^{AGENTS[agent]} does not run: (inactive \(dead\)|failed \(failed\)) since"
        disturbance.figures["rebuild_seconds"] = follow(told.finding(node.name, dead))
        assert node.host.run(f"systemctl is-active {agent}").rc == 0
    gone = disturbed(disturbance.before, allocations(federation)).values()
    assert {one.node for one in gone} <= ({node.name} if agent == "docker" else set())
    disturbance.mended()


def test_a_machine_hangs(federation: Federation, modules: None, capfd: Captured) -> None:
    """Its connections stay open and nothing comes back."""
    site = federation.sites[2]
    node = next(node for node in federation.having("compute") if node.site == site)
    with Disturbance(federation, "hanging-machine", others(federation, site), capfd) as disturbance:
        # So that there is a connection that hangs, and not only one that cannot be made.
        assert status().report["healthy"]
        docker("pause", *containers([node]))
        try:
            told = disturbance.told(site)
        finally:
            docker("unpause", *containers([node]))
        assert told.code == 2
        found = told.finding(node.name, "^the machine cannot be (reached|examined)")
        assert found["command"]
    disturbance.mended()


def test_a_site_is_cut_off(federation: Federation, modules: None, capfd: Captured) -> None:
    """The one with the leader, from all other sites; its own users are served as well."""
    site = leader(federation).site
    with Disturbance(federation, "cut-off", federation.sites, capfd) as disturbance:
        # With what it takes until the site is cut off.
        began = time.monotonic()
        play("testbed/cut.yml", "-e", f"cut_site={site}")
        try:
            leader(federation, but=site)
            disturbance.figures["leaderless_seconds"] = time.monotonic() - began
            told = disturbance.told(site)
            # Long enough for Nomad to have given up the nodes of the site.
            disturbance.load.wait(30)
        finally:
            play("testbed/heal.yml")
        assert told.code == 2
        told.finding(f"site {site}", f"^the site is cut off from {' and '.join(others(federation, site))}")
        assert told.report["leader"] not in ("", *(node.name for node in machines(federation, site)))
        disturbance.load.wait(15)
    disturbance.say(f"a leader after {disturbance.figures['leaderless_seconds']:.1f} s")
    disturbance.mended()


def test_a_site_is_destroyed_and_built_again(federation: Federation, modules: None, capfd: Captured) -> None:
    """All machines of a site with all that they held; new ones take their places."""
    site = federation.sites[2]
    nodes = machines(federation, site)
    with Disturbance(federation, "site-destroyed", others(federation, site), capfd) as disturbance:
        docker("rm", "--force", "--volumes", *containers(nodes))
        told = disturbance.told(site)
        assert told.code == 2
        lost = told.finding(f"site {site}", f"^none of its {len(nodes)} nodes can be reached.* start the machines")
        play("testbed/create.yml")
        empty = disturbance.told(site)
        for node in nodes:
            # Of the whole site: a node that is not its Consul server would wait for the one that is.
            assert empty.finding(node.name, "^Nomad is not installed")["command"] == lost["command"]
        disturbance.figures["rebuild_seconds"] = follow(lost)
    disturbance.say(f"built again in {disturbance.figures['rebuild_seconds']:.0f} s")
    disturbance.mended()


def test_a_server_is_lost_for_good(federation: Federation, modules: None, capfd: Captured) -> None:
    """The leader, with all that it held; another machine takes its place."""
    node = leader(federation)
    with Disturbance(federation, "server-lost", others(federation, node.site), capfd) as disturbance:
        began = time.monotonic()
        docker("rm", "--force", "--volumes", *containers([node]))
        leader(federation, but=node.site)
        disturbance.figures["leaderless_seconds"] = time.monotonic() - began
        told = disturbance.told(node.site)
        assert told.code == 2
        lost = told.finding(node.name, "^the machine cannot be reached.* start it, then deploy")
        told.finding("federation", "^no further Nomad server may be lost")
        play("testbed/create.yml")
        disturbance.figures["rebuild_seconds"] = follow(lost)
    disturbance.say(
        f"a leader after {disturbance.figures['leaderless_seconds']:.1f} s, built again in "
        f"{disturbance.figures['rebuild_seconds']:.0f} s"
    )
    disturbance.mended()
    # Three vote, and none of them is the one that is gone.
    servers = status().report["servers"]
    assert sorted(one["name"] for one in servers if one["voter"] and one["healthy"]) == sorted(
        one.name for one in federation.having("server")
    )


@contextlib.contextmanager
def small_disk(node: Node, directories: Sequence[str]) -> Iterator[None]:
    """Move the data of Consul and Nomad to file systems that have little space left, and back."""
    node.run("systemctl stop nomad consul")
    try:
        for directory in directories:
            used = int(node.run(f"du -sm {directory}").split()[0])
            node.run(
                f"mv {directory} {directory}.aside && mkdir {directory} && "
                f"mount -t tmpfs -o size={used + 40}m tmpfs {directory} && "
                f"cp -a {directory}.aside/. {directory}/ && chmod --reference={directory}.aside {directory} && "
                f"chown --reference={directory}.aside {directory}"
            )
        node.run("systemctl start consul nomad")
        yield
    finally:
        node.run("systemctl stop nomad consul")
        for directory in directories:
            # What was written meanwhile counts: a server must never go back to what it knew before.
            node.run(
                f"rm -f {directory}/full; if mountpoint -q {directory}; then rm -rf {directory}.aside && "
                f"cp -a {directory} {directory}.aside && umount {directory} && rmdir {directory} && "
                f"mv {directory}.aside {directory}; fi"
            )
        node.run("systemctl start consul nomad")


def test_a_disk_is_full(federation: Federation, modules: None, capfd: Captured) -> None:
    """That of the leader, on which Consul and Nomad can write nothing any more."""
    node = leader(federation)
    directories = ("/var/lib/consul", "/var/lib/nomad")
    token = federation.secrets["nomad"]["tokens"]["operator"]
    other = next(one for one in federation.having("server") if one.site != node.site)
    with Disturbance(federation, "disk-full", others(federation, node.site), capfd) as disturbance:
        with small_disk(node, directories):
            for directory in directories:
                # It ends with an error, which is what it is for.
                node.run(f"! dd if=/dev/zero of={directory}/full bs=1M")
            # The federation takes what is written, as long as a majority can.
            path = "/v1/var/imagine/resilience?namespace=default"
            body = {"Namespace": "default", "Path": "imagine/resilience", "Items": {"filler": "x" * 20000}}

            def written() -> bool:
                with contextlib.suppress(OSError):
                    return federation.nomad(path, token, node=other, method="PUT", body=body).status == 200
                return False

            for _number in range(20):
                wait("a variable is written", 60, written)
            told = disturbance.told(node.site)
            assert told.code == 2
            for directory in directories:
                found = told.finding(node.name, rf"^the disk at {directory} is full")
                assert directory in found["command"]

        def removed() -> bool:
            return federation.nomad(path, token, node=other, method="DELETE").status == 204

        # The server that is back may cost an election.
        wait("the variable is removed", 60, removed)
    disturbance.mended()


# What each agent answers with, as long as it is well.
ASKED = {
    "consul": "--cacert /etc/consul.d/tls/ca.pem https://127.0.0.1:8501/v1/status/leader",
    "nomad": "--cacert /etc/nomad.d/tls/ca.pem https://127.0.0.1:4646/v1/agent/health",
    "docker": "--unix-socket /run/docker.sock http://localhost/version",
    "traefik": "http://127.0.0.1:8080/ping",
}


@dataclass(frozen=True)
class Agent:
    """An agent on a node: for how many seconds it has been active, 0 where it is not, and whether it answers."""

    seconds: float
    answers: bool


def looked_at(federation: Federation) -> dict[tuple[str, str], Agent]:
    """The agents of all nodes, by node and name, as the nodes themselves have them."""
    found = {}
    for node in federation.nodes.values():
        script = "".join(
            f"echo {agent} $(systemctl show -P ActiveState {agent}) "
            f"$(systemctl show -P ActiveEnterTimestampMonotonic {agent}) "
            f"$(curl -sSf -m 10 -o /dev/null {ASKED[agent]} 2>/dev/null && echo yes || echo no); "
            for agent in agents(node)
        )
        *lines, now = node.run(f"{script} python3 -c 'import time; print(time.monotonic())'").splitlines()
        for agent, state, since, answers in map(str.split, lines):
            seconds = float(now) - int(since) / 1e6 if state == "active" else 0.0
            found[node.name, agent] = Agent(seconds, answers == "yes")
    return found


def concerned(federation: Federation, error: Mapping[str, Any]) -> set[str]:
    """The nodes of which one must be ill where there is such an error."""
    if "Nomad server" in error["message"]:
        # What one of them sees of another hangs on each of them.
        return {node.name for node in federation.having("server")}
    if error["node"]:
        return {error["node"]}
    return {node.name for node in federation.nodes.values() if error["site"] in ("", node.site)}


def test_a_deployment_is_interrupted(federation: Federation, modules: None, capfd: Captured) -> None:
    """At random tasks, while it changes the configuration of everything that runs."""
    chance = random.Random(SEED)
    changes = {"nomad_log_level": "DEBUG", "consul_log_level": "DEBUG", "traefik_log_level": "DEBUG"}
    with Disturbance(federation, "interrupted", federation.sites, capfd) as disturbance:
        disturbance.say(f"seed {SEED}")
        points = sorted(chance.sample(range(10, 60), 3))
        where = [
            kill_in("imagine.platform.deploy", point, chance.uniform(0, 1), "-e", json.dumps(changes))
            for point in points
        ]
        disturbance.say("killed at " + "; ".join(where))
        assert not where[0].endswith("the end")
        # A run that ended so has broken nothing: status says so, or names the node.
        began, before = time.monotonic(), looked_at(federation)
        told = status()
        after = looked_at(federation)
        between = time.monotonic() - began
        disturbance.say(f"status: {told.report['errors']} errors")
        for line in told.lines:
            disturbance.say(f"    {line[:160]}")
        # Those that are so before or afterwards, and those that have started since or shortly before.
        ill = {node for (node, _), one in before.items() if not one.answers or one.seconds < SETTLED_SECONDS}
        ill |= {node for (node, _), one in after.items() if not one.answers or one.seconds < between}
        disturbance.say(f"ill: {sorted(ill)}")
        for error in told.errors:
            assert concerned(federation, error) & ill, (error, before, after)
        assert ill or told.report["healthy"]
        for node, agent in before:
            if before[node, agent].seconds == after[node, agent].seconds == 0:
                told.finding(node, f"^{AGENTS[agent]} ")
    assert disturbed(disturbance.before, allocations(federation)) == {}
    disturbance.mended()


@contextlib.contextmanager
def another_clock(node: Node) -> Iterator[Callable[[int], None]]:
    """Run the agents of a node with a clock that can be set; yield what sets it, to seconds from the right time."""
    program, file, units = "/run/another-clock", "/run/another-clock.seconds", {"consul": "consul", "nomad": "root"}

    def put(seconds: int) -> None:
        node.run(f"printf '%-20d' {seconds} | dd of={file} conv=notrunc status=none")

    put(0)
    node.feed(f"umask 022; cat > {program}", CHECKOUT.joinpath("testbed", "another-clock").read_text())
    for unit, user in units.items():
        place = f"/run/systemd/system/{unit}.service.d"
        command = node.run(f"sed -n 's/^ExecStart=//p' /etc/systemd/system/{unit}.service").strip()
        # With all rights, which the helper needs; the program itself has those of its user.
        lines = ["[Service]", "ExecStart=", f"ExecStart=+/usr/bin/python3 {program} {file} {user} {command}"]
        node.feed(f"umask 022; mkdir -p {place}; cat > {place}/another-clock.conf", "\n".join(lines))
    again = f"systemctl daemon-reload; systemctl restart {' '.join(units)}"
    try:
        node.run(again)
        yield put
    finally:
        places = " ".join(f"/run/systemd/system/{unit}.service.d/another-clock.conf" for unit in units)
        node.run(f"rm -f {places}; {again}; rm -f {program} {file}")


def clock_of(node: Node) -> float:
    """By how many seconds the clock of a node's Nomad is off, as its answers have it."""
    command = (
        "curl -sS -o /dev/null -D - --cacert /etc/nomad.d/tls/ca.pem 'https://127.0.0.1:4646/v1/status/leader?stale'"
    )
    (said,) = re.findall(r"(?im)^date: (.+?)\r?$", node.run(command))
    return email.utils.parsedate_to_datetime(said).timestamp() - time.time()


@pytest.mark.parametrize("seconds", [3 * HOUR, -3 * HOUR])
def test_a_clock_jumps(federation: Federation, modules: None, seconds: int, tmp_path: Path, capfd: Captured) -> None:
    """That of the leader, which also has its site's Consul and Traefik."""
    node = leader(federation)
    variables = tmp_path / "another.yml"
    token = federation.secrets["nomad"]["management_token"]

    def well() -> bool:
        return bool(federation.nomad("/v1/operator/autopilot/health", token).json()["Healthy"])

    with another_clock(node) as put:
        wait("the servers are well", BACK_SECONDS, well)
        run_module(federation, "nomad_server", name=node.name, state="leader")
        with Disturbance(federation, f"clock-jump of {seconds / HOUR:+.0f} h", federation.sites, capfd) as disturbance:
            put(seconds)
            assert abs(clock_of(node) - seconds) < 10
            with another_python(node, seconds) as interpreter:
                variables.write_text(json.dumps({f"site_{node.site}": {"hosts": {node.name: interpreter}}}))
                told = disturbance.told(node.site, "-i", str(variables))
            assert told.code == 2
            told.finding(node.name, f"the clock is {'ahead of' if seconds > 0 else 'behind'} the controller's")
            disturbance.load.wait(30)
            put(0)
            assert abs(clock_of(node)) < 10
            disturbance.load.wait(10)
        assert disturbed(disturbance.before, allocations(federation)) == {}
    disturbance.mended()


@contextlib.contextmanager
def another_python(node: Node, seconds: int) -> Iterator[dict[str, str]]:
    """A Python of another time on a node; yield the variables with which Ansible uses it."""
    place = "/tmp/another-time"
    node.run(
        f"mkdir -p {place} && printf 'import time\\nnow = time.time\\ntime.time = lambda: now() + {seconds}\\n' "
        f"> {place}/sitecustomize.py && "
        f"printf '#!/bin/sh\\nPYTHONPATH={place} exec /usr/bin/python3 \"$@\"\\n' > {place}/python3 && "
        f"chmod 755 {place} {place}/python3"
    )
    try:
        yield {"ansible_python_interpreter": f"{place}/python3"}
    finally:
        node.run(f"rm -r {place}")


def test_all_is_well(federation: Federation, modules: None) -> None:
    """What was not broken is not told to be."""
    told = status()
    assert told.code == 0
    assert [line for line in told.lines if "was started again" not in line] == []
    assert told.report["leader"] in [node.name for node in federation.having("server")]
    assert {site["state"] for site in told.report["sites"]} <= {"ok", "warning"}
    assert sum(one["states"]["running"] for one in told.report["deployments"]) >= len(federation.sites)
    assert {link["state"] for link in told.report["links"]} == {"ok"}
    page = Page(told.page)
    assert page.elements["svg"] == 1
    assert page.elements["script"] == 0
    for site in federation.sites:
        # The star is for Nomad's leader.
        assert {site, f"{site} ★"} & page.labels, page.labels
        assert [row for row in page.rows if row[0] == site], page.rows
    assert {node["name"] for node in told.report["nodes"]} == set(federation.nodes)
    for node in told.report["nodes"]:
        (row,) = [row for row in page.rows if row[:2] == [node["site"], node["name"]]]
        versions = {agent: service["version"] for agent, service in node["services"].items()}
        assert set(versions) == set(agents(federation.nodes[node["name"]]))
        assert all(versions.values()), versions
        assert set(versions.values()) <= set(row), row


def test_certificates_that_end_too_soon_are_errors(federation: Federation) -> None:
    """Those of nodes are valid for a year, and the authorities for longer."""
    told = status("-e", "status_certificate_days=400")
    assert told.code == 2
    expected = Counter(
        (name, AGENTS[agent]) for name, node in federation.nodes.items() for agent in agents(node) if agent != "docker"
    )
    found: Counter[tuple[str, str]] = Counter()
    for error in told.errors:
        said = re.fullmatch(r"the certificate of (\w+) ends in 36\d days", error["message"])
        assert said, error
        assert error["command"].endswith(f" imagine.platform.deploy --limit {error['where']}")
        found[error["where"], said[1]] += 1
    assert found == expected
    assert {node["name"] for node in told.report["nodes"] if node["state"] == "error"} == set(federation.nodes)
    assert told.report["errors"] == found.total()


def test_wrong_limit_is_told(federation: Federation) -> None:
    """Nobody is told that all is well who asked about nothing."""
    assert "nowhere" in play("imagine.platform.status", "--limit", "nowhere", fails=True).output
