# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""A rotation of Nomad's tokens, by the tasks of the roles, against a real Nomad; it is stopped after each step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

CHECKOUT = Path(__file__).resolve().parents[2]
PASSWORD = "password of a test"
RULES = 'namespace "*" {\n  policy = "read"\n}\n'
NAMES = ("operator", "platform-api")
Step = dict[str, Any]


def step(role: str, tasks: str, **variables: Any) -> Step:
    return {
        "name": f"{role}, {tasks}",
        "ansible.builtin.import_role": {"name": f"imagine.platform.{role}", "tasks_from": tasks},
        "vars": variables,
    }


# As the playbook has them.
NEXT = step("nomad", "tokens_next", nomad_tokens_due="{{ _rotation_nomad_due }}")
BEGIN, RENAME, PROMOTE = step("rotation", "begin"), step("nomad", "tokens_name"), step("rotation", "promote")
KEPT = "{{ [] if rotation_revoke_handed_over | bool else rotation_handed_over }}"
REVOKE, FINISH = step("nomad", "tokens_revoke", nomad_tokens_kept=KEPT), step("rotation", "finish")
STEPS = [NEXT, BEGIN, RENAME, PROMOTE, REVOKE, FINISH]


@pytest.fixture
def secrets_file(tmp_path: Path, nomad: Any, nomad_agent: Any) -> Path:
    """The file of secrets of a federation whose tokens exist."""
    nomad("nomad_acl_policy", policies=[{"name": name, "rules": RULES} for name in NAMES])
    # Only the tokens of this test have these names.
    stale = [name + suffix for name in (*NAMES, "management") for suffix in ("", "-next", "-previous")]
    for token in nomad("nomad_acl_token_info")["tokens"]:
        if token["name"] in stale:
            nomad("nomad_acl_token", name=token["name"], accessor_id=token["accessor_id"], state="absent")
    wanted = [{"name": name, "policies": [name]} for name in NAMES]
    made = nomad("nomad_acl_token", tokens=[*wanted, {"name": "root", "type": "management"}], return_secrets=True)
    found = {token["name"]: token["secret_id"] for token in made["tokens"]}
    (tmp_path / "vault-password").write_text(PASSWORD)
    path = tmp_path / "secrets.yml"
    values = {"nomad": {"tokens": {name: found[name] for name in NAMES}, "management_token": found["root"]}}
    path.write_bytes(VaultLib([("default", VaultSecret(PASSWORD.encode()))]).encrypt(yaml.safe_dump(values)))
    path.chmod(0o600)
    return path


def stored(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(
        VaultLib([("default", VaultSecret(PASSWORD.encode()))]).decrypt(path.read_bytes())
    )
    return values


def tokens(path: Path) -> dict[str, str]:
    """The tokens that the file names."""
    nomad = stored(path)["nomad"]
    return {**nomad["tokens"], "management": nomad["management_token"]}


@pytest.fixture
def rotate(tmp_path: Path, secrets_file: Path, nomad_agent: Any) -> Callable[..., str]:
    """Run steps on a federation of one node, and return what was printed."""
    inventory = {
        "all": {
            "hosts": {"n1": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}},
            "vars": {
                "site_name": "ifca",
                "node_roles": ["server"],
                "federation_name": "test",
                "federation_secrets_file": str(secrets_file),
                "federation_ca_directory": str(tmp_path / "ca"),
                "federation_vos": [],
                "rotation_kind": "tokens",
            },
            "children": {"role_server": {"hosts": {"n1": None}}, "site_ifca": {"hosts": {"n1": None}}},
        }
    }

    def run(steps: list[Step], *arguments: str) -> str:
        load = {
            "name": "Load the secrets",
            "imagine.platform.federation_secrets": {"path": str(secrets_file), "wanted": {}},
        }
        play = {"hosts": "role_*", "gather_facts": False, "tasks": [load, *steps]}
        (tmp_path / "inventory.yml").write_text(yaml.safe_dump(inventory))
        (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
        (tmp_path / "ansible.cfg").touch()
        done = subprocess.run(
            [
                *[Path(sys.executable).with_name("ansible-playbook"), "-i", "inventory.yml", "play.yml"],
                *["-e", "@overrides.json", *arguments],
            ],
            cwd=tmp_path,
            env={
                **{key: value for key, value in os.environ.items() if not key.startswith(("NOMAD_", "ANSIBLE_"))},
                "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"),
                "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
                "ANSIBLE_VAULT_PASSWORD_FILE": str(tmp_path / "vault-password"),
                "ANSIBLE_INJECT_FACT_VARS": "true",
                "ANSIBLE_NOCOLOR": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
        for secret in tokens(secrets_file).values():
            assert secret not in done.stdout
        return done.stdout

    # What a test of Nomad's tokens alone has in place of the roles' own values.
    overrides = {
        "rotation_parts": ["nomad", "management"],
        "_rotation_secrets_tokens": {"nomad": "{{ _rotation_nomad_tokens }}"},
        "_federation_authority_files": [],
        "_nomad_api": {
            "nomad_address": nomad_agent.address,
            "nomad_ca_cert": str(nomad_agent.directory / "ca.pem"),
            "nomad_token": "{{ federation_secrets.nomad.management_token }}",
        },
    }
    (tmp_path / "overrides.json").write_text(json.dumps(overrides))
    return run


@pytest.fixture
def name_of(nomad_agent: Any) -> Callable[[str], str]:
    """What the token with a secret is called; nothing where it does not count."""

    def ask(secret: str) -> str:
        answer = requests.get(
            f"{nomad_agent.address}/v1/acl/token/self",
            headers={"X-Nomad-Token": secret},
            verify=str(nomad_agent.directory / "ca.pem"),
            timeout=10,
        )
        return str(answer.json()["Name"]) if answer.status_code == 200 else ""

    return ask


# After the tokens were made, were named, were exchanged in the file; and not at all.
@pytest.mark.parametrize("stopped_after", [1, 3, 4, 6])
def test_tokens(
    rotate: Callable[..., str], secrets_file: Path, name_of: Callable[[str], str], stopped_after: int
) -> None:
    before = tokens(secrets_file)
    rotate([*STEPS[:stopped_after], {"ansible.builtin.meta": "end_play"}, *STEPS[stopped_after:]])
    # Whoever reads the file meanwhile finds tokens that count.
    assert all(name_of(secret) for secret in tokens(secrets_file).values())
    if stopped_after == len(STEPS):
        assert "platform-api still counts" in " ".join(rotate([REVOKE, FINISH]).split())
    else:
        rotate(STEPS)
    after = tokens(secrets_file)
    assert not set(before.values()) & set(after.values())
    assert {name: name_of(secret) for name, secret in after.items()} == {name: name for name in after}
    assert {name: name_of(secret) for name, secret in before.items()} == {
        "operator": "",
        "management": "",
        "platform-api": "platform-api-previous",
    }
    rotate(STEPS, "-e", '{"rotation_revoke_handed_over": true}')
    assert name_of(before["platform-api"]) == ""
    assert tokens(secrets_file) == after
    assert stored(secrets_file)["rotations"] == {}
    assert set(stored(secrets_file)["rotated"]) == {
        "nomad.tokens.operator",
        "nomad.tokens.platform-api",
        "nomad.management_token",
    }


def test_check_mode(rotate: Callable[..., str], secrets_file: Path, name_of: Callable[[str], str]) -> None:
    before = secrets_file.read_bytes()
    output = rotate(STEPS, "--check")
    assert "changed=" in output and "changed=0" not in output
    assert secrets_file.read_bytes() == before
