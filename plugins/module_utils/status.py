# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with a federation, from what its machines and its API say, or fail to say.

Whatever does not answer is a finding and never an error: this is read while things are broken. A finding says what is
wrong, and the command that mends it or shows more. One cause is told once: where a machine cannot be reached, what
follows from that is left out.
"""

from __future__ import annotations

import datetime
import json
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.imagine.platform.plugins.module_utils import certificates
from ansible_collections.imagine.platform.plugins.module_utils.errors import shorten
from ansible_collections.imagine.platform.plugins.module_utils.inventory import (
    CONSUL_PORT,
    NOMAD_PORT,
    Limits,
    Node,
    check_clock,
    covers,
    endpoint_names,
    nodes_by_site,
)
from ansible_collections.imagine.platform.plugins.module_utils.nomad_servers import majority
from ansible_collections.imagine.platform.plugins.module_utils.registry import runs_client
from ansible_collections.imagine.platform.plugins.module_utils.vocabulary import LABEL, WORKLOAD_ROLES, listing

Json = dict[str, Any]

ERROR, WARNING = "error", "warning"
OK, UNKNOWN = "ok", "unknown"
PRODUCTS = {"consul": "Consul", "nomad": "Nomad", "docker": "Docker", "traefik": "Traefik"}
#: By service, whose certificates an authority signs; in lower case the part of a rotation that replaces it.
AUTHORITIES = {"consul": "Consul", "nomad": "Nomad", "traefik": "ingress"}
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
#: How a machine stands to the one who asks.
EXAMINED, UNREACHABLE, BROKEN, LEFT_OUT = "examined", "unreachable", "not examinable", "left out"
#: What each answer of the API has.
KEYS = {"leaders": "servers", "servers": "servers", "sites": "sites", "nodes": "nodes", "deployments": "deployments"}
# Seconds for which it is told that a service died and was started again.
RECENT = 3600.0
#: Gossip's word for a server that is there, and Raft's for one that gossip does not know.
ALIVE, NAMELESS = "alive", "(unknown)"
#: What keeps a machine away that goes by the name of another one: Nomad would take it back.
SHUT_OUT = f"close the servers' port {NOMAD_PORT} to the other one"
ANEW = f"the machine was set up anew, or another one took its name; deploy, and {SHUT_OUT} if it stays"
#: Deployments in these states serve nobody and ought to.
DOWN, LOST, FAILED, QUEUED = "down", "lost", "failed", "queued"
STATES = ("running", "starting", QUEUED, DOWN, LOST, FAILED, "complete", "stopped")


@dataclass(frozen=True)
class Thresholds:
    """From where on something is a finding."""

    minimum_disk_mb: int = 1000
    disk_warning_percent: float = 10.0
    certificate_days: int = 14
    authority_days: int = 90
    renew_fraction: float = 0.667
    clock_offset: float = 5.0


@dataclass(frozen=True)
class Seen:
    """Everything that was read; each of C(answers) is the result of a module, which may have failed or be missing."""

    nodes: Sequence[Node]
    machines: Mapping[str, Mapping[str, Any]]
    answers: Mapping[str, Mapping[str, Any]]
    vos: Sequence[Mapping[str, Any]]
    inventory: str
    now: datetime.datetime
    defaults: Mapping[str, Any] = field(default_factory=dict)
    thresholds: Thresholds = field(default_factory=Thresholds)

    def answer(self, name: str) -> Mapping[str, Any] | None:
        """What the API said, None where it said nothing; that a task may fail hides that it has failed."""
        found = self.answers.get(name)
        return found if found and KEYS[name] in found else None

    def refused(self, name: str) -> str:
        """Why the API did not say what it was asked, empty where it did, or was not asked."""
        found = self.answers.get(name)
        if found is None or found.get("skipped") or KEYS[name] in found:
            return ""
        return shorten(str(found.get("msg") or "no answer"), 300)


def group_of(site: str) -> str:
    """The inventory's group of a site."""
    return f"site_{site.replace('-', '_')}"


def is_plain(name: str) -> bool:
    """Whether a name that Nomad or Consul told is one of a host, in which no shell and no template reads more.

    Who runs a node chooses its name and its datacenter, and commands are there to be copied.
    """
    return name.isascii() and re.fullmatch(LABEL, name.lower()) is not None


class Commands:
    """The commands that mend something or show more, ready to be run."""

    def __init__(self, inventory: str) -> None:
        self.inventory = inventory

    def play(self, name: str, limit: str = "", **variables: Any) -> str:
        """A playbook of the collection."""
        words = f"ansible-playbook {self.inventory} imagine.platform.{name}" + (f" --limit {limit}" if limit else "")
        return f"{words} -e {shlex.quote(json.dumps(variables))}" if variables else words

    def deploy(self, limit: str = "") -> str:
        """Bring nodes to what the inventory says."""
        return self.play("deploy", limit)

    def run(self, hosts: str, module: str, arguments: str = "", become: bool = True) -> str:
        """One module on some hosts."""
        words = f"ansible {self.inventory} {hosts} {'-b ' if become else ''}-m {module}"
        return f"{words} -a {shlex.quote(arguments)}" if arguments else words

    def journal(self, node: str, unit: str) -> str:
        """The last words of a service."""
        return self.run(node, "ansible.builtin.command", f"journalctl -u {unit} -n 50 --no-pager")


def expected_services(roles: Iterable[str]) -> list[str]:
    """The services that a node with these roles runs."""
    found = ["consul", "nomad"]
    if set(roles) & set(WORKLOAD_ROLES):
        found.append("docker")
    if "ingress" in roles:
        found.append("traefik")
    return found


def public_address(node: Node) -> str:
    """The address that other sites use."""
    return str(node.get("node_public_address", node.address))


def ago(seconds: float) -> str:
    """A span of time in words."""
    for size, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {word}"
    return f"{max(seconds, 0):.0f} s"


