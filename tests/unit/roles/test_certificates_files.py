# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What the role certificates asks for where the authorities are known, come and go, or are those of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rendering import evaluate

VO = {"name": "vo.example.org", "namespace": "example", "base_domain": "example.org"}
NODE = {
    "node_roles": ["ingress", "compute"],
    "site_name": "walton",
    "site_domain": "walton",
    "site_vos": ["vo.example.org"],
    "federation_vos": [VO],
    "traefik_certificate_source": "ca",
    "ansible_host": "192.0.2.11",
}


def authorities(directory: Path, secrets: dict[str, Any], **variables: Any) -> dict[str, str]:
    hosts = {"walton-1": {**NODE, **variables, "federation_secrets": secrets}}
    requests = "_certificates_asked_for" if variables else "_certificates_requests"
    found = evaluate("certificates", directory, {}, hosts=hosts, limit="walton-1", requests=requests)["requests"]
    return {one["name"]: one["ca"] for one in found}


def test_authorities_of_others_may_not_be_known_yet(tmp_path: Path) -> None:
    assert authorities(tmp_path, {"operator": {}}, federation_scope="site") == {"nomad": "", "traefik": ""}
    known = {"nomad": {"ca": {"certificate": "n"}}, "ingress": {"ca": {"certificate": "i"}}}
    assert authorities(tmp_path, known, federation_scope="site") == {"nomad": "n", "traefik": "i"}


def test_those_that_come_and_go_are_trusted(tmp_path: Path) -> None:
    secrets = {
        "nomad": {"ca": {"certificate": "new", "trusted_signer_first": "new and old"}},
        "ingress": {"ca": {"certificate": "i"}},
        "sites": {"walton": {"consul_ca": {"certificate": "c", "trusted_signer_first": "c and next"}}},
    }
    assert authorities(tmp_path, secrets) == {"nomad": "new and old", "traefik": "i", "consul": "c and next"}
