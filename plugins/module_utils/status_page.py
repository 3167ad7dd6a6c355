# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state of a federation as one HTML page that loads nothing from anywhere and runs no script."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.status_text import (
    certificate_place,
    client_word,
    printable,
    service_word,
    verdict,
)

Json = dict[str, Any]

WORDS = {"ok": "ok", "warning": "warning", "error": "error", "unknown": "not known"}
# Beside the colours, for those who do not see them.
SIGNS = {"ok": "✓", "warning": "!", "error": "✕", "unknown": "?"}
SERVICES = {"consul": "Consul", "nomad": "Nomad", "docker": "Docker", "traefik": "Traefik"}
# The map in units of its own: the page gives it whatever width there is.
WIDTH, MARGIN = 900.0, 90.0
LEAST_HEIGHT, MOST_HEIGHT = 280.0, 520.0
RADIUS = 20.0
APART = 118.0

STYLE = """
:root { color-scheme: light dark; --back: #f6f7f9; --card: #fff; --text: #1b2430; --soft: #56616f; --line: #d9dee5;
  --ok: #17713f; --ok-back: #e2f4e9; --warning: #865400; --warning-back: #fdf0d2; --error: #b3201f;
  --error-back: #fde5e4; --unknown: #56616f; --unknown-back: #e9edf2; --sea: #eef3f8; --grid: #d3dde8;
  --code: #eef1f5; }
@media (prefers-color-scheme: dark) { :root { --back: #11161c; --card: #1a212a; --text: #e5eaf0; --soft: #a0acb9;
  --line: #323c48; --ok: #6fd69a; --ok-back: #15331f; --warning: #f0bd5d; --warning-back: #3a2c0d; --error: #ff918c;
  --error-back: #45191a; --unknown: #a0acb9; --unknown-back: #2a333e; --sea: #151c25; --grid: #2a3643;
  --code: #10151b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
header, main { max-width: 76rem; margin: 0 auto; padding: 0 1rem; }
header { padding-top: 1.5rem; display: flex; flex-wrap: wrap; gap: .25rem 1rem; align-items: baseline; }
h1 { font-size: 1.45rem; margin: 0; }
h2 { font-size: 1.05rem; margin: 0 0 .75rem; }
header p { margin: 0; color: var(--soft); }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem; margin: 1rem 0; }
.verdict { font-weight: 600; border-left-width: .4rem; }
.verdict.ok { border-left-color: var(--ok); } .verdict.error { border-left-color: var(--error); }
.verdict.warning { border-left-color: var(--warning); }
.verdict p { margin: 0; } .verdict dl { color: var(--text); }
.figures { display: flex; flex-wrap: wrap; gap: .5rem 2rem; margin: .75rem 0 0; font-weight: 400; }
.figures div { min-width: 6rem; } .figures dt { color: var(--soft); font-size: .85rem; } .figures dd { margin: 0; }
.scroll { overflow-x: auto; margin: 0 -1rem; padding: 0 1rem; }
.scroll:focus-visible { outline: 2px solid var(--soft); outline-offset: -2px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .4rem .9rem .4rem 0; border-top: 1px solid var(--line); vertical-align: top; }
th { border-top: 0; color: var(--soft); font-weight: 500; font-size: .85rem; white-space: nowrap; }
td.number, th.number { text-align: right; }
td { white-space: nowrap; } td.wide { white-space: normal; min-width: 9rem; }
tr:last-child td { padding-bottom: 0; }
.mark { display: inline-block; border-radius: 1rem; padding: 0 .55rem; font-size: .85rem; white-space: nowrap; }
.ok { color: var(--ok); } .warning { color: var(--warning); } .error { color: var(--error); }
.unknown { color: var(--unknown); }
.mark.ok { background: var(--ok-back); } .mark.warning { background: var(--warning-back); }
.mark.error { background: var(--error-back); } .mark.unknown { background: var(--unknown-back); }
.soft { color: var(--soft); }
ul.findings { list-style: none; margin: 0; padding: 0; }
ul.findings li { border-top: 1px solid var(--line); padding: .7rem 0; }
ul.findings li:first-child { border-top: 0; padding-top: 0; } ul.findings li:last-child { padding-bottom: 0; }
ul.findings p { margin: .25rem 0 0; overflow-wrap: anywhere; }
pre { background: var(--code); border-radius: .4rem; padding: .5rem .7rem; margin: .4rem 0 0; overflow-x: auto;
  font: .85rem/1.45 ui-monospace, monospace; user-select: all; }
figure { margin: 0; } figcaption { color: var(--soft); font-size: .85rem; margin-top: .5rem; }
svg { display: block; width: 100%; height: auto; border-radius: .4rem; background: var(--sea); }
svg text { font: 15px system-ui, sans-serif; fill: var(--text); text-anchor: middle; }
svg .soft { fill: var(--soft); font-size: 13px; }
svg .grid { stroke: var(--grid); stroke-width: 1; } svg .degree { fill: var(--soft); font-size: 11px; }
svg .way { stroke-width: 2.5; fill: none; } svg .way.error { stroke-dasharray: 3 7; stroke-width: 3.5; }
svg .way.ok { stroke: var(--ok); opacity: .55; } svg .way.warning { stroke: var(--warning); }
svg .way.error { stroke: var(--error); }
svg .label { paint-order: stroke; stroke: var(--sea); stroke-width: 5px; stroke-linejoin: round; }
svg circle { stroke-width: 3; } svg .sign { font-weight: 700; font-size: 19px; }
svg circle.ok { fill: var(--ok-back); stroke: var(--ok); }
svg circle.error { fill: var(--error-back); stroke: var(--error); }
svg circle.warning { fill: var(--warning-back); stroke: var(--warning); }
svg circle.unknown { fill: var(--unknown-back); stroke: var(--unknown); }
svg .sign.ok { fill: var(--ok); } svg .sign.error { fill: var(--error); } svg .sign.warning { fill: var(--warning); }
svg .sign.unknown { fill: var(--unknown); }
@media (max-width: 640px) { body { font-size: 14px; } section { padding: .8rem; }
  .scroll { margin: 0 -.8rem; padding: 0 .8rem; }
  .map { overflow-x: auto; margin: 0 -.8rem; padding: 0 .8rem; } .map svg { min-width: 34rem; } }
@media print { body { background: none; } section { break-inside: avoid; } }
"""


