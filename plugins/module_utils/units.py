# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Units of systemd: how they are, and whether their processes run with the files that are on disk."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ansible.module_utils.basic import AnsibleModule

STAMPS = "/run/imagine.platform"


class Unit(NamedTuple):
    """State of a unit as systemd tells it; C(started) is in seconds since the epoch, 0 when it does not run."""

    exists: bool
    active: bool
    failed: bool
    enabled: bool
    needs_daemon_reload: bool
    started: float
    files: list[str]


def newest(paths: Sequence[str], skip: Sequence[str], since: float) -> list[str]:
    """Return the files below C(paths), and not below C(skip), that changed after C(since) (seconds since the epoch)."""
    skipped = {os.path.normpath(path) for path in skip}
    found: list[str] = []

    def look(path: str) -> None:
        if os.path.normpath(path) in skipped:
            return
        try:
            status = os.lstat(path)
        except OSError:
            return
        if os.path.isdir(path) and not os.path.islink(path):
            for name in sorted(os.listdir(path)):
                look(os.path.join(path, name))
        elif status.st_mtime > since or (status.st_ctime > since and os.path.islink(path)):
            found.append(path)

    for path in paths:
        look(path)
    return found


def below(paths: Sequence[str], roots: Sequence[str]) -> list[str]:
    """Return those of C(paths) that are, or are below, one of C(roots)."""
    return [path for path in paths if any(path == root or path.startswith(f"{root.rstrip('/')}/") for root in roots)]


class SystemdUnit:
    """One unit on this node."""

    def __init__(self, module: AnsibleModule, name: str) -> None:
        self.module = module
        self.unit = name if "." in name else f"{name}.service"
        self.stamp = os.path.join(STAMPS, f"{self.unit}.reloaded")

    def systemctl(self, *arguments: str) -> str:
        """Run systemctl and return its output; fail with systemd's words."""
        command = [self.module.get_bin_path("systemctl", required=True), *arguments]
        code, out, err = self.module.run_command(command)
        if code != 0:
            self.module.fail_json(msg=self.explain(f"systemctl {' '.join(arguments)} failed", err or out))
        return str(out)

    def explain(self, what: str, words: str) -> str:
        """Return one line that says what failed, with the last words of the unit's journal."""
        journalctl = self.module.get_bin_path("journalctl")
        journal = ""
        if journalctl:
            journal = self.module.run_command([journalctl, "-u", self.unit, "-n", "8", "-o", "cat", "--no-pager"])[1]
        lines = " | ".join(line.strip() for line in str(journal).splitlines() if line.strip())
        detail = " ".join(words.split())
        return f"{what} for {self.unit}: {detail or 'no message'}; last journal lines: {lines or 'none'}."

    def read(self) -> Unit:
        """Read the unit's state in one call."""
        properties = "LoadState,ActiveState,UnitFileState,NeedDaemonReload,ExecMainStartTimestampMonotonic"
        out = self.systemctl("show", "-p", f"{properties},FragmentPath,DropInPaths", self.unit)
        values = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        active = values.get("ActiveState") in ("active", "reloading", "activating")
        monotonic = int(values.get("ExecMainStartTimestampMonotonic") or 0) / 1e6
        started = time.time() - (time.clock_gettime(time.CLOCK_MONOTONIC) - monotonic) if active and monotonic else 0.0
        files = [values.get("FragmentPath", ""), *values.get("DropInPaths", "").split()]
        return Unit(
            exists=values.get("LoadState") not in ("not-found", None),
            active=active,
            failed=values.get("ActiveState") == "failed",
            enabled=values.get("UnitFileState") in ("enabled", "enabled-runtime", "static", "alias"),
            needs_daemon_reload=values.get("NeedDaemonReload") == "yes",
            started=started,
            files=[path for path in files if path],
        )

    def reloaded(self) -> float:
        """Return when this module last reloaded the unit, in seconds since the epoch, or 0."""
        try:
            return os.stat(self.stamp).st_mtime
        except OSError:
            return 0.0

    def stale(
        self, unit: Unit, restart_on: Sequence[str], reload_on: Sequence[str], changed_paths: Sequence[str]
    ) -> tuple[list[str], list[str]]:
        """Return the files for which the process must be restarted, and those for which it must be reloaded.

        Of C(changed_paths), which others changed or removed, those count that are gone, and in check mode all.
        """
        if not unit.active:
            return [], []
        restart = newest([*unit.files, *restart_on], reload_on, unit.started)
        again = newest(reload_on, [], max(unit.started, self.reloaded()))
        gone = [path for path in changed_paths if self.module.check_mode or not os.path.lexists(path)]
        reload_gone = below(gone, reload_on)
        again += [path for path in reload_gone if path not in again]
        restart_gone = below(gone, [*unit.files, *restart_on])
        restart += [path for path in restart_gone if path not in [*reload_gone, *restart]]
        return restart, again
