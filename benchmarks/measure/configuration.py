# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What the roles write onto a node, written here a second time and without Ansible.

Units and Traefik's dynamic configuration come from the roles' own templates. The rest is compared with what the roles
wrote after each benchmark (`differences`), so that the floor stays a floor of the same thing.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml
from ansible.module_utils.parsing.convert_bool import boolean
from driver.settings import CHECKOUT

from benchmarks.measure.nodes import BASE_DOMAIN, NAMESPACE, VO, Node

Json = dict[str, Any]
REGISTRY = "registry.imagine.test:5000"
RESERVED_MB = 256
FORMAT = {"indent": 2, "sort_keys": True}

DIRECTORIES = [
    "/bin /lib /lib32 /lib64 /run/resolvconf /run/systemd/resolve /sbin /usr",
    "alternatives bash.bashrc ca-certificates ca-certificates.conf crypto-policies debian_version environment fonts",
    "gai.conf group host.conf hosts inputrc ld.so.cache ld.so.conf ld.so.conf.d localtime login.defs mime.types",
    "networks nsswitch.conf os-release passwd pki/ca-trust pki/tls/cert.pem pki/tls/certs profile profile.d protocols",
    "python3 redhat-release resolv.conf rpc services shells skel ssl/certs ssl/openssl.cnf terminfo timezone xdg",
]
CHROOT = [name if name.startswith("/") else f"/etc/{name}" for line in DIRECTORIES for name in line.split()]

READ_CATALOGUE = 'node_prefix "" { policy = "read" }\nservice_prefix "" { policy = "read" }\n'
CONSUL_POLICIES = {
    "nomad-agent": 'agent_prefix "" { policy = "read" }\nnode_prefix "" { policy = "read" }\n'
    'service_prefix "nomad" { policy = "write" }\n',
    "nomad-workloads-agent": 'service_prefix "" { policy = "write" }\n',
    "traefik": READ_CATALOGUE,
    "nomad-tasks": READ_CATALOGUE,
}
NOMAD_POLICIES = {
    "operator": 'namespace "*" {\n  policy = "write"\n  capabilities = ["alloc-node-exec"]\n}\n'
    'node { policy = "write" }\nagent { policy = "write" }\noperator { policy = "read" }\nquota { policy = "read" }\n'
    'host_volume "*" { policy = "write" }\nplugin { policy = "read" }\n',
    "platform-api": f'namespace "{NAMESPACE}" {{\n  policy = "write"\n  capabilities = ["alloc-exec"]\n}}\n'
    'node { policy = "write" }\nagent { policy = "read" }\n',
}
SCHEDULER = {
    "SchedulerAlgorithm": "binpack",
    "MemoryOversubscriptionEnabled": True,
    "PreemptionConfig": {
        "SystemSchedulerEnabled": True,
        "BatchSchedulerEnabled": True,
        "ServiceSchedulerEnabled": True,
    },
}
NOMAD_NAMESPACE = {"Name": NAMESPACE, "Description": VO}


@dataclass(frozen=True)
class File:
    """One file on a node."""

    content: str
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"


@dataclass(frozen=True)
class Registry:
    """The local registry, which nodes pull images from."""

    ca: str
    username: str
    password: str


