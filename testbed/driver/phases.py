# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The phases of the quickstart, each of which does nothing where nothing is to do."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from driver import prediction as predictions
from driver import setup
from driver.console import Console, Failed
from driver.settings import CHECKOUT, VENV, Settings

INVENTORY = "inventories/local"
MODULE = "digits"
SAMPLE = CHECKOUT / "testbed" / "module" / "samples" / "digit-7.png"


@dataclass
class State:
    """What one phase leaves for the next."""

    settings: Settings
    console: Console
    prediction: str = ""
    deployment: dict[str, object] = field(default_factory=dict)

    def run(self, command: Sequence[str | Path], log: str, *, check: bool = True) -> int:
        """Run a program of the checkout."""
        return self.console.run(command, log, env=self.settings.environment(), cwd=CHECKOUT, check=check)

    def output(self, command: Sequence[str | Path], log: str) -> str:
        """Run a program for what it prints."""
        with tempfile.TemporaryFile() as stdout:
            self.console.run(command, log, env=self.settings.environment(), cwd=CHECKOUT, stdout=stdout)
            stdout.seek(0)
            return stdout.read().decode().strip()

    def playbook(self, name: str, log: str, *more: str | Path) -> None:
        """Run a playbook against the local federation."""
        self.run([VENV / "bin" / "ansible-playbook", "-i", INVENTORY, name, *more], log)
        self.console.note = _changes(self.settings.logs / log)


def _changes(log: Path) -> str:
    """How many things the last playbook in a log changed."""
    recap = log.read_text(encoding="utf-8").rpartition("PLAY RECAP")[2]
    changed = sum(int(word.partition("=")[2]) for word in recap.split() if word.startswith("changed="))
    return f"{changed} changed"


def debian_packages(state: State) -> None:
    """What apt has to bring."""
    setup.debian_packages(state.settings, state.console)


def virtual_environment(state: State) -> None:
    """Ansible and its libraries, pinned."""
    setup.virtual_environment(state.settings, state.console)


def docker_daemon(state: State) -> None:
    """Find a Docker daemon, or start one."""
    host = state.output([CHECKOUT / "testbed" / "docker-daemon", "start"], "docker.log")
    state.settings.extra["DOCKER_HOST"] = host
    state.console.note = host


def binaries(state: State) -> None:
    """Consul, Nomad, Traefik and the CNI plugins, into the cache."""
    state.playbook("testbed/binaries.yml", "binaries.log")


def node_image(state: State) -> None:
    """The image that nodes start from."""
    state.console.note = state.output([CHECKOUT / "testbed" / "images"], "image.log")


def nodes(state: State) -> None:
    """Six machines and a registry."""
    state.playbook("testbed/create.yml", "nodes.log")


def deploy(state: State) -> None:
    """The collection itself."""
    state.playbook("imagine.platform.deploy", "deploy.log")


def module_image(state: State) -> None:
    """The image of the module, into the cache."""
    state.console.note = state.output([VENV / "bin" / "python", "testbed/module/build"], "module-image.log").rpartition(
        "/"
    )[2]


def module_deployment(state: State) -> None:
    """The module, as a user would deploy it."""
    result = state.settings.state_dir / "module.json"
    state.playbook("testbed/demo.yml", "module.log")
    state.deployment = json.loads(result.read_text(encoding="utf-8"))


def prediction(state: State) -> None:
    """A real picture, a real answer."""
    state.prediction, state.console.note = predictions.ask(state.deployment, SAMPLE)


QUICKSTART: list[tuple[str, Callable[[State], None]]] = [
    ("Debian packages", debian_packages),
    ("Virtual environment", virtual_environment),
    ("Docker daemon", docker_daemon),
    ("Binaries", binaries),
    ("Node image", node_image),
    ("Nodes", nodes),
    ("Deploy the federation", deploy),
    ("Module image", module_image),
    ("Module deployment", module_deployment),
    ("Prediction", prediction),
]


def destroy(state: State) -> None:
    """Nodes, networks, our own daemon or our images in another one, and the state."""
    settings = state.settings
    daemon = CHECKOUT / "testbed" / "docker-daemon"
    playbook = VENV / "bin" / "ansible-playbook"
    if _may_have_nodes(state, daemon):
        if not playbook.exists():
            raise Failed("The virtual environment .venv is gone: run `make setup`, then `make clean` again.")
        state.run([playbook, "-i", INVENTORY, "testbed/destroy.yml"], "clean.log")
    try:
        # Other local federations on the same daemon keep it.
        state.run([daemon, "remove"], "clean.log")
    except Failed as failure:
        state.console.note = f"the Docker daemon stays: {failure.sentence}"
    else:
        _remove_images(state, daemon)
    shutil.rmtree(settings.state_dir, ignore_errors=True)


def _remove_images(state: State, daemon: Path) -> None:
    """A daemon of the machine stays, and keeps none of our images that no other federation uses."""
    try:
        host = state.output([daemon, "status"], "clean.log")
    except Failed:
        return
    state.settings.extra["DOCKER_HOST"] = host
    state.run([CHECKOUT / "testbed" / "images", "remove"], "clean.log")


def _may_have_nodes(state: State, daemon: Path) -> bool:
    if (state.settings.state_dir / "ssh_key").exists():
        return True
    try:
        state.output([daemon, "status"], "clean.log")
    except Failed:
        return False
    return True
