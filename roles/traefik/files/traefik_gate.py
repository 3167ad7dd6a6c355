# Copyright (c) 2026 imagine.platform contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds new connections to Traefik back while it restarts, so that none is refused, and none finds no route.

Between its end and its start nothing listens, and for a moment after its start it knows no routes and has no
certificate. A client whose first packet gets no answer sends it again after a second; one that is refused gives up. So
the first packets of new connections are dropped meanwhile. Connections that are there are not touched.

The kernel opens the gate by itself when its time is over, whatever becomes of this program and of Traefik.

traefik-gate close --seconds N --ports PORT...   close the gate for N seconds at most
traefik-gate drain --seconds N --ports PORT...   close it, and wait until Traefik has taken over all that came before
traefik-gate serve --api URL                     wait until Traefik has the routes that it had, and open it
traefik-gate open                                open it
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request

TABLE = "inet imagine_ingress"
STATE = "/var/lib/traefik-gate/routers.json"
DRAIN_SECONDS = 3.0
SETTLE_SECONDS = 1.0
SERVE_SECONDS = 15.0
CATALOGUE_SECONDS = 45.0
CATALOGUE = "@consulcatalog"
PAUSE = 0.02
LISTEN, SYN_RECEIVED, ESTABLISHED = "0A", "03", "01"


def nft(text: str) -> None:
    """Run a ruleset as one transaction."""
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)


def rules(ports: list[int], seconds: int) -> str:
    """The ruleset that closes the ports for a time. What nft calls add keeps what is there."""
    elements = ", ".join(f"{port} timeout {seconds}s" for port in ports)
    return f"""
add table {TABLE}
add set {TABLE} closed {{ type inet_service; flags timeout; }}
add chain {TABLE} input {{ type filter hook input priority -5; policy accept; }}
flush chain {TABLE} input
flush set {TABLE} closed
add rule {TABLE} input tcp flags & (syn | ack | rst | fin) == syn tcp dport @closed drop
add element {TABLE} closed {{ {elements} }}
"""


def close(ports: list[int], seconds: int) -> None:
    """Drop the first packets of new connections."""
    nft(rules(ports, seconds))


def open_gate() -> None:
    """Take new connections again."""
    nft(f"add table {TABLE}\ndelete table {TABLE}\n")


def count(text: str, ports: list[int]) -> tuple[int, int]:
    """How many connections of /proc/net/tcp the listener has not accepted yet, and how many it has."""
    waiting, accepted = 0, 0
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 5 or int(fields[1].rpartition(":")[2], 16) not in ports:
            continue
        if fields[3] == SYN_RECEIVED:
            waiting += 1
        elif fields[3] == LISTEN:
            waiting += int(fields[4].rpartition(":")[2], 16)
        elif fields[3] == ESTABLISHED:
            accepted += 1
    return waiting, max(0, accepted - waiting)


def connections(ports: list[int]) -> tuple[int, int]:
    """The same for both families of addresses."""
    waiting, accepted = 0, 0
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/net/{name}", encoding="ascii") as stream:
                found = count(stream.read(), ports)
        except OSError:
            continue
        waiting, accepted = waiting + found[0], accepted + found[1]
    return waiting, accepted


def routers(url: str) -> set[str]:
    """Names of the routers that Traefik serves now."""
    found: set[str] = set()
    for protocol in ("http", "tcp"):
        with urllib.request.urlopen(f"{url}/api/{protocol}/routers?per_page=100000", timeout=2) as answer:  # noqa: S310
            found |= {f"{protocol}/{one['name']}" for one in json.load(answer) if one.get("status") == "enabled"}
    return found


def remember(url: str) -> None:
    """Write down what Traefik serves; it cannot be asked any more when it starts again."""
    try:
        names = sorted(name for name in routers(url) if not name.endswith("@internal"))
    except (OSError, ValueError):
        return
    os.makedirs(os.path.dirname(STATE), mode=0o700, exist_ok=True)
    with open(f"{STATE}.new", "w", encoding="utf-8") as stream:
        json.dump(names, stream)
    os.replace(f"{STATE}.new", STATE)


def expected() -> set[str]:
    """What it served before. At the first start there is nothing to wait for but its own files."""
    try:
        with open(STATE, encoding="utf-8") as stream:
            return {str(name) for name in json.load(stream)}
    except (OSError, ValueError):
        return {"http/www-websecure@file"}


def until_served(url: str) -> bool:
    """Wait until it serves all of that again; not for ever, since a job may have ended in the meantime.

    Longer where it has nothing of the catalogue at all: after a reboot the site's Consul may have no leader yet.
    """
    wanted = expected()
    began = time.monotonic()
    while True:
        found: set[str] = set()
        # It may not answer yet.
        with contextlib.suppress(OSError, ValueError):
            found = routers(url)
        if wanted <= found:
            return True
        unread = has_catalogue(wanted) and not has_catalogue(found)
        if time.monotonic() >= began + (CATALOGUE_SECONDS if unread else SERVE_SECONDS):
            return False
        time.sleep(PAUSE)


def has_catalogue(names: set[str]) -> bool:
    """Whether any of these routers comes from Consul's catalogue."""
    return any(name.endswith(CATALOGUE) for name in names)


def until_accepted(ports: list[int]) -> None:
    """Wait until the listener has taken over what came before the gate was closed.

    A connection that it has just accepted, and whose request it has not read, would be cut off as if it were idle.
    Which those are cannot be seen from here: all get a moment, unless they end before.
    """
    began = time.monotonic()
    while time.monotonic() < began + DRAIN_SECONDS:
        waiting, accepted = connections(ports)
        if not waiting and (not accepted or time.monotonic() >= began + SETTLE_SECONDS):
            return
        time.sleep(PAUSE)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["close", "drain", "serve", "open"])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--api", default="http://127.0.0.1:8080")
    parser.add_argument("--ports", type=int, nargs="+", default=[])
    options = parser.parse_args(arguments)
    if options.action in ("close", "drain") and not options.ports:
        parser.error("give --ports")
    if options.action == "open":
        open_gate()
    elif options.action == "serve":
        try:
            if not until_served(options.api):
                print("some of the routes that Traefik had are not there any more", file=sys.stderr)
        finally:
            open_gate()
    else:
        if options.action == "drain":
            remember(options.api)
        close(options.ports, options.seconds)
        if options.action == "drain":
            until_accepted(options.ports)


if __name__ == "__main__":
    main()
