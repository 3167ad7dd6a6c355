# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What went wrong with a server, and what it or the operating system said, short enough for one sentence."""

from __future__ import annotations

from typing import Any


class ServiceError(Exception):
    """What went wrong between a module and a server; C(kind) tells failures apart, the text is one sentence."""

    def __init__(self, message: str, kind: str = "server", status: int | None = None, words: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.words = words
        #: what had been done before the failure, for fail_json
        self.result: dict[str, Any] = {}


def shorten(text: str, limit: int = 300) -> str:
    """A text on one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def reason(cause: BaseException) -> str:
    """The innermost reason of a nest of urllib3 errors: what the operating system or OpenSSL said."""
    seen = set()
    current: Any = cause
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        inner = getattr(current, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((arg for arg in getattr(current, "args", ()) if isinstance(arg, BaseException)), None)
        if inner is None and isinstance(current.__cause__, OSError):
            # urllib3 tells what the operating system said only in its own words.
            inner = current.__cause__
        if inner is None:
            break
        current = inner
    if isinstance(current, OSError) and current.strerror:
        return shorten(getattr(current, "verify_message", "") or current.strerror)
    return shorten(str(current).rpartition(">: ")[2] or str(current).rpartition(": ")[2] or str(current))
