# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files and directories that are replaced whole: atomically, durably, with owner, mode and SELinux context."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import stat
from typing import Any, Protocol

# A fixed name, so that what a killed run left behind is overwritten by the next one; products skip dot files.
TEMPORARY_SUFFIX = ".imagine-new"


class FilesError(Exception):
    """One sentence for the operator."""


class SelinuxModule(Protocol):
    """The part of AnsibleModule that is needed to label files."""

    def selinux_enabled(self) -> Any: ...

    def selinux_context(self, path: str) -> Any: ...

    def selinux_default_context(self, path: str, mode: int = 0) -> Any: ...

    def set_context_if_different(self, path: str, context: Any, changed: bool) -> Any: ...


def parse_mode(value: str | None, path: str) -> int | None:
    """Turn a quoted octal mode into a number."""
    if value is None:
        return None
    if not re.fullmatch(r"0[0-7]{3,4}", value):
        raise FilesError(
            f'The mode "{value}" of {path} is not a quoted octal number that starts with 0; write it as "0640".'
        )
    return int(value, 8)


def require_absolute(path: str) -> str:
    """Return the path in its normal form; relative paths have no meaning on a node."""
    if not os.path.isabs(path):
        raise FilesError(f'The path "{path}" is not absolute; write it from the root directory.')
    return os.path.normpath(path)


def user_id(name: str | None) -> int | None:
    """Return the number of a user, or None where none is named; KeyError when the node does not know it."""
    if name is None:
        return None
    return int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid


def group_id(name: str | None) -> int | None:
    """Return the number of a group, or None where none is named; KeyError when the node does not know it."""
    if name is None:
        return None
    return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid


def user_name(number: int) -> str:
    """Return a user's name, or its number where it has none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def group_name(number: int) -> str:
    """Return a group's name, or its number where it has none."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def read_file(path: str) -> bytes | None:
    """Return the content of a regular file, None where there is none or a symbolic link."""
    try:
        information = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(information.st_mode):
        return None
    if not stat.S_ISREG(information.st_mode):
        raise FilesError(f"{path} exists and is not a regular file; move it out of the way.")
    with open(path, "rb") as stream:
        return stream.read()


def remove_quietly(path: str) -> None:
    """Remove a file that may not be there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def sync_directory(path: str) -> None:
    """Make renames and removals in a directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Replacement:
    """A file's new content beside it, complete and on disk, that takes its place with one rename."""

    def __init__(self, path: str) -> None:
        self.path = path
        directory, name = os.path.split(path)
        self.directory = directory
        self.temporary = os.path.join(directory, "." + name + TEMPORARY_SUFFIX)

    def prepare(
        self, module: SelinuxModule | None, data: bytes, mode: int | None, uid: int | None, gid: int | None
    ) -> None:
        """Write the new content; what is not given is taken from the file that it replaces."""
        try:
            present: os.stat_result | None = os.lstat(self.path)
        except FileNotFoundError:
            present = None
        if present is not None and stat.S_ISREG(present.st_mode):
            mode = stat.S_IMODE(present.st_mode) if mode is None else mode
            uid = present.st_uid if uid is None else uid
            gid = present.st_gid if gid is None else gid
        remove_quietly(self.temporary)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = os.open(self.temporary, flags, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fchown(stream.fileno(), -1 if uid is None else uid, -1 if gid is None else gid)
                os.fchmod(stream.fileno(), 0o644 if mode is None else mode)
                os.fsync(stream.fileno())
            if module is not None and module.selinux_enabled():
                if present is not None:
                    context = module.selinux_context(self.path)
                else:
                    context = module.selinux_default_context(self.path, stat.S_IFREG)
                module.set_context_if_different(self.temporary, context, False)
        except BaseException:
            self.discard()
            raise

    def commit(self) -> None:
        """Put the new content in place."""
        os.rename(self.temporary, self.path)

    def discard(self) -> None:
        """Forget the new content."""
        remove_quietly(self.temporary)


def write_file(
    module: SelinuxModule | None,
    path: str,
    data: bytes,
    mode: int | None = None,
    uid: int | None = None,
    gid: int | None = None,
) -> None:
    """Replace one file atomically and durably."""
    replacement = Replacement(path)
    replacement.prepare(module, data, mode, uid, gid)
    replacement.commit()
    sync_directory(replacement.directory)


def attribute_differences(
    information: os.stat_result, mode: int | None, uid: int | None, gid: int | None
) -> tuple[dict[str, str], dict[str, str]]:
    """Return what is and what should be, for the attributes that differ."""
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    if mode is not None and stat.S_IMODE(information.st_mode) != mode:
        before["mode"], after["mode"] = f"{stat.S_IMODE(information.st_mode):04o}", f"{mode:04o}"
    if uid is not None and information.st_uid != uid:
        before["owner"], after["owner"] = user_name(information.st_uid), user_name(uid)
    if gid is not None and information.st_gid != gid:
        before["group"], after["group"] = group_name(information.st_gid), group_name(gid)
    return before, after


def set_attributes(path: str, mode: int | None, uid: int | None, gid: int | None) -> None:
    """Set owner, group and mode of a file or directory."""
    if uid is not None or gid is not None:
        os.chown(path, -1 if uid is None else uid, -1 if gid is None else gid)
    if mode is not None:
        os.chmod(path, mode)
