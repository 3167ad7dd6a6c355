# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Addresses from the inventory alone."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.imagine.platform.plugins.filter.node_addresses import FilterModule, node_addresses

HOSTVARS: dict[str, dict[str, Any]] = {
    "all-three": {"node_public_address": "203.0.113.10", "node_address": "10.10.0.11", "ansible_host": "bastion"},
    "reached": {"ansible_host": "10.10.0.21"},
    "public": {"node_public_address": "203.0.113.11", "node_address": "", "ansible_host": "10.10.0.12"},
    "nowhere": {"node_public_address": "203.0.113.12", "node_address": None},
}


@pytest.mark.parametrize(
    ("hosts", "public", "addresses"),
    [
        (["all-three", "reached", "public"], False, ["10.10.0.11", "10.10.0.21", "10.10.0.12"]),
        (["public", "reached", "all-three"], True, ["203.0.113.11", "10.10.0.21", "203.0.113.10"]),
        (["nowhere"], True, ["203.0.113.12"]),
        ([], False, []),
    ],
)
def test_first_address_that_is_set(hosts: list[str], public: bool, addresses: list[str]) -> None:
    assert node_addresses(hosts, HOSTVARS, public) == addresses


def test_host_without_address_is_named() -> None:
    with pytest.raises(AnsibleError, match="Host nowhere has no address: set node_address or ansible_host"):
        node_addresses(["reached", "nowhere"], HOSTVARS)


def test_in_a_template() -> None:
    variables = {"nodes": ["reached", "public"], "vars_of_hosts": HOSTVARS}
    templar = Templar(loader=DataLoader(), variables=variables)
    assert set(FilterModule().filters()) == {"node_addresses"}
    expression = "{{ nodes | imagine.platform.node_addresses(vars_of_hosts, public=true) }}"
    try:
        from ansible.template import trust_as_template

        expression = trust_as_template(expression)
    except ImportError:  # ansible-core before 2.19 trusts every string
        pass
    assert templar.template(expression) == ["10.10.0.21", "203.0.113.11"]
