# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What holds for each module of Nomad, Consul and registries: a server that is down, refuses, or talks rubbish."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from throwaway import free_ports

from ansible_collections.imagine.platform.plugins.module_utils import consul, nomad, oci

Result = dict[str, Any]
ROOT = Path(__file__).resolve().parents[4]
UUID = "6b1d1a0e-2f6c-4c06-9b0e-3f0c1b9a7d11"
TOKEN = "9e5e3a44-token-that-nobody-may-see"
RULES = 'node { policy = "read" }'
KEY = "cg8StVXbQJ0gPvMd9o7yrg=="
DEPLOYMENT = {
    "name": "digits",
    "namespace": "imagine",
    "base_domain": "deployments.example.org",
    "image": "registry.example.org/digits:1",
}
# A server that does not answer is what it tells; it has tests of its own.
PREPARED = {"nomad_leader_info"}
JOB = {"ID": "x", "Datacenters": ["*"], "TaskGroups": []}
# A call that every module could carry out; files are in the directory of the test.
CALLS: dict[str, dict[str, Result]] = {
    "nomad": {
        "deployment_info": {},
        "module_deployment": DEPLOYMENT,
        "node_check_info": {"name": "x"},
        "node_info": {},
        "node_removal_info": {"names": ["x"]},
        "nomad_acl_auth_method": {
            "name": "x",
            "type": "JWT",
            "max_token_ttl": "1h",
            "jwks_url": "https://idp.example.org/keys",
        },
        "nomad_acl_auth_method_info": {},
        "nomad_acl_binding_rule": {"auth_method": "x", "bind_type": "role", "bind_name": "y"},
        "nomad_acl_binding_rule_info": {},
        "nomad_acl_bootstrap": {"secret": UUID, "timeout": 1},
        "nomad_acl_policy": {"name": "x", "rules": RULES},
        "nomad_acl_policy_info": {},
        "nomad_acl_role": {"name": "x", "policies": ["y"]},
        "nomad_acl_role_info": {},
        "nomad_acl_token": {"name": "x", "policies": ["y"]},
        "nomad_acl_token_info": {},
        "nomad_autopilot_config": {"min_quorum": 3},
        "nomad_gossip_keyring": {"key": KEY},
        "nomad_gossip_keyring_info": {},
        "nomad_job": {"job": JOB},
        "nomad_job_info": {},
        "nomad_namespace": {"name": "x"},
        "nomad_namespace_info": {},
        "nomad_node": {"name": "x", "eligibility": "eligible"},
        "nomad_node_info": {},
        "nomad_node_introduction": {"names": ["x"], "timeout": 1},
        "nomad_node_pool": {"name": "x"},
        "nomad_node_pool_info": {},
        "nomad_scheduler_config": {"preemption_service": True},
        "nomad_scheduler_config_info": {},
        "nomad_server": {"name": "x", "state": "leader"},
        "nomad_server_info": {},
        "nomad_snapshot": {"path": "saved"},
        "nomad_surge": {"name": "x"},
        "nomad_variable": {"path": "x", "items": {"y": "z"}},
        "nomad_variable_info": {},
        "site": {"name": "ifca", "domain": "ifca"},
        "site_info": {},
        "tool_deployment": {**DEPLOYMENT, "tool": "devenv", "secrets": {"jupyterPASSWORD": "Long-enough-1"}},
        "vo": {"name": "vo.example.org", "namespace": "example", "base_domain": "example.org"},
        "vo_info": {},
    },
    "consul": {
        "consul_acl": {"policies": [{"name": "x", "rules": RULES}], "timeout": 1},
        "consul_config_entry": {"kind": "service-defaults", "name": "x", "config": {"Protocol": "http"}},
        "consul_config_entry_info": {"kind": "service-defaults"},
        "consul_gossip_keyring": {"key": KEY},
        "consul_gossip_keyring_info": {},
        "consul_node": {"name": "x", "state": "absent", "wait_timeout": 1},
        "consul_node_info": {},
        "consul_peering": {"name": "x", "generate": "pending"},
        "consul_peering_info": {},
        "consul_snapshot": {"path": "saved"},
    },
    "registry": {
        "harbor_image": {"name": "HOST/app:1", "oci_layout": "layout"},
        "harbor_image_info": {"name": "HOST/app:1"},
    },
}
# What check mode cannot know: a node without Consul gets one in the same run, and a secret that nobody knows is new.
HOPEFUL = {("consul_acl", "down"), ("nomad_acl_bootstrap", "refused")}
# What makes nothing that could be looked for asks nobody in check mode.
QUIET = {"nomad_node_introduction"}
MODULES = [(group, name) for group, calls in CALLS.items() for name in calls]
modules = pytest.mark.parametrize(("group", "name"), MODULES, ids=[name for _group, name in MODULES])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come quickly, and nothing of the environment is used."""
    for client in (nomad, consul, oci):
        monkeypatch.setattr(client, "RETRY_SECONDS", 0.01)
    for variable in list(os.environ):
        if variable.startswith(("NOMAD_", "CONSUL_", "HARBOR_", "REGISTRY_")):
            monkeypatch.delenv(variable)


@pytest.fixture
def failure(stub: Any, run_module: Callable[..., Result], tmp_path: Path) -> Callable[..., str]:
    """Run a module, which must fail with one sentence and leave nothing behind; the sentence comes back."""
    layout = tmp_path / "layout"
    layout.mkdir()
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    config = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    manifest = (
        '{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": [], "config": '
        '{"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2, "digest": "' + config + '"}}'
    )
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (blobs / config.partition(":")[2]).write_text("{}")
    digest = hashlib.sha256(manifest.encode()).hexdigest()
    (blobs / digest).write_text(manifest)
    (layout / "index.json").write_text(
        '{"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", '
        f'"size": {len(manifest)}, "digest": "sha256:{digest}"}}]}}'
    )
    kept = sorted(tmp_path.rglob("*"))

    def run(group: str, name: str, address: str = "", case: str = "") -> str:
        address = address or stub.address
        options = dict(CALLS[group][name])
        if group == "registry":
            options["name"] = options["name"].replace("HOST", address.partition("://")[2])
            options.update(registry_plain_http=address.startswith("http://"), registry_retries=0, registry_timeout=2)
            options.update(registry_username="someone", registry_password=TOKEN)
        else:
            options.update({f"{group}_address": address, f"{group}_token": TOKEN, f"{group}_timeout": 2})
        for option in ("path", "oci_layout"):
            if name != "nomad_variable" and option in options:
                options[option] = str(tmp_path / options[option])
        sentences = set()
        for check in (False,) if (name, case) in HOPEFUL or name in QUIET else (True, False):
            result = run_module(name, check=check, **options)
            assert result.get("failed") is True, result
            assert result.get("changed") in (None, False), result
            shown = {key: value for key, value in result.items() if key != "invocation"}
            assert "Traceback" not in str(shown)
            assert TOKEN not in str(result)
            sentences.add(result["msg"])
        assert sorted(tmp_path.rglob("*")) == kept
        message = str(sorted(sentences, key=len)[-1])
        assert "\n" not in message
        assert message.endswith("."), message
        return message

    return run


def test_none_is_missing() -> None:
    groups = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"]
    for group, calls in CALLS.items():
        assert set(calls) == set(groups[group]) - PREPARED


@modules
def test_server_down(failure: Any, group: str, name: str) -> None:
    message = failure(group, name, f"http://127.0.0.1:{free_ports(1)[0]}", "down")
    assert "onnect" in message
    assert "Connection refused" in message


@modules
def test_no_rights(failure: Any, stub: Any, group: str, name: str) -> None:
    stub.otherwise = (403, b"Permission denied", {})
    message = failure(group, name, case="refused")
    assert "403" in message
    assert "give " in message or "wrong" in message


@modules
def test_failing_server(failure: Any, stub: Any, group: str, name: str) -> None:
    stub.otherwise = (500, b"rpc error: the disk is full", {})
    assert "500 rpc error: the disk is full" in failure(group, name)


# Registries may keep blobs elsewhere, and credentials do not travel along.
@pytest.mark.parametrize(("group", "name"), [one for one in MODULES if one[0] != "registry"])
def test_redirection(failure: Any, stub: Any, group: str, name: str) -> None:
    stub.otherwise = (302, b"", {"Location": "https://login.example.org/"})
    assert "redirects" in failure(group, name)


@modules
@pytest.mark.parametrize("rubbish", [b"<html>It works!</html>", b'{"Name": "trunc', b'"text"', b"7", b"[[]]", b"\xff"])
def test_rubbish(failure: Any, stub: Any, group: str, name: str, rubbish: bytes) -> None:
    stub.otherwise = (200, rubbish, {"X-Nomad-Index": "7"})
    message = failure(group, name)
    assert stub.address.partition("://")[2] in message
    assert group == "registry" or f"check that {group}_address is" in message or "run again" in message, message


@modules
def test_tls_that_is_none(failure: Any, stub: Any, group: str, name: str) -> None:
    message = failure(group, name, stub.address.replace("http:", "https:"))
    assert "TLS" in message, message