def text(value: Any) -> str:
    """Any value, so that it is shown, never read as markup, and turns no line around."""
    return html.escape("" if value is None else printable(str(value)), quote=True)


def mark(state: str, word: str = "") -> str:
    """A state with its sign and its colour."""
    return f'<span class="mark {state}">{SIGNS[state]} {text(word or WORDS[state])}</span>'


def table(label: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table that scrolls by itself where the page is narrow; a column whose title ends with # has numbers.

    Cells are markup.
    """
    kinds = ["number" if name.endswith("#") else "wide" if name.endswith("~") else "" for name in header]
    attributes = [f' class="{kind}"' if kind else "" for kind in kinds]
    head = "".join(f'<th scope="col"{a}>{text(n.rstrip("#~"))}</th>' for n, a in zip(header, attributes))
    body = "".join(
        "<tr>" + "".join(f"<td{attribute}>{cell}</td>" for cell, attribute in zip(row, attributes)) + "</tr>\n"
        for row in rows
    )
    inner = f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table>"
    # Who cannot scroll by touch can do so by keyboard.
    return f'<div class="scroll" role="region" aria-label="{text(label)}" tabindex="0">{inner}</div>'


def section(title: str, body: str) -> str:
    """One part of the page."""
    return f"<section>\n<h2>{text(title)}</h2>\n{body}\n</section>\n"


# The map


def places(sites: Sequence[Mapping[str, Any]], view: View) -> dict[str, tuple[float, float]]:
    """Where each site is on the map; those whose place is not known are in a row below."""
    found = {
        site["name"]: list(view.point(float(site["latitude"]), float(site["longitude"])))
        for site in sites
        if has_place(site)
    }
    separate(found, view.height)
    rest = [site["name"] for site in sites if site["name"] not in found]
    for number, name in enumerate(rest):
        found[name] = [WIDTH * (number + 1) / (len(rest) + 1), view.height + 30]
    return {name: (round(x, 1), round(y, 1)) for name, (x, y) in found.items()}


def has_place(site: Mapping[str, Any]) -> bool:
    """Whether it is known where a site is."""
    return is_number(site["latitude"]) and is_number(site["longitude"])


def is_number(value: Any) -> bool:
    """Whether a coordinate can be used."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


class View:
    """The part of the earth that holds the sites, so that a degree is as wide as it is in its middle."""

    def __init__(self, sites: Sequence[Mapping[str, Any]]) -> None:
        latitudes = [float(site["latitude"]) for site in sites] or [45.0]
        longitudes = [float(site["longitude"]) for site in sites] or [10.0]
        self.latitude = (min(latitudes) + max(latitudes)) / 2
        self.longitude = (min(longitudes) + max(longitudes)) / 2
        self.narrowing = max(math.cos(math.radians(self.latitude)), 0.2)
        wide = max((max(longitudes) - min(longitudes)) * self.narrowing, 4.0)
        high = max(max(latitudes) - min(latitudes), 3.0)
        self.scale = min((WIDTH - 2 * MARGIN) / wide, (MOST_HEIGHT - 2 * MARGIN) / high)
        self.height = min(max(high * self.scale + 2 * MARGIN, LEAST_HEIGHT), MOST_HEIGHT)

    def point(self, latitude: float, longitude: float) -> tuple[float, float]:
        """Where a place is on the map."""
        x = WIDTH / 2 + (longitude - self.longitude) * self.narrowing * self.scale
        return x, self.height / 2 - 15 - (latitude - self.latitude) * self.scale

    def grid(self) -> str:
        """Lines of latitude and longitude at round numbers of degrees."""
        step = next(size for size in (1, 2, 5, 10, 20, 30, 60, 90) if size * self.scale >= 60 or size == 90)
        parts = []
        for degree in range(-180, 181, step):
            x, y = self.point(float(degree), float(degree))
            if 0 < y < self.height - 20 and abs(degree) <= 90:
                parts.append(f'<line class="grid" x1="0" x2="{WIDTH:.0f}" y1="{y:.1f}" y2="{y:.1f}"/>')
                side = "N" if degree >= 0 else "S"
                parts.append(f'<text class="degree" x="20" y="{y - 4:.1f}">{abs(degree)}° {side}</text>')
            if 40 < x < WIDTH:
                parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{self.height:.0f}"/>')
                side = "E" if degree >= 0 else "W"
                parts.append(
                    f'<text class="degree" x="{x + 20:.1f}" y="{self.height - 6:.0f}">{abs(degree)}° {side}</text>'
                )
        return "".join(parts)


def separate(found: dict[str, list[float]], height: float) -> None:
    """Move sites of one town apart, so that their names can be read."""
    names = sorted(found)
    for _round in range(60):
        moved = False
        for number, first in enumerate(names):
            for second in names[number + 1 :]:
                a, b = found[first], found[second]
                dx, dy = b[0] - a[0], b[1] - a[1]
                # Names are wider than they are high.
                distance = math.hypot(dx, dy * 1.4)
                if distance >= APART:
                    continue
                if distance < 1:
                    dx, dy, distance = 1.0, 0.0, 1.0
                push = (APART - distance) / 2 + 0.5
                for point, way in ((a, -1), (b, 1)):
                    point[0] = min(max(point[0] + way * push * dx / distance, 60), WIDTH - 60)
                    point[1] = min(max(point[1] + way * push * dy / distance, 40), height - 85)
                moved = True
        if not moved:
            return


def ways(report: Mapping[str, Any], at: Mapping[str, tuple[float, float]]) -> str:
    """The lines between sites, one for both directions, in the worse of their states."""
    rank = {"ok": 0, "warning": 1, "error": 2}
    both: dict[tuple[str, str], Json] = {}
    for link in report["links"]:
        pair = (min(link["source"], link["target"]), max(link["source"], link["target"]))
        if pair[0] not in at or pair[1] not in at:
            continue
        have = both.setdefault(pair, {"state": "ok", "ms": None})
        have["state"] = max(have["state"], link["state"], key=lambda state: rank[state])
        if link["round_trip_ms"] is not None:
            have["ms"] = max(have["ms"] or 0.0, link["round_trip_ms"])
    parts = []
    for (first, second), way in sorted(both.items()):
        (x1, y1), (x2, y2) = at[first], at[second]
        parts.append(f'<line class="way {way["state"]}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>')
        said = "cut" if way["state"] == "error" else "" if way["ms"] is None else f"{way['ms']:.3g} ms"
        if said:
            # Beside the line, above it or to its left, since names are below their sites.
            length = math.hypot(x2 - x1, y2 - y1) or 1.0
            steep = abs(y2 - y1) > abs(x2 - x1) / 2
            rise = abs(x2 - x1) / length
            x, y = (x1 + x2) / 2 - (14 if steep else 0), (y1 + y2) / 2 - 10 * rise
            anchor = ' style="text-anchor: end"' if steep else ""
            parts.append(f'<text class="soft label" x="{x:.1f}" y="{y:.1f}"{anchor}>{said}</text>')
    return "".join(parts)


def site_map(report: Mapping[str, Any]) -> str:
    """The sites where they are, and whether their nodes reach each other."""
    sites = report["sites"]
    known = [site for site in sites if has_place(site)]
    view = View(known)
    at = places(sites, view)
    height = view.height if known == sites else view.height + 110
    parts = [view.grid() if known else "", ways(report, at)]
    for site in sites:
        x, y = at[site["name"]]
        ready = "?" if site["clients_ready"] is None else site["clients_ready"]
        below = [f"{ready} of {site['clients']} ready", f"{site['gpus_free']} GPUs free" if site["gpus"] else ""]
        lines = "".join(
            f'<text class="soft label" x="{x}" y="{y + RADIUS + 35 + 16 * number:.1f}">{text(line)}</text>'
            for number, line in enumerate(line for line in below if line)
        )
        name = site["name"] + (" ★" if site["nomad_leader"] else "")
        state = site["state"]
        parts.append(
            f"<g><title>{text(site['title'] or site['name'])}: {WORDS[state]}</title>"
            f'<circle class="{state}" cx="{x}" cy="{y}" r="{RADIUS:.0f}"/>'
            f'<text class="sign {state}" x="{x}" y="{y + 7:.1f}">{SIGNS[state]}</text>'
            f'<text class="label" x="{x}" y="{y + RADIUS + 18:.1f}">{text(name)}</text>{lines}</g>'
        )
    told = "; ".join(f"{site['name']}: {WORDS[site['state']]}" for site in sites)
    caption = (
        "Sites by latitude and longitude, with how many of their Nomad clients are ready. ★ has Nomad's leader. A line "
        "says that nodes of one site reach the Nomad server of the other, and how long that takes; a dotted one that "
        "they do not."
    )
    return (
        f'<figure><div class="map" tabindex="0"><svg viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" '
        f'aria-label="Sites: {text(told)}">{"".join(parts)}</svg></div><figcaption>{caption}</figcaption></figure>'
    )


# The tables


def findings(report: Mapping[str, Any]) -> str:
    """What is wrong."""
    items = []
    for one in report["findings"]:
        command = f"<pre>{text(one['command'])}</pre>" if one["command"] else ""
        items.append(
            f"<li>{mark(one['severity'])} <strong>{text(one['where'])}</strong>"
            f"<p>{text(one['message'])}</p>{command}</li>\n"
        )
    if not items:
        return '<p class="soft" style="margin:0">Nothing.</p>'
    return f'<ul class="findings">\n{"".join(items)}</ul>'


def sites(report: Mapping[str, Any]) -> str:
    """The table of sites."""
    rows = []
    for site in report["sites"]:
        ready = "?" if site["clients_ready"] is None else site["clients_ready"]
        title = " ".join(part for part in (site["title"], site["country"]) if part)
        rows.append(
            [
                f"<strong>{text(site['name'])}</strong>",
                mark(site["state"]),
                text(title),
                f"{ready} of {site['clients']}",
                text(site["consul"]),
                text(f"{site['gpus_used']} used, {site['gpus_free']} free" if site["gpus"] else "none"),
                text("?" if site["running"] is None else site["running"]),
            ]
        )
    header = ["Site", "State", "Title~", "Clients ready", "Consul's leader", "GPUs", "Running#"]
    return table("Sites", header, rows)


def service_cell(service: Mapping[str, Any] | None) -> str:
    """A service of a node."""
    word = service_word(service)
    if service is None:
        return '<span class="soft">-</span>'
    states = {"running": "", "unknown": "unknown"}
    state = states.get(service["state"], "error")
    return mark(state, "not known" if state == "unknown" else service["state"]) if state else text(word)


def nodes(report: Mapping[str, Any]) -> str:
    """The table of nodes."""
    machine = {"examined": ("ok", "up"), "left out": ("unknown", "not asked")}
    rows = []
    for node in report["nodes"]:
        state, word = machine.get(node["machine"], ("error", node["machine"]))
        leads = [product for product, key in (("Nomad", "nomad_leader"), ("Consul", "consul_leader")) if node[key]]
        client = client_word(node)
        free = node["disk_free_percent"]
        rows.append(
            [
                text(node["site"]),
                f"<strong>{text(node['name'])}</strong>",
                mark(node["state"]),
                text(", ".join(node["roles"])),
                text(word) if state == "ok" else mark(state, word),
                *(service_cell(node["services"].get(name)) for name in SERVICES),
                text(client) if node["client"] in ("", "none", "ready") else mark("error", client),
                "" if free is None else f"{free:.0f} %",
                "" if node["allocations"] is None else text(node["allocations"]),
                text(", ".join(leads)),
            ]
        )
    header = ["Site", "Node", "State", "Roles", "Machine", *SERVICES.values(), "Client", "Disk free#", "Jobs#", "Leads"]
    return table("Nodes", header, rows)


def servers(report: Mapping[str, Any]) -> str:
    """The table of Nomad's servers."""
    said = {True: "yes", False: "no", None: "?"}
    healthy = {True: "yes", False: "no", None: ""}
    rows = [
        [
            f"<strong>{text(server['name'])}</strong>",
            text(server["address"]),
            "leader" if server["leader"] else "",
            said[server["voter"]],
            text(server["gossip"]) if server["gossip"] in ("alive", "answers") else mark("error", server["gossip"]),
            mark({True: "ok", False: "error", None: "unknown"}[server["healthy"]], healthy[server["healthy"]]),
            text(server["last_contact"]),
        ]
        for server in report["servers"]
    ]
    return table("Nomad servers", ["Server", "Address", "Raft", "Votes", "Gossip", "Healthy", "Last contact"], rows)


def certificates(report: Mapping[str, Any]) -> str:
    """The table of certificates, the first to end first."""
    rows = [
        [
            text(certificate_place(one)),
            text(SERVICES.get(one["name"], one["name"])),
            text(one["not_after"][:10]),
            text(one["days"]),
            mark(one["state"]),
        ]
        for one in report["certificates"]
    ]
    return table("Certificates", ["Where", "Certificate of", "Ends", "Days left#", "State"], rows)


def gpus(report: Mapping[str, Any]) -> str:
    """The table of GPUs."""
    rows = [
        [text(one["site"]), text(one["model"]), *(text(one[key]) for key in ("count", "used", "free"))]
        for one in report["gpus"]
    ]
    return table("GPUs", ["Site", "Model", "All#", "Used#", "Free#"], rows)


def deployments(report: Mapping[str, Any]) -> str:
    """The table of deployments."""
    said = ("running", "starting", "queued", "down", "lost", "failed", "complete", "stopped")
    rows = []
    for one in report["deployments"]:
        cells = [
            f'<span class="error"><strong>{count}</strong></span>'
            if count and state in ("down", "lost")
            else text(count)
            for state, count in ((state, one["states"][state]) for state in said)
        ]
        rows.append([text(one["vo"] or one["namespace"]), text(one["namespace"]), *cells])
    return table("Deployments", ["VO", "Namespace", *(f"{state.capitalize()}#" for state in said)], rows)


def figures(report: Mapping[str, Any]) -> str:
    """The numbers that are looked for first."""
    running = sum(one["states"]["running"] for one in report["deployments"])
    gpu_count = sum(one["count"] for one in report["gpus"])
    ready = [site["clients_ready"] for site in report["sites"]]
    known = [number for number in ready if number is not None]
    pairs = [
        ("Nomad's leader", report["leader"] or "none"),
        ("Sites", len(report["sites"])),
        ("Nodes", len(report["nodes"])),
        ("Clients ready", sum(known) if len(known) == len(ready) else "?"),
        ("Deployments that run", running if report["deployments"] else "?"),
        ("GPUs used", f"{sum(one['used'] for one in report['gpus'])} of {gpu_count}" if gpu_count else "none there"),
    ]
    items = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="figures">{items}</dl>'


def render(report: Mapping[str, Any], title: str) -> str:
    """The whole page."""
    state = "error" if not report["healthy"] else "warning" if report["warnings"] else "ok"
    unknown = '<p class="soft" style="margin:0">Nomad could not be asked.</p>'
    parts = [
        section(f"What is wrong ({len(report['findings'])})", findings(report)) if report["findings"] else "",
        section("Map", site_map(report)),
        section("Sites", sites(report)),
        section("Nodes", nodes(report)),
        section("Nomad's servers", servers(report)) if report["servers"] else "",
        section("Deployments", deployments(report) if report["deployments"] else unknown),
        section("GPUs", gpus(report)) if report["gpus"] else "",
        section("Certificates", certificates(report)) if report["certificates"] else "",
    ]
    when = text(report["generated"].replace("T", " ").replace("+00:00", " UTC"))
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{SIGNS[state]} {text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<header><h1>{text(title)}</h1><p>as of <time datetime="{text(report["generated"])}">{when}</time></p>'
        "</header>\n"
        f'<main>\n<section class="verdict {state}"><p>{mark(state)} {text(verdict(report))}</p>'
        f"{figures(report)}</section>\n{''.join(parts)}</main>\n</body>\n</html>\n"
    )


def without_time(page: str) -> str:
    """A page without the time at which it was made, to be compared."""
    return re.sub(r"<time .*?</time>", "", page)
