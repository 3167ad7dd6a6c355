# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Upgrades and reboots all nodes while a module at each site is asked twenty times a second."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator

import pytest
from federation import Federation
from load import (
    Load,
    Running,
    Summary,
    Target,
    allocations,
    deploy_modules,
    disturbed,
    module_at,
    purge_jobs,
    undisturbed,
)
from runs import kill_at, play
from scenario_figures import record

UPGRADE, REBOOT = "imagine.platform.upgrade", "imagine.platform.reboot"
OLD = {
    "release_nomad_version": os.environ.get("UPGRADE_FROM_NOMAD", "1.10.5"),
    "release_consul_version": os.environ.get("UPGRADE_FROM_CONSUL", "1.22.5"),
    "release_traefik_version": os.environ.get("UPGRADE_FROM_TRAEFIK", "3.6.15"),
}
OLD_VERSIONS = {name.split("_")[1]: version for name, version in OLD.items()}


def running_versions(federation: Federation) -> dict[str, dict[str, str]]:
    """Versions of the processes of each node, by the directory that their binaries are in."""
    script = "for p in consul nomad traefik; do readlink /proc/$(systemctl show -P MainPID $p)/exe; done"
    found = {}
    for name, node in federation.nodes.items():
        paths = [line.split("/") for line in node.run(script).split()]
        found[name] = {parts[-3]: parts[-2].rpartition("-")[0] for parts in paths}
    return found


# The distribution has one version of Docker: the same with a lower number is what an older package is to its tools.
OLDER_DOCKER = """
set -e
cd $(mktemp -d)
apt-get -qq update
apt-get -qq -o APT::Sandbox::User=root download docker.io
dpkg-deb -R docker.io_*.deb tree
sed -i 's/^Version: \\([^-]*\\)-.*/Version: \\1-0older/' tree/DEBIAN/control
dpkg-deb -Zgzip -z1 --build tree older.deb
dpkg --force-confold -i older.deb
rm -r "$PWD"
"""


def docker_versions(federation: Federation) -> dict[str, str]:
    """Versions of Docker's package, by node."""
    return {name: node.run("dpkg-query -W -f '${Version}' docker.io") for name, node in federation.nodes.items()}


@pytest.fixture(scope="module")
def federation() -> Federation:
    """A federation of the old versions; its secrets can be read once it is deployed."""
    play("imagine.platform.deploy", **OLD)
    federation = Federation()
    for name in ("incd-compute", "tubitak-server"):
        federation.nodes[name].run(OLDER_DOCKER)
    return federation


@pytest.fixture(scope="module")
def targets(federation: Federation) -> Iterator[list[Target]]:
    """A module at each site."""
    deploy_modules(federation)
    yield [module_at(federation, site) for site in federation.sites]
    purge_jobs(federation)


@pytest.fixture(scope="module")
def calm(targets: list[Target]) -> list[Summary]:
    """What requests take while nothing is done."""
    return undisturbed(targets)


def show(capfd: pytest.CaptureFixture[str], what: str, seconds: float, calm: list[Summary], load: Load) -> None:
    busy = load.summaries()
    record("upgrade", "undisturbed", requests=calm)
    record("upgrade", what, seconds=seconds, requests=busy)
    with capfd.disabled():
        print(f"\n{what}\n" + "\n".join(f"  undisturbed  {one}" for one in calm))
        print("\n".join(f"  meanwhile    {one}" for one in busy))
        print("\n".join(f"  failed at {one}" for one in load.bursts()))


def check_moved(federation: Federation, before: dict[str, Running]) -> None:
    """Every job runs as often as before, in allocations none of which was restarted."""
    after = allocations(federation)
    assert sorted(one.job for one in after.values()) == sorted(one.job for one in before.values())
    assert [one for one in after.values() if one.restarts] == []
    # All nodes were drained, so that all have moved; none came back in the allocation that it was.
    assert set(disturbed(before, after)) == set(before)


def check_given_back(federation: Federation) -> None:
    token = federation.secrets["nomad"]["tokens"]["operator"]
    for listed in federation.nomad("/v1/nodes", token).json():
        node = federation.nomad(f"/v1/node/{listed['ID']}", token).json()
        assert node["SchedulingEligibility"] == "eligible", node["Name"]
        assert "maintenance" not in node["Meta"], node["Name"]


