# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Values and templates of a role, evaluated by Ansible as in a run, without touching any machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).resolve().parents[1]
ROLES = CHECKOUT / "roles"


def environment() -> dict[str, str]:
    """Of an ansible-playbook that finds the collection, and runs on this machine."""
    return {
        **os.environ,
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
    }


def evaluate(
    role: str,
    directory: Path,
    variables: dict[str, Any],
    hosts: dict[str, dict[str, Any]] | None = None,
    limit: str = "all",
    **expressions: str,
) -> dict[str, Any]:
    """Evaluate expressions over the defaults and vars of a role and C(variables); C(directory) is scratch space.

    A value that is a string comes back as it is, others as Ansible would pass them to a module. C(hosts) are those of
    the inventory with their variables, grouped by role and site, and C(limit) says which of them the play reaches. What
    a host has in C(node_facts) is found in the facts of imagine.platform.node_facts.
    """
    (directory / "templates").unlink(missing_ok=True)
    (directory / "templates").symlink_to(ROLES / role / "templates")
    files = [ROLES / role / kind / "main.yml" for kind in ("defaults", "vars")]
    looked = {"ansible.builtin.set_fact": {"imagine_node": "{{ node_facts }}", "cacheable": True}}
    play = {
        "hosts": "all",
        "connection": "local",
        "gather_facts": False,
        "vars_files": [str(path) for path in files if path.exists()],
        "pre_tasks": [looked] if any("node_facts" in values for values in (hosts or {}).values()) else [],
        "tasks": [
            {
                "ansible.builtin.copy": {
                    "dest": str(directory / f"{name}.json"),
                    "content": "{{ {'value': (" + expression + ")} | to_json }}",
                    "mode": "0600",
                },
                "run_once": True,
            }
            for name, expression in expressions.items()
        ],
    }
    playbook, given, inventory = (directory / name for name in ("playbook.yml", "variables.json", "inventory.yml"))
    groups: dict[str, Any] = {}
    for host, values in (hosts or {}).items():
        site = [f"site_{values['site_name'].replace('-', '_')}"] if "site_name" in values else []
        for name in [*(f"role_{role}" for role in values.get("node_roles", [])), *site]:
            groups.setdefault(name, {"hosts": {}})["hosts"][host] = {}
    everything = {"hosts": hosts or {"localhost": {}}, "children": groups}
    inventory.write_text(json.dumps({"all": everything}), encoding="utf-8")
    playbook.write_text(yaml.safe_dump([play]), encoding="utf-8")
    given.write_text(json.dumps(variables), encoding="utf-8")
    done = subprocess.run(
        [
            *[Path(sys.executable).with_name("ansible-playbook"), "-i", inventory, "-l", limit],
            *["-e", f"@{given}", playbook],
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=CHECKOUT,
        env=environment(),
    )
    if done.returncode:
        raise AssertionError(done.stdout[-3000:] + done.stderr[-3000:])
    return {name: json.loads((directory / f"{name}.json").read_text(encoding="utf-8"))["value"] for name in expressions}
