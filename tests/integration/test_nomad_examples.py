# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The examples in the documentation of the modules, run by Ansible against a real Nomad, twice."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from nomad_cases import OTHER_RULES, RULES

COLLECTIONS = Path(__file__).resolve().parents[2] / ".collections"
# In the order in which what one makes is there for the next.
MODULES = (
    "nomad_namespace",
    "nomad_namespace_info",
    "nomad_node_pool",
    "nomad_node_pool_info",
    "nomad_acl_policy",
    "nomad_acl_policy_info",
    "nomad_acl_role",
    "nomad_acl_role_info",
    "nomad_acl_token",
    "nomad_acl_token_info",
    "nomad_acl_auth_method",
    "nomad_acl_auth_method_info",
    "nomad_acl_binding_rule",
    "nomad_acl_binding_rule_info",
    "nomad_variable",
    "nomad_variable_info",
    "nomad_scheduler_config",
    "nomad_scheduler_config_info",
)
# What the examples take from elsewhere.
VARIABLES = {
    "ansible_python_interpreter": sys.executable,
    "mail_password": "mail-password-of-the-example",
    "registry_token": "registry-token-of-the-example",
    "check_in_client_secret": "client-secret-of-the-example",
}
# Each run writes the secret that was renewed, and the user of the mail account that two examples disagree about.
NOT_IDEMPOTENT = (
    "Write a client secret that the provider has renewed",
    "Keep the mail account of the platform",
    "Change one item and keep the others",
)


def examples(module: str) -> list[dict[str, Any]]:
    """The tasks in the documentation of a module."""
    source = importlib.import_module(f"ansible_collections.imagine.platform.plugins.modules.{module}")
    tasks: list[dict[str, Any]] = yaml.safe_load(source.EXAMPLES)
    assert len(tasks) >= 2, f"{module} has fewer than two examples"
    return tasks


def test_examples(nomad_agent: Any, nomad: Any, tmp_path: Path) -> None:
    nomad("nomad_acl_policy", name="imagine-write", rules=RULES)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "api.hcl").write_text(OTHER_RULES)
    tasks = [task for module in MODULES for task in examples(module)]
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": VARIABLES, "tasks": tasks}
    (tmp_path / "ansible.cfg").touch()
    (tmp_path / "examples.yml").write_text(yaml.safe_dump([play], sort_keys=False))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("NOMAD_", "ANSIBLE_"))},
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "NOMAD_ADDR": nomad_agent.address,
        "NOMAD_CACERT": str(nomad_agent.directory / "ca.pem"),
        "NOMAD_TOKEN": nomad_agent.token,
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "--diff", "examples.yml"]
    for again in (False, True):
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        text = done.stdout[done.stdout.index("{") :]
        for secret in (VARIABLES["mail_password"], VARIABLES["registry_token"], VARIABLES["check_in_client_secret"]):
            assert secret not in text
        assert not re.search(r"\[WARNING\]|DEPRECATION", done.stderr), done.stderr
        results = [
            (task["task"]["name"], task["hosts"]["localhost"])
            for play_result in json.loads(text)["plays"]
            for task in play_result["tasks"]
        ]
        assert [name for name, _ in results] == [task["name"] for task in tasks]
        changed = {name for name, result in results if result.get("changed")}
        assert changed <= set(NOT_IDEMPOTENT) if again else changed
