# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Takes each site away in turn while a module at another one is asked all the time."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from clients import wait
from federation import Federation, Node
from load import Load, deploy_modules, module_at, purge_jobs, undisturbed
from machines import containers, docker
from runs import play
from scenario_figures import record

LOST = 20.0
RATE = 10.0


@pytest.fixture(scope="module")
def modules(federation: Federation) -> Iterator[None]:
    """A module at each site; their cores are free again for the checks that follow."""
    deploy_modules(federation)
    targets = [module_at(federation, site) for site in federation.sites]
    record("site-loss", "undisturbed", requests=undisturbed(targets, rate=RATE))
    yield
    purge_jobs(federation)


def leader(federation: Federation, lost: str) -> str:
    """Return the leader as the servers of the other sites see it, or nothing while they see none."""
    for node in federation.having("server"):
        if node.site != lost:
            return federation.leader_address(node)
    return ""


def machines(federation: Federation, site: str) -> list[Node]:
    return [node for node in federation.nodes.values() if node.site == site]


@pytest.fixture(params=["ifca", "incd", "tubitak"])
def lost(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param


@pytest.mark.parametrize("how", ["killed", "cut off"])
def test_the_others_go_on(
    federation: Federation, modules: None, lost: str, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    other = next(site for site in federation.sites if site != lost)
    addresses = {node.address for node in machines(federation, lost)}
    led = leader(federation, "") in addresses
    with Load([module_at(federation, other)], rate=RATE) as load:
        load.settle()
        # With what it takes until the site is away.
        began = time.monotonic()
        if how == "killed":
            docker("kill", *containers(machines(federation, lost)))
        else:
            play("testbed/cut.yml", "-e", f"cut_site={lost}")
        try:
            wait("a leader at another site", 60, lambda: leader(federation, lost) not in ("", *addresses))
            seconds = time.monotonic() - began if led else None
            # Requests go on for a while after the new leader is there.
            load.wait(LOST)
            summary, failures = load.summaries()[0], load.failures()
        finally:
            if how == "killed":
                play("testbed/create.yml")
            else:
                play("testbed/heal.yml")
    record("site-loss", f"{lost} {how}", leaderless=seconds, requests=[summary])
    with capfd.disabled():
        print(f"\n{lost} {how}: {summary}" + ("" if seconds is None else f", leader after {seconds:.1f} s"))
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
