# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The playbook status where nothing is well: it ends in time, with findings, and without a traceback."""

from __future__ import annotations

import datetime
import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from throwaway import write_certificates

from ansible_collections.imagine.platform.plugins.module_utils import status as status_report
from ansible_collections.imagine.platform.plugins.module_utils.inventory import Node

CHECKOUT = Path(__file__).resolve().parents[2]
GROUPS = CHECKOUT / "inventories" / "local" / "zz_groups.yml"


@pytest.fixture
def hanging() -> Iterator[int]:
    """A port that takes connections and says nothing, as a machine does whose SSH has stopped."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


@pytest.fixture
def inventory(tmp_path: Path, hanging: int) -> Path:
    """A site whose machines are gone, and one whose machine has nothing installed."""
    sites = {
        "site_ifca": {
            "vars": {"site_name": "ifca", "site_domain": "ifca", "site_latitude": 43.5, "site_longitude": -3.8},
            "hosts": {
                "ifca-server": {"ansible_port": 1, "node_roles": ["server", "ingress"]},
                "ifca-compute": {"ansible_port": hanging, "node_roles": ["compute"]},
            },
        },
        "site_incd": {
            "vars": {"site_name": "incd", "site_domain": "incd"},
            "hosts": {"incd-server": {"ansible_connection": "local", "node_roles": ["server", "ingress"]}},
        },
    }
    # With pipelining Ansible may tell, where ssh ends early, of a module that it could not send, not what ssh said.
    sites["site_ifca"]["vars"]["ansible_pipelining"] = False
    for site in sites.values():
        site["vars"]["site_vos"] = ["vo.one"]
        for host in site["hosts"].values():
            # The machine of the tests is not asked for a password.
            host.update(ansible_host="127.0.0.1", ansible_become=False)
    directory = tmp_path / "inventory"
    (directory / "group_vars" / "all").mkdir(parents=True)
    (directory / "sites.yml").write_text(yaml.safe_dump(sites))
    variables = {
        "federation_name": "test",
        "federation_vos": [{"name": "vo.one", "namespace": "one", "base_domain": "d.example.org"}],
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
    }
    (directory / "group_vars" / "all" / "federation.yml").write_text(yaml.safe_dump(variables))
    (directory / "zz_groups.yml").write_text(GROUPS.read_text().partition("compose:")[0])
    (tmp_path / "password").write_text("x\n")
    return directory


def status(inventory: Path, *arguments: str, **variables: Any) -> tuple[subprocess.CompletedProcess[str], Any, float]:
    """Run the playbook; its result, its report, and the seconds it took."""
    data = inventory.parent / "report.json"
    data.unlink(missing_ok=True)
    began = time.monotonic()
    done = subprocess.run(
        [
            *("ansible-playbook", "-i", str(inventory), "imagine.platform.status", *arguments),
            *("-e", json.dumps({"status_data": str(data), **variables})),
            *("--vault-password-file", str(inventory.parent / "password")),
        ],
        capture_output=True,
        text=True,
        cwd=inventory.parent,
        env={**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
    )
    seconds = time.monotonic() - began
    assert "traceback (most recent" not in (done.stdout + done.stderr).lower(), done.stdout[-4000:]
    return done, json.loads(data.read_text()) if data.exists() else None, seconds


def test_machines_that_are_gone_are_findings(inventory: Path) -> None:
    done, report, seconds = status(inventory)
    assert done.returncode == 2, done.stdout[-3000:] + done.stderr
    # SSH that hangs is given up after ten seconds; the rest is the start of Ansible.
    assert seconds < 90
    lines = [f"{one['where']}: {one['message']}" for one in report["findings"]]
    # Without the authority's certificate no server can be verified.
    assert any(re.search(r"^federation: Nomad cannot be asked: nomad_ca_cert is .* no such file", one) for one in lines)
    (gone,) = [line for line in lines if line.startswith("site ifca:")]
    refused = "Failed to connect to the host via ssh: ssh: connect to host 127.0.0.1 port 1: Connection refused"
    assert f"none of its 2 nodes can be reached ({refused})" in gone
    assert "incd-server: Nomad is not installed" in lines
    assert "The federation is NOT healthy" in done.stdout
    for line in report["findings"]:
        assert line["command"].startswith(("ansible-playbook -i ", "ansible -i ")), line
    page = inventory / ".federation" / "status.html"
    assert page.stat().st_mode & 0o777 == 0o600
    assert "NOT healthy" in page.read_text()
    # Nothing but the page: no secrets are made by looking.
    assert sorted(path.name for path in page.parent.iterdir()) == ["status.html"]


def test_servers_that_are_gone(inventory: Path) -> None:
    authority = inventory / ".federation" / "ca" / "nomad.pem"
    authority.parent.mkdir(parents=True)
    write_certificates(authority.parent)
    (authority.parent / "ca.pem").rename(authority)
    _done, report, _seconds = status(inventory, "--limit", "incd-server", status_page="")
    (found,) = [one for one in report["findings"] if "Nomad has no leader" in one["message"]]
    assert "0 of 2 servers answer, 2 that reach one another are needed" in found["message"]
    assert found["command"].endswith("imagine.platform.deploy --limit role_server")


def test_a_machine_that_takes_too_long(inventory: Path) -> None:
    stopped = inventory.parent / "python"
    stopped.write_text("#!/bin/sh\nexec sleep 30\n")
    stopped.chmod(0o755)
    (inventory / "host_vars").mkdir()
    (inventory / "host_vars" / "incd-server.yml").write_text(f"ansible_python_interpreter: {stopped}\n")
    done, report, seconds = status(inventory, "--limit", "incd-server", status_node_timeout=3, status_page="")
    assert seconds < 120
    assert done.returncode == 2
    (node,) = [one for one in report["nodes"] if one["name"] == "incd-server"]
    assert node["machine"] == "not examinable"
    assert any("cannot be examined" in one["message"] and "Timed out" in one["message"] for one in report["findings"])
    # Others are not judged by what nobody looked at.
    assert not any("cannot be reached" in one["message"] for one in report["findings"])
    assert not (inventory / ".federation").exists()


def test_check_mode_writes_nothing(inventory: Path) -> None:
    done, report, _seconds = status(inventory, "--limit", "incd-server", "--check")
    assert done.returncode == 2
    assert report is None
    assert not (inventory / ".federation").exists()
    assert "incd-server: Nomad is not installed" in done.stdout


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"status_node_timeout": "soon"}, "status_node_timeout"),
        ({"status_paths": {"a": 1}}, "status_paths"),
        ({"status_strict": "perhaps"}, "status_strict"),
    ],
)
def test_wrong_values_are_refused(inventory: Path, variables: dict[str, Any], words: str) -> None:
    done, report, _seconds = status(inventory, "--limit", "incd-server", **variables)
    assert done.returncode != 0
    assert report is None
    assert words in done.stdout
    assert not (inventory / ".federation").exists()


@pytest.fixture
def fresh_name() -> str:
    return "node-1"


VOS = [{"name": f"vo.{name}", "namespace": name, "base_domain": "d.example.org"} for name in ("one", "two")]


@pytest.fixture
def deployments(fresh_agent: Any, run_module: Any) -> Iterator[dict[str, int]]:
    """How many deployments each of two VOs has, none of which has a place."""
    counts = {"vo.one": 2, "vo.two": 1}
    made = []
    for vo in VOS:
        run_module("nomad_namespace", **fresh_agent.connection, name=vo["namespace"])
        for number in range(counts[vo["name"]]):
            options = {"name": f"digits-{number}", "namespace": vo["namespace"], "base_domain": vo["base_domain"]}
            image = {"image": "registry.example.org/digits:1", "title": "Digits", "owner": "ada@egi.eu"}
            run_module("module_deployment", **fresh_agent.connection, **options, **image, wait=False)
            made.append(options)
    yield counts
    for options in made:
        run_module("module_deployment", **fresh_agent.connection, **options, owner="ada@egi.eu", state="absent")


@pytest.fixture
def site(fresh_agent: Any, run_module: Any, eventually: Any) -> Iterator[None]:
    """A registered site with the node of the agent, which may have only just started."""
    eventually(
        lambda: [
            one
            for one in run_module("nomad_node_info", **fresh_agent.connection)["nodes"]
            if one["status"] == "ready" and one["name"] == "node-1"
        ]
    )
    nodes = [{"name": "node-1", "address": "10.255.0.1", "roles": ["server", "ingress", "compute"]}]
    registered = {"name": "ifca", "domain": "ifca", "title": "IFCA-CSIC", "status": "active", "nodes": nodes}
    eventually(lambda: not run_module("site", **fresh_agent.connection, **registered).get("failed"))
    yield
    run_module("site", **fresh_agent.connection, name="ifca", state="absent")


def test_a_real_nomad(inventory: Path, site: None, deployments: dict[str, int], fresh_agent: Any) -> None:
    """All that the API tells, of a federation of one server that is a client as well."""
    sites = yaml.safe_load((inventory / "sites.yml").read_text())
    node = {**sites["site_incd"]["hosts"].pop("incd-server"), "node_roles": ["server", "ingress", "compute"]}
    (inventory / "sites.yml").write_text(
        yaml.safe_dump({"site_ifca": {"vars": sites["site_ifca"]["vars"], "hosts": {"node-1": node}}})
    )
    secrets = inventory / ".federation" / "secrets.yml"
    secrets.parent.mkdir()
    content = yaml.safe_dump(
        {"nomad": {"management_token": fresh_agent.token, "tokens": {"operator": fresh_agent.token}}}
    )
    secrets.write_bytes(VaultLib([("default", VaultSecret(b"x"))]).encrypt(content.encode()))
    variables = {
        "_status_api_addresses": [fresh_agent.address],
        "status_nomad_ca_file": str(fresh_agent.directory / "ca.pem"),
        "federation_vos": VOS,
    }
    done, report, _seconds = status(inventory, **variables)
    assert done.returncode == 2, done.stdout[-3000:]
    assert report["leader"] == "node-1"
    (server,) = report["servers"]
    assert (server["leader"], server["voter"], server["healthy"], server["gossip"]) == (True, True, True, "alive")
    (row,) = report["nodes"]
    assert (row["client"], row["status"], row["eligibility"]) == ("ready", "test", "eligible")
    assert next(site for site in report["sites"] if site["name"] == "ifca")["clients_ready"] == 1
    assert {row["vo"]: row["total"] for row in report["deployments"]} == deployments
    assert {row["vo"]: row["states"]["running"] for row in report["deployments"]} == dict.fromkeys(deployments, 0)
    lines = [f"{one['severity']} {one['where']}: {one['message']}" for one in report["findings"]]
    assert "warning node-1: its status is test, so that it takes no users' jobs" in lines
    assert not any("Nomad did not tell" in line or "leader" in line for line in lines), lines
    assert fresh_agent.token not in done.stdout + done.stderr + json.dumps(report)
    # A token that is worth nothing is a finding, of each part.
    secrets.write_bytes(VaultLib([("default", VaultSecret(b"x"))]).encrypt(b"nomad: {tokens: {operator: x}}\n"))
    done, report, _seconds = status(inventory, **variables)
    assert report is not None, done.stdout[-4000:]
    refused = [one["message"] for one in report["findings"] if "Nomad did not tell" in one["message"]]
    assert len(refused) == 4
    assert all("refused" in message for message in refused)


def test_servers_that_die(cluster: Any, run_module: Any, eventually: Any) -> None:
    """What a real Nomad says of its servers while one, and then two of three are dead."""
    number = {server.http: index for index, server in enumerate(cluster.servers, 1)}
    addresses = [cluster.connection(index)["nomad_address"] for index in range(3)]

    def ask(name: str, **options: Any) -> dict[str, Any]:
        found: dict[str, Any] = run_module(name, **options)
        return {key: value for key, value in found.items() if key not in ("failed", "invocation", "_output")}

    def leaders() -> dict[str, Any]:
        # As the role has it: a server takes five seconds to say that it knows no leader.
        connection = {**cluster.connection(), "nomad_timeout": 8}
        found = ask("nomad_leader_info", addresses=addresses, **connection)
        # Each has a machine of its own in a federation.
        for one in found["servers"]:
            one["address"] = f"https://10.0.0.{number[urlsplit(one['address']).port]}:4646"
        return found

    def look() -> Any:
        said = leaders()
        answers = {"leaders": said}
        if said["leader"]:
            answers["servers"] = ask("nomad_server_info", **{**cluster.connection(), "nomad_address": said["address"]})
        nodes = [
            Node(name, {"site_name": f"site{index}", "node_roles": ["server"], "ansible_host": f"10.0.0.{index}"})
            for index, name in enumerate(names, 1)
        ]
        return status_report.report(
            status_report.Seen(nodes, {}, answers, [], "-i inv", datetime.datetime.now(datetime.UTC))
        )

    eventually(lambda: ask("nomad_server_info", **cluster.connection()).get("failure_tolerance") == 1, 90)
    listed = ask("nomad_server_info", **cluster.connection())["servers"]
    names = [one["name"].rpartition(".")[0] for one in listed]
    assert look()["findings"] == []
    try:
        follower = next(index for index, one in enumerate(listed) if not one["leader"])
        cluster.servers[follower].kill()

        def unheard() -> list[str]:
            lines = [f"{one['severity']} {one['where']}: {one['message']}" for one in look()["findings"]]
            return lines if any("do not hear this one" in line for line in lines) else []

        lines = eventually(unheard, 60)
        assert "warning federation: no further Nomad server may be lost: 2 of the 3 that vote are there" in lines
        assert any(line.startswith(f"error {names[follower]}: its Nomad server does not answer") for line in lines)
        other = next(index for index, one in enumerate(listed) if one["leader"])
        cluster.servers[other].kill()
        eventually(lambda: not leaders()["leader"], 60)
        first = look()["findings"][0]["message"]
        assert "Nomad has no leader" in first
        assert "1 of 3 servers answer, 2 that reach one another are needed" in first, leaders()
    finally:
        for server in cluster.servers:
            if server.process is None:
                server.start()
        eventually(lambda: ask("nomad_server_info", **cluster.connection()).get("failure_tolerance") == 1, 120)
    # Autopilot finds a server well before each of the others hears of the leader.
    eventually(lambda: look()["findings"] == [])
