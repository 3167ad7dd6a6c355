# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""A service runs on a second real client as well while the first one gives it away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import example_playbook
import pytest
import requests
from nomad_agent import AgentProcess, Server, client_beside
from throwaway import free_ports

from ansible_collections.imagine.platform.plugins.module_utils import nomad_surge

SLEEP = "trap 'exit 0' TERM; while :; do sleep 0.1; done"
JOB: dict[str, Any] = {
    "ID": "surge",
    "Name": "surge",
    "Type": "service",
    "Datacenters": ["*"],
    "TaskGroups": [
        {
            "Name": "web",
            "Count": 1,
            "Networks": [{"DynamicPorts": [{"Label": "api"}]}],
            "Update": {"MinHealthyTime": 0},
            "Migrate": {"MinHealthyTime": 0, "HealthyDeadline": 60_000_000_000},
            "Tasks": [
                {
                    "Name": "main",
                    "Driver": "raw_exec",
                    "Config": {"command": "/bin/sh", "args": ["-c", SLEEP]},
                    "Resources": {"CPU": 20, "MemoryMB": 20},
                }
            ],
        }
    ],
}
CHECKOUT = Path(__file__).resolve().parents[2]
Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def second_client(nomad_process: AgentProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One more client of the agent that all tests share."""
    with client_beside(nomad_process, tmp_path_factory.mktemp("client"), "node-2") as client:
        yield client


@pytest.fixture
def ask(nomad_agent: Any) -> Ask:
    def call(path: str, method: str = "GET", body: Any = None) -> Any:
        answer = requests.request(
            method,
            f"{nomad_agent.address}/v1/{path}",
            headers={"X-Nomad-Token": nomad_agent.token},
            verify=str(nomad_agent.directory / "ca.pem"),
            json=body,
            timeout=30,
        )
        assert answer.ok, (path, answer.text)
        return answer.json()

    return call


@pytest.fixture
def running(nomad: Any, second_client: Server, ask: Ask, eventually: Any) -> Iterator[dict[str, Any]]:
    """The job, on the first of two nodes."""
    nomad("nomad_node_info", names=["node-1", "node-2"], wait=True, wait_timeout=90)
    nomad("nomad_node", name="node-1", drain=False, eligibility="eligible")
    nomad("nomad_node", name="node-2", eligibility="ineligible")
    ask("jobs", "POST", {"Job": JOB})
    (allocation,) = eventually(lambda: alive(ask))
    nomad("nomad_node", name="node-1", eligibility="ineligible")
    nomad("nomad_node", name="node-2", eligibility="eligible")
    yield allocation
    nomad("nomad_surge", name="node-1", state="absent")
    ask("job/surge?purge=true", "DELETE")
    eventually(lambda: not alive(ask))
    nomad("nomad_node", name="node-1", drain=False, eligibility="eligible")
    # Other tests know of one node.
    nomad("nomad_node", name="node-2", eligibility="ineligible")


def alive(ask: Ask) -> list[dict[str, Any]]:
    listed = ask("job/surge/allocations")
    return [one for one in listed if one["ClientStatus"] == "running" and one["DesiredStatus"] == "run"]


def nodes(ask: Ask) -> list[str]:
    return sorted(one["NodeName"] for one in alive(ask))


def records(ask: Ask) -> list[tuple[str, str]]:
    """Jobs that are noted, each with the nodes because of which it is."""
    found = [ask(f"var/{one['Path']}")["Items"] for one in ask("vars?prefix=imagine/surge")]
    return [(one["job"], " ".join(sorted(json.loads(one["nodes"])))) for one in found]


def test_from_one_node_to_the_other(nomad: Any, ask: Ask, running: dict[str, Any]) -> None:
    planned = nomad("nomad_surge", name="node-1", check_mode=True)
    assert (planned["changed"], nodes(ask), records(ask)) == (True, ["node-1"], [])
    begun = nomad("nomad_surge", name="node-1", shutdown_delay=1, wait_timeout=60)
    assert begun["changed"]
    assert begun["jobs"] == ["default/surge"]
    assert begun["diff"] == {"before": {"default/surge": {"web": 1}}, "after": {"default/surge": {"web": 2}}}
    (endpoint,) = begun["endpoints"]
    assert endpoint["name"] == "surge/web/api"
    assert len(endpoint["addresses"]) == 2
    assert nodes(ask) == ["node-1", "node-2"]
    assert records(ask) == [("default/surge", "node-1")]
    # What ran goes on as it was.
    first = next(one for one in alive(ask) if one["NodeName"] == "node-1")
    assert first["ID"] == running["ID"]
    assert first["TaskStates"]["main"]["StartedAt"] == running["TaskStates"]["main"]["StartedAt"]
    assert not nomad("nomad_surge", name="node-1", shutdown_delay=1)["changed"]

    nomad("nomad_node", name="node-1", drain=True, wait_timeout=60)
    after = nomad("nomad_surge", name="node-1", wait_timeout=60)
    assert not after["changed"]
    assert len(after["endpoints"][0]["addresses"]) == 2
    assert nodes(ask) == ["node-2", "node-2"]

    assert nomad("nomad_surge", name="node-1", state="absent", check_mode=True)["changed"]
    assert len(nodes(ask)) == 2
    ended = nomad("nomad_surge", name="node-1", state="absent", wait_timeout=60)
    assert ended["changed"]
    assert ended["diff"]["after"] == {"default/surge": {"web": 1}}
    assert nodes(ask) == ["node-2"]
    assert records(ask) == []
    group = ask("job/surge")["TaskGroups"][0]
    assert (group["Count"], group["ShutdownDelay"]) == (1, None)
    assert not nomad("nomad_surge", name="node-1", state="absent")["changed"]


@pytest.mark.examples("nomad_surge")
def test_examples(nomad_agent: Any, ask: Ask, running: dict[str, Any], tmp_path: Path) -> None:
    """A second run finds an empty node, and nothing to take back."""
    tasks = example_playbook.replaced(example_playbook.examples("nomad_surge"), {"ifca-compute": "node-1"})
    done = example_playbook.twice(tmp_path, example_playbook.connect(nomad_agent), tasks)
    first, second = done["Have its services run elsewhere too"], done["Wait for the replacements"]
    assert first[0]["jobs"] == second[0]["jobs"] == ["default/surge"]
    assert nodes(ask) == ["node-2"]
    assert records(ask) == []


def test_without_room_nothing_is_changed(nomad: Any, ask: Ask, running: dict[str, Any]) -> None:
    nomad("nomad_node", name="node-2", eligibility="ineligible")
    version = ask("job/surge")["Version"]
    result = nomad("nomad_surge", fails=True, name="node-1")
    assert result["msg"].startswith("surge runs on node-1, and no other node takes it: ")
    assert (ask("job/surge")["Version"], nodes(ask), records(ask)) == (version, ["node-1"], [])


def test_what_has_no_place_may_be_left_alone(nomad: Any, ask: Ask, running: dict[str, Any]) -> None:
    nomad("nomad_node", name="node-2", eligibility="ineligible")
    version = ask("job/surge")["Version"]
    done = nomad("nomad_surge", name="node-1", required=False)
    assert (done["changed"], done["jobs"], done["endpoints"]) == (False, [], [])
    (left,) = done["left"]
    assert left["job"] == "default/surge"
    assert left["reason"].startswith("surge runs on node-1, and no other node takes it: ")
    assert (ask("job/surge")["Version"], nodes(ask), records(ask)) == (version, ["node-1"], [])


def test_what_does_not_come_up_may_be_left_alone(
    nomad: Any, ask: Ask, running: dict[str, Any], eventually: Any
) -> None:
    done = nomad("nomad_surge", name="node-1", required=False, wait_timeout=0)
    assert (done["jobs"], done["endpoints"]) == ([], [])
    assert [one["job"] for one in done["left"]] == ["default/surge"]
    assert records(ask) == []
    eventually(lambda: nodes(ask) == ["node-1"])
    assert ask("job/surge")["TaskGroups"][0]["Count"] == 1
    assert [one["ID"] for one in alive(ask)] == [running["ID"]]


def test_whoever_registers_the_job_meanwhile_has_the_last_word(nomad: Any, ask: Ask, running: dict[str, Any]) -> None:
    nomad("nomad_surge", name="node-1", wait_timeout=60)
    ask("jobs", "POST", {"Job": {**JOB, "Priority": 70}})
    ended = nomad("nomad_surge", name="node-1", state="absent")
    assert not ended["changed"]
    assert ask("job/surge")["Priority"] == 70
    assert records(ask) == []


@pytest.fixture
def registering(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Has something happen just before the module's next registration of a job."""

    def before(action: Callable[[], None]) -> None:
        original = nomad_surge.register_job

        def register(*args: Any, **kwargs: Any) -> Any:
            monkeypatch.setattr(nomad_surge, "register_job", original)
            action()
            return original(*args, **kwargs)

        monkeypatch.setattr(nomad_surge, "register_job", register)

    return before


class Killed(BaseException):
    """The end of a process, which no part of it sees coming."""


def kill() -> None:
    raise Killed


def change(ask: Ask) -> None:
    """A user's own update, which restarts nothing."""
    ask("jobs", "POST", {"Job": {**JOB, "Priority": 70}})


def test_an_update_that_comes_just_before_is_kept(
    nomad: Any, ask: Ask, running: dict[str, Any], registering: Any
) -> None:
    registering(lambda: change(ask))
    nomad("nomad_surge", name="node-1", wait_timeout=60)
    job = ask("job/surge")
    assert (job["Priority"], job["TaskGroups"][0]["Count"]) == (70, 2)
    nomad("nomad_surge", name="node-1", state="absent", wait_timeout=60)
    job = ask("job/surge")
    assert (job["Priority"], job["TaskGroups"][0]["Count"], records(ask)) == (70, 1, [])


def test_an_update_is_not_taken_for_what_a_killed_run_did_not_do(
    nomad: Any, ask: Ask, running: dict[str, Any], registering: Any
) -> None:
    registering(kill)
    with pytest.raises(Killed):
        nomad("nomad_surge", name="node-1")
    assert records(ask) == [("default/surge", "node-1")]
    change(ask)
    version = ask("job/surge")["Version"]
    assert not nomad("nomad_surge", name="node-1", state="absent")["changed"]
    job = ask("job/surge")
    assert (job["Priority"], job["Version"], records(ask)) == (70, version, [])


@pytest.mark.parametrize("again", [True, False])
def test_a_run_that_is_killed_once_the_job_is_registered(
    nomad: Any, ask: Ask, running: dict[str, Any], monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    with monkeypatch.context() as context:
        context.setattr(nomad_surge.Surge, "_settle", lambda *_args: kill())
        with pytest.raises(Killed):
            nomad("nomad_surge", name="node-1")
    assert ask("job/surge")["TaskGroups"][0]["Count"] == 2
    if again:
        assert not nomad("nomad_surge", name="node-1", wait_timeout=60)["changed"]
        assert ask("job/surge")["TaskGroups"][0]["Count"] == 2
    assert nomad("nomad_surge", name="node-1", state="absent", wait_timeout=60)["changed"]
    group = ask("job/surge")["TaskGroups"][0]
    assert (group["Count"], group["ShutdownDelay"], records(ask)) == (1, None, [])


def test_what_takes_its_data_along_runs_once(nomad: Any, ask: Ask, running: dict[str, Any], eventually: Any) -> None:
    """Beside it another one would begin without them; it is waited for all the same."""
    nomad("nomad_node", name="node-1", eligibility="eligible")
    nomad("nomad_node", name="node-2", eligibility="ineligible")
    (group,) = JOB["TaskGroups"]
    disk = {"SizeMB": 150, "Sticky": True, "Migrate": True}
    ask("jobs", "POST", {"Job": {**JOB, "TaskGroups": [{**group, "EphemeralDisk": disk}]}})
    eventually(lambda: [one["ID"] for one in alive(ask) if one["ID"] != running["ID"]] and len(alive(ask)) == 1)
    nomad("nomad_node", name="node-1", eligibility="ineligible")
    nomad("nomad_node", name="node-2", eligibility="eligible")
    for _ in range(2):
        begun = nomad("nomad_surge", name="node-1", wait_timeout=60)
        assert (begun["changed"], begun["jobs"]) == (False, ["default/surge"])
    assert (nodes(ask), records(ask)) == (["node-1"], [("default/surge", "node-1")])
    nomad("nomad_node", name="node-1", drain=True, wait_timeout=60)
    after = nomad("nomad_surge", name="node-1", wait_timeout=60)
    assert after["jobs"] == ["default/surge"]
    assert nodes(ask) == ["node-2"]
    nomad("nomad_surge", name="node-1", state="absent")
    assert (ask("job/surge")["TaskGroups"][0]["Count"], records(ask)) == (1, [])


def test_nobody_waits_for_a_place_that_is_not_there(nomad: Any, ask: Ask, running: dict[str, Any]) -> None:
    nomad("nomad_surge", name="node-1", wait_timeout=60)
    nomad("nomad_node", name="node-2", drain=True, drain_deadline=5, wait_timeout=60)
    nomad("nomad_node", name="node-1", drain=True, drain_deadline=5, wait_timeout=60)
    began = time.monotonic()
    done = nomad("nomad_surge", name="node-1", required=False, wait_timeout=600)
    assert time.monotonic() - began < 60
    assert [one["job"] for one in done["left"]] == ["default/surge"]
    nomad("nomad_node", name="node-2", drain=False, eligibility="eligible")


@pytest.mark.parametrize("killed", [True, False])
def test_nomad_adds_a_constraint_of_its_own(
    nomad: Any, ask: Ask, running: dict[str, Any], monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    """As it does where a job, as Nomad has it, has identities for Consul, and is registered a second time."""
    original = nomad_surge.register_job
    implied = {"LTarget": "${attr.nomad.version}", "RTarget": ">= 1.7.0-a", "Operand": "semver"}

    def register(client: Any, job: Any, *args: Any) -> Any:
        (group,) = job["TaskGroups"]
        return original(client, {**job, "TaskGroups": [{**group, "Constraints": [implied]}]}, *args)

    with monkeypatch.context() as context:
        context.setattr(nomad_surge, "register_job", register)
        if killed:
            context.setattr(nomad_surge.Surge, "_settle", lambda *_args: kill())
            with pytest.raises(Killed):
                nomad("nomad_surge", name="node-1")
        else:
            nomad("nomad_surge", name="node-1", wait_timeout=60)
    (group,) = ask("job/surge")["TaskGroups"]
    assert (group["Count"], group["Constraints"]) == (2, [implied])
    assert not nomad("nomad_surge", name="node-1", wait_timeout=60)["changed"]
    assert nomad("nomad_surge", name="node-1", state="absent", wait_timeout=60)["changed"]
    (group,) = ask("job/surge")["TaskGroups"]
    assert (group["Count"], group["Constraints"], records(ask)) == (1, None, [])
    assert [one["ID"] for one in alive(ask)] == [running["ID"]]


def test_two_nodes_give_the_same_job_away(nomad: Any, ask: Ask, running: dict[str, Any]) -> None:
    nomad("nomad_surge", name="node-1", wait_timeout=60)
    # The other one has what the first one asked for.
    assert nomad("nomad_surge", name="node-2", wait_timeout=60)["changed"]
    assert (len(nodes(ask)), records(ask)) == (3, [("default/surge", "node-1 node-2")])
    assert not nomad("nomad_surge", name="node-1", wait_timeout=60)["changed"]
    nomad("nomad_surge", name="node-1", state="absent", wait_timeout=60)
    assert (len(nodes(ask)), records(ask)) == (2, [("default/surge", "node-2")])
    nomad("nomad_surge", name="node-2", state="absent", wait_timeout=60)
    group = ask("job/surge")["TaskGroups"][0]
    assert (group["Count"], group["ShutdownDelay"], records(ask)) == (1, None, [])


def test_what_a_node_asked_for_ends_with_the_job_that_it_was(
    nomad: Any, ask: Ask, running: dict[str, Any], eventually: Any
) -> None:
    # The runs for these were killed, and never went on.
    nomad("nomad_surge", name="node-1", wait_timeout=60)
    nomad("nomad_surge", name="node-2", wait_timeout=60)
    change(ask)
    (left,) = eventually(lambda: found if len(found := nodes(ask)) == 1 else None)
    nomad("nomad_surge", name=left, wait_timeout=60)
    assert (ask("job/surge")["TaskGroups"][0]["Count"], records(ask)) == (2, [("default/surge", left)])
    nomad("nomad_surge", name=left, state="absent", wait_timeout=60)
    job = ask("job/surge")
    assert (job["TaskGroups"][0]["Count"], job["Priority"], records(ask)) == (1, 70, [])


def test_the_end_is_waited_for(nomad: Any, ask: Ask, running: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []
    original = nomad_surge.wait_until_gone

    def wait(client: Any, job: Any, seconds: float) -> None:
        waited.append(job["ID"])
        original(client, job, seconds)

    monkeypatch.setattr(nomad_surge, "wait_until_gone", wait)
    nomad("nomad_surge", name="node-1", wait_timeout=60)
    nomad("nomad_surge", name="node-1", state="absent", wait_timeout=60)
    assert waited == ["surge"]


def test_two_nodes_come_in_between_of_each_other(
    nomad: Any, ask: Ask, running: dict[str, Any], registering: Any
) -> None:
    nomad("nomad_surge", name="node-1", wait_timeout=60)
    registering(lambda: nomad("nomad_surge", name="node-1", state="absent", wait_timeout=60))
    nomad("nomad_surge", name="node-2", wait_timeout=60)
    assert (ask("job/surge")["TaskGroups"][0]["Count"], records(ask)) == (2, [("default/surge", "node-2")])
    nomad("nomad_surge", name="node-2", state="absent", wait_timeout=60)
    group = ask("job/surge")["TaskGroups"][0]
    assert (group["Count"], group["ShutdownDelay"], records(ask)) == (1, None, [])


def test_the_place_for_one_more_is_enough(nomad: Any, ask: Ask, running: dict[str, Any]) -> None:
    nomad("nomad_surge", name="node-1", shutdown_delay=1, wait_timeout=60)
    # What is drained from the first node has no place any more, though the job is served.
    nomad("nomad_node", name="node-2", eligibility="ineligible")
    nomad("nomad_node", name="node-1", drain=True, drain_deadline=1, wait_timeout=60)
    after = nomad("nomad_surge", name="node-1", wait_timeout=60)
    assert (nodes(ask), len(after["endpoints"][0]["addresses"])) == (["node-2"], 1)
    (served,) = alive(ask)
    nomad("nomad_surge", name="node-1", state="absent", wait_timeout=60)
    assert [one["ID"] for one in alive(ask)] == [served["ID"]]
    assert ask("job/surge")["TaskGroups"][0]["Count"] == 1


def test_a_node_without_services_needs_nothing(nomad: Any, ask: Ask, running: dict[str, Any]) -> None:
    result = nomad("nomad_surge", name="node-2")
    assert (result["changed"], result["jobs"], result["endpoints"]) == (False, [], [])


def test_mistakes(nomad: Any, running: dict[str, Any]) -> None:
    assert "There is no node 'ghost'" in nomad("nomad_surge", fails=True, name="ghost")["msg"]
    assert "give 0 or more" in nomad("nomad_surge", fails=True, name="node-1", shutdown_delay=-1)["msg"]


def maintain(directory: Path, agent: Any, *files: str, name: str = "node-1", **variables: Any) -> Any:
    """Run task files of the role maintenance for a node, an ingress node of its site; the other one is away."""
    connection = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
    node = {**connection, "site_name": "ifca", "site_vos": [], "node_roles": ["server", "ingress", "compute"]}
    children = {group: {"hosts": {name: {}}} for group in ("site_ifca", "role_server", "role_ingress")}
    children["site_ifca"]["hosts"]["away"] = children["role_ingress"]["hosts"]["away"] = {}
    # Nothing listens there.
    away = {**node, "ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    inventory = {"all": {"hosts": {name: node, "away": away}, "children": children}}
    (directory / "hosts.json").write_text(json.dumps(inventory))
    roles = [{"import_role": {"name": "imagine.platform.maintenance", "tasks_from": one}} for one in files]
    if "begin" not in files:
        # What begins a node's turn has found one.
        roles.insert(0, {"import_role": {"name": "imagine.platform.federation", "tasks_from": "leader"}})
    (directory / "play.json").write_text(
        json.dumps([{"hosts": name, "gather_facts": False, "any_errors_fatal": True, "tasks": roles}])
    )
    (directory / "nomad.pem").write_bytes((agent.directory / "ca.pem").read_bytes())
    values = {
        # The first server of the federation is down.
        "_federation_nomad_addresses": [f"https://127.0.0.1:{free_ports(1)[0]}", agent.address],
        "federation_ca_directory": str(directory),
        "federation_secrets": {"nomad": {"management_token": agent.token}},
        "maintenance_accept_outage": True,
        "maintenance_action": "upgrade",
        "maintenance_timeout": 60,
        "maintenance_shutdown_delay": 1,
        "maintenance_drain_deadline": 60,
        **variables,
    }
    (directory / "values.json").write_text(json.dumps(values))
    return subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "hosts.json", "play.json", "-e", "@values.json"],
        cwd=directory,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith(("NOMAD_", "ANSIBLE_"))},
            "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"),
            "ANSIBLE_HOME": str(directory / "ansible"),
        },
        capture_output=True,
        text=True,
    )


