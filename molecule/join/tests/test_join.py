# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""A fourth site joins through a request and a bundle, two files that two operators exchange.

The tests tell one story, in the order in which they stand here.
"""

from __future__ import annotations

import datetime
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from clients import PlatformApi, image, until
from federation import Federation, Node, ask, consul_tokens, issuers
from load import (
    Load,
    Target,
    allocations,
    deploy_module,
    deploy_modules,
    disturbed,
    module_at,
    purge_jobs,
    undisturbed,
)
from organisations import CHECKOUT, PREFIX, Operator
from runs import Run, execute
from scenario_figures import record

from ansible_collections.imagine.platform.plugins.module_utils.certificates import (
    new_key,
    new_operator_keys,
    new_request,
)
from ansible_collections.imagine.platform.plugins.plugin_utils import membership

# What a site checks itself, by node; the federation runs a module as well where jobs run.
CHECKS = {
    "walton-compute": ["registered", "metadata", "drivers", "volumes", "storage", "gpus", "ingress"],
    "walton-server": ["registered", "metadata", "ingress"],
}
# Whether a Consul server goes on with a connection for RPC that comes with the certificate of the node, at which it
# looks only after the client takes the handshake for done. It waits for a request for five seconds.
CONSUL_RPC = """python3 -c '
import socket, ssl
context = ssl._create_unverified_context()
context.load_cert_chain("/etc/consul.d/tls/cert.pem", "/etc/consul.d/tls/key.pem")
plain = socket.create_connection(("{address}", 8300), 10)
plain.settimeout(3)
plain.send(bytes([3]))
try:
    print("open" if context.wrap_socket(plain).recv(1) else "refused")
except TimeoutError:
    print("open")
except OSError:
    print("refused")
'"""
REQUEST, BUNDLE = "walton.request.yml", "walton.bundle.yml"
Json = dict[str, Any]


def spoken(run_output: str) -> str:
    """The fingerprint that a playbook shows."""
    found = re.search(r"\b([0-9a-f]{4}(?:-[0-9a-f]{4}){7})\b", run_output)
    assert found, run_output[-3000:]
    return found.group(1)


def checks(run_output: str) -> dict[str, dict[str, str]]:
    """What came of each check of each node, from the table that a playbook shows."""
    found: dict[str, dict[str, str]] = {}
    row = r"^[\s\"'-]*(walton-\w+) +(\w+) +(passed|FAILED|not run)\b"
    for node, check, result in re.findall(row, run_output, re.MULTILINE):
        found.setdefault(node, {})[check] = result
    return found


def sites(federation: Federation) -> Json:
    """The registry, as it is."""
    token = federation.secrets["nomad"]["management_token"]
    answer = federation.nomad("/v1/var/imagine%2Fregistry", token)
    assert answer.status == 200
    return {key: value for key, value in answer.json()["Items"].items() if key.startswith("site/")}


def metadata(federation: Federation, name: str) -> dict[str, str]:
    """The metadata of a node of the site, as the servers have it."""
    token = federation.secrets["nomad"]["tokens"]["operator"]
    found = [
        node["ID"]
        for node in federation.nomad("/v1/nodes", token).json()
        if (node["Name"], node["Datacenter"]) == (name, "walton")
    ]
    assert len(found) == 1
    meta: dict[str, str] = federation.nomad(f"/v1/node/{found[0]}", token).json()["Meta"]
    return meta


@pytest.fixture(scope="module")
def story() -> Json:
    """What one test leaves to the next ones."""
    return {}


# The request


def test_site_alone_can_log_in(site: Operator, federation: Federation, walton: dict[str, Node]) -> None:
    assert walton["walton-compute"].run("hostname").strip() == "walton-compute"
    stranger = subprocess.run(
        [
            *["ssh", "-F", "none", "-i", str(federation.variables["ansible_ssh_private_key_file"])],
            *["-o", "IdentitiesOnly=yes", "-o", f"UserKnownHostsFile={site.directory / 'known_hosts'}"],
            *["-o", "BatchMode=yes", f"debian@{PREFIX}.4.21", "true"],
        ],
        capture_output=True,
        text=True,
    )
    assert "Permission denied" in stranger.stderr


def test_check_mode_writes_no_request(site: Operator, walton: dict[str, Node]) -> None:
    run = site.play("imagine.platform.site_request", "--check")
    assert run.changes > 0
    assert not list((site.directory / "inventory").glob(".federation/*.request.yml"))
    assert walton["walton-compute"].run("test -e /etc/nomad.d && echo there || true") == ""


def test_request(site: Operator, operators: Operator, story: Json) -> None:
    run = site.play("imagine.platform.site_request")
    site.results["request"] = run.seconds
    path = site.directory / "inventory" / ".federation" / REQUEST
    text = path.read_text(encoding="utf-8")
    assert "PRIVATE KEY" not in text
    assert text.count("BEGIN CERTIFICATE REQUEST") == 3
    story["fingerprint"] = spoken(run.output)
    assert story["fingerprint"] in text
    again = site.play("imagine.platform.site_request")
    assert again.changes == 0, again.output[-4000:]
    assert path.read_text(encoding="utf-8") == text
    # The only things that pass between the two are this file and the bundle.
    shutil.copy(path, operators.directory / REQUEST)


# What the federation operator refuses


def test_nothing_is_admitted_without_a_comparison(operators: Operator, federation: Federation, story: Json) -> None:
    before = sites(federation)
    request = str(operators.directory / REQUEST)
    admit = "imagine.platform.site_admit"
    operators.refused("membership_request_file is not given", admit)
    operators.refused("but there is no such file", admit, membership_request_file="/nowhere/else")
    run = operators.play(admit, fails=True, membership_request_file=request)
    assert "membership_request_fingerprint is not given" in run.text
    assert run.changes == 0
    assert f"run again with -e membership_request_fingerprint={story['fingerprint']}." in run.text
    operators.refused(
        "which is not that of the request",
        admit,
        membership_request_file=request,
        membership_request_fingerprint="0000 " * 8,
    )
    assert sites(federation) == before


