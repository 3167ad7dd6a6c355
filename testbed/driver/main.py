# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The commands of the quickstart."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

from driver import federation, phases, setup
from driver.console import Console, Failed, duration
from driver.settings import CHECKOUT, VENV, Settings, SettingsError


def up(settings: Settings, console: Console) -> int:
    """Bring the federation up and ask for a prediction."""
    steps = phases.QUICKSTART
    console.total = len(steps)
    console.say(f"Local federation {settings.federation!r}; full output in {settings.logs}.")
    started = time.monotonic()
    state = phases.State(settings, console)
    for title, step in steps:
        with console.phase(title):
            step(state)
    console.say()
    federation.show(settings, console)
    console.say()
    if state.prediction:
        console.say(state.prediction)
        console.say()
    console.say(
        f"Done in {duration(time.monotonic() - started)}. `make status` shows this again, `make clean` takes it away."
    )
    return 0


def setup_only(settings: Settings, console: Console, *, dev: bool) -> int:
    """Packages and virtual environment; silent when there is nothing to do."""
    if setup.complete(dev=dev):
        return 0
    with console.phase("Debian packages"):
        setup.debian_packages(settings, console, dev=dev)
    with console.phase("Virtual environment"):
        setup.virtual_environment(settings, console, dev=dev)
    return 0


def clean(settings: Settings, console: Console, *, cache: bool) -> int:
    """Take everything away that `up` made."""
    with console.phase("Take the local federation away"):
        phases.destroy(phases.State(settings, console))
    if cache:
        with console.phase("Empty the cache"):
            shutil.rmtree(settings.cache_dir, ignore_errors=True)
        with console.phase("Remove .venv"):
            for path in (VENV, CHECKOUT / ".collections", CHECKOUT / ".ansible"):
                shutil.rmtree(path, ignore_errors=True)
    return 0


def _one_at_a_time(settings: Settings) -> None:
    """Start this again under the lock of the federation."""
    if os.environ.get("LOCAL_LOCK_HELD") != settings.federation:
        lock = str(CHECKOUT / "testbed" / "lock")
        arguments = [sys.executable, lock, "run", settings.federation, sys.executable, *sys.argv]
        os.execv(sys.executable, arguments)  # noqa: S606


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="testbed/quickstart", description="The local federation.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="bring it up and ask for a prediction")
    commands.add_parser("status", help="show it")
    commands.add_parser("env", help="print the operator's NOMAD_* settings, for eval in a shell")
    token = commands.add_parser("token", help="print the token for a UI")
    token.add_argument("ui", metavar="nomad|SITE", help="nomad, or the name of the site whose Consul is meant")
    commands.add_parser("clean", help="take it away")
    commands.add_parser("distclean", help="take it away, and the cache and .venv")
    commands.add_parser("setup", help="make .venv").add_argument(
        "--dev", action="store_true", help="with the tools of the tests"
    )
    arguments = parser.parse_args()

    signal.signal(signal.SIGTERM, _interrupt)
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    console = Console(settings.logs)
    run: dict[str, Callable[[], int]] = {
        "up": lambda: up(settings, console),
        "status": lambda: federation.status(settings, console),
        "env": lambda: federation.environment(settings),
        "token": lambda: federation.token(settings, arguments.ui),
        "clean": lambda: clean(settings, console, cache=False),
        "distclean": lambda: clean(settings, console, cache=True),
        "setup": lambda: setup_only(settings, console, dev=arguments.dev),
    }
    if arguments.command in ("up", "clean", "distclean"):
        _one_at_a_time(settings)
    try:
        return run[arguments.command]()
    except Failed as failure:
        print(f"\n{failure.sentence}", file=sys.stderr)
        if failure.log:
            print(f"Full output: {failure.log}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on from here.", file=sys.stderr)
        return 130
