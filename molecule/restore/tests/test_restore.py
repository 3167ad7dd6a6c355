# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Makes a backup, refuses what must be refused, loses all machines and the secrets, and gets everything back.

The tests are one story and run in this order. Fixtures of the session would know the federation from before its loss,
so each test looks at it anew.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import runs
from clients import build_module, run_module, wait
from federation import INVENTORY, Federation, Node, ask
from load import Load, Target, allocations, disturbed, undisturbed
from machines import containers, docker
from runs import Run
from scenario_figures import record

CHECKOUT = Path(__file__).resolve().parents[3]
SITE = "ifca"
MODULE = "digits-restore"
# What the operator has made beside what deploy makes, so that only a backup can bring it back.
NAMESPACE = "guests"
POLICY = "visitors-read"
VARIABLE = "imagine/answer"
KEY = "notes/answer"
# A task of a restoration, at which a run is killed.
RESTART = "Restart the servers one after the other, and wait for the leader"
# Another site that only the registry knows.
REGISTERED = "walton"
# Requests a second.
RATE = 20.0


def play(name: str, *arguments: str, fails: bool = False, password_file: str | None = None) -> Run:
    """Run a playbook to its end; an empty password file is none at all."""
    # A shell in the checkout would say so: whoever starts a program elsewhere leaves PWD as it is.
    environment = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "PWD": str(CHECKOUT)}
    if password_file is not None:
        del environment["ANSIBLE_VAULT_PASSWORD_FILE"]
    if password_file:
        environment["ANSIBLE_VAULT_PASSWORD_FILE"] = password_file
    return runs.play(name, *arguments, fails=fails, environment=environment)


def management(federation: Federation) -> str:
    return str(federation.secrets["nomad"]["management_token"])


def get(federation: Federation, path: str) -> Any:
    answer = federation.nomad(path, management(federation))
    assert answer.status == 200, (path, answer.status, answer.body)
    return answer.json()


def servers(federation: Federation) -> dict[str, Node]:
    """A Consul server of each site."""
    return {node.site: node for node in federation.having("server")}


def module_at_its_site(federation: Federation) -> Target:
    """The module, as its users ask for it."""
    node = servers(federation)[SITE]
    base = federation.variables["federation_vos"][0]["base_domain"]
    name = f"api-{MODULE}.{node.variables['site_domain']}-{base}"
    return Target(SITE, name, (node.address,), federation.ca("ingress"))


def predicts(federation: Federation) -> bool:
    """Whether the module answers at its site."""
    target = module_at_its_site(federation)
    try:
        answer = ask(target.addresses[0], target.port, target.path, name=target.name, ca=target.ca)
    except OSError:
        return False
    return answer.status == 200


def allocation(federation: Federation) -> dict[str, Any]:
    """The module's allocation that runs."""
    found = [
        one
        for one in get(federation, "/v1/allocations?namespace=*")
        if one["ClientStatus"] == "running" and one["DesiredStatus"] == "run" and one["JobID"].startswith("module-")
    ]
    return dict(found[0]) if found else {}


def picture(federation: Federation) -> dict[str, Any]:
    """What must be the same before and after."""
    tokens = get(federation, "/v1/acl/tokens")
    consul = {}
    for site, node in servers(federation).items():
        token = federation.secrets["sites"][site]["consul_management_token"]
        consul[site] = {
            "tokens": sorted(one["AccessorID"] for one in described(node, token) if not one.get("AuthMethod")),
            # A list has no rules; the hash is of name, description and rules.
            "policies": {one["Name"]: one["Hash"] for one in node.consul("/v1/acl/policies", token).json()},
            "value": base64.b64decode(node.consul(f"/v1/kv/{KEY}", token).json()[0]["Value"]).decode(),
            "nodes": {one["Node"]: one["ID"] for one in node.consul("/v1/catalog/nodes", token).json()},
        }
    return {
        "secrets": federation.secrets,
        "jobs": sorted(
            (one["Namespace"], one["ID"])
            for one in get(federation, "/v1/jobs?namespace=*")
            if one["Status"] == "running"
        ),
        "namespaces": sorted(one["Name"] for one in get(federation, "/v1/namespaces")),
        "policies": {one["Name"]: rules(federation, one["Name"]) for one in get(federation, "/v1/acl/policies")},
        "roles": {one["Name"]: granted(one) for one in get(federation, "/v1/acl/roles")},
        "tokens": {one["AccessorID"]: (one["Name"], one["Type"], one["Policies"]) for one in tokens},
        "variable": get(federation, f"/v1/var/{VARIABLE}")["Items"],
        "registry": get(federation, "/v1/var/imagine/registry")["Items"],
        "keys": sorted(one["KeyID"] for one in get(federation, "/v1/operator/keyring/keys")),
        "nodes": sorted(one["Name"] for one in get(federation, "/v1/nodes") if one["Status"] == "ready"),
        "consul": consul,
    }


