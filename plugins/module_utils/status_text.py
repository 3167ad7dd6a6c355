# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state of a federation as tables for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]

WORDS = {"ok": "ok", "warning": "WARNING", "error": "ERROR", "unknown": "unknown"}
SERVICES = ("consul", "nomad", "docker", "traefik")
WIDTH = 118


def printable(line: str) -> str:
    """A line that moves no cursor: machines of others give names to themselves and to their sites."""
    return line if line.isprintable() else "".join(one if one.isprintable() else "\ufffd" for one in line)


def columns(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Columns that fit their content; those in which nothing is said are left out."""
    text = [["" if cell is None else str(cell) for cell in row] for row in rows]
    used = [n for n in range(len(header)) if any(row[n] for row in text)]
    widths = [max(len(header[n]), *(len(row[n]) for row in text)) for n in used]
    lines = ["  ".join(row[n].ljust(width) for n, width in zip(used, widths)).rstrip() for row in (list(header), *text)]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def service_word(service: Mapping[str, Any] | None) -> str:
    """What is said of a service: its version if it runs."""
    if service is None:
        return "-"
    if service["state"] == "running":
        return str(service["version"] or "running")
    return str(service["state"]).upper() if service["state"] != "unknown" else "?"


def client_word(node: Mapping[str, Any]) -> str:
    """What Nomad says of a client."""
    if node["client"] in ("", "none"):
        return "-" if node["client"] == "none" or not node["client"] else ""
    words = [node["client"]]
    if node["status"] and node["status"] != "ready":
        words.append(node["status"])
    if node["eligibility"] == "ineligible":
        words.append("no new jobs")
    return ", ".join(words)


def sites(report: Mapping[str, Any]) -> list[str]:
    """The table of sites."""
    rows = [
        [
            site["name"],
            WORDS[site["state"]],
            f"{'?' if site['clients_ready'] is None else site['clients_ready']} of {site['clients']}",
            site["consul"],
            f"{site['gpus_used']} used, {site['gpus_free']} free" if site["gpus"] else "-",
            "?" if site["running"] is None else site["running"],
            " ".join(part for part in (site["title"], f"({site['country']})" if site["country"] else "") if part),
        ]
        for site in report["sites"]
    ]
    return columns(["Site", "State", "Clients ready", "Consul leader", "GPUs", "Running", "Title"], rows)


def nodes(report: Mapping[str, Any]) -> list[str]:
    """The table of nodes."""
    rows = []
    for node in report["nodes"]:
        leads = [word for word, key in (("Nomad", "nomad_leader"), ("Consul", "consul_leader")) if node[key]]
        free = node["disk_free_percent"]
        rows.append(
            [
                node["site"],
                node["name"],
                ",".join(node["roles"]),
                WORDS[node["state"]],
                {"examined": "up", "left out": "-"}.get(node["machine"], node["machine"].upper()),
                *(service_word(node["services"].get(name)) for name in SERVICES),
                client_word(node),
                "" if free is None else f"{free:.0f}%",
                ",".join(leads),
            ]
        )
    header = [
        "Site",
        "Node",
        "Roles",
        "State",
        "Machine",
        "Consul",
        "Nomad",
        "Docker",
        "Traefik",
        "Client",
        "Disk free",
    ]
    return columns([*header, "Leads"], rows)


def servers(report: Mapping[str, Any]) -> list[str]:
    """The table of Nomad's servers."""
    said = {True: "yes", False: "NO", None: "?"}
    rows = [
        [
            server["name"],
            server["address"],
            "leader" if server["leader"] else "",
            said[server["voter"]],
            server["gossip"],
            said[server["healthy"]],
            server["last_contact"],
        ]
        for server in report["servers"]
    ]
    return columns(["Nomad server", "Address", "Raft", "Votes", "Gossip", "Healthy", "Last contact"], rows)


def certificate_place(certificate: Mapping[str, Any]) -> str:
    """Where a certificate is: an authority is that of a site or of all nodes."""
    return str(certificate["node"] or (f"site {certificate['site']}" if certificate["site"] else "federation"))


def certificates(report: Mapping[str, Any]) -> list[str]:
    """The next certificate to end, of each kind."""
    first: dict[str, Json] = {}
    for one in report["certificates"]:
        if one["name"] not in first or one["not_after"] < first[one["name"]]["not_after"]:
            first[one["name"]] = one
    rows = [
        [name, certificate_place(one), one["not_after"][:10], one["days"], WORDS[one["state"]]]
        for name, one in sorted(first.items())
    ]
    return columns(["Certificate", "Ends first on", "Date", "Days", "State"], rows)


def gpus(report: Mapping[str, Any]) -> list[str]:
    """The table of GPUs."""
    rows = [[one["site"], one["model"], one["count"], one["used"], one["free"]] for one in report["gpus"]]
    return columns(["Site", "GPU", "Count", "Used", "Free"], rows)


def deployments(report: Mapping[str, Any]) -> list[str]:
    """The table of deployments."""
    said = ("running", "starting", "queued", "down", "lost", "failed")
    rows = [
        [one["vo"] or one["namespace"], *(one["states"][state] for state in said), one["total"]]
        for one in report["deployments"]
    ]
    return columns(["VO", *(state.capitalize() for state in said), "All"], rows)


def findings(report: Mapping[str, Any]) -> list[str]:
    """What is wrong, each with its command."""
    lines = []
    for one in report["findings"]:
        sentence = f"{WORDS[one['severity']]}  {one['where']}: {one['message']}"
        lines += textwrap.wrap(
            sentence, WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
        )
        if one["command"]:
            # Never broken: it is there to be copied.
            lines.append(f"    $ {one['command']}")
    return lines


def verdict(report: Mapping[str, Any]) -> str:
    """One sentence."""
    numbers = [
        f"{report[key]} {noun}{'' if report[key] == 1 else 's'}"
        for key, noun in (("errors", "error"), ("warnings", "warning"))
        if report[key]
    ]
    told = f": {', '.join(numbers)}" if numbers else ""
    return f"The federation is {'healthy' if report['healthy'] else 'NOT healthy'}{told}."


def render(report: Mapping[str, Any]) -> str:
    """All of it."""
    blocks = [sites(report), nodes(report)]
    for rows, make in (
        ("servers", servers),
        ("certificates", certificates),
        ("gpus", gpus),
        ("deployments", deployments),
        ("findings", findings),
    ):
        if report[rows]:
            blocks.append(make(report))
    leader = f"Nomad's leader: {report['leader'] or 'none'}"
    return "\n\n".join("\n".join(map(printable, block)) for block in [*blocks, [leader, verdict(report)]]) + "\n"