def test_the_role_has_a_node_make_way_and_gives_it_back(
    nomad: Any, nomad_agent: Any, ask: Ask, running: dict[str, Any], tmp_path: Path
) -> None:
    nomad("nomad_node", name="node-1", eligibility="eligible")
    done = maintain(tmp_path, nomad_agent, "begin")
    assert done.returncode == 0, done.stdout
    assert nodes(ask) == ["node-2"]
    seen = nomad("nomad_node_info", names=["node-1"])["nodes"][0]
    assert (seen["eligibility"], seen["meta"]["maintenance"]) == ("ineligible", "upgrade")
    # A run that was killed begins again.
    again = maintain(tmp_path, nomad_agent, "begin")
    assert again.returncode == 0, again.stdout
    assert "changed=0" in again.stdout
    back = maintain(tmp_path, nomad_agent, "give_back")
    assert back.returncode == 0, back.stdout
    seen = nomad("nomad_node_info", names=["node-1"])["nodes"][0]
    assert (seen["eligibility"], seen["meta"].get("maintenance")) == ("eligible", None)
    assert "changed=0" in maintain(tmp_path, nomad_agent, "give_back").stdout


def test_the_role_leaves_a_node_that_cannot_make_way(
    nomad: Any, nomad_agent: Any, ask: Ask, running: dict[str, Any], tmp_path: Path
) -> None:
    nomad("nomad_node", name="node-1", eligibility="eligible")
    nomad("nomad_node", name="node-2", eligibility="ineligible")
    done = maintain(tmp_path, nomad_agent, "begin")
    assert done.returncode != 0
    assert "surge runs on node-1, and no other node takes it" in done.stdout
    assert "node-1 was left as it" in done.stdout
    seen = nomad("nomad_node_info", names=["node-1"])["nodes"][0]
    assert (seen["eligibility"], seen["meta"].get("maintenance")) == ("eligible", None)
    assert [one["ID"] for one in alive(ask)] == [running["ID"]]


