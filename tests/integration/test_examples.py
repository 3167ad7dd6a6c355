# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The examples in the documentation of the modules, run by Ansible against real servers, twice."""

from __future__ import annotations

import base64
import os
import uuid
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import example_playbook
import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from nomad_cases import OTHER_RULES, RULES
from test_tools import OWN

Json = dict[str, Any]
# In the order in which what one makes is there for the next.
OBJECTS = (
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
JOBS = (
    *("nomad_acl_bootstrap", "nomad_node_info", "nomad_job", "nomad_job_info", "nomad_node"),
    "nomad_autopilot_config",
)
DEPLOYMENTS = ("module_deployment", "tool_deployment", "deployment_info")
SERVERS = (
    *("nomad_server_info", "nomad_server", "nomad_gossip_keyring", "nomad_gossip_keyring_info"),
    *("nomad_snapshot", "nomad_leader_info"),
)
CONSUL = (
    *("consul_config_entry", "consul_config_entry_info", "consul_gossip_keyring"),
    *("consul_gossip_keyring_info", "consul_peering", "consul_peering_info", "consul_snapshot"),
)
BACKUPS = ("federation_backup", "federation_backup_info", "federation_backup_extract")
# What the examples take from elsewhere.
SECRETS = {
    "mail_password": "mail-password-of-the-example",
    "registry_token": "registry-token-of-the-example",
    "check_in_client_secret": "client-secret-of-the-example",
    "vault_hf_token": "hf-token-of-the-example",
    "vault_workbench_password": "workbench-password-of-the-example",
    "vault_rounds_password": "rounds-password-of-the-example",
}
JOB = """
variable "count" {
  type = number
}
variable "datacenters" {
  type = list(string)
}
job "probe" {
  datacenters = var.datacenters
  group "probe" {
    count = var.count
    task "probe" {
      driver = "raw_exec"
      config {
        command = "/bin/sleep"
        args    = ["600"]
      }
      resources {
        cpu    = 20
        memory = 20
      }
    }
  }
}
"""


def twice(
    directory: Path,
    environment: dict[str, str],
    tasks: list[Json],
    changing: Collection[str],
    secrets: Collection[str] = tuple(SECRETS.values()),
    **play: Any,
) -> None:
    """The same with what the examples take from elsewhere, which nothing may show."""
    play["vars"] = {**SECRETS, **play.get("vars", {})}
    example_playbook.twice(directory, environment, tasks, changing, secrets, **play)


@pytest.mark.examples(*OBJECTS)
def test_objects_of_nomad(fresh_agent: Any, run_module: Callable[..., Json], tmp_path: Path) -> None:
    run_module("nomad_acl_policy", **fresh_agent.connection, name="imagine-write", rules=RULES)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "api.hcl").write_text(OTHER_RULES)
    tasks = [task for module in OBJECTS for task in example_playbook.examples(module)]
    # Each run writes the secret that was renewed, and the user of the mail account that two examples disagree about.
    changing = (
        "Write a client secret that the provider has renewed",
        "Keep the mail account of the platform",
        "Change one item and keep the others",
    )
    made = run_module("nomad_acl_token", **fresh_agent.connection, name="other", type="management", return_secrets=True)
    leaked = made["token"]["secret_id"]
    twice(
        tmp_path,
        example_playbook.connect(fresh_agent),
        tasks,
        changing,
        (*SECRETS.values(), leaked),
        vars={"leaked_secret": leaked},
    )


@pytest.mark.examples(*JOBS)
def test_jobs_and_nodes(fresh_agent: Any, run_module: Callable[..., Json], tmp_path: Path) -> None:
    run_module("nomad_namespace", **fresh_agent.connection, name="imagine")
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "probe.nomad.hcl").write_text(JOB)
    names = {
        "https://10.10.0.11:4646": fresh_agent.address,
        "ca/nomad.pem": str(fresh_agent.directory / "ca.pem"),
        "groups['role_compute']": "['ifca-compute']",
    }
    examples = {module: example_playbook.replaced(example_playbook.examples(module), names) for module in JOBS}
    # There is one node here.
    del examples["nomad_node"][0]["imagine.platform.nomad_node"]["nodes"][1:]
    # Jobs are read before they end.
    run, end = examples["nomad_job"][:2], examples.pop("nomad_job")[2:]
    assert [task["name"] for task in end] == ["Stop the job", "Make Nomad forget the job"]
    tasks = [*examples.pop("nomad_acl_bootstrap"), *examples.pop("nomad_node_info"), *run]
    tasks += [*examples.pop("nomad_job_info"), *end, *(task for rest in examples.values() for task in rest)]
    changing = {task["name"] for task in (*run, *end)} | {"Move jobs away before maintenance", "Give the node back"}
    twice(
        tmp_path,
        example_playbook.connect(fresh_agent),
        tasks,
        changing,
        vars={"federation_secrets": {"nomad": {"management_token": fresh_agent.token}}},
    )