def rules(federation: Federation, policy: str) -> tuple[str, Any]:
    """What a policy of Nomad allows, and the job that it is for, if any."""
    found = get(federation, f"/v1/acl/policy/{policy}")
    return found["Rules"], found.get("JobACL")


def granted(role: dict[str, Any]) -> list[str]:
    """The policies of a role."""
    return sorted(link["Name"] for link in role["Policies"] or [])


def described(node: Node, token: str) -> list[dict[str, Any]]:
    return list(node.consul("/v1/acl/tokens", token).json())


class Story:
    """What one test hands to the next."""

    backup: Path
    before: dict[str, Any]
    allocation: dict[str, Any]


@pytest.fixture(scope="session")
def story() -> Story:
    return Story()


@pytest.fixture
def say(capfd: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print figures past pytest."""

    def call(text: str) -> None:
        with capfd.disabled():
            print(f"\n{text}", flush=True)

    return call


def test_backup(story: Story, say: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory) -> None:
    federation = Federation()
    build_module()
    play("testbed/demo.yml", "-e", json.dumps({"demo_name": MODULE, "demo_site": SITE}))
    run_module(federation, "nomad_namespace", name=NAMESPACE)
    run_module(federation, "nomad_acl_policy", name=POLICY, rules='namespace "*" { policy = "read" }')
    run_module(federation, "nomad_acl_token", name="visitor", policies=[POLICY])
    run_module(federation, "nomad_variable", path=VARIABLE, items={"answer": "forty-two"})
    run_module(federation, "site", name=REGISTERED, domain=REGISTERED, status="requested")
    for site, node in servers(federation).items():
        token = federation.secrets["sites"][site]["consul_management_token"]
        assert node.consul(f"/v1/kv/{KEY}", token, method="PUT", body=f"of {site}").status == 200
        policy = json.dumps({"Name": POLICY, "Rules": 'key_prefix "notes/" { policy = "read" }'})
        assert node.consul("/v1/acl/policy", token, method="PUT", body=policy).status == 200

    directory = tmp_path_factory.mktemp("backups")
    options = ["imagine.platform.backup", "-e", f"backup_directory={directory}", "-e", "backup_keep=2"]
    assert play(*options, "--check").changes
    assert not list(directory.iterdir()), "check mode made a file"
    done = play(*options)
    (story.backup,) = directory.iterdir()
    assert not play(*options, "-e", "backup_max_age=3600").changes, "a new enough backup is there"
    limited = tmp_path_factory.mktemp("limited")
    enough = ["imagine.platform.backup", "-e", f"backup_directory={limited}", "-e", "backup_max_age=3600"]
    play(*enough, "--limit", f"!site_{SITE}")
    assert play(*enough).changes, "a backup of one site is taken for one of all"
    assert len(list(limited.iterdir())) == 2
    play(*options)
    play(*options)
    assert len(list(directory.iterdir())) == 2
    assert not story.backup.exists(), "the oldest is still there"
    story.backup = max(directory.iterdir())
    size = story.backup.stat().st_size
    assert story.backup.stat().st_mode & 0o777 == 0o600
    for name, secret in federation.leaves().items():
        assert secret not in done.output, name
        assert secret.encode() not in story.backup.read_bytes(), name
    for node in federation.nodes.values():
        assert node.run("ls /run/*.snap /dev/shm/ansible* 2>/dev/null || true") == ""
    wait("the module answers", 60, lambda: predicts(federation))
    story.before = picture(federation)
    # What is compared afterwards is there.
    assert 'policy = "read"' in story.before["policies"][POLICY][0]
    assert story.before["roles"]
    assert all(story.before["roles"].values())
    story.allocation = allocation(federation)
    assert story.allocation, "the module does not run"
    # Made after the backup: nothing of it may come back.
    run_module(federation, "nomad_variable", path="imagine/late", items={"answer": "late"})
    record("restore", "backup", seconds=done.seconds)
    say(f"backup: {done.seconds:.0f} s, {size / 1e6:.2f} MB")


def test_backup_while_a_server_is_down(tmp_path: Path) -> None:
    """The first of the Nomad servers; and a backup that a wrong clock made is there."""
    federation = Federation()
    down = min(federation.having("server"), key=lambda node: node.name)
    future = tmp_path / f"{federation.variables['federation_name']}-20990101T000000Z.tar.vault"
    future.touch()
    options = ["-e", f"backup_directory={tmp_path}", "-e", "backup_keep=1", "-e", "backup_max_age=3600"]
    down.run("systemctl stop nomad")
    try:
        done = play("imagine.platform.backup", *options)
    finally:
        down.run("systemctl start nomad")
    assert f"has backups from the future ({future.name})" in done.text
    (made,) = {*tmp_path.iterdir()} - {future}
    assert future.exists()
    assert made.name.endswith(".tar.vault")
    names = {node.name for node in federation.nodes.values()}

    def well() -> bool:
        health = federation.nomad("/v1/operator/autopilot/health", management(federation))
        nodes = federation.nomad("/v1/nodes", management(federation))
        if (health.status, nodes.status) != (200, 200):
            return False
        return bool(health.json()["Healthy"]) and names <= {
            one["Name"] for one in nodes.json() if one["Status"] == "ready"
        }

    wait("the server is one of the quorum again", 180, well)
    wait("the module answers", 120, lambda: predicts(federation))


def service_of(node: Node, unit: str) -> tuple[list[str], str, dict[str, str]]:
    """What the systemd of a node has read of a service: the words of its command, its directory and environment."""
    path = re.sub(r"[^A-Za-z0-9]", lambda found: f"_{ord(found[0]):02x}", unit)
    asked = (
        f"busctl --json=short get-property org.freedesktop.systemd1 /org/freedesktop/systemd1/unit/{path} "
        "org.freedesktop.systemd1.Service ExecStart WorkingDirectory Environment"
    )
    commands, directory, variables = (json.loads(line)["data"] for line in node.run(asked).splitlines())
    [(_program, words, *_how)] = commands
    return words, directory, dict(entry.split("=", 1) for entry in variables)


def opened(backup: Path) -> dict[str, bytes]:
    """The files in a backup, which Ansible's own tool opens."""
    command = ["ansible-vault", "decrypt", "--output", "-", str(backup)]
    done = subprocess.run(command, check=True, capture_output=True, cwd=CHECKOUT)
    found = {}
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        for member in archive:
            stream = archive.extractfile(member)
            assert stream is not None, member.name
            found[member.name] = stream.read()
    return found


def test_timer(tmp_path: Path) -> None:
    """The units on a machine with systemd; then the controller, which need have none, does what they say."""
    federation = Federation()
    name = federation.variables["federation_name"]
    node = federation.having("compute")[0]
    password = os.environ["ANSIBLE_VAULT_PASSWORD_FILE"]
    timer = ["imagine.platform.backup", "--tags", "timer", "-e", f"backup_timer_host={node.name}"]
    given = {"backup_timer_user": node.variables["ansible_user"], "backup_timer_password_file": password}
    # What this program says shows what the one of the controller would be asked to do.
    options = {
        **given,
        "backup_timer_directory": "/",
        "backup_timer_program": "/bin/echo",
        "backup_timer_schedule": "*-*-* 04:05:06",
        "backup_timer_options": ["-e", "backup_keep=30"],
    }
    refused = play(*timer, fails=True)
    assert "nobody is there to type the vault password" in refused.output
    misspelt = play(*timer, "-e", "backup_timer_shedule=daily", fails=True)
    assert "backup_timer_shedule = daily: nothing reads this variable" in misspelt.text
    assert refused.changes == 0
    assert play(*timer, "-e", json.dumps(options), "--check").changes
    play(*timer, "-e", json.dumps(options))
    again = play(*timer, "-e", json.dumps(options))
    assert again.changes == 0, again.changed
    unit = f"imagine-backup-{name}"
    assert node.run(f"systemctl is-active {unit}.timer").strip() == "active"
    assert node.run(f"systemctl is-enabled {unit}.timer").strip() == "enabled"
    assert "04:05:06" in node.run(f"systemctl show -p NextElapseUSecRealtime {unit}.timer")
    node.run(f"systemctl start {unit}.service")
    said = node.run(f"journalctl -u {unit}.service -o cat --no-pager")
    assert f"imagine.platform.backup --inventory={INVENTORY} --vault-password-file={password} -e backup_keep=30" in said

    # With the program and the directory that the role chooses by itself. Where this federation is, is in no file.
    environment = {
        "LOCAL_FEDERATION": name,
        "LOCAL_PREFIX": os.environ["LOCAL_PREFIX"],
        "LOCAL_STATE_DIR": str(Path(federation.variables["federation_secrets_file"]).parent),
        "LOCAL_CACHE_DIR": federation.variables["local_cache_dir"],
    }
    options = {
        **given,
        "backup_timer_schedule": "*-*-* 05:06:07",
        "backup_timer_options": ["-e", f"backup_directory={tmp_path}"],
        "backup_timer_environment": environment,
    }
    play(*timer, "-e", json.dumps(options))
    assert "05:06:07" in node.run(f"systemctl show -p NextElapseUSecRealtime {unit}.timer")
    words, directory, variables = service_of(node, f"{unit}.service")
    assert (words[0], directory) == (str(Path(sys.executable).with_name("ansible-playbook")), str(CHECKOUT))
    assert variables == environment
    # All that a service gets beside what its unit says; nothing of the tests' own environment helps.
    system = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(Path.home())}
    runs.execute(words, directory=directory, environment={**system, **variables})
    (made,) = tmp_path.iterdir()
    assert made.name.startswith(f"{name}-")
    files = opened(made)
    manifest = json.loads(files.pop("manifest.json"))
    assert set(files) == {"nomad.snap", "secrets.yml", *(f"consul/{site}.snap" for site in federation.sites)}
    sums = {file: entry["sha256"] for file, entry in manifest["files"].items()}
    assert sums == {file: hashlib.sha256(content).hexdigest() for file, content in files.items()}

    play(*timer, "-e", "backup_timer=false")
    assert node.run(f"systemctl list-unit-files '{unit}*' --no-legend || true") == ""
    gone = play(*timer, "-e", "backup_timer=false")
    assert gone.changes == 0, gone.changed


