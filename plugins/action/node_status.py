# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes between which times of the controller a node's clock was read, as node_facts does."""

from __future__ import annotations

from ansible_collections.imagine.platform.plugins.action.node_facts import ActionModule as ClockReader


class ActionModule(ClockReader):
    """Run the module, and read the clock again where the connection was too slow for a verdict."""

    MODULE = "imagine.platform.node_status"
    PLACE = ("node",)
