# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The examples in the documentation of the modules, run by Ansible against a real Nomad, twice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import example_playbook
from nomad_cases import OTHER_RULES, RULES

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


def test_examples(nomad_agent: Any, nomad: Any, tmp_path: Path) -> None:
    nomad("nomad_acl_policy", name="imagine-write", rules=RULES)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "api.hcl").write_text(OTHER_RULES)
    tasks = [task for module in MODULES for task in example_playbook.examples(module)]
    play = {"vars": VARIABLES, "tasks": tasks}
    for again in (False, True):
        done = example_playbook.run(tmp_path, play, example_playbook.connect(nomad_agent))
        found = example_playbook.results(done)
        for secret in (VARIABLES["mail_password"], VARIABLES["registry_token"], VARIABLES["check_in_client_secret"]):
            assert secret not in done.stdout
        assert not re.search(r"\[WARNING\]|DEPRECATION", done.stderr), done.stderr
        assert [name for name, _ in found] == [task["name"] for task in tasks]
        changed = {name for name, result in found if result.get("changed")}
        assert changed <= set(NOT_IDEMPOTENT) if again else changed
