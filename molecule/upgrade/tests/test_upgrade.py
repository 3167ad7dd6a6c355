# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Upgrades and reboots all nodes while a module at each site is asked twenty times a second."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

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
    restarts,
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


def leader(federation: Federation) -> str:
    """The name of the Nomad server that leads."""
    address = federation.nomad("/v1/status/leader").json().partition(":")[0]
    return next(node.name for node in federation.having("server") if node.address == address)


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


class Servers:
    """Looks at the Nomad servers all the time: names of those that do not answer, whether the quorum is healthy."""

    def __init__(self, federation: Federation) -> None:
        self.federation = federation
        self.token = federation.secrets["nomad"]["tokens"]["operator"]
        self.seen: list[tuple[frozenset[str], bool]] = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.loop)

    def look(self) -> tuple[frozenset[str], bool]:
        down, healthy = set(), False
        for node in self.federation.having("server"):
            try:
                answer = self.federation.nomad("/v1/operator/autopilot/health", self.token, node=node)
            except OSError as error:
                # Nobody listens, or the machine is off; who is slow to answer is there.
                if isinstance(error, ConnectionRefusedError) or error.errno == errno.EHOSTUNREACH:
                    down.add(node.name)
                continue
            healthy |= answer.status == 200 and bool(answer.json()["Healthy"])
        return frozenset(down), healthy and not down

    def loop(self) -> None:
        while not self.stop.wait(0.5):
            self.seen.append(self.look())

    def __enter__(self) -> Servers:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def check(self) -> None:
        """See that they went one at a time, each after the quorum was healthy again."""
        order: list[str] = []
        well = True
        for down, healthy in self.seen:
            assert len(down) < 2, f"{sorted(down)} were away at the same time"
            for name in down:
                assert well or order[-1] == name, f"{name} went before the quorum was healthy again after {order[-1]}"
                if order[-1:] != [name]:
                    order.append(name)
                well = False
            well = well or healthy


def show(capfd: pytest.CaptureFixture[str], what: str, seconds: float, calm: list[Summary], load: Load) -> None:
    busy = load.summaries()
    record("upgrade", "undisturbed", requests=calm)
    record("upgrade", what, seconds=seconds, requests=busy)
    with capfd.disabled():
        print(f"\n{what}\n" + "\n".join(f"  undisturbed  {one}" for one in calm))
        print("\n".join(f"  meanwhile    {one}" for one in busy))
        print("\n".join(f"  failed at {one}" for one in load.bursts()))


def check_moved(federation: Federation, before: dict[str, Running]) -> None:
    """Every job runs as often as before; no allocation was restarted, not even one that is over."""
    after = allocations(federation)
    assert sorted(one.job for one in after.values()) == sorted(one.job for one in before.values())
    assert restarts(federation) == {}
    # All nodes were drained, so that all have moved; none came back in the allocation that it was.
    assert set(disturbed(before, after)) == set(before)


def check_given_back(federation: Federation) -> None:
    token = federation.secrets["nomad"]["tokens"]["operator"]
    for listed in federation.nomad("/v1/nodes", token).json():
        node = federation.nomad(f"/v1/node/{listed['ID']}", token).json()
        assert node["SchedulingEligibility"] == "eligible", node["Name"]
        assert "maintenance" not in node["Meta"], node["Name"]


def test_clients_are_not_upgraded_before_servers(federation: Federation, targets: list[Target]) -> None:
    before = running_versions(federation)
    refused = play(UPGRADE, "--limit", "incd-compute", fails=True)
    assert (
        "incd-compute: Nomad would be newer than that of the server ifca-server (1.10.5), which is not part of this "
        "run, and clients must not be newer than servers: upgrade the servers first, or leave out --limit."
    ).replace("1.10.5", OLD_VERSIONS["nomad"]) in refused.text
    assert refused.changes == 0
    assert running_versions(federation) == before