def test_upgrade_from_the_versions_before(
    federation: Federation, targets: list[Target], calm: list[Summary], capfd: pytest.CaptureFixture[str]
) -> None:
    found = running_versions(federation)
    assert all(versions == OLD_VERSIONS for versions in found.values()), found
    older = {name for name, version in docker_versions(federation).items() if version.endswith("-0older")}
    assert len(older) == 2
    checked = play(UPGRADE, "--check")
    assert all(count for host, count in checked.changed.items() if host in federation.nodes)
    assert running_versions(federation) == found
    before = allocations(federation)
    assert len(before) == len(targets)
    with Load(targets) as load:
        load.settle()
        began = time.monotonic()
        # Stopped in the middle, between a node's new binaries and their start, and once more while a node makes way.
        kill_at(UPGRADE, "Write the configuration of Nomad", maintenance_upgrade_docker=True)
        kill_at(UPGRADE, "Drain the node", occurrence=2, maintenance_upgrade_docker=True)
        play(UPGRADE, maintenance_upgrade_docker=True)
        seconds = time.monotonic() - began
        load.wait(5)
    show(capfd, "upgrade, stopped twice", seconds, calm, load)
    assert load.failures() == []
    found = running_versions(federation)
    assert len({json.dumps(versions) for versions in found.values()}) == 1, found
    assert all(set(versions) == {"consul", "nomad", "traefik"} for versions in found.values()), found
    assert all(versions[name] != OLD_VERSIONS[name] for versions in found.values() for name in versions), found
    docker = set(docker_versions(federation).values())
    assert len(docker) == 1 and not docker.pop().endswith("-0older")
    check_moved(federation, before)
    check_given_back(federation)


def test_upgrade_a_second_time_changes_nothing(federation: Federation, targets: list[Target]) -> None:
    before = allocations(federation)
    counts = play(UPGRADE, maintenance_upgrade_docker=True).changed
    assert set(federation.nodes) <= set(counts)
    assert not any(counts.values()), counts
    assert allocations(federation) == before


@pytest.mark.parametrize("playbook", [UPGRADE, "imagine.platform.deploy"])
@pytest.mark.parametrize(("variable", "version"), list(OLD.items()))
def test_the_way_back_is_refused(
    federation: Federation, targets: list[Target], playbook: str, variable: str, version: str
) -> None:
    before = running_versions(federation)
    done = play(playbook, fails=True, **{variable: version})
    assert "that is a downgrade" in done.text
    assert "nothing was changed" in done.text
    assert f"set {variable} to" in done.text
    assert done.changes == 0
    assert running_versions(federation) == before


def test_upgrade_then_reboot(
    federation: Federation, targets: list[Target], calm: list[Summary], capfd: pytest.CaptureFixture[str]
) -> None:
    before = allocations(federation)

    def started() -> dict[str, int]:
        """When each node was started, on this machine's monotonic clock, which the containers have as well."""
        script = "systemctl show -P UserspaceTimestampMonotonic"
        return {name: int(node.run(script)) for name, node in federation.nodes.items()}

    first = started()
    idle = play(REBOOT)
    assert idle.changes == 0, "no node says that it has to be rebooted"
    led = federation.nomad("/v1/status/leader").json().partition(":")[0]
    # Who cannot connect to a machine that is off goes on to the second address; what was sent is not sent again.
    with Load(targets, failover=True) as load:
        load.settle()
        began = time.monotonic()
        # Stopped while the second node makes way; the next run leaves the first one alone.
        told = kill_at(REBOOT, "Drain the node", occurrence=2, maintenance_reboot_all=True)
        second = started()
        since = re.search(r"-e maintenance_reboot_before=(\d+)", told)
        assert since, told[-4000:]
        play(REBOOT, maintenance_reboot_all=True, maintenance_reboot_before=int(since.group(1)))
        seconds = time.monotonic() - began
        load.wait(5)
    show(capfd, "reboot, stopped once", seconds, calm, load)
    assert load.failures() == []
    third = started()
    (early,) = (name for name in first if first[name] != second[name])
    assert {name for name in first if second[name] != third[name]} == set(first) - {early}
    when = {node.address: third[node.name] for node in federation.having("server")}
    assert max(when, key=lambda address: when[address]) == led, (led, when)
    check_moved(federation, before)
    check_given_back(federation)