def consul(node: Node, nodes: list[Node]) -> Json:
    """consul.json."""
    servers = sorted(other.address for other in nodes if other.site == node.site and other.is_consul_server)
    tls = "/etc/consul.d/tls"
    result: Json = {
        "datacenter": node.site,
        "node_name": node.name,
        "data_dir": "/var/lib/consul",
        "bind_addr": node.address,
        "advertise_addr": node.address,
        "client_addr": "127.0.0.1",
        "ports": {"http": -1, "https": 8501, "grpc": -1, "grpc_tls": 8503, "serf_wan": -1},
        "retry_join": servers,
        "retry_interval": "2s",
        "leave_on_terminate": False,
        "skip_leave_on_interrupt": True,
        "disable_update_check": True,
        "disable_remote_exec": True,
        "enable_script_checks": False,
        "log_level": "INFO",
        "tls": {
            "defaults": {
                "ca_file": f"{tls}/ca.pem",
                "cert_file": f"{tls}/cert.pem",
                "key_file": f"{tls}/key.pem",
                "verify_incoming": True,
                "verify_outgoing": True,
            },
            "https": {"verify_incoming": False},
            "grpc": {"verify_incoming": False},
            "internal_rpc": {"verify_server_hostname": True},
        },
        "acl": {
            "enabled": True,
            "default_policy": "deny",
            "down_policy": "extend-cache",
            "enable_token_persistence": False,
        },
        "server": node.is_consul_server,
    }
    if node.is_consul_server:
        result.update(
            {
                "bootstrap_expect": len(servers),
                "ui_config": {"enabled": True},
                "performance": {"raft_multiplier": 1},
                "autopilot": {"last_contact_threshold": "500ms"},
            }
        )
    return result


def nomad(node: Node, nodes: list[Node]) -> Json:
    """nomad.json."""
    servers = [other.address for other in sorted(nodes, key=lambda other: other.name) if other.is_server]
    join = {"retry_join": servers, "retry_interval": "2s"}
    tls = "/etc/nomad.d/tls"
    identity = {"aud": ["consul.io"], "ttl": "1h"}
    result: Json = {
        "region": "global",
        "datacenter": node.site,
        "name": node.name,
        "data_dir": "/var/lib/nomad",
        "bind_addr": "0.0.0.0",  # noqa: S104 - as the role does: TLS and ACLs guard it
        "addresses": {"http": "0.0.0.0"},  # noqa: S104
        "advertise": dict.fromkeys(("http", "rpc", "serf"), node.address),
        "log_level": "INFO",
        "disable_update_check": True,
        "leave_on_terminate": False,
        "leave_on_interrupt": False,
        "acl": {"enabled": True},
        "tls": {
            "http": True,
            "rpc": True,
            "ca_file": f"{tls}/ca.pem",
            "cert_file": f"{tls}/cert.pem",
            "key_file": f"{tls}/key.pem",
            "verify_server_hostname": True,
            "verify_https_client": False,
        },
        "telemetry": {"prometheus_metrics": True, "publish_allocation_metrics": True, "publish_node_metrics": True},
        "consul": {
            "address": "127.0.0.1:8501",
            "ssl": True,
            "ca_file": "/etc/nomad.d/consul-ca.pem",
            "grpc_address": "127.0.0.1:8503",
            "grpc_ca_file": "/etc/nomad.d/consul-ca.pem",
            "client_auto_join": False,
            "server_auto_join": False,
            "service_auth_method": "nomad-workloads",
            "task_auth_method": "nomad-workloads",
            "service_identity": identity,
            "task_identity": identity,
        },
        "client": {
            "enabled": True,
            "cni_path": "/opt/cni/bin",
            "server_join": join,
            "chroot_env": {name: name for name in CHROOT},
            "reserved": {"memory": RESERVED_MB if node.runs_jobs else 0},
            "options": {"fingerprint.denylist": "env_aws,env_azure,env_gce,env_digitalocean"},
            "meta": {
                "status": "ready",
                "type": "compute" if node.runs_jobs else "traefik",
                "namespace": NAMESPACE,
                "tags": "cpu",
                "domain": node.site,
                "ansible_version": "0.0.0-floor",
                "storage_quota": "false",
            },
        },
    }
    if node.is_server:
        result["server"] = {
            "enabled": True,
            "bootstrap_expect": len(servers),
            "raft_multiplier": 1,
            **{f"{kind}_gc_threshold": "48h" for kind in ("job", "eval", "batch_eval", "deployment")},
            "server_join": join,
        }
        result["autopilot"] = {"last_contact_threshold": "500ms"}
    if node.runs_jobs:
        docker = {
            "allow_privileged": True,
            "volumes": {"enabled": True},
            "image_pull_timeout": "30m",
            "pull_activity_timeout": "30m",
            "gc": {"image": False},
            "infra_image": f"{REGISTRY}/imagine-testbed/pause:1",
            "auth": {"config": "/etc/nomad.d/docker/config.json"},
        }
        result["plugin"] = {"docker": {"config": docker}, "raw_exec": {"config": {"enabled": True}}}
    return result


