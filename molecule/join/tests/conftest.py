# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Two operators: each has a working directory, an SSH key, a vault password and secrets of their own."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ansible.plugins.loader import init_plugin_loader
from clients import run_module
from federation import Federation, Node, connect
from machines import containers, docker
from organisations import CHECKOUT, PREFIX, Operator
from runs import execute

# Imports of ansible_collections.imagine.platform find this checkout.
init_plugin_loader([str(CHECKOUT / ".collections")])

NODES = ("walton-server", "walton-compute")
INVENTORIES = ("-i", str(CHECKOUT / "inventories" / "local"))
WHOLE = (*INVENTORIES, "-i", str(CHECKOUT / "inventories" / "local-walton"))


@pytest.fixture(scope="session")
def federation() -> Federation:
    return Federation()


def new_machines() -> None:
    """Make the two machines of the new site: bare, and with an address each."""
    for name in containers(NODES):
        listed = docker("container", "ls", "--all", "--quiet", "--filter", f"name=^{name}$").split()
        if listed:
            docker("container", "rm", "--force", "--volumes", *listed)
    execute(["ansible-playbook", *WHOLE, "testbed/create.yml"])


@pytest.fixture(scope="session")
def whole() -> tuple[str, ...]:
    """The inventory of who reaches the machines of all sites, the new one among them."""
    return WHOLE


@pytest.fixture(scope="session")
def machines() -> list[str]:
    """The machines of the new site."""
    new_machines()
    return containers(NODES)


@pytest.fixture
def other_machines(machines: list[str]) -> None:
    """New ones in their places, which nobody has joined yet."""
    new_machines()


@pytest.fixture(scope="session")
def operators(tmp_path_factory: pytest.TempPathFactory, federation: Federation) -> Iterator[Operator]:
    """The federation operator, whose inventory does not have the new site."""
    directory = tmp_path_factory.mktemp("federation")
    secrets_file = str(federation.variables["federation_secrets_file"])
    before = {path: path.read_bytes() for path in _admitted(secrets_file)}
    # Where a run before has left it: each run has keys of its own.
    run_module(federation, "site", name="walton", state="absent")
    yield Operator(directory, INVENTORIES, {**os.environ, "SECRETS_FILE": secrets_file})
    for path in _admitted(secrets_file):
        if path not in before:
            path.unlink()


