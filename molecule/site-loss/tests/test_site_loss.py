# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Takes each site away in turn while a module at another one is asked all the time."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

import pytest
from federation import Federation, Node
from load import CHECKOUT, Load, deploy_modules, module_at, play, purge_jobs

LOST = 20.0
RATE = 10.0


@pytest.fixture(scope="module")
def modules(federation: Federation) -> Iterator[None]:
    """A module at each site; their cores are free again for the checks that follow."""
    deploy_modules(federation)
    yield
    purge_jobs(federation)


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
    with Load([module_at(federation, other)], rate=RATE) as load:
        load.settle()
        if how == "killed":
            subprocess.run([*docker, "kill", *containers(federation, lost)], check=True, stdout=subprocess.DEVNULL)
        else:
            play("testbed/cut.yml", "-e", f"cut_site={lost}")
        try:
            seconds = wait("a leader at another site", 60, lambda: leader(federation, lost) not in ("", *addresses))
            # Requests go on for a while after the new leader is there.
            load.wait(LOST)
            summary, failures = load.summaries()[0], load.failures()
        finally:
            if how == "killed":
                play("testbed/create.yml")
            else:
                play("testbed/heal.yml")
    with capfd.disabled():
        print(f"\n{lost} {how}: {summary}, leader after {seconds:.1f} s")
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
    with Load([module_at(federation, lost)], rate=RATE) as load:
        load.settle(within=120)