def test_tampered_request(operators: Operator, story: Json) -> None:
    tampered = operators.directory / "tampered.yml"
    text = (operators.directory / REQUEST).read_text(encoding="utf-8")
    tampered.write_text(text.replace("domain: walton", "domain: ifca"), encoding="utf-8")
    operators.refused(
        "was changed after the site operator signed it",
        "imagine.platform.site_admit",
        membership_request_file=str(tampered),
        membership_request_fingerprint=story["fingerprint"],
    )


def forged(operators: Operator, name: str, change: Callable[[Json], None]) -> tuple[str, str]:
    """A request that is signed properly, by somebody who asks for what is not theirs."""
    request = yaml.safe_load((operators.directory / REQUEST).read_text(encoding="utf-8"))
    change(request)
    keys = {"encryption": new_operator_keys("x25519"), "signing": new_operator_keys("ed25519")}
    written = membership.build_request(request["site"], request["nodes"], keys, "2026-01-01T00:00:00Z")
    path = operators.directory / f"{name}.yml"
    path.write_text(membership.request_text(written), encoding="utf-8")
    return str(path), membership.request_fingerprint(written)


def asking_for(names: list[str], addresses: list[str]) -> Callable[[Json], None]:
    def change(request: Json) -> None:
        node = next(node for node in request["nodes"] if node["name"] == "walton-compute")
        csr = new_request(new_key(), "walton-compute", names, addresses)
        node["certificates"] = {"nomad": csr.decode()}

    return change


def of_site(**facts: Any) -> Callable[[Json], None]:
    def change(request: Json) -> None:
        request["site"].update(facts)
        for node in request["nodes"]:
            node["certificates"] = {}

    return change


def with_address(address: str) -> Callable[[Json], None]:
    def change(request: Json) -> None:
        request["nodes"][0].update(address=address, certificates={})

    return change


OWN = ["127.0.0.1", f"{PREFIX}.4.21"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            asking_for(["server.global.nomad", "localhost"], OWN),
            "asks for server.global.nomad, which is not of this node",
        ),
        (asking_for(["client.global.nomad", "localhost", "ifca-server"], OWN), "asks for ifca-server, which is not of"),
        (asking_for(["client.global.nomad", "localhost"], [*OWN, f"{PREFIX}.1.11"]), f"asks for {PREFIX}.1.11, which"),
        (of_site(name="ifca"), "The site name 'ifca' is taken"),
        (of_site(name="Walton_1"), "write lower-case letters, digits and hyphens"),
        (of_site(domain="ifca"), "The domain 'ifca' of site 'walton' belongs to site 'ifca'"),
        (of_site(vos=["vo.nobody.eu"]), "the federation has no VO 'vo.nobody.eu'"),
        (with_address(f"{PREFIX}.1.11"), f"The address '{PREFIX}.1.11' of"),
    ],
)
def test_request_for_what_others_have(
    operators: Operator, federation: Federation, change: Callable[[Json], None], sentence: str
) -> None:
    before = sites(federation)
    path, fingerprint = forged(operators, "forged", change)
    operators.refused(
        sentence,
        "imagine.platform.site_admit",
        membership_request_file=path,
        membership_request_fingerprint=fingerprint,
    )
    assert sites(federation) == before


# The bundle


def admit(operators: Operator, fingerprint: str, *arguments: str, **variables: Any) -> Any:
    return operators.play(
        "imagine.platform.site_admit",
        *arguments,
        membership_request_file=str(operators.directory / REQUEST),
        membership_request_fingerprint=fingerprint,
        membership_bundle_file=str(operators.directory / BUNDLE),
        **variables,
    )


def test_admit(site: Operator, operators: Operator, federation: Federation, story: Json) -> None:
    assert admit(operators, story["fingerprint"], "--check").changes > 0
    assert "site/walton" not in sites(federation)
    assert not (operators.directory / BUNDLE).exists()
    run = admit(operators, story["fingerprint"])
    site.results["admit"] = run.seconds
    assert json.loads(sites(federation)["site/walton"])["status"] == "admitted"
    text = (operators.directory / BUNDLE).read_text(encoding="utf-8")
    story["federation"] = spoken(run.output[run.output.index("tell the fingerprint") :])
    assert story["federation"] in text
    again = admit(operators, story["fingerprint"])
    assert again.changes == 0, again.output[-4000:]
    assert (operators.directory / BUNDLE).read_text(encoding="utf-8") == text
    rows = Path(str(federation.variables["federation_secrets_file"])).parent / "admitted"
    assert (rows / "walton.datacenters.csv").read_text(encoding="utf-8") == "walton,IE,52.25,-7.14,\n"
    assert (rows / "walton.gpu_models.csv").read_text(encoding="utf-8") == ""


def test_another_key_claims_the_name_in_vain(operators: Operator, federation: Federation) -> None:
    path, fingerprint = forged(operators, "claim", of_site(title="Somebody else"))
    operators.refused(
        "The site name 'walton' is taken by Walton Institute",
        "imagine.platform.site_admit",
        membership_request_file=path,
        membership_request_fingerprint=fingerprint,
    )


def test_bundle_opens_with_no_other_key(operators: Operator, federation: Federation) -> None:
    path = operators.directory / BUNDLE
    bundle = membership.parse_bundle(str(path), path.read_bytes())
    assert federation.secrets["nomad"]["ca"]["private_key"] not in path.read_text(encoding="utf-8")
    keys = {"encryption": new_operator_keys("x25519"), "signing": new_operator_keys("ed25519")}
    with pytest.raises(membership.MembershipError, match="does not open"):
        membership.open_bundle(str(path), bundle, keys)


def join(site: Operator, bundle: str | Path, sentence: str, **variables: Any) -> None:
    site.refused(sentence, "imagine.platform.site_join", membership_bundle_file=str(bundle), **variables)