def test_a_gap_is_refused(federation: Federation, targets: list[Target], tmp_path: Path) -> None:
    """A Consul that says it is of a far version, which is refused before it comes to any node."""
    archive = tmp_path / "consul_1.99.0_linux_amd64.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        program = zipfile.ZipInfo("consul")
        program.external_attr = 0o755 << 16
        opened.writestr(program, "#!/bin/sh\necho Consul v1.99.0\n")
    pin = {
        "url": f"https://releases.example.org/{archive.name}",
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
    }
    before = running_versions(federation)
    refused = play(
        UPGRADE,
        fails=True,
        release_consul_version="1.99.0",
        release_mirror=str(tmp_path),
        release_cache_dir=str(tmp_path / "cache"),
        release_products=["consul"],
        release_extra_artifacts={"consul": {"1.99.0": {"amd64": {"archive": pin}}}},
    )
    minor = int(OLD_VERSIONS["consul"].split(".")[1])
    assert f"Consul cannot go from {OLD_VERSIONS['consul']} to 1.99.0, because versions that are" in refused.text
    assert f"upgrade to 1.{minor + 2}.x first, by release_consul_version" in refused.text
    assert running_versions(federation) == before


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
    led = leader(federation)
    with Servers(federation) as servers, Load(targets) as load:
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
    servers.check()
    script = "systemctl show -P ActiveEnterTimestampMonotonic nomad.service"
    when = {node.name: int(node.run(script)) for node in federation.having("server")}
    assert max(when, key=lambda name: when[name]) == led, (led, when)
    # The first run made a backup, which is young enough for those that went on.
    (backup,) = (Path(federation.variables["federation_secrets_file"]).parent / "backups").iterdir()
    assert backup.stat().st_size > 0
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


def started(federation: Federation) -> dict[str, int]:
    """When each node was started, on this machine's monotonic clock, which the containers have as well."""
    script = "systemctl show -P UserspaceTimestampMonotonic"
    return {name: int(node.run(script)) for name, node in federation.nodes.items()}


def test_reboot_of_what_says_that_it_has_to_be(federation: Federation, targets: list[Target]) -> None:
    """Of two such nodes the one at the site that the run is limited to."""
    before, first = allocations(federation), started(federation)
    for name in ("incd-compute", "tubitak-compute"):
        federation.nodes[name].run("touch /run/reboot-required")
    with Load(targets, failover=True) as load:
        load.settle()
        play(REBOOT, "--limit", "site_incd")
    federation.nodes["tubitak-compute"].run("rm /run/reboot-required")
    assert load.failures() == []
    second = started(federation)
    assert [name for name in first if first[name] != second[name]] == ["incd-compute"]
    after = allocations(federation)
    assert {one.node for one in disturbed(before, after).values()} <= {"incd-compute"}
    assert restarts(federation) == {}
    check_given_back(federation)


def test_upgrade_then_reboot(
    federation: Federation, targets: list[Target], calm: list[Summary], capfd: pytest.CaptureFixture[str]
) -> None:
    before, first = allocations(federation), started(federation)
    idle = play(REBOOT)
    assert idle.changes == 0, "no node says that it has to be rebooted"
    checked = play(REBOOT, "--check", maintenance_reboot_all=True)
    assert all(checked.changed[name] for name in federation.nodes), checked.changed
    assert started(federation) == first
    led = leader(federation)
    # Who cannot connect to a machine that is off goes on to the second address; what was sent is not sent again.
    with Servers(federation) as servers, Load(targets, failover=True) as load:
        load.settle()
        began = time.monotonic()
        # Stopped while the second node makes way; the next run leaves the first one alone.
        told = kill_at(REBOOT, "Drain the node", occurrence=2, maintenance_reboot_all=True)
        second = started(federation)
        since = re.search(r"-e maintenance_reboot_before=(\d+)", told)
        assert since, told[-4000:]
        play(REBOOT, maintenance_reboot_all=True, maintenance_reboot_before=int(since.group(1)))
        seconds = time.monotonic() - began
        load.wait(5)
    show(capfd, "reboot, stopped once, clients know two addresses", seconds, calm, load)
    assert load.failures() == []
    third = started(federation)
    (early,) = (name for name in first if first[name] != second[name])
    assert {name for name in first if second[name] != third[name]} == set(first) - {early}
    when = {node.name: third[node.name] for node in federation.having("server")}
    assert max(when, key=lambda name: when[name]) == led, (led, when)
    servers.check()
    check_moved(federation, before)
    check_given_back(federation)