def docker() -> Json:
    """daemon.json."""
    return {
        "data-root": "/var/lib/docker",
        "live-restore": True,
        "log-driver": "json-file",
        "log-opts": {"max-size": "50m", "max-file": "3"},
        "storage-driver": "overlay2",
        "default-runtime": "testbed-runc",
        "runtimes": {"testbed-runc": {"path": "/usr/local/sbin/testbed-runc"}},
    }


def traefik(node: Node, token: str) -> Json:
    """traefik.yml."""
    redirection = {"to": "websecure", "scheme": "https", "permanent": True, "priority": 1000}
    return {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "core": {"defaultRuleSyntax": "v2"},
        "log": {"level": "INFO"},
        "api": {"dashboard": True},
        "ping": {"entryPoint": "traefik"},
        "metrics": {"prometheus": {"entryPoint": "traefik"}},
        "entryPoints": {
            "traefik": {"address": "127.0.0.1:8080"},
            "web": {"address": ":80", "http": {"redirections": {"entryPoint": redirection}}},
            "websecure": {
                "address": ":443",
                "asDefault": True,
                "http": {"tls": {}, "middlewares": ["next-instance@file"]},
                "transport": {"respondingTimeouts": {"readTimeout": "0s"}, "lifeCycle": {"graceTimeOut": "10s"}},
            },
            "nvflare_fl": {"address": ":8002"},
            "nvflare_admin": {"address": ":8003"},
        },
        "serversTransport": {"forwardingTimeouts": {"dialTimeout": "5s", "idleConnTimeout": "30s"}},
        "providers": {
            "file": {"directory": "/etc/traefik/dynamic", "watch": True},
            "consulCatalog": {
                "prefix": "traefik",
                "exposedByDefault": False,
                "refreshInterval": "2s",
                "watch": False,
                "requireConsistent": True,
                "endpoint": {
                    "address": "127.0.0.1:8501",
                    "scheme": "https",
                    "datacenter": node.site,
                    "token": token,
                    "tls": {"ca": "/etc/traefik/consul-ca.pem"},
                },
            },
        },
    }


def _template(role: str, name: str, variables: Json) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(CHECKOUT / "roles" / role / "templates"),
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        # Units and configuration, no HTML.
        autoescape=False,  # noqa: S701
    )
    environment.filters["bool"] = boolean
    text: str = environment.get_template(name).render(ansible_managed="Made by the floor", **variables)
    return text