def test_bundles_that_the_site_refuses(
    site: Operator, operators: Operator, federation: Federation, walton: dict[str, Node], story: Json
) -> None:
    told = story["federation"]
    first = shutil.copy(operators.directory / BUNDLE, site.directory / BUNDLE)
    join(site, first, "membership_fingerprint is not given")
    join(site, first, "but membership_fingerprint is", membership_fingerprint="0123 " * 8)
    tampered = site.directory / "tampered.yml"
    text = Path(first).read_text(encoding="utf-8")
    tampered.write_text(text.replace("site: walton", "site: walton2"), encoding="utf-8")
    join(site, tampered, "was changed after the federation signed it", membership_fingerprint=told)
    # Signed by the federation, and expired.
    request = membership.parse_request(REQUEST, (operators.directory / REQUEST).read_bytes())
    authority = federation.secrets["nomad"]["ca"]
    past = membership.build_bundle(request, {}, authority, "imagine", "", datetime.timedelta(hours=-1))
    expired = site.directory / "expired.yml"
    expired.write_text(membership.bundle_text(past), encoding="utf-8")
    join(site, expired, "expired at", membership_fingerprint=told)
    # To the key of somebody else.
    path, _fingerprint = forged(operators, "other", of_site())
    other = membership.parse_request(path, Path(path).read_bytes())
    foreign = site.directory / "foreign.yml"
    foreign.write_text(
        membership.bundle_text(
            membership.build_bundle(other, {}, authority, "imagine", "", datetime.timedelta(hours=1))
        ),
        encoding="utf-8",
    )
    join(site, foreign, "is encrypted to another key", membership_fingerprint=told)
    # A bundle for the site that was meant for an earlier request.
    inventory = site.directory / "inventory" / "walton.yml"
    inventory.write_text(
        inventory.read_text(encoding="utf-8").replace("Walton Institute", "Walton Institute, Waterford"),
        encoding="utf-8",
    )
    run = site.play("imagine.platform.site_request")
    story["fingerprint"] = spoken(run.output)
    join(site, first, "answers an earlier request", membership_fingerprint=told)
    shutil.copy(site.directory / "inventory" / ".federation" / REQUEST, operators.directory / REQUEST)
    admit(operators, story["fingerprint"])
    shutil.copy(operators.directory / BUNDLE, site.directory / BUNDLE)
    assert walton["walton-compute"].run("test -e /etc/nomad.d/nomad.json && echo there || true") == ""


def test_join(site: Operator, federation: Federation, story: Json, capfd: pytest.CaptureFixture[str]) -> None:
    variables = {"membership_bundle_file": BUNDLE, "membership_fingerprint": story["federation"]}
    deploy_modules(federation)
    targets = [module_at(federation, name) for name in federation.sites]
    record("join", "undisturbed", requests=undisturbed(targets, seconds=30))
    with Load(targets) as load:
        load.settle()
        run = site.play("imagine.platform.site_join", **variables)
        load.wait(5)
    purge_jobs(federation)
    site.results["join"] = run.seconds
    # The site's own tests have run, and decide nothing.
    passed = {node: dict.fromkeys(names, "passed") for node, names in CHECKS.items()}
    assert checks(run.output) == passed, run.output[-6000:]
    assert "imagine.platform.node_test with -e node_test_site=walton" in run.text
    for node in CHECKS:
        assert metadata(federation, node)["status"] == "test"
        assert "last_tested" not in metadata(federation, node)
    for name, seconds in site.results.items():
        record("join", name, seconds=seconds, requests=load.summaries() if name == "join" else ())
    with capfd.disabled():
        print(f"\n{ {name: round(seconds) for name, seconds in site.results.items()} } seconds")
        print(*load.summaries(), sep="\n")
    assert load.failures() == []
    again = site.play("imagine.platform.site_join", **variables)
    assert again.changes == 0, again.output[-6000:]
    assert checks(again.output) == passed
    later = site.play("imagine.platform.deploy")
    assert later.changes == 0, later.output[-6000:]
    assert site.play("imagine.platform.site_join", "--check").changes == 0


def test_a_site_finds_its_faults_itself(site: Operator, walton: dict[str, Node], federation: Federation) -> None:
    """What fails is in the table, and the run says why; no check may be left out by asking for none."""
    run = site.play("imagine.platform.site_join", fails=True, node_test_host_volumes=["data"])
    assert checks(run.output)["walton-compute"]["volumes"] == "FAILED"
    assert "walton-compute would fail its tests: volumes: it has no host volume 'data'" in run.text
    assert run.changes == 0
    sentence = 'node_test_checks is "module", which a site has no right to run'
    site.refused(sentence, "imagine.platform.site_join", node_test_checks=["module"])
    assert metadata(federation, "walton-compute")["status"] == "test"


def test_port_report(site: Operator) -> None:
    text = (site.directory / "inventory" / ".federation" / "walton-ports.csv").read_text(encoding="utf-8")
    rows = [line.split(",") for line in text.splitlines()[1:]]
    wrong = [row for row in rows if row[5] != row[6]]
    assert not wrong
    assert ["walton-compute", "walton-server", f"{PREFIX}.4.11", "8301", "udp", "open", "open"] in [r[:7] for r in rows]
    assert {row[3] for row in rows} >= {"4647", "8300", "8301", "20000", "443", "80", "8501"}


def test_port_report_names_what_a_firewall_drops(site: Operator, walton: dict[str, Node]) -> None:
    node = walton["walton-compute"]
    rule = f"INPUT -p tcp --dport 20000 -s {PREFIX}.4.11 -j DROP"
    node.run(f"iptables -I {rule}")
    try:
        run = site.play("imagine.platform.site_join", membership_bundle_file=BUNDLE)
    finally:
        node.run(f"iptables -D {rule}")
    text = (site.directory / "inventory" / ".federation" / "walton-ports.csv").read_text(encoding="utf-8")
    rows = [line.split(",")[:7] for line in text.splitlines()[1:]]
    closed = ["walton-server", "walton-compute", f"{PREFIX}.4.21", "20000", "tcp", "closed", "open"]
    assert [row for row in rows if row[5] != row[6]] == [closed]
    words = f"walton-compute ({PREFIX}.4.21) port 20000 TCP is closed from walton-server and should be open"
    assert words in run.text