@pytest.mark.examples(*DEPLOYMENTS)
def test_deployments(fresh_agent: Any, run_module: Callable[..., Json], eventually: Any, tmp_path: Path) -> None:
    """Without Docker no node fits, so nobody waits."""
    connection = fresh_agent.connection
    vo = {"name": "vo.imagine-ai.eu", "namespace": "imagine", "base_domain": "deployments.example.org"}
    # Variables can be written as soon as the server has made the key that encrypts them.
    eventually(lambda: not run_module("vo", **connection, **vo).get("failed"))
    template = tmp_path / "module.nomad.hcl"
    template.write_text(OWN.replace("tool-notes-", "module-").replace("${GREETING}", "${DATASET_DOI}"))
    names = {"/etc/imagine/templates/module.nomad.hcl": str(template)}
    tasks = []
    for module in DEPLOYMENTS:
        for task in example_playbook.replaced(example_playbook.examples(module), names):
            if f"imagine.platform.{module}" in task:
                task.get(f"imagine.platform.{module}").setdefault("wait", False)
                if module == "deployment_info":
                    del task[f"imagine.platform.{module}"]["wait"]
                tasks.append(task)
    assert len(tasks) == 12
    # What one example makes another changes, stops or removes.
    lasting = ("Deploy a module on a GPU of one site", "Deploy a module with the operator's own job specification")
    changing = {task["name"] for task in tasks} - set(lasting)
    twice(tmp_path, example_playbook.connect(fresh_agent), tasks, changing)


@pytest.mark.examples(*SERVERS)
def test_servers(cluster: Any, run_module: Callable[..., Json], eventually: Any, tmp_path: Path) -> None:
    def ask() -> Json:
        return run_module("nomad_server_info", **cluster.connection())

    eventually(lambda: ask().get("failure_tolerance") == 1, 90)
    follower = next(one["name"] for one in ask()["servers"] if not one["leader"])
    ring = run_module("nomad_gossip_keyring_info", **cluster.connection(), return_keys=True)
    old, new = ring["keys"][0]["key"], base64.b64encode(os.urandom(32)).decode()
    names = {"incd-server": "server-9", "ifca-server": follower, "/var/backups": str(tmp_path)}
    for number, address in enumerate(("203.0.113.10", "198.51.100.10", "192.0.2.10")):
        names[f"https://{address}:4646"] = cluster.connection(number)["nomad_address"]
    tasks = [task for module in SERVERS for task in example_playbook.examples(module)]
    connection = cluster.connection()
    names["inventory/.federation/ca/nomad.pem"] = connection["nomad_ca_cert"]
    environment = {
        "NOMAD_ADDR": connection["nomad_address"],
        "NOMAD_CACERT": connection["nomad_ca_cert"],
        "NOMAD_TOKEN": connection["nomad_token"],
    }
    twice(
        tmp_path,
        environment,
        example_playbook.replaced(tasks, names),
        # Nomad cannot tell whether it has been restored.
        ("Save the state of the servers", "Restore it"),
        (old, new),
        vars={"new_gossip_key": new, "old_gossip_key": old, "gossip_key": new},
    )


@pytest.fixture
def sites(more_consul: Callable[..., Any], run_module: Callable[..., Json]) -> tuple[Any, Any]:
    """The Consul servers of two sites, with their ACLs."""
    first = more_consul(gossip_key=base64.b64encode(os.urandom(32)).decode())
    second = more_consul(datacenter="incd")
    for one in (first, second):
        done = run_module("consul_acl", **one.connection)
        assert not done.get("failed"), (done, one.log)
    return first, second


