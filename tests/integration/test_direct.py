# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Modules that only talk to an API run in Ansible's own process, and say the same there as in one of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import example_playbook
import pytest

Json = dict[str, Any]
RULES = 'node { policy = "read" }'


@pytest.fixture
def environment(nomad_agent: Any) -> dict[str, str]:
    return example_playbook.connect(nomad_agent)


def outcomes(directory: Path, play: Json, environment: dict[str, str], direct: bool) -> tuple[int, list[Json], bool]:
    """Exit code, result of each task, and whether processes were started for modules."""
    directory.mkdir(exist_ok=True)
    play = {**play, "vars": {"imagine_platform_direct": direct, **play.get("vars", {})}}
    done = example_playbook.run(directory, play, environment, "-vvv")
    start = done.stdout.index('{\n    "custom_stats"')
    found = json.loads(done.stdout[start : done.stdout.rindex("}") + 1])
    results = [result for one in found["plays"] for task in one["tasks"] for result in task["hosts"].values()]
    return done.returncode, results, "EXEC" in done.stdout


def both(tmp_path: Path, play: Json, environment: dict[str, str], again: Json | None = None) -> tuple[int, list[Json]]:
    """Run a play in both ways, C(again) between them, and compare."""
    code, results, started = outcomes(tmp_path / "direct", play, environment, True)
    assert not started
    if again:
        assert outcomes(tmp_path / "between", again, environment, True)[0] == 0
    usual_code, usual, started = outcomes(tmp_path / "usual", play, environment, False)
    assert started
    assert code == usual_code
    assert [comparable(one) for one in results] == [comparable(one) for one in usual]
    return code, results


def comparable(result: Json) -> Json:
    """A result without what differs from one process to another."""
    return {name: value for name, value in result.items() if name not in ("exception", "create_index", "modify_index")}


def policy(name: str, **options: Any) -> Json:
    return {"name": name, "imagine.platform.nomad_acl_policy": {"name": "direct", "rules": RULES, **options}}


def test_the_same_results(tmp_path: Path, environment: dict[str, str]) -> None:
    play = {
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        "module_defaults": {"group/imagine.platform.nomad": {"nomad_timeout": 20}},
        "tasks": [
            {**policy("Predict", description="one"), "check_mode": True},
            policy("Create", description="one"),
            policy("Create again", description="one"),
            {"name": "Read", "imagine.platform.nomad_acl_policy_info": {"names": ["direct"]}},
            policy("Change", description="another"),
        ],
    }
    remove = {"tasks": [{"name": "Remove", "imagine.platform.nomad_acl_policy": {"name": "direct", "state": "absent"}}]}
    code, results = both(tmp_path, play, environment, again=remove)
    assert code == 0, results
    assert [one["changed"] for one in results] == [True, True, False, False, True]
    assert results[1]["invocation"]["module_args"]["nomad_timeout"] == 20
    assert results[1]["diff"]["before"] != results[1]["diff"]["after"]
    assert outcomes(tmp_path / "between", remove, environment, True)[0] == 0


def test_the_same_refusals(tmp_path: Path, environment: dict[str, str]) -> None:
    secret = "7d2b1f60-4a5e-4c3f-9f2b-1d2c3b4a5f60"
    play = {
        "ignore_errors": True,
        "tasks": [
            policy("An option that there is not", descripton="one"),
            policy("A token that nobody has", nomad_token=secret),
            {**policy("An address where nobody is"), "environment": {"NOMAD_ADDR": "https://127.0.0.1:1"}},
        ],
    }
    _code, results = both(tmp_path, play, environment)
    assert all(one["failed"] for one in results)
    assert "descripton" in results[0]["msg"]
    assert "https://127.0.0.1:1" in results[2]["msg"]
    assert secret not in json.dumps(results)


@pytest.mark.parametrize("how", ["async", "another Python", "become"])
def test_a_process_of_its_own_where_it_is_wanted(tmp_path: Path, environment: dict[str, str], how: str) -> None:
    task: Json = {"name": "Read", "imagine.platform.nomad_acl_policy_info": {}}
    play: Json = {"tasks": [task]}
    if how == "async":
        task.update({"async": 60, "poll": 1})
    elif how == "become":
        task.update(become=True, become_method="su")
    else:
        other = tmp_path / "python"
        other.write_text(f'#!/bin/sh\nexec "{example_playbook.sys.executable}" "$@"\n')
        other.chmod(0o755)
        play["vars"] = {"ansible_python_interpreter": str(other)}
    code, results, started = outcomes(tmp_path / "play", play, environment, True)
    assert (code, started) == (0, True)
    assert results[0]["policies"] is not None


def test_items_of_a_loop_do_not_see_one_another(tmp_path: Path, environment: dict[str, str]) -> None:
    """A file beside the playbook is found, and what the environment of one item has is gone for the next."""
    (tmp_path / "direct").mkdir()
    (tmp_path / "usual").mkdir()
    certificate = Path(environment.pop("NOMAD_CACERT")).read_text(encoding="utf-8")
    for directory in ("direct", "usual"):
        (tmp_path / directory / "beside.pem").write_text(certificate, encoding="utf-8")
    token = environment.pop("NOMAD_TOKEN")
    task = {
        "name": "Read",
        "imagine.platform.nomad_scheduler_config_info": {"nomad_ca_cert": "beside.pem"},
        "loop": [{"NOMAD_TOKEN": token, "A_NUMBER": 1}, {}],
        "loop_control": {"label": "one"},
        "environment": "{{ item }}",
        "ignore_errors": True,
    }
    _code, results = both(tmp_path, {"tasks": [task]}, environment)
    assert [one.get("failed", False) for one in results[0]["results"]] == [False, True]