def test_port_report_has_the_node_that_its_firewall_kept_out(site: Operator, walton: dict[str, Node]) -> None:
    node = walton["walton-server"]
    rule = f"INPUT -p tcp --dport 8300 -s {PREFIX}.4.21 -j DROP"
    node.run(f"iptables -I {rule}")
    try:
        # Another level has the agent restarted, and waited for.
        run = site.play("imagine.platform.site_join", fails=True, consul_log_level="DEBUG", consul_ready_timeout=10)
    finally:
        node.run(f"iptables -D {rule}")
    assert "walton-compute fell out above" in run.text
    assert f"walton-server ({PREFIX}.4.11) port 8300 TCP is closed from walton-compute and should be open" in run.text
    text = (site.directory / "inventory" / ".federation" / "walton-ports.csv").read_text(encoding="utf-8")
    rows = [line.split(",")[:7] for line in text.splitlines()[1:]]
    closed = ["walton-compute", "walton-server", f"{PREFIX}.4.11", "8300", "tcp", "closed", "open"]
    assert [row for row in rows if row[5] != row[6]] == [closed]
    site.play("imagine.platform.site_join")


def test_bundle_applied_before_an_older_one(
    site: Operator, operators: Operator, federation: Federation, story: Json
) -> None:
    request = membership.parse_request(REQUEST, (operators.directory / REQUEST).read_bytes())
    moment = membership.now
    membership.now = lambda: moment() - datetime.timedelta(hours=2)
    try:
        older = membership.build_bundle(
            request, {}, federation.secrets["nomad"]["ca"], "imagine", "", datetime.timedelta(hours=8)
        )
    finally:
        membership.now = moment
    path = site.directory / "older.yml"
    path.write_text(membership.bundle_text(older), encoding="utf-8")
    join(site, path, "before the bundle that was applied last")


# What the site is then


def test_site_becomes_active(operators: Operator, federation: Federation, story: Json) -> None:
    token = federation.secrets["nomad"]["management_token"]
    nodes = [node for node in federation.nomad("/v1/nodes", token).json() if node["Datacenter"] == "walton"]
    assert {(node["Name"], node["Status"]) for node in nodes} == {
        ("walton-server", "ready"),
        ("walton-compute", "ready"),
    }
    admit(operators, story["fingerprint"])
    assert json.loads(sites(federation)["site/walton"])["status"] == "active"
    assert admit(operators, story["fingerprint"]).changes == 0


def age(text: str) -> float:
    """Seconds since a time in ISO 8601."""
    return (datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(text)).total_seconds()


def node_test(
    operators: Operator, federation: Federation, *arguments: str, fails: bool = False, **variables: Any
) -> Run:
    """What the federation operator tests, whose inventory does not have the site and who cannot log in there."""
    given = {"node_test_image": image(federation), "node_test_nodes": "walton-compute", **variables}
    return operators.play("imagine.platform.node_test", *arguments, fails=fails, **given)


def test_nodes_that_are_not_tested_as_ones_of_a_site(operators: Operator, federation: Federation) -> None:
    before = metadata(federation, "walton-compute")
    wrong: list[tuple[Json, str]] = [
        ({"node_test_nodes": "ifca-compute"}, "'ifca-compute' is in the inventory: leave node_test_nodes"),
        ({"node_test_nodes": "walton-computer"}, "neither in the inventory nor registered, did you mean"),
        ({"node_test_site": "walton"}, "node_test_nodes and node_test_site are both given"),
        ({"node_test_checks": []}, "node_test_checks is empty, and no node becomes ready without a check"),
    ]
    for variables, sentence in wrong:
        given = {"node_test_image": "registry.example.org/x:1", "node_test_nodes": "walton-compute", **variables}
        operators.refused(sentence, "imagine.platform.node_test", **given)
    operators.refused(
        "but it is node_test_nodes or node_test_site that says what is tested",
        "imagine.platform.node_test",
        *("--limit", "ifca-compute"),
        node_test_nodes="walton-compute",
    )
    for run in (
        node_test(operators, federation, "--check"),
        node_test(operators, federation, node_test_checks=["registered", "drivers"]),
    ):
        assert run.changes == 0, run.output[-4000:]
        assert "its status stays as it is" in run.text
    assert metadata(federation, "walton-compute") == before


def test_a_node_that_fails_is_no_node_of_users(operators: Operator, federation: Federation) -> None:
    run = node_test(operators, federation, fails=True, node_test_ca_file=federation.ca("nomad"))
    found = metadata(federation, "walton-compute")
    assert found["status"] == "error"
    assert found["status_reason"].startswith("ingress: The certificate of https://node-test.walton-")
    assert 0 <= age(found["last_tested"]) < 600
    assert checks(run.output)["walton-compute"] == {
        **dict.fromkeys(CHECKS["walton-compute"], "passed"),
        "ingress": "FAILED",
        "module": "not run",
    }
    assert metadata(federation, "walton-server")["status"] == "test"