@pytest.mark.examples(*CONSUL)
def test_consul(sites: tuple[Any, Any], tmp_path: Path) -> None:
    here, there = sites
    examples = {
        module: example_playbook.replaced(example_playbook.examples(module), {"/var/backups": str(tmp_path)})
        for module in CONSUL
    }
    make, establish, end = examples.pop("consul_peering")
    establish["imagine.platform.consul_peering"].update(there.connection)
    # There is one peering here, and it is pending at this side until the other one has dialled.
    two = examples["consul_peering_info"][1]
    two["imagine.platform.consul_peering_info"]["names"] = ["incd"]
    two.update(failed_when=two["failed_when"].replace("2", "1"), until="found is not failed", retries=30, delay=1)
    rotate, accept = examples["consul_gossip_keyring"]
    # In the order of a rotation in two steps.
    examples["consul_gossip_keyring"] = [accept, rotate]
    tasks = [make, establish, *examples.pop("consul_peering_info"), end]
    tasks += [task for rest in examples.values() for task in rest]
    key = base64.b64encode(os.urandom(32)).decode()
    environment = {
        "CONSUL_HTTP_ADDR": here.address,
        "CONSUL_CACERT": str(here.directory / "ca.pem"),
        "CONSUL_HTTP_TOKEN": here.token,
    }
    changing = {task["name"] for task in (make, establish, end)} | {"Bring back the state of that moment"}
    twice(tmp_path, environment, tasks, changing, (key,), vars={"new_gossip_key": key})


@pytest.mark.examples("consul_acl")
def test_acls_of_consul(
    more_consul: Callable[..., Any], nomad_agent: Any, run_module: Callable[..., Json], tmp_path: Path
) -> None:
    """Consul asks the real Nomad for its keys before it takes the authentication method."""
    consul = more_consul()
    traefik, previous = str(uuid.uuid4()), str(uuid.uuid4())
    old = {"accessor_id": str(uuid.uuid4()), "secret_id": previous, "description": "traefik, earlier"}
    done = run_module("consul_acl", **consul.connection, tokens=[old])
    assert not done.get("failed"), (done, consul.log)
    names = {
        "/etc/consul.d/tls/ca.pem": str(consul.directory / "ca.pem"),
        "https://127.0.0.1:4646": nomad_agent.address,
    }
    site = {"consul_management_token": consul.token, "consul_tokens": {"ifca-server": {"traefik": traefik}}}
    secrets = {
        "nomad": {"ca": {"certificate": (nomad_agent.directory / "ca.pem").read_text()}},
        "sites": {"ifca": site},
        "rotations": {"sites.ifca.consul_tokens.ifca-server.traefik": {"previous": previous}},
    }
    twice(
        tmp_path,
        {"CONSUL_HTTP_ADDR": consul.address},
        example_playbook.replaced(example_playbook.examples("consul_acl"), names),
        (),
        (consul.token, traefik, previous),
        vars={"federation_secrets": secrets},
    )


@pytest.mark.examples("federation_secrets", "federation_rotation")
def test_secrets(cluster: Any, run_module: Callable[..., Json], tmp_path: Path) -> None:
    """The next gossip key is made in the file, given to real servers, and takes the place of the first one."""
    tasks = [*example_playbook.examples("federation_secrets"), *example_playbook.examples("federation_rotation")]
    (tmp_path / "password").write_text("password-of-the-example")
    path = tmp_path / "federation" / "secrets.yml"
    connection = cluster.connection()
    environment = {
        "NOMAD_ADDR": connection["nomad_address"],
        "NOMAD_CACERT": connection["nomad_ca_cert"],
        "NOMAD_TOKEN": connection["nomad_token"],
        "ANSIBLE_VAULT_PASSWORD_FILE": str(tmp_path / "password"),
    }
    operator = str(uuid.uuid4())
    created = {"tokens": [{"secret_id": operator}]}
    twice(
        tmp_path,
        environment,
        tasks,
        (),
        ("password-of-the-example", operator),
        vars={"federation_secrets_file": str(path), "created": created},
    )
    kept = yaml.safe_load(VaultLib([("default", VaultSecret(b"password-of-the-example"))]).decrypt(path.read_bytes()))
    assert kept["nomad"]["tokens"] == {"operator": operator}
    # As a rotation ends; other tests want one key too.
    assert run_module("nomad_gossip_keyring", **connection, key=kept["nomad"]["gossip_key"], state="only")["changed"]
    assert kept["rotations"]["nomad.gossip_key"]["previous"] != kept["nomad"]["gossip_key"]
    assert kept["sites"]["ifca"]["ca"]["certificate"].startswith("-----BEGIN CERTIFICATE-----")


