# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Which Nomad servers playbooks ask for the leader, and which of them the roles work with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rendering import evaluate

SERVERS: dict[str, dict[str, Any]] = {
    "a": {"node_roles": ["server"], "site_name": "ifca", "ansible_host": "192.0.2.1"},
    "b": {
        "node_roles": ["server"],
        "site_name": "incd",
        "ansible_host": "192.0.2.2",
        "node_public_address": "203.0.113.2",
    },
    "c": {"node_roles": ["server"], "site_name": "psnc", "ansible_host": "2001:db8::3"},
    "d": {"node_roles": ["compute"], "site_name": "psnc", "ansible_host": "192.0.2.4"},
}
ADDRESSES = ["https://192.0.2.1:4646", "https://203.0.113.2:4646", "https://[2001:db8::3]:4646"]


@pytest.mark.parametrize(
    ("without", "asked"),
    [
        ([], ADDRESSES),
        (["a", "d"], ADDRESSES[1:]),
        # There is nobody else to ask.
        (["a", "b", "c"], ADDRESSES),
    ],
)
def test_servers_that_are_asked(tmp_path: Path, without: list[str], asked: list[str]) -> None:
    given = {"federation_connect_without": without} if without else {}
    found = evaluate("federation", tmp_path, given, hosts=SERVERS, found="_federation_nomad_addresses")
    assert found["found"] == asked


def test_the_role_nomad_works_with_the_server_that_answered(tmp_path: Path) -> None:
    secrets = {"nomad": {"management_token": "x"}}
    given: dict[str, Any] = {"federation_secrets": secrets, "federation_ca_directory": "/ca"}
    for answered, address in (({}, ADDRESSES[0]), ({"federation_nomad_api": {"nomad_address": "y"}}, "y")):
        found = evaluate("nomad", tmp_path, {**given, **answered}, hosts=SERVERS, found="_nomad_api")
        assert found["found"] == {"nomad_address": address, "nomad_ca_cert": "/ca/nomad.pem", "nomad_token": "x"}
