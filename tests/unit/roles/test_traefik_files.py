# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What the role traefik writes for each source of certificates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from rendering import evaluate

FEDERATION = {
    "site_name": "ifca-imagine",
    "site_domain": "ifca",
    "site_vos": ["vo.a.eu", "vo.b.eu", "vo.c.eu"],
    "federation_vos": [
        {"name": "vo.a.eu", "namespace": "a", "base_domain": "deployments.b.eu"},
        {"name": "vo.b.eu", "namespace": "b", "base_domain": "deployments.b.eu"},
        {"name": "vo.c.eu", "namespace": "c", "base_domain": "deployments.a.eu"},
        {"name": "vo.d.eu", "namespace": "d", "base_domain": "deployments.d.eu"},
    ],
    "federation_secrets": {
        "sites": {"ifca-imagine": {"consul_tokens": {"localhost": {"traefik": "t"}}, "consul_ca": {"certificate": "c"}}}
    },
    "certificates_status": {"traefik": {"sha256": None}},
}


def render(directory: Path, **variables: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The static and the dynamic configuration."""
    values = evaluate(
        "traefik",
        directory,
        {**FEDERATION, **variables},
        static="_traefik_static_config | to_nice_yaml(indent=2)",
        dynamic="lookup('ansible.builtin.template', 'dynamic.yml.j2')",
    )
    static, dynamic = yaml.safe_load(values["static"]), yaml.safe_load(values["dynamic"])
    dynamic["text"] = values["dynamic"]
    return static, dynamic


def test_wildcards_of_an_acme_authority_are_the_default_certificate(tmp_path: Path) -> None:
    static, dynamic = render(
        tmp_path,
        traefik_certificate_source="acme",
        traefik_acme_email="o@example.org",
        traefik_acme_dns_provider="rfc2136",
        traefik_acme_dns_credentials={"RFC2136_TSIG_SECRET": "s"},
    )
    assert dynamic["tls"] == {
        "stores": {
            "default": {
                "defaultGeneratedCert": {
                    "resolver": "acme",
                    "domain": {
                        "main": "*.ifca-deployments.a.eu",
                        "sans": [
                            "ifca-deployments.a.eu",
                            "*.ifca-deployments.b.eu",
                            "ifca-deployments.b.eu",
                        ],
                    },
                }
            }
        }
    }
    assert static["entryPoints"]["websecure"]["http"]["tls"] == {}
    assert static["certificatesResolvers"]["acme"]["acme"] == {
        "email": "o@example.org",
        "caServer": "https://acme-v02.api.letsencrypt.org/directory",
        "storage": "/var/lib/traefik/acme.json",
        "dnsChallenge": {"provider": "rfc2136"},
    }


def test_certificates_of_single_names_come_from_the_entry_point(tmp_path: Path) -> None:
    static, dynamic = render(tmp_path, traefik_certificate_source="acme", traefik_acme_email="o@example.org")
    assert "tls" not in dynamic
    assert static["entryPoints"]["websecure"]["http"]["tls"] == {"certResolver": "acme"}
    assert static["certificatesResolvers"]["acme"]["acme"]["httpChallenge"] == {"entryPoint": "web"}


@pytest.mark.parametrize(("sha256", "line"), [("4f2c", "# 4f2c"), (None, "#")])
def test_the_federations_own_authority(tmp_path: Path, sha256: str | None, line: str) -> None:
    status = {"certificates_status": {"traefik": {"sha256": sha256}}}
    static, dynamic = render(tmp_path, traefik_certificate_source="ca", **status)
    place = "/etc/traefik/certificates"
    pair = {"certFile": f"{place}/cert.pem", "keyFile": f"{place}/key.pem"}
    assert dynamic["tls"] == {"stores": {"default": {"defaultCertificate": pair}}, "certificates": [pair]}
    assert line in [text.rstrip() for text in dynamic["text"].splitlines()]
    assert "certificatesResolvers" not in static


def test_files_of_the_operator(tmp_path: Path) -> None:
    for name in ("a.pem", "a.key", "b.pem", "b.key"):
        (tmp_path / name).write_text(name)
    pairs = [
        {"certificate_file": str(tmp_path / f"{name}.pem"), "key_file": str(tmp_path / f"{name}.key")} for name in "ab"
    ]
    _static, dynamic = render(tmp_path, traefik_certificates=pairs)
    assert [pair["keyFile"] for pair in dynamic["tls"]["certificates"]] == [
        "/etc/traefik/certificates/1.key",
        "/etc/traefik/certificates/2.key",
    ]
    assert dynamic["tls"]["stores"]["default"]["defaultCertificate"]["certFile"] == "/etc/traefik/certificates/1.pem"


def test_the_gate_closes_the_ports_of_users(tmp_path: Path) -> None:
    extra = {"entryPoints": {"more": {"address": "10.0.0.1:8004/tcp"}, "quic": {"address": ":8005/udp"}}}
    variables: dict[str, Any] = {**FEDERATION, "traefik_config_extra": extra}
    rendered = evaluate(
        "traefik",
        tmp_path,
        variables,
        unit="lookup('ansible.builtin.template', 'traefik.service.j2')",
        boot="lookup('ansible.builtin.template', 'traefik-gate.service.j2')",
    )
    ports = "--ports 443 80 8002 8003 8004"
    before, after = "ExecStartPre=-+/usr/local/sbin/traefik-gate", "ExecStop=-+/usr/local/sbin/traefik-gate"
    assert f"{before} close --seconds 60 {ports}\n" in rendered["unit"]
    assert f"{after} drain --api http://127.0.0.1:8080 --seconds 70 {ports}\n" in rendered["unit"]
    assert f"ExecStart=/usr/local/sbin/traefik-gate close --seconds 180 {ports}\n" in rendered["boot"]
    without = evaluate(
        "traefik",
        tmp_path,
        {**variables, "traefik_hold_connections": False},
        unit="lookup('ansible.builtin.template', 'traefik.service.j2')",
    )
    assert "gate" not in without["unit"]