def test_the_federation_makes_the_nodes_ready(operators: Operator, federation: Federation) -> None:
    """Through Nomad's API and the site's own address, with a module that runs on that node."""
    run = node_test(operators, federation)
    assert checks(run.output) == {"walton-compute": dict.fromkeys([*CHECKS["walton-compute"], "module"], "passed")}
    found = metadata(federation, "walton-compute")
    assert (found["status"], found.get("status_reason")) == ("ready", None)
    assert 0 <= age(found["last_tested"]) < 600
    # No other node is touched.
    assert set(run.changed) - {"walton-compute"} == {host for host, count in run.changed.items() if not count}
    jobs = federation.nomad("/v1/jobs?namespace=*&meta=true", federation.secrets["nomad"]["tokens"]["operator"]).json()
    assert [job["Name"] for job in jobs if (job["Meta"] or {}).get("owner") == "node-test"] == []
    run = node_test(operators, federation, node_test_nodes="", node_test_site="walton")
    record("join", "node_test of the site", seconds=run.seconds)
    for node in CHECKS:
        assert metadata(federation, node)["status"] == "ready"


def test_a_module_runs_there(operators: Operator, federation: Federation, walton: dict[str, Node], story: Json) -> None:
    token = federation.secrets["nomad"]["tokens"]["operator"]
    reference = image(federation)
    play = operators.directory / "module.yml"
    play.write_text(
        yaml.safe_dump(
            [
                {
                    "name": "Deploy a module at the new site",
                    "hosts": "localhost",
                    "connection": "local",
                    "gather_facts": False,
                    "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
                    "tasks": [
                        {
                            "name": "Deploy",
                            "imagine.platform.module_deployment": {
                                "name": "joined",
                                "namespace": "imagine",
                                "base_domain": federation.variables["federation_vos"][0]["base_domain"],
                                "image": reference,
                                "title": "Digits",
                                "owner": "test@egi.eu",
                                "owner_name": "Ada Lovelace",
                                "owner_email": "ada@example.org",
                                "site": "walton",
                                "cpu_cores": 1,
                                "memory": 1000,
                                "disk": 1000,
                                "wait_timeout": 240,
                            },
                            "register": "deployed",
                        },
                        {"name": "Show", "ansible.builtin.debug": {"msg": "ENDPOINT {{ deployed.endpoints.api }}"}},
                    ],
                }
            ]
        ),
        encoding="utf-8",
    )
    server = federation.having("server")[0]
    operators.environment.update(
        NOMAD_ADDR=f"https://{server.address}:4646", NOMAD_CACERT=federation.ca("nomad"), NOMAD_TOKEN=token
    )
    run = operators.play(str(play))
    host = re.search(r"ENDPOINT https://([^/\s\"]+)", run.output)
    assert host, run.output[-3000:]
    assert ".walton-" in host.group(1)
    answer = until(
        "the module answers at the new site",
        90,
        lambda: (
            found
            if (
                found := ask(
                    walton["walton-server"].address, 443, "/v2/models/", host.group(1), federation.ca("ingress")
                )
            ).status
            == 200
            else None
        ),
    )
    assert answer.json()
    story["module"] = host.group(1)


# What the site's credentials are worth elsewhere


def curl(node: Node, url: str, token: str = "", method: str = "GET", body: Any = None) -> tuple[int, str]:
    """Ask Nomad from the node with its own certificate; the token travels by standard input."""
    config = f'header = "X-Nomad-Token: {token}"\n' if token else ""
    if body is not None:
        config += f"data = {json.dumps(json.dumps(body))}\n"
    tls = "/etc/nomad.d/tls"
    command = (
        f"curl -sS -m 20 -K - -X {method} --cacert {tls}/ca.pem --cert {tls}/cert.pem --key {tls}/key.pem "
        f"-w '\\n%{{http_code}}' '{url}'"
    )
    content, _, status = node.feed(command, config).rpartition("\n")
    return int(status), content


@pytest.fixture(scope="module")
def credentials(walton: dict[str, Node]) -> dict[str, str]:
    """All that could be taken for a token of Nomad on the site's node."""
    node = walton["walton-compute"]
    data = next(
        line
        for line in ("/srv/imagine/nomad", "/var/lib/nomad")
        if node.run(f"test -d {line}/client && echo y || true")
    )
    secret = node.run(f"cat {data}/client/secret-id").strip()
    assert re.fullmatch(r"[0-9a-f-]{36}", secret)
    consul = json.loads(node.run("cat /etc/nomad.d/secrets.json"))["consul"]["token"]
    assert node.run(f"ls {data}/client/intro_token.jwt 2>/dev/null || true") == ""
    assert "server" not in json.loads(node.run("cat /etc/nomad.d/secrets.json"))
    return {"nothing": "", "the node's secret": secret, "its Consul token": consul}


TASK = {"Name": "t", "Driver": "raw_exec", "Config": {"command": "true"}}
GROUP = {"Name": "g", "Count": 1, "Tasks": [TASK]}
JOB = {"Job": {"ID": "intruder", "Name": "intruder", "Type": "batch", "Datacenters": ["*"], "TaskGroups": [GROUP]}}


