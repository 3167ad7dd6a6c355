# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The role packages installs what other roles would, so that they find nothing missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from rendering import evaluate

OF_ROLES = {"certificates": ["compute", "ingress"], "docker": ["compute"], "traefik": ["ingress"]}


@pytest.mark.parametrize("node_role", ["compute", "ingress"])
@pytest.mark.parametrize("variables", [{}, {"certificates_packages": ["a"], "docker_packages": ["b"]}])
@pytest.mark.parametrize("hold", [True, False])
def test_the_packages_of_all_roles(tmp_path: Path, node_role: str, variables: dict[str, list[str]], hold: bool) -> None:
    hosts = {"node": {"node_roles": [node_role], "node_facts": {"os_family": "Debian", "packages": {}}}}
    given = {**variables, "traefik_hold_connections": hold}
    names = evaluate("packages", tmp_path, given, hosts=hosts, found="packages_names")["found"]
    missing: list[str] = []
    for role, node_roles in OF_ROLES.items():
        if node_role in node_roles:
            wanted = {**given, "imagine_domain": "x"}
            missing += evaluate(role, tmp_path, wanted, hosts=hosts, found=f"{role}_packages")["found"]
    assert sorted(names) == sorted(missing)
