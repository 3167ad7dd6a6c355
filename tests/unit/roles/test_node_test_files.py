# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What a node has to pass, and what it is measured against: of the inventory, of a site that joined, at that site."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import yaml
from rendering import ROLES, evaluate

from ansible_collections.imagine.platform.plugins.module_utils import jobs

VOS = [
    {"name": "vo.a.eu", "namespace": "a", "base_domain": "d.a.eu"},
    {"name": "vo.b.eu", "namespace": "b", "base_domain": "d.b.eu"},
]
ALL = ["registered", "metadata", "drivers", "volumes", "storage", "gpus", "ingress", "module"]
NAMES = ("needed", "wanted", "metadata", "node", "gpus", "problems", "done", "complete", "status", "vos", "untested")
# All in one, since each takes a task.
ASKED = "{" + ", ".join(f"'{name}': _node_test_{name}" for name in NAMES) + "}"


def values(directory: Path, **more: Any) -> dict[str, Any]:
    """What the role makes of a compute node of the site walton."""
    given = {
        "site_name": "walton",
        "site_domain": "w",
        "site_vos": ["vo.a.eu", "vo.b.eu"],
        "node_roles": ["compute"],
        "federation_vos": VOS,
        "federation_ca_directory": "/nowhere",
        **more,
    }
    found: dict[str, Any] = evaluate("node_test", directory, given, found=ASKED)["found"]
    return found


def checked(*names: str, **more: Any) -> dict[str, Any]:
    return {"checks": [{"name": name, "problems": []} for name in names], "problems": [], "meta": {}, **more}


def test_a_node_of_the_inventory(tmp_path: Path) -> None:
    found = values(tmp_path, nomad_node_tags="gpu")
    assert found["needed"] == found["wanted"] == ALL
    assert found["metadata"] == {"type": "compute", "domain": "w", "namespace": "a,b", "tags": "gpu"}
    assert (found["node"], found["gpus"]) == ("localhost", 1)


def test_a_node_that_joined_is_measured_against_the_registry(tmp_path: Path) -> None:
    # What the federation's own inventory says for its own nodes is not said of it.
    own = {"nomad_node_namespaces": ["x"], "nomad_node_tags": "cpu"}
    result = {"__node_test_checked": checked(*ALL[:6], meta={"tags": "gpu"})}
    found = values(tmp_path, **own, **result, __node_test_id="some-id", node_vos=["vo.b.eu"])
    assert found["needed"] == ALL
    assert found["metadata"] == {"type": "compute", "domain": "w", "namespace": "b"}
    assert (found["node"], found["gpus"], found["vos"]) == ("some-id", 1, ["vo.b.eu"])
    # Neither the ingress was asked nor did the module run.
    assert (found["problems"], found["complete"], found["status"]) == ([], False, "")


def test_a_site_runs_all_but_the_module(tmp_path: Path) -> None:
    ingress = {"results": [{"certificate": {}}]}
    given = {"federation_scope": "site", "__node_test_checked": checked(*ALL[:6]), "__node_test_ingress": ingress}
    found = values(tmp_path, **given)
    assert found["needed"] == found["wanted"] == found["done"] == ALL[:-1]
    assert found["problems"] == []


def test_a_site_whose_nomad_says_nothing(tmp_path: Path) -> None:
    silent = {
        "nomad_own_node": {"node": {}, "reason": "it has never registered"},
        "__node_test_checked": {"skipped": True},
    }
    found = values(tmp_path, federation_scope="site", **silent)
    assert found["problems"] == ["registered: it has never registered"]
    assert "registered" not in found["done"]


def test_nothing_that_ran_proves_nothing(tmp_path: Path) -> None:
    assert values(tmp_path, node_test_checks=[])["status"] == ""


def test_a_node_that_is_merely_full_keeps_its_status(tmp_path: Path) -> None:
    passed = {"__node_test_checked": checked(*ALL[:6]), "__node_test_ingress": {"results": [{"certificate": {}}]}}
    found = values(tmp_path, **passed, __node_test_room={"no_room": "for want of devices"})
    assert found["untested"] == "localhost was not tested: no room (for want of devices)"
    assert (found["problems"], found["complete"], found["status"]) == ([], False, "")
    found = values(tmp_path, **passed, __node_test_room={"no_room": ""}, __node_test_answered=True)
    assert (found["untested"], found["complete"], found["status"]) == ("", True, "ready")
    found = values(tmp_path, **passed, __node_test_room={"failed": True}, __node_test_failure="Exit Code: 1")
    assert (found["untested"], found["problems"], found["status"]) == ("", ["module: Exit Code: 1"], "error")


def test_each_run_has_a_module_of_its_own(tmp_path: Path) -> None:
    name = {"first": "_node_test_random", "second": "_node_test_random", "prefix": "_node_test_prefix"}
    found = evaluate("node_test", tmp_path, {}, {"Ifca-" + "x" * 60: {}}, **name)
    assert found["first"].strip() != found["second"].strip()
    assert found["prefix"].startswith("node-test-ifca-x")
    # That and the port are one label of a host name.
    jobs.check_names(f"{found['prefix']}-{found['first'].strip()}", jobs.default_uuid("a", "b"), {"api": 1}, "a.eu")


def test_modules_of_runs_that_were_killed(tmp_path: Path) -> None:
    now = int(time.time())
    ages = {"waited for": 2000, "waited for no more": 3500}
    earlier = {"jobs": [{"id": name, "submit_time": now - age} for name, age in ages.items()]}
    given = {"__node_test_earlier": earlier, "node_test_run_timeout": 900, "node_test_answer_timeout": "120"}
    found = evaluate("node_test", tmp_path, given, left="_node_test_left")["left"]
    assert [one["id"] for one in found] == ["waited for no more"]


def test_users_jobs_do_not_give_way() -> None:
    tasks = yaml.safe_load((ROLES / "node_test" / "tasks" / "module.yml").read_text(encoding="utf-8"))
    block = next(task["block"] for task in tasks if "block" in task)
    action = "imagine.platform.module_deployment"
    deployed = [task[action] for task in block if action in task]
    assert [one["priority"] for one in deployed] == [1]