@pytest.mark.parametrize(
    ("what", "method", "path", "body"),
    [
        ("submit a job", "POST", "/v1/jobs?namespace=imagine", JOB),
        ("submit a job to the platform's namespace", "POST", "/v1/jobs?namespace=default", JOB),
        ("stop a job", "DELETE", "/v1/job/{job}?namespace=imagine&purge=true", None),
        ("read a job", "GET", "/v1/job/{job}?namespace=imagine", None),
        ("list variables", "GET", "/v1/vars?namespace=default", None),
        ("read the registry", "GET", "/v1/var/imagine%2Fregistry?namespace=default", None),
        ("write a variable", "PUT", "/v1/var/imagine%2Fother?namespace=default", {"Items": {"a": "b"}}),
        ("read raft", "GET", "/v1/operator/raft/configuration", None),
        ("remove a server", "DELETE", "/v1/operator/raft/peer?id=00000000-0000-0000-0000-000000000000", None),
        ("take a snapshot", "GET", "/v1/operator/snapshot", None),
        ("set the scheduler", "POST", "/v1/operator/scheduler/configuration", {"SchedulerAlgorithm": "spread"}),
        ("list policies", "GET", "/v1/acl/policies", None),
        ("make a token", "POST", "/v1/acl/token", {"Name": "x", "Type": "management"}),
        ("introduce a node", "POST", "/v1/acl/identity/client-introduction-token", {"NodeName": "ifca-compute"}),
        ("stop a node of another site", "POST", "/v1/node/{node}/eligibility", {"Eligibility": "ineligible"}),
        ("drain a node of another site", "POST", "/v1/node/{node}/drain", {"DrainSpec": {"Deadline": -1}}),
        ("set metadata of another node", "POST", "/v1/client/metadata?node_id={node}", {"Meta": {"status": "error"}}),
        ("collect garbage", "PUT", "/v1/system/gc", None),
        ("read gossip keys", "GET", "/v1/operator/keyring/keys", None),
    ],
)
def test_nomad_refuses(
    walton: dict[str, Node],
    federation: Federation,
    credentials: dict[str, str],
    what: str,
    method: str,
    path: str,
    body: Any,
) -> None:
    token = federation.secrets["nomad"]["management_token"]
    nodes = {node["Name"]: node["ID"] for node in federation.nomad("/v1/nodes", token).json()}
    jobs = [job["ID"] for job in federation.nomad("/v1/jobs?namespace=imagine", token).json()]
    server = federation.having("server")[0].address
    url = f"https://{server}:4646" + path.format(node=nodes["ifca-compute"], job=jobs[0])
    for whose, credential in credentials.items():
        status, answer = curl(walton["walton-compute"], url, credential, method, body)
        # A list of variables is one of those that one may read.
        assert status == 403 or (status, answer) == (200, "[]"), f"{what} with {whose}: {status} {answer[:300]}"
    # The same is possible for who may: the refusals are about rights.
    if method == "GET":
        assert federation.nomad(path.format(node=nodes["ifca-compute"], job=jobs[0]), token).status == 200


def test_site_has_no_consul_but_its_own(site: Operator, federation: Federation, walton: dict[str, Node]) -> None:
    own = site.secrets()["sites"]["walton"]
    assert "walton" not in federation.secrets["sites"]
    ifca = next(node for node in federation.having("server") if node.site == "ifca")
    for name, token in {"management": own["consul_management_token"], **own["consul_tokens"]["walton-compute"]}.items():
        assert ifca.consul("/v1/catalog/nodes", token).status == 403, name
        entry = {"Node": "intruder", "Address": "192.0.2.1", "SkipNodeUpdate": False}
        answer = ifca.consul("/v1/catalog/register", token, "PUT", json.dumps(entry))
        assert answer.status == 403, f"{name}: {answer.body!r}"
    # At its own Consul the same token is worth something.
    server = walton["walton-server"]
    assert server.consul("/v1/catalog/nodes", own["consul_management_token"]).status == 200
    # Nor does RPC take a certificate of the site's authority.
    assert server.run(CONSUL_RPC.format(address=ifca.address)).strip() == "refused"
    colleague = next(node for node in federation.nodes.values() if node.site == "ifca" and node.name != ifca.name)
    assert colleague.run(CONSUL_RPC.format(address=ifca.address)).strip() == "open"
    for port in (8500, 8501, 8503):
        refused = server.run(f"timeout 3 bash -c '</dev/tcp/{ifca.address}/{port}' 2>&1 || echo refused")
        assert "refused" in refused


def prepare_rogue(federation: Federation, node: Node, name: str, introduction: str) -> None:
    """Write the configuration of another agent on a node, which says that it is of the site ifca."""
    tls = {name: f"/etc/nomad.d/tls/{name.split('_')[0]}.pem" for name in ("ca_file", "cert_file", "key_file")}
    configuration = {
        "region": "global",
        "datacenter": "ifca",
        "name": name,
        "data_dir": "/root/rogue",
        "bind_addr": "127.0.0.1",
        "advertise": dict.fromkeys(("http", "rpc", "serf"), node.address),
        "ports": {"http": 24646, "rpc": 24647, "serf": 24648},
        "acl": {"enabled": True},
        "tls": {"http": True, "rpc": True, "verify_server_hostname": True, **tls},
        "consul": {"client_auto_join": False, "auto_advertise": False},
        "client": {"enabled": True, "servers": [f"{server.address}:4647" for server in federation.having("server")]},
    }
    node.run("rm -rf /root/rogue && mkdir -p /root/rogue/client")
    node.feed("cat > /root/rogue.json", json.dumps(configuration))
    if introduction:
        node.feed("umask 077 && cat > /root/rogue/client/intro_token.jwt", introduction)


def test_no_foreign_node_registers(site: Operator, federation: Federation, walton: dict[str, Node]) -> None:
    node = walton["walton-compute"]
    token = federation.secrets["nomad"]["management_token"]
    introductions = json.loads(site.secrets()["membership"])["credentials"]["introductions"]
    # Without a token, and with the one that introduces another node of the site.
    for introduction in ("", introductions["walton-compute"]):
        prepare_rogue(federation, node, "ifca-rogue", introduction)
        words = node.run("timeout -s INT 12 nomad agent -config=/root/rogue.json 2>&1 || true")
        assert "Permission denied" in words, words[-3000:]
        names = {entry["Name"] for entry in federation.nomad("/v1/nodes", token).json()}
        assert "ifca-rogue" not in names
    node.run("rm -rf /root/rogue*")


UNKNOWN_NODE = "Nomad's node walton-compute is neither registered nor in the inventory"


def findings(operators: Operator) -> set[tuple[str, str, str]]:
    """What the playbook status says is wrong: how bad, where, and what."""
    data = operators.directory / "status.json"
    operators.play("imagine.platform.status", fails=True, status_data=str(data))
    return {(one["severity"], one["where"], one["message"]) for one in json.loads(data.read_text())["findings"]}