def _json(content: Json) -> str:
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def files(node: Node, nodes: list[Node], secrets: Json, registry: Registry) -> dict[str, File]:
    """All files of a node, except for binaries and its keys and certificates."""
    site = secrets["sites"][node.site]
    tokens = site["tokens"][node.name]
    token_files = {
        "consul": {"encrypt": site["gossip_key"], "acl": {"tokens": {"agent": tokens["agent"]}}},
        "nomad": {
            "consul": {"token": tokens["nomad"]},
            **({"server": {"encrypt": secrets["nomad"]["gossip_key"]}} if node.is_server else {}),
        },
    }
    variables: Json = {
        "site_name": node.site,
        "federation_name": "floor",
        "nomad_data_dir": "/var/lib/nomad",
        "docker_data_root": "/var/lib/docker",
        "_nomad_user": "root",
        "_nomad_is_client": True,
        "_nomad_runs_jobs": node.runs_jobs,
        "traefik_acme_dns_credentials": {},
        "traefik_grace_seconds": 10,
        # What holds connections back costs a package and a unit more: nothing that Traefik needs to start.
        "traefik_hold_connections": False,
        "traefik_certificate_source": "ca",
        "_traefik_fingerprints": ["floor"],
        "_traefik_file_pairs": [],
        "_traefik_acme_wildcards": False,
    }
    units = "/etc/systemd/system"
    result = {
        f"{units}/consul.service": File(_template("consul", "consul.service.j2", variables)),
        "/etc/consul.d/consul.json": File(_json(consul(node, nodes)), 0o640, group="consul"),
        "/etc/consul.d/secrets.json": File(_json(token_files["consul"]), 0o640, group="consul"),
        f"{units}/nomad.service": File(_template("nomad", "nomad.service.j2", variables)),
        "/etc/nomad.d/nomad.json": File(_json(nomad(node, nodes)), 0o640),
        "/etc/nomad.d/secrets.json": File(_json(token_files["nomad"]), 0o640),
        "/etc/nomad.d/consul-ca.pem": File(site["ca"]),
    }
    if node.runs_jobs:
        login = base64.b64encode(f"{registry.username}:{registry.password}".encode()).decode()
        drop_in = f"{units}/docker.service.d/imagine-platform.conf"
        result |= {
            "/etc/nomad.d/docker/config.json": File(_json({"auths": {REGISTRY: {"auth": login}}}), 0o600),
            "/etc/docker/daemon.json": File(_json(docker())),
            f"/etc/docker/certs.d/{REGISTRY}/ca.crt": File(registry.ca),
            drop_in: File(_template("docker", "docker.service.conf.j2", variables)),
        }
    if node.is_ingress:
        result |= {
            f"{units}/traefik.service": File(_template("traefik", "traefik.service.j2", variables)),
            "/etc/traefik/traefik.yml": File(_json(traefik(node, tokens["traefik"])), 0o640, group="traefik"),
            "/etc/traefik/dynamic/dynamic.yml": File(
                _template("traefik", "dynamic.yml.j2", variables), 0o640, group="traefik"
            ),
            "/etc/traefik/consul-ca.pem": File(site["ca"]),
        }
    return result


def directories(node: Node) -> dict[str, File]:
    """Directories whose owner or mode matters."""
    result = {
        "/etc/consul.d": File("", 0o750, group="consul"),
        "/etc/consul.d/tls": File("", 0o750, "consul", "consul"),
        "/var/lib/consul": File("", 0o700, "consul", "consul"),
        "/etc/nomad.d": File("", 0o750),
        "/etc/nomad.d/tls": File("", 0o750),
        "/etc/nomad.d/docker": File("", 0o700),
        "/var/lib/nomad": File("", 0o711),
    }
    if node.is_ingress:
        result |= {
            "/etc/traefik": File("", 0o750, group="traefik"),
            "/etc/traefik/dynamic": File("", 0o750, group="traefik"),
            "/etc/traefik/certificates": File("", 0o750, "traefik", "traefik"),
            "/var/lib/traefik": File("", 0o700, "traefik", "traefik"),
        }
    return result


def consul_tokens(node: Node, secrets: Json) -> list[Json]:
    """The tokens of a node, as Consul's API takes them."""
    tokens = secrets["sites"][node.site]["tokens"][node.name]
    policies = {
        "agent": [],
        "nomad": ["nomad-agent"] + (["nomad-workloads-agent"] if node.runs_jobs else []),
        **({"traefik": ["traefik"]} if node.is_ingress else {}),
    }
    return [
        {
            "AccessorID": str(uuid.uuid5(uuid.NAMESPACE_OID, tokens[purpose])),
            "SecretID": tokens[purpose],
            "Description": f"{purpose} on {node.name}",
            "Policies": [{"Name": name} for name in names],
            "NodeIdentities": [{"NodeName": node.name, "Datacenter": node.site}] if purpose == "agent" else [],
        }
        for purpose, names in policies.items()
    ]


