# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Consul's snapshots: a compressed tar archive of the state, its description, and the sums of both."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json

DESCRIPTION = "meta.json"
STATE = "state.bin"
SUMS = "SHA256SUMS"


class DamagedError(Exception):
    """What is wrong with an archive, in a few words."""


def inspect(data: bytes) -> Json:
    """Verify an archive, and return C(id), C(index), C(term) and C(sha256); raises DamagedError."""
    sums: dict[str, str] = {}
    files: dict[str, bytes] = {}
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
            for member in archive:
                stream = archive.extractfile(member)
                if stream is None:
                    raise DamagedError(f"{member.name} is no file")
                # The state may be large; of that only the sum is needed.
                digest = hashlib.sha256()
                pieces = []
                while piece := stream.read(1 << 20):
                    digest.update(piece)
                    if member.name != STATE:
                        pieces.append(piece)
                sums[member.name] = digest.hexdigest()
                files[member.name] = b"".join(pieces)
            # The archive may end before the compressed stream does, which has a sum at its end.
            while plain.read(1 << 20):
                pass
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, OSError) as error:
        raise DamagedError(f"no complete archive, {error}") from error
    for name in (DESCRIPTION, STATE, SUMS):
        if name not in sums:
            raise DamagedError(f"{name} is missing")
    listed = {
        words[1]: words[0]
        for line in files[SUMS].decode("utf-8", "replace").splitlines()
        if len(words := line.split()) == 2
    }
    for name in (DESCRIPTION, STATE):
        if listed.get(name) != sums[name]:
            raise DamagedError(f"the sum of {name} is wrong")
    try:
        meta: Any = json.loads(files[DESCRIPTION])
        return {
            "id": str(meta["ID"]),
            "index": int(meta["Index"]),
            "term": int(meta["Term"]),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    except (ValueError, LookupError, TypeError) as error:
        raise DamagedError(f"{DESCRIPTION} cannot be read") from error