@pytest.mark.parametrize(
    "case",
    ["no yes", "old note", "limit", "wrong password", "no password", "damaged", "something else", "no file", "other"],
)
def test_refusals(story: Story, case: str, tmp_path: Path) -> None:
    federation = Federation()
    before = picture(federation)
    secrets_file = Path(federation.variables["federation_secrets_file"])
    note = secrets_file.parent / ".restore" / "restoring.json"
    content = secrets_file.read_bytes()
    path, options = story.backup, ["-e", "restore_confirm=true"]
    password_file: str | None = None
    if case == "no yes":
        options, expected = [], r"A federation lives on .*Run again with -e restore_confirm=true"
    elif case == "old note":
        # A restoration that was killed, and never started again.
        noted = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "started": time.time() - 86400}
        note.parent.mkdir(mode=0o700)
        note.write_text(json.dumps(noted))
        options, expected = [], r"A federation lives on .*Run again with -e restore_confirm=true"
    elif case == "limit":
        options = [*options, "--limit", f"site_{SITE}"]
        expected = r"The run leaves out incd-server, tubitak-server, but all Nomad servers"
    elif case == "wrong password":
        password = tmp_path / "password"
        password.write_text("another")
        password_file, expected = str(password), r"No vault password that was given opens "
    elif case == "no password":
        password_file, expected = "", r"No vault password is given for "
    elif case == "damaged":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path = tmp_path / path.name
        path.write_bytes(data)
        # Whether the byte is still a digit of the encrypted text decides which of the two it is.
        expected = r"is damaged: use another backup|or use another backup if it is damaged"
    elif case == "something else":
        path, expected = secrets_file, r"is no backup of a federation"
    elif case == "no file":
        path, expected = tmp_path / "nothing", r"There is no backup at .*nothing: correct the path"
    else:
        options = [*options, "-e", "federation_name=another"]
        expected = r"is a backup of the federation \S+imagine-test\S+, but federation_name is \S+another"
    run = play(
        "imagine.platform.restore", "-e", f"restore_file={path}", *options, fails=True, password_file=password_file
    )
    assert re.search(expected, run.output), run.output[-3000:]
    assert run.changes == 0, run.changed
    assert secrets_file.read_bytes() == content
    assert picture(federation) == before
    if case == "old note":
        shutil.rmtree(note.parent)
    assert not note.parent.exists()