def test_the_role_keeps_a_node_ineligible_that_was_so_before(
    nomad: Any, nomad_agent: Any, ask: Ask, running: dict[str, Any], tmp_path: Path
) -> None:
    done = maintain(tmp_path, nomad_agent, "begin", "give_back")
    assert done.returncode == 0, done.stdout
    seen = nomad("nomad_node_info", names=["node-1"])["nodes"][0]
    assert (seen["eligibility"], seen["meta"].get("maintenance")) == ("ineligible", None)
    assert nodes(ask) == ["node-2"]


def test_the_role_asks_nothing_of_a_node_that_nomad_has_lost(
    nomad: Any, nomad_agent: Any, nomad_process: AgentProcess, eventually: Any, tmp_path: Path
) -> None:
    with client_beside(nomad_process, tmp_path / "client", "node-3"):
        nomad("nomad_node_info", names=["node-3"], wait=True, wait_timeout=90)
    lost = eventually(
        lambda: [one for one in nomad("nomad_node_info", names=["node-3"])["nodes"] if one["status"] == "down"]
    )
    done = maintain(tmp_path, nomad_agent, "make_way", name="node-3")
    assert done.returncode == 0, done.stdout
    assert "changed=0" in done.stdout
    nomad("nomad_node", name=lost[0]["id"], state="absent")
