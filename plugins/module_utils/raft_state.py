# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is in a snapshot of Nomad or Consul: MessagePack of a header, and of records behind a byte for their type."""

from __future__ import annotations

import io
import struct
import tarfile
from collections.abc import Collection, Iterator
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.consul_archive import STATE, DamagedError

#: By first byte: how many bytes of a length follow, and how many more belong to the value.
_SIZED = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}
_SIZED.update({0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)})
#: How many bytes a value of a fixed size has behind the first one.
_FIXED = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
_FIXED.update({0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8})
#: First byte of arrays and maps: how many bytes of a length follow, and values an entry.
_NESTED = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
_NUMBERS = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}
_NUMBERS.update({0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"})
_CONSTANTS: dict[int, Any] = {0xC0: None, 0xC2: False, 0xC3: True}


class Reader:
    """Reads values one after the other; IndexError or ValueError where the data end too early or make no sense."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    @property
    def at_end(self) -> bool:
        """Whether all was read."""
        return self.position >= len(self.data)

    def byte(self) -> int:
        """The next byte."""
        value = self.data[self.position]
        self.position += 1
        return value

    def take(self, count: int) -> bytes:
        """The next bytes."""
        end = self.position + count
        if end > len(self.data):
            raise IndexError("the data end in the middle of a value")
        value = self.data[self.position : end]
        self.position = end
        return value

    def number(self, count: int) -> int:
        """A number without sign of that many bytes."""
        return int.from_bytes(self.take(count), "big")

    def skip(self) -> None:
        """Go past one value. Most records are of no interest, and there are many."""
        pending = 1
        while pending:
            pending -= 1
            first = self.byte()
            if first <= 0x7F or first >= 0xE0:
                continue
            if first <= 0x8F:
                pending += 2 * (first & 0x0F)
            elif first <= 0x9F:
                pending += first & 0x0F
            elif first <= 0xBF:
                self.position += first & 0x1F
            elif first in _FIXED:
                self.position += _FIXED[first]
            elif first in _SIZED:
                length, more = _SIZED[first]
                count = self.number(length)
                self.position += count + more
            elif first in _NESTED:
                length, each = _NESTED[first]
                pending += each * self.number(length)
            else:
                raise ValueError(f"0x{first:02x} begins no value")
        if self.position > len(self.data):
            raise IndexError("the data end in the middle of a value")

    def value(self) -> Any:
        """One value; types of other programs are left out."""
        first = self.byte()
        if first <= 0x7F:
            return first
        if first >= 0xE0:
            return first - 0x100
        if first <= 0x8F:
            return self._map(first & 0x0F)
        if first <= 0x9F:
            return [self.value() for _index in range(first & 0x0F)]
        if first <= 0xBF:
            return self._text(first & 0x1F)
        if first in _CONSTANTS:
            return _CONSTANTS[first]
        if first in _NUMBERS:
            return struct.unpack(_NUMBERS[first], self.take(_FIXED[first]))[0]
        if first in _FIXED:
            self.take(_FIXED[first])
            return None
        if first in _NESTED:
            length, each = _NESTED[first]
            count = self.number(length)
            return self._map(count) if each == 2 else [self.value() for _index in range(count)]
        if first not in _SIZED:
            raise ValueError(f"0x{first:02x} begins no value")
        length, more = _SIZED[first]
        if more:
            self.take(self.number(length) + more)
            return None
        return self._text(self.number(length))

    def _text(self, count: int) -> str:
        # Go writes bytes and text alike.
        return self.take(count).decode("utf-8", "surrogateescape")

    def _map(self, count: int) -> dict[Any, Any]:
        found = {}
        for _index in range(count):
            key = self.value()
            found[key] = self.value()
        return found


def state_of(snapshot: bytes) -> bytes:
    """The state in a snapshot that was verified before."""
    with tarfile.open(fileobj=io.BytesIO(snapshot), mode="r:gz") as archive:
        stream = archive.extractfile(STATE)
        if stream is None:
            raise DamagedError(f"its {STATE} is no file")
        return stream.read()


def records(state: bytes, wanted: Collection[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The records of the wanted types; DamagedError where the state is none."""
    reader = Reader(state)
    try:
        reader.skip()
        while not reader.at_end:
            kind = reader.byte()
            if kind not in wanted:
                reader.skip()
                continue
            value = reader.value()
            if not isinstance(value, dict):
                raise ValueError("a record is no map")
            yield kind, value
    except (IndexError, ValueError, RecursionError, TypeError) as error:
        raise DamagedError(f"its {STATE} cannot be read, {error}") from error