def test_restore(story: Story, say: Callable[[str], None]) -> None:
    federation = Federation()
    assert len(federation.nodes) == 6
    docker("rm", "--force", "--volumes", *containers(federation.nodes))
    # The controller's copies are lost as well.
    Path(federation.variables["federation_secrets_file"]).unlink()
    for name in ("nomad", "ingress", *(f"consul-{site}" for site in federation.sites)):
        Path(federation.ca(name)).unlink()
    play("testbed/create.yml")

    restore = ["imagine.platform.restore", "-e", f"restore_file={story.backup}"]
    predicted = play(*restore, "--check")
    assert "The state of Nomad would be restored" in predicted.output
    assert not Path(federation.variables["federation_secrets_file"]).exists(), "check mode put the secrets back"
    started = time.monotonic()
    done = play(*restore)
    told = re.search(r"Restored \S+ of \S+ in (\d+) s: [^\"]*", done.output)
    assert told, done.output[-3000:]

    federation = Federation()
    for name, secret in federation.leaves().items():
        assert secret not in done.output, name
    wait("the module answers again", 120, lambda: predicts(federation))
    answered = time.monotonic() - started
    assert picture(federation) == story.before
    assert federation.nomad("/v1/var/imagine/late", management(federation)).status == 404
    again = allocation(federation)
    assert again["NodeName"] == story.allocation["NodeName"]
    assert again["ID"] != story.allocation["ID"]
    assert not (Path(federation.variables["federation_secrets_file"]).parent / ".restore").exists()
    for node in federation.nodes.values():
        assert node.run("ls /run/*.snap /dev/shm/ansible* 2>/dev/null || true") == ""
    record("restore", "restore onto six new machines", seconds=done.seconds)
    say(f"restore onto six new machines: {done.seconds:.0f} s; the module answers after {answered:.0f} s\n{told[0]}")


