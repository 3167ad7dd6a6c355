# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Where things are: the checkout, the state of the local federation, the cache."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
VENV = CHECKOUT / ".venv"
# Settings of somebody's own Ansible; those of ansible-galaxy may say where collections are to be had.
FOREIGN = re.compile(r"ANSIBLE_(?!GALAXY_)")


class SettingsError(Exception):
    """A setting in the environment cannot be used."""


def _xdg(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / default)


@dataclass(frozen=True)
class Settings:
    """The local federation that the environment names."""

    federation: str
    prefix: str
    state_dir: Path
    cache_dir: Path
    extra: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_environment(cls) -> Settings:
        """Read LOCAL_FEDERATION, LOCAL_PREFIX, LOCAL_STATE_DIR and LOCAL_CACHE_DIR."""
        federation = os.environ.get("LOCAL_FEDERATION") or "imagine"
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,23}", federation):
            raise SettingsError(
                f"LOCAL_FEDERATION is {federation!r}; use a name of at most 24 lower-case letters, digits and hyphens "
                "that starts with a letter."
            )
        prefix = os.environ.get("LOCAL_PREFIX") or "10.213"
        try:
            network = ipaddress.ip_network(f"{prefix}.0.0/16")
        except ValueError as error:
            raise SettingsError(
                f"LOCAL_PREFIX is {prefix!r}; use the first two numbers of a private IPv4 range, such as 10.213."
            ) from error
        if not network.is_private:
            raise SettingsError(f"LOCAL_PREFIX is {prefix!r}, which is no private range; use one such as 10.213.")
        state = os.environ.get("LOCAL_STATE_DIR")
        if state:
            whole = Path(state).resolve()
            for what, inside in (("this checkout", CHECKOUT), ("your home directory", Path.home().resolve())):
                if inside.is_relative_to(whole):
                    raise SettingsError(
                        f"LOCAL_STATE_DIR is {state!r}, which holds {what}, and `make clean` removes all of it; use a "
                        "directory of its own."
                    )
        cache = os.environ.get("LOCAL_CACHE_DIR")
        return cls(
            federation=federation,
            prefix=prefix,
            state_dir=Path(state).absolute()
            if state
            else _xdg("XDG_STATE_HOME", ".local/state") / "imagine-platform" / federation,
            cache_dir=Path(cache).absolute() if cache else _xdg("XDG_CACHE_HOME", ".cache") / "imagine-platform",
        )

    @property
    def logs(self) -> Path:
        """Where the full output of each phase goes."""
        return self.state_dir / "logs"

    def environment(self) -> dict[str, str]:
        """The environment of every program that the driver starts."""
        path = [str(VENV / "bin"), os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"]
        environment = {
            # With another collections path in the shell it would be another checkout that runs, or is tested.
            **{key: value for key, value in os.environ.items() if not FOREIGN.match(key)},
            "PATH": os.pathsep.join(part for part in path if part),
            "LOCAL_FEDERATION": self.federation,
            "LOCAL_PREFIX": self.prefix,
            "LOCAL_STATE_DIR": str(self.state_dir),
            "LOCAL_CACHE_DIR": str(self.cache_dir),
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            # A program: it makes the password of a new federation.
            "ANSIBLE_VAULT_PASSWORD_FILE": str(CHECKOUT / "testbed" / "vault-password"),
            "PYTHONUNBUFFERED": "1",
            # Progress and the sentence on failure are read from the output, so it must not depend on the language.
            "LC_ALL": "C.UTF-8",
        }
        environment.update(self.extra)
        return environment

    def cached_binary(self, product: str) -> Path:
        """That of the highest version in the cache; a path that leads nowhere, and so fails, where there is none."""

        def version(path: Path) -> list[int]:
            return [int(number) for number in path.parent.name.partition("-")[0].split(".")]

        return max(
            (self.cache_dir / "binaries" / product).glob(f"[0-9]*/{product}"), key=version, default=Path("missing")
        )
