# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Playbooks made of the examples in the documentation of modules, run by Ansible itself."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).resolve().parents[1]
COLLECTION = "imagine.platform"
Json = dict[str, Any]
#: Module and name of each task that has succeeded in the test that is running.
succeeded: set[tuple[str, str]] = set()


def examples(module: str) -> list[Json]:
    """The tasks in the documentation of a module."""
    source = importlib.import_module(f"ansible_collections.imagine.platform.plugins.modules.{module}")
    tasks: list[Json] = yaml.safe_load(source.EXAMPLES)
    return tasks


def uses(module: str) -> set[tuple[str, str]]:
    """The tasks in the documentation of a module that call it, as C(succeeded) names them."""
    action = f"{COLLECTION}.{module}"
    return {(action, task["name"]) for task in examples(module) if action in task}


def replaced(value: Any, names: dict[str, str]) -> Any:
    """A task with other names in all its texts, those of what there is in a test."""
    if isinstance(value, dict):
        return {key: replaced(one, names) for key, one in value.items()}
    if isinstance(value, list):
        return [replaced(one, names) for one in value]
    if isinstance(value, str):
        for name, other in names.items():
            value = value.replace(name, other)
    return value


def connect(nomad_agent: Any) -> dict[str, str]:
    """The environment in which the Nomad modules find an agent."""
    return {
        "NOMAD_ADDR": nomad_agent.address,
        "NOMAD_CACERT": str(nomad_agent.directory / "ca.pem"),
        "NOMAD_TOKEN": nomad_agent.token,
    }


def run(
    directory: Path, play: Json, environment: dict[str, str], *arguments: str, within: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a play on this machine; its output is the JSON of all results. C(within) is a command that runs it."""
    (directory / "ansible.cfg").touch()
    whole = {"hosts": "localhost", "connection": "local", "gather_facts": False, **play}
    whole["vars"] = {"ansible_python_interpreter": sys.executable, **whole.get("vars", {})}
    (directory / "play.yml").write_text(yaml.safe_dump([whole], sort_keys=False))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "--diff", "play.yml"]
    return subprocess.run(
        [*within, *command, *arguments],
        cwd=directory,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith(("NOMAD_", "CONSUL_", "HARBOR_", "ANSIBLE_"))},
            "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"),
            "ANSIBLE_CONFIG": str(directory / "ansible.cfg"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_HOME": str(directory / "ansible"),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def results(done: subprocess.CompletedProcess[str]) -> list[tuple[str, Json]]:
    """Name and result of each task, on whichever host it ran."""
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    plays = json.loads(done.stdout[done.stdout.index("{") :])["plays"]
    found = [
        (task["task"]["name"], result) for play in plays for task in play["tasks"] for result in task["hosts"].values()
    ]
    done_well = [(name, result) for name, result in found if not (result.get("skipped") or result.get("failed"))]
    succeeded.update((result["action"], name) for name, result in done_well)
    return found


def names(tasks: Iterable[Json]) -> list[str]:
    """The names of tasks, in their order."""
    return list(dict.fromkeys(task["name"] for task in tasks))


def twice(
    directory: Path,
    environment: dict[str, str],
    tasks: list[Json],
    changing: Collection[str] = (),
    secrets: Collection[str] = (),
    *arguments: str,
    only_reads: bool = False,
    within: Sequence[str] = (),
    **play: Any,
) -> dict[str, list[Json]]:
    """Run tasks, then once more: then nothing changes but what C(changing) names. What they returned the first time."""
    first: dict[str, list[Json]] = {}
    for again in (False, True):
        done = run(directory, {**play, "tasks": tasks}, environment, *arguments, within=within)
        found = results(done)
        for secret in secrets:
            assert secret not in done.stdout
        assert not re.search(r"\[WARNING\]|DEPRECATION", done.stderr), done.stderr
        assert list(dict.fromkeys(name for name, _ in found)) == names(tasks)
        changed = {name for name, result in found if result.get("changed")}
        if again or only_reads:
            assert changed <= set(changing)
        else:
            assert changed
        if not again:
            for name, result in found:
                first.setdefault(name, []).append(result)
    return first