def test_a_node_that_claims_another_site_is_told(
    operators: Operator, site: Operator, federation: Federation, walton: dict[str, Node]
) -> None:
    """Nomad takes a node's word for its datacenter: what cannot be prevented must be seen."""
    node = walton["walton-compute"]
    token = federation.secrets["nomad"]["management_token"]
    introductions = json.loads(site.secrets()["membership"])["credentials"]["introductions"]

    def claimed() -> list[Json]:
        nodes = federation.nomad("/v1/nodes", token).json()
        return [one for one in nodes if (one["Name"], one["Datacenter"]) == ("walton-compute", "ifca")]

    prepare_rogue(federation, node, "walton-compute", introductions["walton-compute"])
    node.run("systemd-run --quiet --unit=rogue nomad agent -config=/root/rogue.json")
    try:
        until("the node is registered", 60, claimed)
        assert ("error", "site ifca", UNKNOWN_NODE) in findings(operators)
    finally:
        node.run("systemctl kill --signal=KILL rogue; systemctl reset-failed rogue; rm -rf /root/rogue*")
        for one in claimed():
            assert federation.nomad(f"/v1/node/{one['ID']}/purge", token, method="POST").status == 200


def test_the_bundle_had_no_more_than_it_needs(site: Operator, federation: Federation) -> None:
    kept = site.secrets()
    membership_text = kept["membership"]
    assert set(json.loads(membership_text)["credentials"]) == {"certificates", "introductions"}
    assert "private_key" not in kept["nomad"]["ca"]
    for name, value in federation.leaves().items():
        assert value not in membership_text, name
    assert CHECKOUT.as_posix() not in membership_text
    assert PlatformApi(federation).token not in membership_text


def trusted(walton: dict[str, Node]) -> list[str]:
    """Certificates of the authorities that the site's Nomad trusts."""
    text = walton["walton-compute"].run("cat /etc/nomad.d/tls/ca.pem")
    return re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.DOTALL)


def assert_own_consul(server: Node, before: Json, after: Json, names: dict[str, Node]) -> None:
    """What the site's Consul takes: all that is new, and nothing that was before."""
    old, new = consul_tokens(before, "walton"), consul_tokens(after, "walton")
    listed = [token["Description"] for token in server.consul("/v1/acl/tokens", new["management"]).json()]
    # A node that has no ingress has no token for Traefik.
    assert set(new) - set(listed) == {"traefik on walton-compute"}
    for name in set(new) & set(listed):
        assert server.consul("/v1/acl/token/self", new[name]).status == 200, name
    for name, secret in old.items():
        assert server.consul("/v1/acl/token/self", secret).status == 403, name
    own, previous = after["sites"]["walton"], before["sites"]["walton"]
    [ring] = server.consul("/v1/operator/keyring", new["management"]).json()
    assert ring["PrimaryKeys"] == ring["Keys"] == {own["consul_gossip_key"]: len(names)}
    for name, node in names.items():
        trusts = issuers(node)
        assert own["consul_ca"]["certificate"] in trusts, name
        assert previous["consul_ca"]["certificate"] not in trusts, name
        files = node.run("cat /etc/consul.d/secrets.json /etc/nomad.d/*.json /var/lib/consul/serf/local.keyring")
        assert not [secret for secret in (*old.values(), previous["consul_gossip_key"]) if secret in files], name


def test_the_site_replaces_what_is_its_own(
    site: Operator, federation: Federation, walton: dict[str, Node], story: Json
) -> None:
    """Its Consul belongs to its operator, who replaces all its secrets while a module of the site is asked."""
    server = walton["walton-server"]
    before, running = site.secrets(), allocations(federation)
    site.refused("only the federation signs certificates of Nomad", "imagine.platform.rotate_certificates")
    site.refused(
        "federation_scope is site, and nomad in rotation_parts belongs to the whole federation",
        "imagine.platform.rotate_ca",
        rotation_parts="nomad,consul",
    )
    site.play("imagine.platform.rotate_tokens", "--check")
    assert site.secrets() == before
    for what in ("gossip_key", "tokens", "ca"):
        with Load([Target("walton", story["module"], (server.address,), federation.ca("ingress"))]) as load:
            load.settle()
            began = time.monotonic()
            site.play(f"imagine.platform.rotate_{what}")
            seconds = time.monotonic() - began
            load.wait(5)
        record("join", f"the site itself runs rotate_{what}", seconds=seconds, requests=load.summaries())
        assert load.failures() == [], load.bursts()
    after = site.secrets()
    assert_own_consul(server, before, after, walton)
    # What is the federation's is as it was, and there is nothing left to be done.
    assert {key: after[key] for key in ("nomad", "ingress", "membership")} == {
        key: before[key] for key in ("nomad", "ingress", "membership")
    }
    assert not after.get("rotations")
    again = site.play("imagine.platform.deploy")
    assert again.changes == 0, again.output[-6000:]
    assert disturbed(running, allocations(federation)) == {}


def test_the_site_follows_when_authorities_are_replaced(
    site: Operator, operators: Operator, federation: Federation, walton: dict[str, Node], story: Json
) -> None:
    """The way that docs/rotation.md tells, while a module of the site and one of another are asked."""
    deploy_module("ifca")
    before, running = trusted(walton), allocations(federation)
    assert len(before) == 1
    assert {one.job for one in running.values() if one.node.startswith("walton-")} != set()

    def step(what: str, **variables: Any) -> None:
        # Who asks has the authorities that were handed out last.
        there = (walton["walton-server"].address,)
        targets = [
            module_at(federation, "ifca"),
            Target("walton", story["module"], there, federation.ca("ingress")),
        ]
        with Load(targets) as load:
            load.settle()
            began = time.monotonic()
            operators.play("imagine.platform.rotate_ca", **variables)
            run = admit(operators, story["fingerprint"])
            told = spoken(run.output[run.output.index("tell the fingerprint") :])
            shutil.copy(operators.directory / BUNDLE, site.directory / BUNDLE)
            # The new fingerprint, where there is one; else the one that the site has kept.
            given = {} if told == story["federation"] else {"membership_fingerprint": told}
            site.play("imagine.platform.site_join", membership_bundle_file=BUNDLE, **given)
            story["federation"] = told
            seconds = time.monotonic() - began
            load.wait(5)
        record("join", f"authorities are replaced, {what}", seconds=seconds, requests=load.summaries())
        assert load.failures() == [], load.bursts()

    step("trust", rotation_stop_after="trust")
    assert (len(trusted(walton)), trusted(walton)[0]) == (2, before[0])
    told = story["federation"]
    step("switch", rotation_stop_after="switch", rotation_sites_renewed=["walton"])
    assert story["federation"] != told
    step("end", rotation_sites_renewed=["walton"])
    assert len(trusted(walton)) == 1
    assert trusted(walton) != before
    assert disturbed(running, allocations(federation)) == {}
    token = federation.secrets["nomad"]["management_token"]
    nodes = [node for node in federation.nomad("/v1/nodes", token).json() if node["Datacenter"] == "walton"]
    assert {node["Status"] for node in nodes} == {"ready"}
    purge_jobs(federation)


