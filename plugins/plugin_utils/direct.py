# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs modules that only talk to an API in the process of Ansible that the task has anyway.

Such a module mostly runs on the controller. Packing it and starting another Python for it, which loads the same
libraries again, takes many times as long as the requests it makes. Modules for network devices are run so as well.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from ansible import constants as C
from ansible.module_utils import basic
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.plugins.action.normal import ActionModule as NormalAction
from ansible.plugins.loader import module_loader

try:
    # What translates arguments and results since ansible-core 2.19; with others a module is started as usual.
    from ansible.module_utils.common.json import Direction, get_module_encoder
except ImportError:
    get_module_encoder = None

SWITCH = "imagine_platform_direct"
PROFILE = "legacy"


def preload(*names: str) -> None:
    """Load modules of Python that are installed, when the first task with an action is queued: others find them."""
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


preload("ansible_collections.imagine.platform.plugins.module_utils.nomad")


@contextlib.contextmanager
def surroundings(directory: str, environment: Mapping[str, str]) -> Iterator[None]:
    """Work in a directory and with these variables; all items of a loop share the process."""
    before = os.getcwd(), dict(os.environ)
    os.chdir(directory)
    os.environ.update(environment)
    try:
        yield
    finally:
        os.chdir(before[0])
        os.environ.clear()
        os.environ.update(before[1])


class Direct(ActionBase):
    """Runs a module here where here is where it would run; starts it as usual everywhere else."""

    def _execute_module(
        self,
        module_name: str | None = None,
        module_args: dict[str, Any] | None = None,
        *args: Any,
        task_vars: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Run the module of the task, or another one."""
        variables = task_vars or {}
        name = module_name or self._task.action
        arguments = self._task.args if module_args is None else module_args
        if not args and self._is_here(variables):
            return self._run_here(name, dict(arguments), variables)
        result: dict[str, Any] = super()._execute_module(name, arguments, *args, task_vars=task_vars, **kwargs)
        return result

    def _is_here(self, variables: Mapping[str, Any]) -> bool:
        """Whether a new process would be one of this machine, this user and this Python."""
        name = self._task.delegate_to or variables.get("inventory_hostname")
        host = (
            (variables.get("ansible_delegated_vars") or {}).get(name, variables)
            if self._task.delegate_to
            else variables
        )
        return (
            get_module_encoder is not None
            and self._connection.transport == "local"
            and not self._task.async_val
            and not self._connection.become
            # Often given as "{{ ansible_playbook_python }}".
            and self._templar.template(host.get("ansible_python_interpreter")) == sys.executable
            and boolean(self._templar.template(variables.get(SWITCH, True)))
        )

    def _run_here(self, action: str, arguments: dict[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
        name = module_loader.find_plugin_with_context(action, collection_list=self._task.collections).resolved_fqcn
        namespace, collection, module = name.split(".", 2)
        self._update_module_args(action, arguments, variables)
        # A module removes its own when its process ends, which it does not do here. Ansible removes this one.
        arguments["_ansible_tmpdir"] = C.DEFAULT_LOCAL_TMP
        environment: dict[str, Any] = {}
        self._compute_environment_string(environment)
        encoder = get_module_encoder(PROFILE, Direction.CONTROLLER_TO_MODULE)
        basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}, cls=encoder).encode()
        basic._ANSIBLE_PROFILE = PROFILE
        warnings: list[str] = []
        # Elsewhere in this process they are shown at once, and would be missing in the result.
        basic.warn = lambda warning, **_details: warnings.append(warning)
        output, errors = io.StringIO(), io.StringIO()
        try:
            with (
                # Paths are relative to the playbook, as where a process is started for a module.
                surroundings(self._loader.get_basedir(), {name: str(value) for name, value in environment.items()}),
                contextlib.redirect_stdout(output),
                contextlib.redirect_stderr(errors),
                contextlib.suppress(SystemExit),
            ):
                importlib.import_module(f"ansible_collections.{namespace}.{collection}.plugins.modules.{module}").main()
        except Exception as error:  # noqa: BLE001 - whatever a module raises is its failure
            return {
                "failed": True,
                "msg": f"{name} broke off: {type(error).__name__}: {error}",
                "exception": traceback.format_exc(),
            }
        answer = {"stdout": output.getvalue(), "stderr": errors.getvalue()}
        result: dict[str, Any] = self._parse_returned_data(answer, PROFILE)
        if warnings:
            result["warnings"] = [*result.get("warnings", []), *warnings]
        return result


class ActionModule(Direct, NormalAction):
    """The action of such a module."""
