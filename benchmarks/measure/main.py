# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The command line, and the order in which things are measured."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from driver.console import Console, Failed, duration
from driver.settings import CHECKOUT, Settings, SettingsError

from benchmarks.measure import deployments, objects, report
from benchmarks.measure.nodes import MOST, plan
from benchmarks.measure.remote import RemoteError
from benchmarks.measure.runs import HERE, Bench, Json, machine

PARTS = ("objects", "deployments", "floor", "deploy", "added", "growth")
# Those that need no nodes.
ALONE = {"objects", "deployments"}


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(word) for word in text.split(",") if word.strip()]
    except ValueError:
        sizes = [-1]
    if any(size % 2 or not 2 <= size <= MOST for size in sizes):
        raise argparse.ArgumentTypeError(f"give even numbers from 2 to {MOST}, such as 2,4,6,12")
    return sizes


def _parts(text: str) -> list[str]:
    parts = text.split(",")
    if unknown := sorted(set(parts) - set(PARTS)):
        raise argparse.ArgumentTypeError(f"there is no part {', '.join(unknown)}; use {', '.join(PARTS)}")
    return parts


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks/run", description="Measure the collection against the floor, on nodes of its own."
    )
    parser.add_argument("--growth", type=_sizes, default=[2, 4, 6, 12], help="numbers of nodes (default: 2,4,6,12)")
    parser.add_argument(
        "--only", type=_parts, default=list(PARTS), help=f"only these parts (default: {','.join(PARTS)})"
    )
    parser.add_argument("--objects", type=int, default=200, help="number of objects of each kind (default: 200)")
    parser.add_argument("--deployments", type=int, default=2000, help="number of deployments to list (default: 2000)")
    parser.add_argument("--federation", default="imagine-bench", help="name of the local federation that is used")
    parser.add_argument("--prefix", default="10.215", help="first two numbers of its addresses")
    parser.add_argument("--keep", action="store_true", help="leave the last nodes running")
    return parser.parse_args()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=CHECKOUT, capture_output=True, text=True, check=False).stdout.strip()

    commit = git("rev-parse", "--short=12", "HEAD") or "unknown"
    return f"{commit} with changes" if git("status", "--porcelain", "--untracked-files=no") else commit