def assert_own_consul_forgets(site: Operator, server: Node, gone: Node) -> None:
    """What only the site's operator can take away: a node's place and tokens in the site's Consul."""
    before = site.secrets()
    node = {"node_remove_nodes": "walton-compute"}
    site.refused(
        "walton-compute is alive and would join again", "imagine.platform.node_remove", node_remove_timeout=4, **node
    )
    for wrong, sentence in (
        ({"node_remove_nodes": "walton-compute,walton-other"}, "node_remove_nodes has walton-other, neither in"),
        ({"node_remove_nodes": "walton-compute,walton-server"}, "has all nodes of site walton: to leave, ask"),
        ({}, "node_remove_nodes is empty"),
    ):
        site.refused(sentence, "imagine.platform.node_remove", **wrong)
    site.refused("needs rights over the whole federation", "imagine.platform.site_remove", site_remove_site="walton")
    gone.run("systemctl disable --now consul")
    assert site.play("imagine.platform.node_remove", "--check", **node).changes > 0
    assert site.secrets() == before
    removed = site.play("imagine.platform.node_remove", **node)
    assert "have forgotten walton-compute" in removed.text
    after, tokens = site.secrets(), consul_tokens(before, "walton")
    assert list(after["sites"]["walton"]["consul_tokens"]) == ["walton-server"]
    known = [one["Node"] for one in server.consul("/v1/catalog/nodes", tokens["management"]).json()]
    members = [one["Name"] for one in server.consul("/v1/agent/members", tokens["management"]).json()]
    assert known == members == ["walton-server"]
    for name, secret in tokens.items():
        if name != "traefik on walton-compute":
            status = server.consul("/v1/acl/token/self", secret).status
            assert status == (403 if name.endswith("walton-compute") else 200), name
    assert site.play("imagine.platform.node_remove", **node).changes == 0


def test_the_site_leaves(site: Operator, operators: Operator, federation: Federation, walton: dict[str, Node]) -> None:
    """Its operator stops the nodes, and the federation's, who cannot log in to them, takes it out."""
    leaving = {"site_remove_site": "walton", "site_remove_drain_deadline": 10, "site_remove_jobs": "stop"}
    operators.refused(
        "Node 'walton-compute' runs, but is not in the inventory", "imagine.platform.site_remove", **leaving
    )
    for node in walton.values():
        node.run("systemctl stop nomad")
    token = federation.secrets["nomad"]["management_token"]

    def statuses() -> set[str]:
        nodes = federation.nomad("/v1/nodes", token).json()
        return {node["Status"] for node in nodes if node["Datacenter"] == "walton"}

    # The platform's jobs wait for a node that is lost, which is called disconnected for so long.
    until("the nodes are lost", 120, lambda: statuses() <= {"down", "disconnected"})
    # One of its nodes alone, and then the rest.
    one = operators.play(
        "imagine.platform.node_remove", node_remove_nodes=["walton-compute"], node_remove_drain_deadline=10
    )
    assert "The Consul of site walton is its operator's" in one.text
    names = [node["name"] for node in json.loads(sites(federation)["site/walton"])["nodes"]]
    assert names == ["walton-server"]
    assert_own_consul_forgets(site, walton["walton-server"], walton["walton-compute"])
    record("join", "leave", seconds=operators.play("imagine.platform.site_remove", **leaving).seconds)
    assert statuses() == set()
    assert "site/walton" not in sites(federation)
    admitted = Path(str(federation.variables["federation_secrets_file"])).parent / "admitted"
    assert list(admitted.glob("walton.*")) == []

    # Nomad takes a node back that it has forgotten, for as long as the identity counts that it gave it: docs/joining.md
    # says so. What cannot be prevented must be seen, and mended.
    node = walton["walton-compute"]
    node.run("systemctl start nomad")
    until("the node is back", 60, lambda: statuses() != set())
    assert ("error", "site walton", UNKNOWN_NODE) in findings(operators)
    node.run("systemctl stop nomad")
    until("the node is lost", 120, lambda: statuses() <= {"down", "disconnected"})
    operators.play("imagine.platform.site_remove", **leaving)
    assert statuses() == set()


def test_a_site_whose_machines_all_are_reachable(
    federation: Federation, other_machines: None, whole: tuple[str, ...]
) -> None:
    """The way of who operates the new site as well: the same deploy, with an inventory that has it."""
    added = execute(["ansible-playbook", *whole, "imagine.platform.deploy"])
    record("join", "deploy, with all machines reachable", seconds=added.seconds)
    assert json.loads(sites(federation)["site/walton"])["status"] == "active"
    for name in CHECKS:
        assert metadata(federation, name)["status"]
    assert execute(["ansible-playbook", *whole, "imagine.platform.deploy"]).changes == 0
    execute(["ansible-playbook", *whole, "imagine.platform.site_remove", "-e", "site_remove_site=walton"])
    assert "site/walton" not in sites(federation)