def plural(count: int, noun: str) -> str:
    """A number of things."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def one_line(text: str) -> str:
    """A text without breaks: names that others choose may hold any."""
    return " ".join(text.split())


class Judge:
    """Goes through everything once, and keeps what it finds."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.commands = Commands(seen.inventory)
        self.nodes = {node.name: node for node in seen.nodes}
        self.sites = nodes_by_site(seen.nodes)
        self.servers = [node for node in seen.nodes if "server" in node.roles]
        self.findings: list[Json] = []
        self.certificates: list[Json] = []
        self.links: list[Json] = []
        #: sites that reach no other one
        self.cut: set[str] = set()
        leaders = seen.answer("leaders") or {}
        self.api = {urlsplit(str(one["address"])).hostname: one for one in leaders.get("servers", [])}
        self.leader = str(leaders.get("leader", ""))
        nodes = seen.answer("nodes") or {}
        self.api_nodes = {(one["site"], one["name"]): one for one in nodes.get("nodes", [])}
        self.ambiguous = {one["name"]: one["nodes"] for one in nodes.get("ambiguous", [])}
        #: when authorities end, by service and site, with the node that believes them; no site where it is one for all
        self.authorities: dict[tuple[str, str], list[tuple[datetime.datetime, str]]] = defaultdict(list)

    # What was read

    def state(self, node: Node) -> str:
        """How the machine stands to us."""
        result = self.seen.machines.get(node.name)
        if result is None or result.get("skipped"):
            return LEFT_OUT
        if result.get("unreachable"):
            return UNREACHABLE
        return EXAMINED if isinstance(result.get("node"), Mapping) else BROKEN

    def facts(self, node: Node) -> Mapping[str, Any]:
        """What a machine told, nothing where it could not be asked."""
        found = (self.seen.machines.get(node.name) or {}).get("node")
        return found if isinstance(found, Mapping) else {}

    def service(self, node: Node, name: str) -> Mapping[str, Any]:
        """What a machine told of a service."""
        found = (self.facts(node).get("services") or {}).get(name)
        return found if isinstance(found, Mapping) else {}

    def runs(self, node: Node, name: str) -> bool:
        """Whether a service runs for all we know."""
        return bool(self.service(node, name).get("active"))

    def is_ours(self, site: str, name: str) -> bool:
        """Whether the inventory has a node at a site."""
        return name in self.nodes and self.nodes[name].site == site

    def is_told(self, node: Node) -> bool:
        """Whether it is told already why Nomad's other agents do not have this one."""
        dead = bool(self.facts(node)) and not self.runs(node, "nomad")
        return self.state(node) in (UNREACHABLE, BROKEN) or dead or node.site in self.cut

    def consul_servers(self, site: str) -> list[Node]:
        """Servers of a site's Consul."""
        members = self.sites.get(site, [])
        return [one for one in members if "server" in one.roles] or [one for one in members if "ingress" in one.roles]

    # What is wrong

    def find(self, severity: str, message: str, command: str = "", node: Node | None = None, site: str = "") -> None:
        """Keep a finding; without node and site it is one of the whole federation."""
        found = {
            "severity": severity,
            "site": node.site if node else site,
            "node": node.name if node else "",
            "where": node.name if node else one_line(f"site {site}") if site else "federation",
            "message": one_line(message),
            "command": command,
        }
        if found not in self.findings:
            self.findings.append(found)

    def judge(self) -> Json:
        """Everything that is wrong, and everything that is worth showing."""
        self.judge_machines()
        for node in self.seen.nodes:
            if self.state(node) == EXAMINED:
                self.judge_services(node)
                self.judge_disks(node)
                self.judge_clock(node)
                self.judge_certificates(node)
        self.judge_authorities()
        self.judge_versions()
        self.judge_ways()
        self.judge_consul()
        self.judge_leader()
        self.judge_servers()
        self.judge_clients()
        self.judge_names()
        self.judge_registry()
        self.judge_deployments()
        order = {ERROR: 0, WARNING: 1}
        self.findings.sort(key=lambda one: (order[one["severity"]], one["site"] != "", one["site"], one["node"]))
        counts = Counter(one["severity"] for one in self.findings)
        return {
            "generated": self.seen.now.isoformat(timespec="seconds"),
            "healthy": not counts[ERROR],
            "errors": counts[ERROR],
            "warnings": counts[WARNING],
            "leader": self.leader_name(),
            "findings": self.findings,
            "sites": self.shown_sites(),
            "nodes": [self.shown_node(node) for node in self.seen.nodes] + self.shown_foreign_nodes(),
            "servers": self.shown_servers(),
            "certificates": sorted(self.certificates, key=lambda one: (one["not_after"], one["node"], one["name"])),
            "gpus": self.shown_gpus(),
            "deployments": self.shown_deployments(),
            "links": self.links,
        }

    def judge_machines(self) -> None:
        """Machines that cannot be reached or examined; a whole site is one finding."""
        for site, members in sorted(self.sites.items()):
            gone = [node for node in members if self.state(node) == UNREACHABLE]
            asked = [node for node in members if self.state(node) != LEFT_OUT]
            if len(gone) > 1 and len(gone) == len(asked):
                reason = self.why_unreachable(gone[0])
                message = f"none of its {len(gone)} nodes can be reached ({reason}); start the machines or mend the way"
                self.find(ERROR, f"{message} to them, then deploy", self.commands.deploy(group_of(site)), site=site)
                continue
            for node in gone:
                reason = self.why_unreachable(node)
                message = f"the machine cannot be reached ({reason}){self.word_of_nomad(node)}; start it, then deploy"
                self.find(ERROR, message, self.commands.deploy(node.name), node)
        for node in self.seen.nodes:
            if self.state(node) == BROKEN:
                result = self.seen.machines[node.name]
                words = str(result.get("msg") or result.get("module_stderr") or "no answer came back")
                lines = [line for line in words.splitlines() if line.strip()] or ["no answer came back"]
                message = f"the machine cannot be examined ({shorten(lines[-1], 160)}){self.word_of_nomad(node)}"
                self.find(ERROR, message, self.commands.run(node.name, "ansible.builtin.ping"), node)

    def why_unreachable(self, node: Node) -> str:
        """The words of SSH, without Ansible's around them."""
        words = str(self.seen.machines[node.name].get("msg", "")).strip() or "no answer"
        return shorten(words.rpartition("over ssh: ")[2].removeprefix("Task failed: "), 160)

    def word_of_nomad(self, node: Node) -> str:
        """What Nomad says of a machine that cannot be asked."""
        known = self.api_nodes.get((node.site, node.name))
        return f", Nomad says of it: {known['client_status']}" if known and runs_client(node.roles) else ""

    def limit_for(self, node: Node) -> str:
        """What deploy is limited to for a node: all of a new site, whose nodes wait for its Consul servers."""
        servers = [one for one in self.consul_servers(node.site) if self.facts(one)]
        new = servers and not any(self.service(one, "consul").get("exists") for one in servers)
        return group_of(node.site) if new and len(self.sites[node.site]) > 1 else node.name

    def judge_services(self, node: Node) -> None:
        """Services that do not run or do not answer."""
        deploy = self.commands.deploy(self.limit_for(node))
        for name in expected_services(node.roles):
            product, unit = PRODUCTS[name], self.service(node, name)
            if not unit or not unit["exists"]:
                self.find(ERROR, f"{product} is not installed", deploy, node)
                continue
            since = f" since {ago(unit['since_seconds'])}" if unit["since_seconds"] is not None else ""
            if not unit["active"]:
                ended = f", it ended with {unit['result']}" if unit["result"] not in ("", "success") else ""
                self.find(ERROR, f"{product} does not run: {unit['state']}{since}{ended}", deploy, node)
                continue
            journal = self.commands.journal(node.name, name)
            if unit["error"]:
                self.find(ERROR, f"{product} runs{since} and does not answer ({unit['error']})", journal, node)
            for part, words in (unit.get("parts") or {}).items():
                # A server without a leader is told where leaders are.
                if words and "leader" not in words.lower():
                    self.find(ERROR, f"{product}'s {part} is not well ({shorten(words, 160)})", journal, node)
            if not unit["enabled"]:
                self.find(WARNING, f"{product} would not start with the machine", deploy, node)
            if unit["restarts"] and unit["since_seconds"] is not None and unit["since_seconds"] < RECENT:
                message = f"{product} died and was started again {ago(unit['since_seconds'])} ago"
                message += f", {unit['restarts']} times so far" if unit["restarts"] > 1 else ""
                self.find(WARNING, message, journal, node)
            if unit["running"] and unit["installed"] and unit["running"] != unit["installed"]:
                message = f"{product} runs in version {unit['running']}, {unit['installed']} is installed"
                self.find(WARNING, f"{message} and waits for a restart", deploy, node)

    def judge_disks(self, node: Node) -> None:
        """File systems that are full, or will be."""
        limits = self.seen.thresholds
        for disk in self.facts(node).get("disks") or []:
            path, free = disk["path"], disk["free_mb"]
            # What takes the space, on this file system only.
            look = self.commands.run(node.name, "ansible.builtin.command", f"du -xh -d 2 -t 100M {path}")
            # The path is the machine's word.
            look = look if re.fullmatch(r"/[A-Za-z0-9_./-]*", str(path)) else ""
            minimum = min(limits.minimum_disk_mb, disk["size_mb"] // 10)
            if free < minimum or disk["inodes_free_percent"] < 1:
                what = f"{free} MB are left of {disk['size_mb']}" if free < minimum else "no more files can be made"
                self.find(ERROR, f"the disk at {path} is full: {what}; make room, then deploy", look, node)
            elif disk["free_percent"] < limits.disk_warning_percent or disk["inodes_free_percent"] < 5:
                message = f"the disk at {path} fills up: {disk['free_percent']:g} % are left"
                self.find(WARNING, f"{message}, {disk['inodes_free_percent']:g} % of its files", look, node)

    def judge_clock(self, node: Node) -> None:
        """Clocks that are off."""
        limits = Limits(clock_offset=self.seen.thresholds.clock_offset)
        step = self.commands.run(node.name, "ansible.builtin.command", "chronyc makestep")
        for found in check_clock(node, self.seen.machines[node.name], self.facts(node), limits):
            self.find(found.severity, f"{found.variable} {found.value}: {found.message}", step, node)

    # Certificates

    def judge_certificates(self, node: Node) -> None:
        """Certificates that end, and those that a service has not read yet."""
        for name, entry in sorted((self.facts(node).get("certificates") or {}).items()):
            if not self.service(node, name).get("exists"):
                continue
            source = str(node.get("traefik_certificate_source", self.seen.defaults.get("traefik_certificate_source")))
            managed = name != "traefik" or source == "ca"
            what = f"certificate of {PRODUCTS[name]}"
            on_disk = self.read_certificate(node, what, entry.get("file")) if managed else None
            served = self.read_certificate(node, what, entry.get("served"))
            deploy = self.commands.deploy(node.name)
            if managed and on_disk is None and not entry.get("file"):
                self.find(ERROR, f"{PRODUCTS[name]} has no certificate", deploy, node)
            certificate = served or on_disk
            if managed:
                self.note_authority(node, name, str(entry.get("ca") or ""), certificate)
            if certificate is None:
                continue
            if managed and on_disk and served and certificates.fingerprint(on_disk) != certificates.fingerprint(served):
                message = f"{PRODUCTS[name]} still shows a certificate that was replaced on disk"
                self.find(WARNING, message, deploy, node)
            self.judge_certificate(node, name, certificate, managed, source)

    def read_certificate(self, node: Node, what: str, pem: Any) -> Any:
        """A certificate, None where there is none; one that cannot be read is a finding."""
        if not pem:
            return None
        try:
            return certificates.load_certificate(str(pem).encode())
        except certificates.CertificateError as error:
            self.find(ERROR, f"the {what} {error}", self.commands.deploy(node.name), node)
            return None

    def judge_certificate(self, node: Node, name: str, certificate: Any, managed: bool, source: str) -> None:
        """Dates and names of what a service shows."""
        limits, now = self.seen.thresholds, self.seen.now
        _start, end = certificates.validity(certificate)
        days = (end - now).total_seconds() / 86400
        due = certificates.renewal_time(certificate, limits.renew_fraction) <= now
        state = ERROR if days < limits.certificate_days else WARNING if due and managed else OK
        deploy = self.commands.deploy(node.name)
        remedy = {
            "files": "; replace the files that traefik_certificates names, then deploy",
            "acme": "; Traefik ought to have renewed it, see its journal",
        }.get("" if managed else source, "")
        command = self.commands.journal(node.name, "traefik") if not managed and source == "acme" else deploy
        if days < 0:
            self.find(
                ERROR, f"the certificate of {PRODUCTS[name]} ended {ago(-days * 86400)} ago{remedy}", command, node
            )
        elif state == ERROR:
            self.find(ERROR, f"the certificate of {PRODUCTS[name]} ends in {days:.0f} days{remedy}", command, node)
        elif state == WARNING:
            message = f"the certificate of {PRODUCTS[name]} ends in {days:.0f} days and is due for renewal"
            self.find(WARNING, message, command, node)
        if name == "traefik":
            names, _addresses = certificates.alternative_names(certificate)
            missing = [
                wanted
                for wanted in endpoint_names(node, self.seen.vos)
                if not any(covers(one, wanted) for one in names)
            ]
            if missing:
                state = ERROR
                message = f"the certificate that users see does not cover {listing(missing)}"
                self.find(ERROR, f"{message}{remedy}", command, node)
        self.certificates.append(
            {
                "node": node.name,
                "site": node.site,
                "name": name,
                "not_after": end.isoformat(timespec="seconds"),
                "days": int(days),
                "state": state,
            }
        )

    def note_authority(self, node: Node, name: str, pem: str, certificate: Any) -> None:
        """Keep when what a service believes ends: of two, while one takes the place of the other, the last to end.

        But not before the new one has signed: until then all hangs on the old one.
        """
        blocks = CERTIFICATE.findall(pem) or ([pem] if pem else [])
        read = [self.read_certificate(node, f"{AUTHORITIES[name]} authority", block) for block in blocks]
        known = [one for one in read if one is not None]
        signers = [one for one in known if certificate is not None and certificates.signed_by(certificate, one)]
        if known:
            end = max(certificates.validity(one)[1] for one in signers or known)
            self.authorities[name, node.site if name == "consul" else ""].append((end, node.name))

    def judge_authorities(self) -> None:
        """Authorities that end, each told once for all nodes: whatever they signed ends with them."""
        limits, now = self.seen.thresholds, self.seen.now
        for (name, site), ends in sorted(self.authorities.items()):
            end = min(one for one, _node in ends)
            days = (end - now).total_seconds() / 86400
            state = ERROR if days < limits.certificate_days else WARNING if days < limits.authority_days else OK
            if state != OK:
                some = sorted(node for one, node in ends if one == end)
                message = f"the {AUTHORITIES[name]} authority"
                message += f" on {listing(some)}" if len(some) < len(ends) else ""
                message += f" ended {ago(-days * 86400)} ago" if days < 0 else f" ends in {days:.0f} days"
                message += ", and with it all certificates that it signed; replace it"
                limit = group_of(site) if site else ""
                command = self.commands.play("rotate_ca", limit, rotation_parts=[AUTHORITIES[name].lower()])
                self.find(state, message, command, site=site)
            self.certificates.append(
                {
                    "node": "",
                    "site": site,
                    "name": f"{AUTHORITIES[name]} authority",
                    "not_after": end.isoformat(timespec="seconds"),
                    "days": int(days),
                    "state": state,
                }
            )

    def judge_versions(self) -> None:
        """Versions that differ between nodes."""
        for name in ("consul", "nomad", "traefik"):
            running: dict[str, list[str]] = defaultdict(list)
            for node in self.seen.nodes:
                version = self.service(node, name).get("running")
                if version:
                    running[str(version)].append(node.name)
            if len(running) > 1:
                told = "; ".join(f"{version} on {listing(nodes)}" for version, nodes in sorted(running.items()))
                message = f"{PRODUCTS[name]} runs in {len(running)} versions: {told}"
                self.find(WARNING, message, self.commands.play("upgrade"))

    # The ways between nodes

    def judge_ways(self) -> None:
        """Sites that do not reach each other, and nodes that do not reach the Consul of their site."""
        ways: dict[tuple[str, str], list[float | None]] = defaultdict(list)
        for node in self.seen.nodes:
            measured = self.facts(node).get("round_trip_ms") or {}
            for other in self.servers:
                peer = f"{public_address(other)}:{NOMAD_PORT}"
                # What does not run answers nobody.
                if other is not node and peer in measured and self.runs(other, "nomad"):
                    ways[node.site, other.site].append(measured[peer])
            for other in self.consul_servers(node.site):
                peer = f"{other.address}:{CONSUL_PORT}"
                if other is not node and measured.get(peer, 0) is None and self.runs(other, "consul"):
                    wait = f"host={other.address} port={CONSUL_PORT} timeout=5"
                    look = self.commands.run(node.name, "ansible.builtin.wait_for", wait)
                    self.find(ERROR, f"it does not reach {other.name} at {peer}; open the port", look, node)
        for (source, target), times in sorted(ways.items()):
            answered = [time for time in times if time is not None]
            if source != target:
                self.links.append(
                    {
                        "source": source,
                        "target": target,
                        "state": ERROR if not answered else WARNING if len(answered) < len(times) else OK,
                        "round_trip_ms": min(answered) if answered else None,
                    }
                )
        self.tell_cuts({pair for pair, times in ways.items() if pair[0] != pair[1] and None in times}, set(ways))

    def tell_cuts(self, broken: set[tuple[str, str]], measured: set[tuple[str, str]]) -> None:
        """One finding for a site that is cut off from all others, else one for each pair of sites."""
        rest = set(broken)
        for site in sorted({site for pair in broken for site in pair}):
            mine = {pair for pair in measured if site in pair and pair[0] != pair[1]}
            others = {one for pair in mine for one in pair} - {site}
            if len(others) > 1 and mine <= broken:
                rest -= mine
                self.cut.add(site)
                message = f"the site is cut off from {listing(sorted(others))}: nothing passes between their nodes and "
                self.find(
                    ERROR, f"{message}its own at {NOMAD_PORT}; mend the network", self.look_across(site), site=site
                )
        for pair in sorted({tuple(sorted(pair)) for pair in rest}):
            both = [one for one in (pair, pair[::-1]) if one in rest]
            source, target = both[0]
            told = "do not reach each other" if len(both) == 2 else f"{source} does not reach {target}"
            names = f"sites {listing(pair)} " if len(both) == 2 else "site "
            message = f"{names}{told} at {NOMAD_PORT}, or not from all nodes; open the port"
            self.find(ERROR, message, self.look_across(source, target), site=source)

    def look_across(self, site: str, target: str = "") -> str:
        """The command that shows whether a way is open."""
        other = next(one for one in self.servers if one.site == target or (not target and one.site != site))
        arguments = f"host={public_address(other)} port={NOMAD_PORT} timeout=5"
        return self.commands.run(group_of(site), "ansible.builtin.wait_for", arguments)

    # Consul

    def judge_consul(self) -> None:
        """Each site's Consul has a leader, all its servers and all its members."""
        for site, members in sorted(self.sites.items()):
            answering = [
                node for node in members if self.runs(node, "consul") and not self.service(node, "consul")["error"]
            ]
            if not answering:
                continue
            servers = self.consul_servers(site)
            deploy = self.commands.deploy(group_of(site))
            seen = {node.name: str(self.service(node, "consul").get("leader", "")) for node in answering}
            if not any(seen.values()):
                running = [node for node in servers if self.runs(node, "consul")]
                message = (
                    f"its Consul has no leader: {len(running)} of {plural(len(servers), 'server')} are known to run"
                )
                self.find(ERROR, message, deploy, site=site)
                continue
            blind = [name for name, leader in seen.items() if not leader]
            for name in blind:
                self.find(ERROR, "its Consul sees no leader", self.commands.journal(name, "consul"), self.nodes[name])
            best = next(node for node in answering if seen[node.name])
            voters = len(self.service(best, "consul").get("peers") or [])
            if voters != len(servers):
                message = f"its Consul has {plural(voters, 'voting server')}, the inventory {len(servers)}"
                self.find(ERROR if voters < len(servers) else WARNING, message, deploy, site=site)
            for member in self.service(best, "consul").get("members") or []:
                node = self.nodes.get(member["name"])
                if member["state"] != "failed":
                    continue
                if node is None:
                    message = f"Consul's member {member['name']} failed and is not in the inventory"
                    # It may have the name of a node at another site.
                    mine = self.registered_site(member["name"]) in ("", site)
                    self.find(WARNING, message, self.forget(member["name"]) if mine else "", site=site)
                elif self.state(node) in (EXAMINED, LEFT_OUT) and (self.runs(node, "consul") or not self.facts(node)):
                    message = f"{best.name}, which it belongs to, does not hear its Consul"
                    self.find(ERROR, message, self.commands.journal(node.name, "consul"), node)

    def forget(self, name: str) -> str:
        """The command that makes the federation forget a node, nothing where it would hold more than a name."""
        return f"{self.commands.play('node_remove')} -e node_remove_nodes={name}" if is_plain(name) else ""

    def forget_site(self, name: str) -> str:
        """The command that makes the federation forget a site, nothing where it would hold more than a name."""
        return f"{self.commands.play('site_remove')} -e site_remove_site={name}" if is_plain(name) else ""

    # Nomad's servers

    def leader_name(self) -> str:
        """The node that leads."""
        host = self.leader.rpartition(":")[0].strip("[]")
        found = [node.name for node in self.servers if host in (node.address, public_address(node))]
        return found[0] if found else host

    def api_of(self, node: Node) -> Mapping[str, Any]:
        """What a server said to the controller."""
        found: Mapping[str, Any] = self.api.get(public_address(node).lower(), {})
        return found

    def judge_leader(self) -> None:
        """Servers that do not answer, and a federation without a leader."""
        if not self.servers or "leaders" not in self.seen.answers:
            return
        refused = self.seen.refused("leaders")
        if refused:
            self.find(ERROR, f"Nomad cannot be asked: {refused}", self.commands.deploy())
        if self.seen.answer("leaders") is None:
            return
        silent = [node for node in self.servers if not self.api_of(node).get("answers")]
        for node in silent:
            if self.state(node) in (EXAMINED, LEFT_OUT) and (self.runs(node, "nomad") or not self.facts(node)):
                reason = shorten(str(self.api_of(node).get("error", "")), 200)
                look = self.commands.journal(node.name, "nomad")
                self.find(ERROR, f"its Nomad server does not answer the controller ({reason})", look, node)
        limit = "role_server"
        needed = majority(len(self.servers))
        if not self.leader:
            alive = len(self.servers) - len(silent)
            message = (
                f"Nomad has no leader, so that nothing is scheduled and its nodes and jobs are not known: {alive} of "
                f"{plural(len(self.servers), 'server')} answer, {needed} that reach one another are needed"
            )
            self.find(ERROR, message, self.commands.deploy(limit))
            return
        for node in self.servers:
            said = self.api_of(node)
            if said.get("answers") and said["leader"] != self.leader and node.site not in self.cut:
                seen = f"the leader {said['leader']}" if said["leader"] else "no leader"
                message = f"its Nomad server sees {seen}, the others {self.leader_name()}"
                self.find(ERROR, message, self.commands.journal(node.name, "nomad"), node)

    def judge_servers(self) -> None:
        """Raft has the servers of the inventory, all are healthy, and one may be lost."""
        known = self.usable("servers", "the state of its servers")
        if known is None:
            return
        by_name: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for one in known["servers"]:
            by_name[str(one["name"]).rpartition(".")[0] or str(one["name"])].append(one)
        places = {f"{address}:{NOMAD_PORT}" for one in self.servers for address in (one.address, public_address(one))}
        for node in self.servers:
            mine = by_name.pop(node.name, [])
            # What gossip has forgotten has no name any more.
            addresses = {f"{node.address}:{NOMAD_PORT}", f"{public_address(node)}:{NOMAD_PORT}"}
            mine += [one for one in by_name.get(NAMELESS, []) if one["address"] in addresses]
            self.judge_server(node, [one for one in mine if one["in_raft"]])
        for name, rest in sorted(by_name.items()):
            for one in rest:
                if one["in_raft"] and one["address"] not in places:
                    message = f"Nomad server {name} at {one['address']} votes and is not in the inventory"
                    self.find(WARNING if one["gossip"] == ALIVE else ERROR, message, self.forget(name))
        # Autopilot takes a while to see what gossip knows.
        hearing = sum(one["voter"] and one["gossip"] == ALIVE for one in known["servers"])
        spare = min(known["failure_tolerance"], hearing - majority(known["voters"]))
        if len(self.servers) > 2 and spare < 1:
            message = f"no further Nomad server may be lost: {hearing} of the {known['voters']} that vote are there"
            self.find(WARNING, message, self.commands.deploy("role_server"))

    def judge_server(self, node: Node, members: Sequence[Mapping[str, Any]]) -> None:
        """What Raft and autopilot say of a server; C(members) are it and what it was before."""
        alive = [one for one in members if one["gossip"] == ALIVE]
        journal = self.commands.journal(node.name, "nomad")
        if not self.is_told(node):
            if not members:
                message = "its Nomad server is not among those that vote"
                self.find(ERROR, message, self.commands.deploy(node.name), node)
            elif not alive:
                self.find(
                    ERROR, f"the other Nomad servers do not hear this one ({members[0]['gossip']})", journal, node
                )
            elif not alive[0]["healthy"]:
                message = "the other Nomad servers do not find this one healthy"
                heard = alive[0]["last_contact"]
                self.find(
                    ERROR, f"{message}; it last heard the leader {heard} ago" if heard else message, journal, node
                )
        if alive and not alive[0]["voter"]:
            self.find(WARNING, "its Nomad server has no vote yet", journal, node)
        for one in members:
            if alive and one["gossip"] != ALIVE:
                message = f"the server that it replaced, {one['id']}, still counts among those that vote"
                self.find(WARNING, message, self.commands.deploy(node.name), node)

    def usable(self, name: str, what: str) -> Mapping[str, Any] | None:
        """What the API said; that it said nothing is a finding, but not twice."""
        refused = self.seen.refused(name)
        if refused:
            message = f"Nomad did not tell {what}: {refused}"
            self.find(ERROR, message, self.commands.deploy("role_server"))
        return self.seen.answer(name)

    # Nomad's clients

    def judge_clients(self) -> None:
        """Nodes that Nomad does not know, has lost, or gives no jobs."""
        if self.usable("nodes", "its nodes") is None:
            return
        for node in self.seen.nodes:
            known = self.api_nodes.get((node.site, node.name))
            if not runs_client(node.roles):
                if known and known["client_status"] not in ("none", "down"):
                    message = f"Nomad has a client of this name (ID {known['id']}), which the inventory says it is not"
                    self.find(
                        ERROR, f"{message}; deploy, and {SHUT_OUT} if it stays", self.commands.deploy(node.name), node
                    )
                continue
            told = self.is_told(node)
            status = known["client_status"] if known else "missing"
            if status != "ready":
                if not told:
                    reason = f" ({known['status_description']})" if known and known.get("status_description") else ""
                    message = f"Nomad says of this client: {status}{reason}"
                    self.find(ERROR, message, self.commands.deploy(node.name), node)
                continue
            own = self.own_id(node)
            if known and own and known.get("id", own) != own and node.name not in self.ambiguous:
                message = f"Nomad's node of this name has the ID {known['id']}, the machine {own}: {ANEW}"
                self.find(ERROR, message, self.commands.deploy(node.name), node)
            elif known and known.get("meta") is not None:
                self.judge_client(node, known)

    def judge_client(self, node: Node, known: Mapping[str, Any]) -> None:
        """A client that Nomad has: whether it takes jobs."""
        back = self.commands.run(
            "localhost",
            "imagine.platform.nomad_node",
            f"name={node.name} drain=false eligibility=eligible",
            become=False,
        )
        if known["draining"]:
            self.find(WARNING, "its jobs are being moved away (drain)", back, node)
        elif known["eligibility"] != "eligible":
            self.find(WARNING, "it takes no new jobs, since somebody said so", back, node)
        if not set(node.roles) & set(WORKLOAD_ROLES):
            return
        status, test = known["meta"].get("status"), self.commands.play("node_test", node.name)
        if status == "error":
            reason = known["meta"].get("status_reason") or known["meta"].get("last_error") or ""
            self.find(
                ERROR, "it failed its tests and takes no users' jobs" + (f": {reason}" if reason else ""), test, node
            )
        elif status != "ready":
            self.find(WARNING, f"its status is {status}, so that it takes no users' jobs", test, node)
        driver = known["drivers"].get("docker", {})
        if not driver.get("healthy"):
            state = "found, but not healthy" if driver.get("detected") else "not found"
            message = f"Nomad's Docker driver is {state}"
            self.find(ERROR, message, self.commands.journal(node.name, "docker"), node)
        ill = sum(gpu["count"] - gpu["used"] - gpu["free"] for gpu in known["gpus"])
        if ill > 0:
            message = f"{plural(ill, 'GPU')} of it cannot be used"
            self.find(WARNING, message, self.commands.run(node.name, "ansible.builtin.command", "nvidia-smi"), node)
        on_bus = len(self.facts(node).get("gpus") or [])
        offered = sum(gpu["count"] for gpu in known["gpus"])
        if on_bus > offered:
            message = f"the machine has {plural(on_bus, 'NVIDIA GPU')}, Nomad offers {offered}"
            self.find(WARNING, message, self.commands.deploy(node.name), node)

    def own_id(self, node: Node) -> str:
        """The ID in Nomad that a machine itself says it has, empty where that is not known."""
        return str(self.service(node, "nomad").get("node_id") or "")

    def registered_site(self, name: str) -> str:
        """The site at which the registry has a node."""
        sites = (self.seen.answer("sites") or {}).get("sites", [])
        return next((str(site["name"]) for site in sites if any(name == node["name"] for node in site["nodes"])), "")

    def look_at_name(self, name: str) -> str:
        """The command that shows which machine has which ID."""
        node = self.nodes.get(name)
        if node and not self.own_id(node):
            return self.commands.play("status", name)
        module = "imagine.platform.nomad_node_info"
        return self.commands.run("localhost", module, f"names={name}", become=False) if is_plain(name) else ""

    def word_of_id(self, node: Node) -> str:
        """What tells a machine from another one that goes by its name."""
        own = self.own_id(node)
        told = (
            f"the inventory's machine has the ID {own}, so" if own else "see which ID the inventory's machine has, and"
        )
        return f"{told} {SHUT_OUT}"

    def judge_names(self) -> None:
        """Names that several living nodes have: Nomad lets a node that has registered take another one's."""
        for name, known in self.ambiguous.items():
            node, command = self.nodes.get(name), self.look_at_name(name)
            if node is None:
                told = f"one of them took the other's name; ask its site which ID the machine has, and {SHUT_OUT}"
            elif all(one["site"] == node.site for one in known):
                # Deploy goes by the ID that the machine has, and leaves nodes at other sites alone.
                told, command = ANEW, self.commands.deploy(name)
            else:
                told = f"one of them took the other's name; {self.word_of_id(node)}"
            listed = shorten(", ".join(f"{one['id']} at site {one['site']}" for one in known), 500)
            message = f"Nomad has {len(known)} living nodes of the name {name} ({listed}): {told}"
            self.find(ERROR, message, command, node, self.registered_site(name))

    def judge_moved(self, node: Node, known: Mapping[str, Any]) -> None:
        """A node of the inventory that says it is at another site than the inventory has it."""
        if node.name in self.ambiguous:
            return
        own, command = self.own_id(node), self.look_at_name(node.name)
        told = self.word_of_id(node)
        if own and known.get("id") == own:
            told, command = "deploy it", self.commands.deploy(node.name)
        message = f"Nomad's node {node.name} (ID {known.get('id', '')}) says that it is at this site, the inventory has"
        self.find(ERROR, f"{message} it at {node.site}; {told}", command, site=known["site"])

    def judge_registry(self) -> None:
        """Inventory, registry and Nomad know the same sites and nodes."""
        registered = self.usable("sites", "the registered sites")
        if registered is None:
            return
        names = {site["name"] for site in registered["sites"]}
        for site in sorted(set(self.sites) - names):
            self.find(WARNING, "the site is not registered", self.commands.deploy(group_of(site)), site=site)
        for site in sorted(set(registered["unregistered_sites"]) - set(self.sites)):
            message = f"Nomad has nodes of a site {site} that is neither registered nor in the inventory"
            self.find(WARNING, message)
        for (site, name), known in sorted(self.api_nodes.items()):
            if known["registered"] or known["client_status"] == "down" or self.is_ours(site, name):
                continue
            if name in self.nodes:
                self.judge_moved(self.nodes[name], known)
                continue
            message = f"Nomad's node {name} is neither registered nor in the inventory"
            # Whoever runs it may say what he likes of it, and is given the jobs of the site that he says.
            # The command goes by names, and must not hit the node whose name this one has taken.
            taken = bool(self.registered_site(name))
            command = self.forget(name) if site in names or site in self.sites else self.forget_site(site)
            self.find(ERROR, message, "" if taken else command, site=site)
        # Sites of other operators are not in our inventory.
        for site in registered["sites"]:
            if site["name"] not in self.sites and site["status"] == "active":
                lost = [
                    one["name"] for one in site["nodes"] if one["client_status"] in ("down", "disconnected", "missing")
                ]
                if lost:
                    message = f"Nomad does not have {listing(lost)}; tell the operators of the site"
                    self.find(
                        ERROR, f"{message} ({site['contact']})" if site["contact"] else message, site=site["name"]
                    )

    # Deployments

    def vo_of(self, namespace: str) -> str:
        """The VO that has a namespace."""
        return next((str(vo["name"]) for vo in self.seen.vos if vo.get("namespace") == namespace), "")

    def judge_deployments(self) -> None:
        """Deployments that ought to run and do not."""
        known = self.usable("deployments", "the deployments")
        by: dict[tuple[str, str, str], int] = Counter()
        for one in (known or {}).get("deployments", []):
            by[one["state"], one["namespace"], one["site"] or ""] += 1
        for (state, namespace, site), count in sorted(by.items()):
            vo = self.vo_of(namespace) or namespace
            what = f"{plural(count, 'deployment')} of {vo}"
            if state == DOWN:
                message = f"{what} cannot be reached by Nomad, since their nodes cannot; they are there again with them"
                # A site that the inventory does not have is a node's word.
                command = self.commands.deploy(group_of(site)) if site in self.sites else ""
                self.find(ERROR, message, command, site=site)
            elif state == LOST:
                self.find(ERROR, f"{what} went with their nodes and no node takes them", site=site)
            elif state == QUEUED:
                self.find(WARNING, f"{what} queued: no node takes what was asked for", site=site)
            elif state == FAILED:
                self.find(WARNING, f"{what} failed; their owners see why in the logs", site=site)

    # What is shown

    def worst(self, matching: Iterable[Json]) -> str:
        """The worst of some findings."""
        severities = {one["severity"] for one in matching}
        return ERROR if ERROR in severities else WARNING if WARNING in severities else OK

    def shown_node(self, node: Node) -> Json:
        """A row of the table of nodes."""
        known = self.api_nodes.get((node.site, node.name), {})
        facts, state = self.facts(node), self.state(node)
        services = {}
        for name in expected_services(node.roles):
            unit = self.service(node, name)
            word = "unknown" if not unit else "missing" if not unit["exists"] else "dead" if not unit["active"] else ""
            services[name] = {
                "state": word or ("silent" if unit["error"] else "running"),
                "version": unit.get("running") or "",
            }
        disk = min(facts.get("disks") or [], key=lambda one: one["free_percent"], default=None)
        consul = str(self.service(node, "consul").get("leader", ""))
        mine = self.worst(one for one in self.findings if one["node"] == node.name)
        if state in (UNREACHABLE, BROKEN):
            # Told of its whole site, perhaps.
            mine = ERROR
        return {
            "name": node.name,
            "site": node.site,
            "roles": node.roles,
            "address": node.address,
            "machine": state,
            "state": UNKNOWN if state == LEFT_OUT and mine == OK and not known else mine,
            "services": services,
            "client": known.get("client_status", "") if runs_client(node.roles) else "",
            "eligibility": known.get("eligibility", ""),
            "status": (known.get("meta") or {}).get("status", ""),
            "nomad_leader": bool(self.leader) and node.name == self.leader_name(),
            "consul_leader": bool(consul) and consul.rpartition(":")[0].strip("[]") == node.address,
            "disk_free_percent": disk["free_percent"] if disk else None,
            "allocations": len(known.get("allocations", [])) if known else None,
            "gpus": known.get("gpus", []),
        }

    def shown_foreign_nodes(self) -> list[Json]:
        """Nodes that Nomad knows of sites that are others' business."""
        return [
            {
                "name": name,
                "site": site,
                "roles": known["roles"],
                "address": known["address"],
                "machine": LEFT_OUT,
                "state": OK if known["registered"] and known["client_status"] in ("ready", "none") else ERROR,
                "services": {},
                "client": known["client_status"],
                "eligibility": known.get("eligibility", ""),
                "status": (known.get("meta") or {}).get("status", ""),
                "nomad_leader": False,
                "consul_leader": False,
                "disk_free_percent": None,
                "allocations": len(known.get("allocations", [])),
                "gpus": known.get("gpus", []),
            }
            for (site, name), known in sorted(self.api_nodes.items())
            if not self.is_ours(site, name)
        ]

    def shown_sites(self) -> list[Json]:
        """The sites, those of others with them."""
        registered = {site["name"]: site for site in (self.seen.answer("sites") or {}).get("sites", [])}
        rows = []
        for name in sorted(set(self.sites) | set(registered)):
            members, entry = self.sites.get(name, []), registered.get(name, {})
            first = members[0] if members else Node(name)
            foreign = [known for (site, _node), known in self.api_nodes.items() if site == name]
            gpus = [gpu for known in foreign for gpu in known.get("gpus", [])]
            states = {self.state(node) for node in members}
            worst = self.worst(one for one in self.findings if one["site"] == name)
            unknown = worst == OK and states <= {LEFT_OUT} and not foreign
            ready = sum(
                known["client_status"] == "ready"
                for known in foreign
                if not members or self.is_ours(name, known["name"])
            )
            rows.append(
                {
                    "name": name,
                    "title": first.get("site_title", entry.get("title", "")),
                    "country": first.get("site_country", entry.get("country", "")),
                    "latitude": first.get("site_latitude", entry.get("latitude")),
                    "longitude": first.get("site_longitude", entry.get("longitude")),
                    "state": UNKNOWN if unknown else worst,
                    "nodes": len(members) or len(entry.get("nodes", [])),
                    "clients": sum(runs_client(node.roles) for node in members) if members else len(foreign),
                    "clients_ready": ready if self.seen.answer("nodes") is not None else None,
                    "gpus": sum(gpu["count"] for gpu in gpus),
                    "gpus_used": sum(gpu["used"] for gpu in gpus),
                    "gpus_free": sum(gpu["free"] for gpu in gpus),
                    "running": self.running_at(name),
                    "consul": self.consul_word(name),
                    "nomad_leader": any(node.name == self.leader_name() for node in members) if self.leader else False,
                    "in_inventory": bool(members),
                }
            )
        return rows

    def running_at(self, site: str) -> int | None:
        """How many deployments run at a site, None where that is not known."""
        known = self.seen.answer("deployments")
        if known is None:
            return None
        return len([one for one in known["deployments"] if one["site"] == site and one["state"] == "running"])

    def consul_word(self, site: str) -> str:
        """The state of a site's Consul in a word."""
        members = self.sites.get(site, [])
        asked = [node for node in members if self.state(node) == EXAMINED]
        if not asked:
            return UNKNOWN
        leaders = [str(self.service(node, "consul").get("leader") or "") for node in asked]
        host = next((leader for leader in leaders if leader), "").rpartition(":")[0].strip("[]")
        if not host:
            return "no leader"
        return next((node.name for node in members if node.address == host), host)

    def shown_servers(self) -> list[Json]:
        """Nomad's servers, as Raft has them or as they are known otherwise."""
        known = self.seen.answer("servers")
        if known is not None:
            return [
                {
                    "name": str(one["name"]).rpartition(".")[0] or str(one["name"]),
                    "address": one["address"],
                    "leader": one["leader"],
                    "voter": one["voter"],
                    "gossip": one["gossip"],
                    "healthy": one["healthy"],
                    "last_contact": one["last_contact"] or "",
                    "version": one["version"],
                }
                for one in known["servers"]
            ]
        return [
            {
                "name": node.name,
                "address": f"{public_address(node)}:{NOMAD_PORT}",
                "leader": bool(self.leader) and node.name == self.leader_name(),
                "voter": None,
                "gossip": "answers" if self.api_of(node).get("answers") else "silent",
                "healthy": None,
                "last_contact": "",
                "version": self.service(node, "nomad").get("running") or "",
            }
            for node in self.servers
        ]

    def shown_gpus(self) -> list[Json]:
        """GPUs by site and model."""
        found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for (site, _name), known in self.api_nodes.items():
            for gpu in known.get("gpus", []):
                found[site, gpu["model"]].update({key: gpu[key] for key in ("count", "used", "free")})
        return [{"site": site, "model": model, **numbers} for (site, model), numbers in sorted(found.items())]

    def shown_deployments(self) -> list[Json]:
        """Deployments by VO and state."""
        known = self.seen.answer("deployments")
        if known is None:
            return []
        counts: dict[str, Counter[str]] = {str(vo["namespace"]): Counter() for vo in self.seen.vos}
        for one in known["deployments"]:
            counts.setdefault(one["namespace"], Counter())[one["state"]] += 1
        return [
            {
                "vo": self.vo_of(namespace),
                "namespace": namespace,
                "states": {state: states[state] for state in STATES},
                "total": sum(states.values()),
            }
            for namespace, states in sorted(counts.items())
        ]


def report(seen: Seen) -> Json:
    """What there is, and what is wrong with it."""
    return Judge(seen).judge()