class Measurement:
    """One benchmark."""

    def __init__(self, bench: Bench, arguments: argparse.Namespace) -> None:
        self.bench, self.arguments = bench, arguments
        self.parts: list[str] = arguments.only
        self.prefix: str = bench.settings.prefix
        self.result: Json = {
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "commit": _commit(),
            "machine": machine(),
            "floor": {},
            "six": {},
            "growth": [],
            "objects": [],
            "deployments": {},
            "differences": [],
        }

    def all(self) -> None:
        """Everything that was asked for, in one run."""
        bench, phase = self.bench, self.bench.console.phase
        if set(self.parts) - ALONE:
            with phase("Docker daemon"):
                bench.daemon()
        with phase("Binaries into the cache"):
            bench.binaries()
        if "objects" in self.parts:
            with phase(f"{self.arguments.objects} objects of each kind in Nomad"):
                self.result["objects"] = objects.measure(
                    bench.settings, bench.console, bench.results, self.arguments.objects
                )
        if "deployments" in self.parts:
            with phase(f"A list of {self.arguments.deployments} deployments"):
                self.result["deployments"] = deployments.measure(
                    bench.settings, bench.console, bench.results, self.arguments.deployments
                )
        if "floor" in self.parts:
            self.floor()
        if "deploy" in self.parts:
            self.deploy()
        if "growth" in self.parts:
            for count in self.arguments.growth:
                self.growth(count)

    def floor(self) -> None:
        """Six nodes by the shortest way."""
        bench, phase, floor = self.bench, self.bench.console.phase, self.result["floor"]
        with phase("Six fresh nodes"):
            bench.fresh(plan(6, self.prefix))
        with phase("Floor: cold"):
            floor["cold"] = bench.floor(6, "cold")
        with phase("Floor: nothing to change"):
            floor["second"] = bench.floor(6, "second")
        if "added" in self.parts:
            with phase("A seventh node"):
                bench.create(bench.added(6))
            with phase("Floor: one node added"):
                floor["added"] = bench.floor(6, "added", added=True)

    def deploy(self) -> None:
        """The same with the collection."""
        bench, phase, six = self.bench, self.bench.console.phase, self.result["six"]
        nodes = plan(6, self.prefix)
        with phase("Six fresh nodes"):
            bench.fresh(nodes)
        with phase("Ansible: cold"):
            six["cold"] = bench.deploy(nodes, "cold").document()
        with phase("Compare what was written with the floor"):
            self.result["differences"] = bench.differences(nodes)
        with phase("Ansible: nothing to change"):
            six["second"] = bench.deploy(nodes, "second").document()
        if "added" in self.parts:
            with phase("A seventh node"):
                bench.create(bench.added(6))
            with phase("Ansible: one node added"):
                six["added"] = bench.deploy(bench.added(6), "added").document()

    def growth(self, count: int) -> None:
        """Another number of nodes; six were measured already."""
        bench, phase = self.bench, self.bench.console.phase
        item: Json = {"nodes": count}
        self.result["growth"].append(item)
        if count == 6 and "cold" in self.result["floor"] and "second" in self.result["six"]:
            item["floor"] = self.result["floor"]["cold"]["seconds"]
            item |= {name: self.result["six"][name] for name in ("cold", "second")}
            return
        nodes = plan(count, self.prefix)
        with phase(f"{count} fresh nodes"):
            bench.fresh(nodes)
        with phase(f"Floor: {count} nodes"):
            item["floor"] = bench.floor(count, f"{count}-nodes")["seconds"]
        with phase(f"{count} fresh nodes"):
            bench.fresh(nodes)
        with phase(f"Ansible: {count} nodes, cold"):
            item["cold"] = bench.deploy(nodes, f"{count}-nodes-cold").document()
        with phase(f"Ansible: {count} nodes, nothing to change"):
            item["second"] = bench.deploy(nodes, f"{count}-nodes-second").document()

    def write(self) -> None:
        """All forms of the figures."""
        self.result["targets"] = report.targets(self.result)
        directory = self.bench.results
        files = {"results.json": json.dumps(self.result, indent=2) + "\n", "results.md": report.markdown(self.result)}
        for name, content in files.items():
            (directory / name).write_text(content, encoding="utf-8")
        latest = directory.parent / "latest"
        latest.unlink(missing_ok=True)
        latest.symlink_to(directory.name)
        console = self.bench.console
        console.say()
        console.say(report.text(self.result))
        console.say()
        console.say(
            f"Written to {directory.relative_to(CHECKOUT)}: results.md, results.json, times of each task, logs."
        )


def _one_at_a_time(settings: Settings) -> None:
    """Start this again under the lock of the federation."""
    if os.environ.get("LOCAL_LOCK_HELD") != settings.federation:
        lock = str(CHECKOUT / "testbed" / "lock")
        os.execv(sys.executable, [sys.executable, lock, "run", settings.federation, sys.executable, *sys.argv])  # noqa: S606


def _settings(arguments: argparse.Namespace) -> Settings:
    # Those of a federation that somebody works with must not be used by accident.
    os.environ.pop("LOCAL_STATE_DIR", None)
    os.environ["LOCAL_FEDERATION"], os.environ["LOCAL_PREFIX"] = arguments.federation, arguments.prefix
    return Settings.from_environment()


def main() -> int:
    """Measure, write, and take everything away again."""
    arguments = _arguments()
    try:
        settings = _settings(arguments)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    _one_at_a_time(settings)
    signal.signal(signal.SIGTERM, _interrupt)
    results: Path = HERE / "results" / time.strftime("%Y%m%d-%H%M%S")
    results.mkdir(parents=True)
    console = Console(results / "logs")
    console.say(f"Benchmark on the local federation {settings.federation!r}; full output in {results / 'logs'}.")
    started = time.monotonic()
    bench = Bench(settings, console, results)
    measurement = Measurement(bench, arguments)
    status = 0
    try:
        bench.claim()
        measurement.all()
    except KeyboardInterrupt:
        measurement.result["problem"], status = "it was interrupted.", 130
    except (Failed, RemoteError, OSError) as failure:
        measurement.result["problem"], status = str(failure), 1
        log = f" ({failure.log})" if isinstance(failure, Failed) and failure.log else ""
        print(f"\n{failure}{log}", file=sys.stderr)
    finally:
        try:
            if set(measurement.parts) - ALONE and not arguments.keep:
                with console.phase("Take the nodes away"):
                    bench.destroy()
        except Failed as failure:
            print(f"The nodes of {settings.federation!r} are still there: {failure}", file=sys.stderr)
            status = status or 1
        bench.close()
    measurement.write()
    console.say(f"Done in {duration(time.monotonic() - started)}.")
    return status
