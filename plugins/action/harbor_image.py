# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()

# A push of gigabytes takes minutes; nobody wants a line a second of it.
SECONDS = 5.0


class ActionModule(ActionBase):
    """Runs the module; where it runs on this machine, shows how far it has come."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        # A user that was become may not write what belongs to this one.
        here = self._connection.transport == "local" and not self._task.async_val and not self._connection.become
        if not here or self._task.check_mode:
            wrap_async = self._task.async_val and not getattr(self._connection, "has_native_async", False)
            result.update(self._execute_module(module_args=arguments, task_vars=task_vars, wrap_async=wrap_async))
            return result
        with contextlib.ExitStack() as stack:
            if not arguments.get("progress_file"):
                directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="harbor-image-"))
                arguments["progress_file"] = os.path.join(directory, "progress")
            stack.enter_context(_shown(os.path.expanduser(str(arguments["progress_file"]))))
            result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
        # The file is of no use to who reads the result.
        if "progress_file" not in self._task.args:
            result.get("invocation", {}).get("module_args", {}).pop("progress_file", None)
        return result


@contextlib.contextmanager
def _shown(path: str) -> Any:
    """Show the newest line of a file every few seconds, until the end."""
    done = threading.Event()
    start = os.path.getsize(path) if os.path.exists(path) else 0

    def follow() -> None:
        shown = ""
        while not done.wait(SECONDS):
            with contextlib.suppress(OSError), open(path, encoding="utf-8") as stream:
                stream.seek(start)
                line = (stream.read().splitlines() or [""])[-1]
                if line and line != shown:
                    display.display(line)
                    shown = line

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
