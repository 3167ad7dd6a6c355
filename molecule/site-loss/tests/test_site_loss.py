# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Takes each site away in turn while a module at another one is asked all the time."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from federation import Federation, Node, ask

CHECKOUT = Path(__file__).resolve().parents[3]
INVENTORY = os.environ.get("FEDERATION_INVENTORY", str(CHECKOUT / "inventories" / "local"))
LOST = 20.0


def play(playbook: str, *arguments: str) -> None:
    """Run a playbook to its end."""
    done = subprocess.run(
        ["ansible-playbook", "-i", INVENTORY, playbook, *arguments], capture_output=True, text=True, cwd=CHECKOUT
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def name_at(site: str) -> str:
    return f"digits-{site}"


@pytest.fixture(scope="module")
def modules(federation: Federation) -> Iterator[None]:
    """A module at each site; their cores are free again for the checks that follow."""
    subprocess.run([CHECKOUT / "testbed" / "module" / "build"], check=True, stdout=subprocess.DEVNULL)
    for site in federation.sites:
        play("testbed/demo.yml", "-e", json.dumps({"demo_name": name_at(site), "demo_site": site}))
    yield
    token = federation.secrets["nomad"]["tokens"]["operator"]
    for job in federation.nomad("/v1/jobs?namespace=*", token).json():
        path = f"/v1/job/{job['ID']}?purge=true&namespace={job['Namespace']}"
        assert federation.nomad(path, token, method="DELETE").status == 200


@dataclass
class Client:
    """Asks a module ten times a second, without trying again, and remembers what failed."""

    federation: Federation
    site: str
    asked: int = 0
    failures: list[str] = field(default_factory=list)
    running: bool = True

    def __post_init__(self) -> None:
        nodes = [node for node in self.federation.having("ingress") if node.site == self.site]
        base = self.federation.variables["federation_vos"][0]["base_domain"]
        self.node = nodes[0]
        self.name = f"api-{name_at(self.site)}.{self.node.variables['site_domain']}-{base}"
        self.thread = threading.Thread(target=self.loop)

    def once(self) -> str:
        """Return what went wrong, or nothing."""
        try:
            answer = ask(self.node.address, 443, "/v2/models/", name=self.name, ca=self.federation.ca("ingress"))
        except OSError as error:
            return str(error)
        return "" if answer.status == 200 else f"HTTP {answer.status}"

    def loop(self) -> None:
        while self.running:
            self.asked += 1
            if problem := self.once():
                self.failures.append(problem)
            time.sleep(0.1)

    def __enter__(self) -> Client:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.running = False
        self.thread.join()


def leader(federation: Federation, lost: str) -> str:
    """Return the leader as the servers of the other sites see it, or nothing while they see none."""
    for node in federation.having("server"):
        if node.site != lost:
            answer = federation.nomad("/v1/status/leader", node=node)
            return str(answer.json()).partition(":")[0] if answer.status == 200 else ""
    return ""


def wait(what: str, seconds: float, condition: object) -> float:
    """Wait until C(condition()) holds and return how long it took."""
    assert callable(condition)
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, f"{what} did not hold within {seconds} s"
        time.sleep(0.2)
    return time.monotonic() - started


def machines(federation: Federation, site: str) -> list[Node]:
    return [node for node in federation.nodes.values() if node.site == site]


def containers(federation: Federation, site: str) -> list[str]:
    prefix = os.environ.get("LOCAL_FEDERATION", "imagine")
    return [f"{prefix}-{node.name}" for node in machines(federation, site)]


@pytest.fixture(scope="module")
def docker() -> list[str]:
    """The command that reaches the daemon of the nodes."""
    host = subprocess.run(
        [CHECKOUT / "testbed" / "docker-daemon", "start"], check=True, capture_output=True, text=True
    ).stdout.strip()
    return ["docker", "--host", host]


@pytest.fixture(params=["ifca", "incd", "tubitak"])
def lost(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param


@pytest.mark.parametrize("how", ["killed", "cut off"])
def test_the_others_go_on(
    federation: Federation, modules: None, docker: list[str], lost: str, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    other = next(site for site in federation.sites if site != lost)
    addresses = {node.address for node in machines(federation, lost)}
    with Client(federation, other) as client:
        wait("the module at the other site answers", 60, lambda: not client.once())
        client.asked, client.failures = 0, []
        if how == "killed":
            subprocess.run([*docker, "kill", *containers(federation, lost)], check=True, stdout=subprocess.DEVNULL)
        else:
            play("testbed/cut.yml", "-e", f"cut_site={lost}")
        try:
            seconds = wait("a leader at another site", 60, lambda: leader(federation, lost) not in ("", *addresses))
            # Requests go on for a while after the new leader is there.
            wait("requests", LOST + 10, lambda enough=client.asked + int(LOST / 0.2): client.asked >= enough)
            asked, failures = client.asked, list(client.failures)
        finally:
            if how == "killed":
                play("testbed/create.yml")
            else:
                play("testbed/heal.yml")
    with capfd.disabled():
        print(f"\n{lost} {how}: {asked} requests at {other}, {len(failures)} failed, leader after {seconds:.1f} s")
    assert failures == []
    token = federation.secrets["nomad"]["tokens"]["operator"]

    def all_ready() -> bool:
        nodes = federation.nomad("/v1/nodes", token).json()
        return {node["Name"] for node in nodes if node["Status"] == "ready"} == set(federation.nodes)

    def whole() -> bool:
        try:
            return all_ready()
        except (OSError, ValueError):
            return False

    wait("all nodes are ready again", 120, whole)
    wait("the module of the lost site answers again", 120, lambda: not Client(federation, lost).once())