def encrypted(path: Path, secrets: Json) -> bytes:
    """A file of secrets as the federation keeps it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    vault = VaultLib([("default", VaultSecret(b"password-of-the-example"))])
    path.write_bytes(vault.encrypt(yaml.safe_dump(secrets)))
    return path.read_bytes()


@pytest.mark.examples(*BACKUPS)
def test_backups(cluster: Any, sites: tuple[Any, Any], run_module: Callable[..., Json], tmp_path: Path) -> None:
    """What real servers save is put into a backup, found in it, and taken out again as it was."""
    (tmp_path / "run").mkdir()
    saved = {"nomad": tmp_path / "run" / "nomad.snap"}
    assert run_module("nomad_snapshot", **cluster.connection(), path=str(saved["nomad"]))["changed"]
    for name, site in zip(("ifca", "incd"), sites, strict=True):
        saved[name] = tmp_path / "run" / f"{name}.snap"
        assert run_module("consul_snapshot", **site.connection, path=str(saved[name]))["changed"]
    tokens = {name: {"consul_management_token": site.token} for name, site in zip(("ifca", "incd"), sites, strict=True)}
    secrets = tmp_path / "federation" / "secrets.yml"
    kept = encrypted(secrets, {"nomad": {"management_token": cluster.token}, "sites": tokens})
    gone = tmp_path / "other" / "secrets.yml"
    before = encrypted(gone, {"nomad": {"management_token": str(uuid.uuid4())}, "sites": tokens})
    (tmp_path / "password").write_text("password-of-the-example")
    names = {
        "/srv/backups/imagine/imagine-20260301T030000Z.tar.vault": "{{ listed.backups[0].path }}",
        "/srv/backups": str(tmp_path / "backups"),
        "/run/backup": str(tmp_path / "run"),
        "inventory/.federation": str(secrets.parent),
        "/root/consul.snap": str(tmp_path / "consul.snap"),
    }
    tasks = [task for module in BACKUPS for task in example_playbook.replaced(example_playbook.examples(module), names)]
    (elsewhere,) = (
        task for task in tasks if task.get("imagine.platform.federation_backup_extract", {}).get("replace_secrets")
    )
    elsewhere["imagine.platform.federation_backup_extract"]["secrets_file"] = str(gone)
    done = example_playbook.twice(
        tmp_path,
        {"ANSIBLE_VAULT_PASSWORD_FILE": str(tmp_path / "password")},
        tasks,
        # Each run makes a file of its own.
        [task["name"] for task in tasks if "imagine.platform.federation_backup" in task],
        ("password-of-the-example", cluster.token, *(site.token for site in sites)),
        vars={"snapshots_by_site": {name: str(saved[name]) for name in ("ifca", "incd")}},
    )
    assert len(list((tmp_path / "backups" / "imagine").iterdir())) == 2
    (made,) = done["Make a backup, and keep the newest fourteen"]
    (looked,) = done["See that the newest one can be restored"]
    assert looked["backups"] == [made["backup"]]
    assert sorted(looked["backups"][0]["sites"]) == ["ifca", "incd"]
    assert done["Take the snapshots out of a backup"][0]["secrets"] == "kept"
    assert done[elsewhere["name"]][0]["secrets"] == "replaced"
    assert gone.read_bytes() == secrets.read_bytes() == kept
    assert [path.read_bytes() for path in gone.parent.glob("secrets.yml.before-restore-*")] == [before]
    assert (tmp_path / "consul.snap").read_bytes() == saved["ifca"].read_bytes()


@pytest.mark.examples("nomad_node_introduction")
def test_introductions(nomad_agent: Any, tmp_path: Path) -> None:
    """Each run makes new tokens, which nothing shows; what they are worth is tested with clients elsewhere."""
    tasks = example_playbook.examples("nomad_node_introduction")
    show = {"name": "Show whose they are", "ansible.builtin.debug": {"msg": "{{ introduced.tokens | list }}"}}
    tasks = [task for made in tasks for task in (made, {**show, "name": f"{show['name']}: {made['name']}"})]
    made = example_playbook.names(tasks)[::2]
    # As all tokens of this kind begin.
    done = example_playbook.twice(tmp_path, example_playbook.connect(nomad_agent), tasks, made, ('"eyJ',))
    told = [done[f"{show['name']}: {name}"][0]["msg"] for name in made]
    assert told == [["walton-ingress-1", "walton-compute-1"], ["walton-compute-2"]]