def test_deploy_changes_nothing_afterwards() -> None:
    counts = play("imagine.platform.deploy").changed
    assert counts, "the playbook reached no host"
    assert not any(counts.values()), counts


def test_over_a_federation_that_lives_killed_and_started_again(story: Story, say: Callable[[str], None]) -> None:
    federation = Federation()
    before = allocation(federation)
    # Of the machines that live now: what runs was there at the time of the backup, and goes on.
    directory = story.backup.parent
    play("imagine.platform.backup", "-e", f"backup_directory={directory}", "-e", "backup_keep=2")
    backup = max(directory.iterdir())
    assert backup != story.backup
    run_module(federation, "nomad_variable", path=VARIABLE, items={"answer": "changed"})
    run_module(federation, "nomad_variable", path="imagine/late", items={"answer": "late"})
    run_module(federation, "nomad_namespace", name="late")
    playbook, *options = restore = ["imagine.platform.restore", "-e", f"restore_file={backup}"]
    started = allocations(federation)
    assert before["ID"] in started
    target = module_at_its_site(federation)
    record("restore", "undisturbed", requests=undisturbed([target], rate=RATE))
    with Load([target], rate=RATE) as load:
        load.settle()
        runs.kill_at(playbook, RESTART, *options, "-e", "restore_confirm=true")
        # What lives is what the killed run has brought back: nobody has to say yes again.
        done = play(*restore)
    # That deployments go on running is what is promised. The catalogue in which Traefik looks for them is put back as
    # well: what users notice of that is measured.
    (summary,) = load.summaries()
    record("restore", "restore over a living federation, after a kill", seconds=done.seconds, requests=[summary])
    say(f"restore over a living federation, after a kill: {done.seconds:.0f} s\n{summary}")
    for burst in load.bursts():
        say(burst)
    federation = Federation()
    assert picture(federation) == story.before
    assert federation.nomad("/v1/var/imagine/late", management(federation)).status == 404
    assert allocation(federation)["ID"] == before["ID"]
    assert disturbed(started, allocations(federation)) == {}
    assert predicts(federation)
    assert "A federation lives on" in play(*restore, fails=True).output


def test_what_the_next_checks_need(story: Story) -> None:
    """The module's core is free again, and the federation is as deploy made it."""
    federation = Federation()
    for namespace, name in story.before["jobs"]:
        path = f"/v1/job/{name}?purge=true&namespace={namespace}"
        assert federation.nomad(path, management(federation), method="DELETE").status == 200
    run_module(federation, "site", name=REGISTERED, state="absent")
    run_module(federation, "nomad_namespace", name=NAMESPACE, state="absent")
    wait("no job runs", 60, lambda: not allocation(federation))