def auth_method(nomad_ca: str) -> Json:
    """How a site's Consul checks the workload identities that Nomad gives."""
    names = ("nomad_namespace", "nomad_job_id", "nomad_task", "nomad_service")
    return {
        "Name": "nomad-workloads",
        "Type": "jwt",
        "Description": "Workload identities signed by Nomad",
        "Config": {
            "JWKSURL": "https://127.0.0.1:4646/.well-known/jwks.json",
            "JWKSCACert": nomad_ca,
            "JWTSupportedAlgs": ["RS256"],
            "BoundAudiences": ["consul.io"],
            "ClaimMappings": {name: name for name in names},
        },
    }


def binding_rules() -> list[Json]:
    """What such an identity is worth."""
    service, task = '"nomad_service" in value', '"nomad_service" not in value'
    return [
        {"AuthMethod": "nomad-workloads", "BindType": kind, "BindName": name, "Selector": selector}
        for kind, name, selector in (("service", "${value.nomad_service}", service), ("role", "nomad-tasks", task))
    ]


def certificates(node: Node) -> dict[str, tuple[str, str, list[str]]]:
    """Certificates of a node: directory to authority, owner and names."""
    local = ["DNS:localhost", "IP:127.0.0.1", f"IP:{node.address}"]
    role = "server" if node.is_consul_server else "client"
    servers = ["DNS:server.global.nomad"] if node.is_server else []
    result = {
        "/etc/consul.d/tls": ("consul", "consul", [f"DNS:{role}.{node.site}.consul", *local]),
        "/etc/nomad.d/tls": ("nomad", "root", [*servers, "DNS:client.global.nomad", *local]),
    }
    if node.is_ingress:
        names = [f"DNS:{node.site}-{BASE_DOMAIN}", f"DNS:*.{node.site}-{BASE_DOMAIN}"]
        result["/etc/traefik/certificates"] = ("ingress", "traefik", names)
    return result


# The comparison with what the roles wrote.

COMPARED = (
    "/etc/consul.d/consul.json",
    "/etc/nomad.d/nomad.json",
    "/etc/docker/daemon.json",
    "/etc/traefik/traefik.yml",
)
# The version of the collection, and a secret.
EXPECTED = ("client.meta.ansible_version", "providers.consulCatalog.endpoint.token")


def rendered(node: Node, nodes: list[Node]) -> dict[str, Json]:
    """The compared files as the floor has them."""
    result = {COMPARED[0]: consul(node, nodes), COMPARED[1]: nomad(node, nodes)}
    if node.runs_jobs:
        result[COMPARED[2]] = docker()
    if node.is_ingress:
        result[COMPARED[3]] = traefik(node, "")
    return result


def differences(path: str, text: str, ours: Json) -> list[str]:
    """Settings of a file on a node that the floor has not, or has with another value."""
    theirs = yaml.safe_load(text)
    return [f"{path}: {place}" for place in _differing(theirs, ours, "") if place not in EXPECTED]


def _differing(theirs: Any, ours: Any, place: str) -> Iterator[str]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted({*theirs, *ours}):
            inner = f"{place}.{key}" if place else str(key)
            if key in theirs and key in ours:
                yield from _differing(theirs[key], ours[key], inner)
            else:
                yield f"{inner} (only {'the roles set it' if key in theirs else 'the floor sets it'})"
    elif theirs != ours:
        yield place


def registry(state_dir: Path) -> Registry:
    """What the testbed made for the local registry."""
    return Registry(
        ca=(state_dir / "ca" / "registry.pem").read_text(encoding="utf-8").rstrip() + "\n",
        username="imagine",
        password=(state_dir / "registry" / "password").read_text(encoding="utf-8").strip(),
    )
