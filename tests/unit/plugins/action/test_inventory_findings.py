# Copyright (c) 2026 imagine.platform contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin on real inventories: what Ansible makes of the files, and what is found in it."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultSecret
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from ansible_collections.imagine.platform.plugins.action import inventory_findings

EXAMPLE = Path(__file__).resolve().parents[4] / "inventories" / "example"


def find(source: Path, password: bytes | None = b"x", **options: Any) -> dict[str, Any]:
    loader = DataLoader()
    if password is not None:
        loader.set_vault_secrets([("default", VaultSecret(password))])
    inventory = InventoryManager(loader=loader, sources=[str(source)])
    manager = VariableManager(loader=loader, inventory=inventory)
    hostvars = HostVars(inventory=inventory, variable_manager=manager, loader=loader)
    task = MagicMock(args=options, async_val=0, check_mode=False, diff=False)
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None), become=None)
    action = inventory_findings.ActionModule(task, connection, MagicMock(), loader, MagicMock(), None)
    return action.run(
        task_vars={
            "hostvars": hostvars,
            "groups": inventory.get_groups_dict(),
            "ansible_inventory_sources": [str(source)],
        }
    )


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the example whose first site need not have its certificates."""
    monkeypatch.chdir(tmp_path)
    copy = tmp_path / "example"
    shutil.copytree(EXAMPLE, copy)
    site = copy / "ifca.yml"
    site.write_text(site.read_text().replace("traefik_certificate_source: files", "traefik_certificate_source: ca"))
    return copy


def test_example_has_nothing_wrong(example: Path) -> None:
    result = find(example)
    assert result["errors"] == []
    assert result["warnings_found"] == []
    assert not result["changed"]
    assert "incd-gpu-4" in result["nodes"]


def test_example_as_shipped_asks_for_certificates_only() -> None:
    errors = find(EXAMPLE)["errors"]
    assert len(errors) == 4
    assert all("traefik_certificates" in error for error in errors)


def test_findings_name_file_and_line(example: Path) -> None:
    site = example / "tubitak.yml"
    site.write_text(site.read_text().replace("site_country: TR", "site_contry: TR\n    site_title: '{{ nothing }}'"))
    errors = find(example)["errors"]
    assert any(
        error.startswith("site tubitak-imagine: site_contry = TR: nothing reads this variable") for error in errors
    )
    assert any("site_title: cannot be evaluated, because 'nothing' is undefined" in error for error in errors)
    assert any("example/tubitak.yml:" in error for error in errors)


def test_names_alone(example: Path) -> None:
    site = example / "tubitak.yml"
    site.write_text(site.read_text().replace("site_country: TR", "site_contry: TR\n    site_title: '{{ nothing }}'"))
    (error,) = find(example, password=None, names_only=True)["errors"]
    assert error.startswith("site tubitak-imagine: site_contry = TR: nothing reads this variable, did you mean")


def test_hosts_that_are_no_nodes(example: Path) -> None:
    (example / "others.yml").write_text("unmanaged:\n  hosts:\n    bastion: {ansible_host: 10.10.0.1}\n")
    assert find(example)["errors"] == []
    errors = find(example, unmanaged_groups=[])["errors"]
    assert any(error.startswith("bastion: node_roles: no node role is given") for error in errors)


def test_vault_password(example: Path) -> None:
    secrets = example / ".federation" / "secrets.yml"
    secrets.parent.mkdir()
    secrets.write_text("a: 1\n")
    assert any("the file is not encrypted" in error for error in find(example)["errors"])
    secrets.unlink()
    assert any("no vault password is given" in error for error in find(example, password=None)["errors"])


def test_wrong_vault_password(example: Path) -> None:
    # Outside of the inventory, where Ansible itself does not look.
    from ansible.parsing.vault import VaultLib

    secrets = example.parent / "secrets.yml"
    secrets.write_bytes(VaultLib([("default", VaultSecret(b"right"))]).encrypt(b"a: 1\n"))
    data = example / "group_vars" / "all" / "federation.yml"
    data.write_text(data.read_text() + f"federation_secrets_file: {secrets}\n")
    assert find(example, password=b"right")["errors"] == []
    (error,) = find(example, password=b"wrong")["errors"]
    assert "give the vault password that it was made with" in error


def test_encrypted_and_foreign_values_are_not_evaluated(example: Path) -> None:
    data = example / "group_vars" / "all" / "more.yml"
    data.write_text("consul_log_level: '{{ set_in_a_later_play }}'\nnode_secret_word: abcdef\n")
    errors = find(example, known_variables=["consul_log_level"])["errors"]
    assert len(errors) == 1
    assert "abcdef" not in errors[0]


def test_machines_are_judged(example: Path) -> None:
    facts = {
        "ifca-gpu-1": {"unreachable": True, "msg": "no route to host"},
        "ifca-gpu-2": {"failed": True, "msg": "no Python"},
        "ifca-batch-1": {
            "ansible_facts": {
                "imagine_node": {
                    "os_id": "debian",
                    "os_version": "12",
                    "architecture": "amd64",
                    "memory_mb": 100,
                    "clock_epoch": 5.0,
                    "addresses": ["10.10.0.31"],
                }
            }
        },
        "ifca-server-1": {"skipped": True},
    }
    before = find(example)
    result = find(example, inventory=False, facts=facts, started=before["finished"], more=before["findings"])
    assert [error.split(":")[0] for error in result["errors"]] == [
        "ifca-batch-1",
        "ifca-batch-1",
        "ifca-gpu-1",
        "ifca-gpu-2",
    ]
    assert find(example, inventory=False, facts={}, more=result["findings"])["errors"] == result["errors"]


def test_lost_secrets(example: Path) -> None:
    facts = {
        "ifca-server-1": {
            "ansible_facts": {"imagine_node": {"paths": {"/etc/nomad.d/secrets.json": True}, "os_id": "debian"}}
        }
    }

    def lost(**options: Any) -> list[str]:
        errors = find(example, inventory=False, facts=facts, started=1.0, **options)["errors"]
        return [error for error in errors if "federation_secrets_file" in error]

    (error,) = lost()
    assert error.startswith("example/.federation/secrets.yml: federation_secrets_file = ")
    assert "but ifca-server-1 has /etc/nomad.d/secrets.json" in error
    secrets = example / ".federation" / "secrets.yml"
    secrets.parent.mkdir()
    secrets.write_text("$ANSIBLE_VAULT;1.1;AES256\n")
    assert lost() == []
    secrets.unlink()
    data = example / "group_vars" / "all" / "federation.yml"
    data.write_text(data.read_text() + "federation_start_anew: true\n")
    assert lost() == []


def test_round_trips_are_judged(example: Path) -> None:
    before = find(example)
    assert before["peers"]["ifca-server-1"] == ["198.51.100.10:4647", "192.0.2.11:4647"]
    measured = {"round_trip_ms": {"198.51.100.10:4647": 260.0}}
    facts = {"ifca-server-1": {"ansible_facts": {"imagine_node": measured}}}

    def warnings() -> list[str]:
        found = find(example, inventory=False, facts=facts, started=1.0)["warnings_found"]
        return [text for text in found if "raft" in text]

    (text,) = warnings()
    assert text.startswith("federation: nomad_raft_multiplier = 2: ")
    assert "set it to 6" in text
    data = example / "group_vars" / "all" / "federation.yml"
    data.write_text(data.read_text() + "nomad_raft_multiplier: 6\n")
    assert warnings() == []


def test_an_inventory_of_one_file(example: Path) -> None:
    single = example.parent / "hosts.yml"
    single.write_text(
        "all:\n  hosts:\n    a: {ansible_host: 10.0.0.1}\n    a: {ansible_host: 10.0.0.2}\n    localhost: {}\n"
    )
    result = find(single)
    assert result["nodes"] == ["a"]
    assert any(error.startswith("hosts.yml:4: a: the node is also on line 3") for error in result["errors"])


def test_a_file_that_is_no_text(example: Path) -> None:
    (example / ".hidden.yml").write_bytes(b"\xff\xfe")
    assert any("the file cannot be read" in error for error in find(example)["errors"])


def test_paths_are_as_the_operator_would_type_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/nowhere/home")
    assert inventory_findings.shorten(str(tmp_path / "a" / "b.yml")) == "a/b.yml"
    assert inventory_findings.shorten("/nowhere/home/b.yml") == "~/b.yml"
    assert inventory_findings.shorten("/etc/b.yml") == "/etc/b.yml"