def _admitted(secrets_file: str) -> list[Path]:
    return list((Path(secrets_file).parent / "admitted").glob("*"))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, federation: Federation, machines: list[str]) -> Operator:
    """The site operator, who alone can log in to the site's machines."""
    directory = tmp_path_factory.mktemp("site")
    key = directory / "ssh_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = key.with_suffix(".pub").read_text(encoding="ascii")
    known_hosts = []
    for number, machine in zip((11, 21), machines, strict=True):
        docker("exec", "-i", machine, "sh", "-c", "cat > /home/debian/.ssh/authorized_keys", text=public)
        host_key = docker("exec", machine, "cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()[:2]
        known_hosts.append(f"{PREFIX}.4.{number} {' '.join(host_key)}\n")
    (directory / "known_hosts").write_text("".join(known_hosts), encoding="ascii")
    password = directory / "vault-password"
    password.write_text(secrets.token_hex(32), encoding="ascii")
    password.chmod(0o600)
    _write_inventory(directory, federation)
    (directory / "ansible.cfg").write_text(
        f"[defaults]\ncollections_path = {CHECKOUT / '.collections'}\nvault_password_file = {password}\n"
        "forks = 8\ngathering = explicit\ninject_facts_as_vars = false\nshow_task_path_on_failure = true\n"
        "localhost_warning = false\n[ssh_connection]\npipelining = true\n",
        encoding="utf-8",
    )
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "NO_COLOR", "TMPDIR", "XDG_CACHE_HOME", "GOFLAGS", "GOPROXY")
    environment = {name: value for name, value in os.environ.items() if name in kept}
    environment |= {"ANSIBLE_CONFIG": str(directory / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    return Operator(directory, ("-i", "inventory"), environment)


def _write_inventory(directory: Path, federation: Federation) -> None:
    """What a site operator writes, and what was agreed with others: names of VOs, an account of the registry."""
    inventory = directory / "inventory"
    variables = inventory / "group_vars" / "all"
    variables.mkdir(parents=True)
    source = CHECKOUT / "inventories" / "local-walton"
    text = (source / "walton.yml").read_text(encoding="utf-8").replace("{{ local_prefix }}", PREFIX)
    (inventory / "walton.yml").write_text(
        "\n".join(line for line in text.splitlines() if "local_network" not in line) + "\n", encoding="utf-8"
    )
    shutil.copy(source / "zz_groups.yml", inventory)
    state = Path(str(federation.variables["federation_ca_directory"]))
    shutil.copy(state / "registry.pem", directory / "registry.pem")
    registry = str(federation.variables["local_registry"])
    account = json.loads(Path(str(federation.variables["local_registry_auth_file"])).read_text(encoding="utf-8"))
    shutil.copy(str(federation.variables["local_registry_auth_file"]), directory / "registry.json")
    assert registry in account["auths"]
    vos = [
        {key: vo[key] for key in ("name", "namespace", "base_domain")} for vo in federation.variables["federation_vos"]
    ]
    settings = {
        "federation_scope": "site",
        "federation_vos": vos,
        "federation_cache_dir": os.environ.get("LOCAL_CACHE_DIR", str(Path.home() / ".cache" / "imagine-platform")),
        "traefik_certificate_source": "ca",
        "ansible_user": "debian",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_private_key_file": str(directory / "ssh_key"),
        "ansible_ssh_common_args": (
            f"-F none -o UserKnownHostsFile={directory / 'known_hosts'} -o GlobalKnownHostsFile=/dev/null "
            "-o StrictHostKeyChecking=yes -o IdentitiesOnly=yes"
        ),
        "nomad_reserved_memory_mb": 256,
        "node_test_minimum_disk_mb": 5000,
        # The site's names are in no DNS.
        "node_test_use_dns": False,
        "preflight_minimum_memory_mb": 1024,
        "preflight_minimum_disk_mb": 5000,
        "nomad_docker_infra_image": f"{registry}/imagine-testbed/pause:1",
        "nomad_docker_registries": [
            {
                "registry": registry,
                "username": "imagine",
                "password": "{{ ((lookup('ansible.builtin.file', '"
                + str(directory / "registry.json")
                + "') | from_json)"
                ".auths['" + registry + "'].auth | b64decode).split(':')[1] }}",
            }
        ],
        "docker_registry_certificates": [{"registry": registry, "ca": str(directory / "registry.pem")}],
        "docker_daemon_options_extra": {
            "default-runtime": "testbed-runc",
            "runtimes": {"testbed-runc": {"path": "/usr/local/sbin/testbed-runc"}},
        },
        "nomad_config_extra": {
            "client": {"options": {"fingerprint.denylist": "env_aws,env_azure,env_gce,env_digitalocean"}}
        },
    }
    (variables / "site.yml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


@pytest.fixture(scope="session")
def walton(site: Operator, federation: Federation) -> dict[str, Node]:
    """Shells on the site's nodes, with the site operator's key."""
    nodes = {}
    for name, number, roles in (("walton-server", 11, ["ingress"]), ("walton-compute", 21, ["compute"])):
        variables = {
            "ansible_user": "debian",
            "ansible_host": f"{PREFIX}.4.{number}",
            "ansible_ssh_private_key_file": str(site.directory / "ssh_key"),
            "ansible_ssh_common_args": (
                f"-F none -o UserKnownHostsFile={site.directory / 'known_hosts'} -o GlobalKnownHostsFile=/dev/null "
                "-o StrictHostKeyChecking=yes -o IdentitiesOnly=yes"
            ),
            "node_roles": roles,
            "site_name": "walton",
        }
        nodes[name] = Node(name, variables, connect(variables))
    return nodes
