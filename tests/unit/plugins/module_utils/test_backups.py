# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What a backup must have, and what is read out of the snapshots."""

from __future__ import annotations

import copy
import datetime
import io
import json
import struct
import tarfile
from typing import Any

import pytest
import snapshots

from ansible_collections.imagine.platform.plugins.module_utils import backups, rotation
from ansible_collections.imagine.platform.plugins.module_utils.consul_archive import STATE, DamagedError
from ansible_collections.imagine.platform.plugins.module_utils.raft_state import Reader, records, state_of

NOW = datetime.datetime(2026, 3, 1, 3, 0, tzinfo=datetime.UTC)


def files(**changes: Any) -> dict[str, bytes]:
    return {
        backups.NOMAD: changes.get("nomad", snapshots.nomad_snapshot()),
        backups.consul_member("ifca"): changes.get("consul", snapshots.consul_snapshot()),
        backups.SECRETS: b"encrypted",
    }


def whole() -> backups.Contents:
    contents = backups.examine(files(), snapshots.SECRETS, "it")
    contents.manifest = backups.describe(contents, "imagine", NOW, "0.1.0")
    return contents


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        127,
        -1,
        1 << 40,
        2.5,
        "text",
        "ü" * 40,
        [],
        [1, "a", None],
        list(range(20)),
        {"a": {"b": [1]}},
        {str(number): number for number in range(20)},
    ],
)
def test_values_are_read_as_they_were_packed(value: Any) -> None:
    data = snapshots.pack(value)
    reader = Reader(data + b"\x01")
    assert reader.value() == value
    assert reader.position == len(data)
    reader = Reader(data + b"\x01")
    reader.skip()
    assert reader.position == len(data)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\xc4\x02\xff\x00", "\udcff\x00"),
        (b"\xc5\x00\x01a", "a"),
        (b"\xc6\x00\x00\x00\x01a", "a"),
        (b"\xd9\x01a", "a"),
        (b"\xdb\x00\x00\x00\x01a", "a"),
        (b"\xdd\x00\x00\x00\x01\x05", [5]),
        (b"\xdf\x00\x00\x00\x01\x05\x06", {5: 6}),
        (b"\xcc\xff", 255),
        (b"\xcd\xff\xff", 65535),
        (b"\xce\x00\x00\x00\x07", 7),
        (b"\xcf" + b"\x00" * 7 + b"\x07", 7),
        (b"\xd0\xff", -1),
        (b"\xd1\xff\xff", -1),
        (b"\xd2\xff\xff\xff\xff", -1),
        (struct.pack(">Bf", 0xCA, 0.5), 0.5),
        (b"\xd6\x01aaaa", None),
        (b"\xc7\x03\x01aaa", None),
    ],
)
def test_other_forms(data: bytes, value: Any) -> None:
    reader = Reader(data)
    assert reader.value() == value
    assert reader.at_end
    reader = Reader(data)
    reader.skip()
    assert reader.at_end


@pytest.mark.parametrize("data", [b"", b"\xa5abc", b"\x92\x01", b"\xc1", b"\xdb\xff\xff\xff\xffa", b"\x81\xa1a"])
def test_what_is_cut_off_is_an_error(data: bytes) -> None:
    for read in (Reader.value, Reader.skip):
        with pytest.raises((IndexError, ValueError)):
            read(Reader(data))


def test_only_the_wanted_records() -> None:
    found = list(records(state_of(snapshots.nomad_snapshot()), {snapshots.JOB}))
    assert [one["ID"] for _kind, one in found] == ["digits", "batch"]


@pytest.mark.parametrize("rest", [b"\x01\xa5abc", b"\x01\x91\x01", b"\x02\xc1"])
def test_damaged_records(rest: bytes) -> None:
    with pytest.raises(DamagedError, match=r"its state\.bin cannot be read"):
        list(records(snapshots.state([]) + rest, {1}))


def test_what_is_read_of_nomad() -> None:
    state = backups.read_nomad(snapshots.nomad_snapshot())
    assert state.index == 321
    assert state.jobs == [
        {"namespace": "default", "name": "batch", "status": "dead"},
        {"namespace": "imagine", "name": "digits", "status": "running"},
    ]
    assert state.namespaces == ["default", "imagine"]
    assert state.counts == {"nodes": 1, "tokens": 2, "variables": 1}
    assert (state.keys, state.keys_missing) == (["key-1"], [])
    assert state.management_tokens == {snapshots.MANAGEMENT}


@pytest.mark.parametrize(
    ("kind", "key", "whole"),
    [
        (snapshots.KEY, snapshots.key(), True),
        (snapshots.KEY, snapshots.key(kek=None), False),
        (snapshots.KEY, snapshots.key(kek=None, provider=""), False),
        # The key management service has what unwraps it.
        (snapshots.KEY, snapshots.key(kek=None, provider="transit"), True),
        (snapshots.KEY, {"KeyID": "key-1", "WrappedKeys": None}, False),
        # From before Nomad 1.9: the key is on the disks of the servers.
        (snapshots.KEY_META, {"KeyID": "key-1", "State": "active"}, False),
    ],
)
def test_root_keys_must_be_in_the_snapshot(kind: int, key: dict[str, Any], whole: bool) -> None:
    others = [record for record in snapshots.NOMAD_RECORDS if record[0] != snapshots.KEY]
    changed = files(nomad=snapshots.nomad_snapshot([*others, (kind, key)]))
    if whole:
        assert backups.examine(changed, snapshots.SECRETS, "it").nomad.keys == ["key-1"]
        return
    with pytest.raises(backups.BackupError, match=r"^it lacks root keys .*\(key-1\).*rotate -full"):
        backups.examine(changed, snapshots.SECRETS, "it")


def test_a_snapshot_without_any_key_is_refused() -> None:
    others = [record for record in snapshots.NOMAD_RECORDS if record[0] != snapshots.KEY]
    with pytest.raises(backups.BackupError, match=r"lacks root keys .*\(all\)"):
        backups.examine(files(nomad=snapshots.nomad_snapshot(others)), snapshots.SECRETS, "it")


def test_what_is_read_of_consul() -> None:
    state = backups.read_consul(snapshots.consul_snapshot())
    assert state.nodes == {"ifca-server": "c-1"}
    assert state.tokens == {snapshots.CONSUL_MANAGEMENT}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (("nomad", "management_token"), r"does not know nomad\.management_token"),
        (("sites", "ifca", "consul_management_token"), r"does not know sites\.ifca\.consul_management_token"),
    ],
)
def test_secrets_and_snapshots_must_be_of_one_federation(path: tuple[str, ...], reason: str) -> None:
    secrets = copy.deepcopy(snapshots.SECRETS)
    place = secrets
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = "another"
    with pytest.raises(backups.BackupError, match=reason):
        backups.examine(files(), secrets, "it")
    del place[path[-1]]
    with pytest.raises(backups.BackupError, match=reason):
        backups.examine(files(), secrets, "it")


@pytest.mark.parametrize(
    ("changes", "name"),
    [({"nomad": b"x"}, "nomad.snap"), ({"consul": snapshots.consul_snapshot()[:-20]}, "consul/ifca.snap")],
)
def test_damaged_snapshots_are_named(changes: dict[str, bytes], name: str) -> None:
    with pytest.raises(backups.BackupError, match=f"it has no intact snapshot in {name}"):
        backups.examine(files(**changes), snapshots.SECRETS, "it")


def test_manifest_has_no_secret() -> None:
    text = json.dumps(whole().manifest)
    assert "digits" in text
    for secret in (snapshots.MANAGEMENT, snapshots.CONSUL_MANAGEMENT):
        assert secret not in text


def test_packed_and_unpacked() -> None:
    contents = whole()
    manifest, found = backups.unpack(backups.pack(contents), "it")
    assert manifest == contents.manifest
    assert found == contents.files
    assert manifest["created"] == "2026-03-01T03:00:00Z"


def repacked(change: Any) -> bytes:
    contents = whole()
    change(contents)
    return backups.pack(contents)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"x", "is no backup"),
        (backups.pack(backups.Contents([], {}, None, {})), "is no backup"),  # type: ignore[arg-type]
        (repacked(lambda it: it.manifest.update(format=2)), "has format 2, but this version reads format 1"),
        (repacked(lambda it: it.files.update({"nomad.snap": b"x"})), "is damaged"),
        (repacked(lambda it: it.files.pop("consul/ifca.snap")), "is damaged"),
        (
            repacked(lambda it: (it.files.pop("nomad.snap"), it.manifest["files"].pop("nomad.snap"))),
            "has no nomad.snap",
        ),
        (repacked(lambda it: (it.files.pop("secrets.yml"), it.manifest["files"].pop("secrets.yml"))), "has no secrets"),
    ],
)
def test_what_is_no_backup(data: bytes, reason: str) -> None:
    with pytest.raises(backups.BackupError, match=reason) as caught:
        backups.unpack(data, "it")
    assert str(caught.value).startswith("it ")
    assert "\n" not in str(caught.value)


def test_the_archive_is_one_that_tar_reads() -> None:
    with tarfile.open(fileobj=io.BytesIO(backups.pack(whole()))) as archive:
        assert archive.getnames() == ["manifest.json", "nomad.snap", "consul/ifca.snap", "secrets.yml"]
        assert {member.mode for member in archive} == {0o600}


def test_names_of_files() -> None:
    name = backups.file_name("imagine", NOW)
    assert name == "imagine-20260301T030000Z.tar.vault"
    assert backups.created_at("imagine", name) == NOW
    partial = backups.file_name("imagine", NOW, partial=True)
    assert partial == "imagine-20260301T030000Z-partial.tar.vault"
    assert backups.created_at("imagine", partial) == NOW
    assert [backups.is_partial(one) for one in (name, partial)] == [False, True]
    for other in (
        "imagine-test-20260301T030000Z.tar.vault",
        "imagine-2026.tar.vault",
        "imagine-20260301T030000Z.tar",
        "imagine-20260301T030000Z-part.tar.vault",
        "x",
    ):
        assert backups.created_at("imagine", other) is None


def test_surplus_are_the_oldest_of_this_federation() -> None:
    names = [f"imagine-2026030{day}T030000Z.tar.vault" for day in (3, 1, 2)]
    others = ["imagine-test-20250101T000000Z.tar.vault", "notes.txt", ".work-1"]
    now = NOW + datetime.timedelta(days=2)
    assert backups.surplus("imagine", [*names, *others], 2, now) == ["imagine-20260301T030000Z.tar.vault"]
    assert backups.surplus("imagine", [*names, *others], 3, now) == []
    assert backups.surplus("imagine", [*names, *others], 0, now) == []


def test_backups_that_lack_sites_take_no_complete_one_away() -> None:
    days = [NOW + datetime.timedelta(days=day) for day in range(20)]
    before, after = ([backups.file_name("imagine", day) for day in some] for some in (days[:2], days[-2:]))
    hour = datetime.timedelta(hours=1)
    partial = [backups.file_name("imagine", day + hour, partial=True) for day in days[1:-1]]
    names = [*before, *partial, *after]
    assert backups.surplus("imagine", names, 4, days[-1]) == []
    assert backups.surplus("imagine", names, 3, days[-1]) == before[:1]
    # Those that are older than all that stay.
    assert backups.surplus("imagine", names, 2, days[-1]) == sorted([*before, *partial[:-1]])
    assert backups.surplus("imagine", names, 0, days[-1]) == []


@pytest.mark.parametrize("keep", [1, 2, 14])
def test_a_wrong_clock_takes_no_backup_away(keep: int) -> None:
    made = backups.file_name("imagine", NOW)
    later = [backups.file_name("imagine", NOW + datetime.timedelta(seconds=number)) for number in range(1, 15)]
    names = [*later, made, "imagine-test-20990101T000000Z.tar.vault", "notes.txt"]
    assert backups.from_future("imagine", names, NOW) == later
    assert backups.surplus("imagine", names, keep, NOW) == []
    # Part of a second is not in the name.
    assert backups.from_future("imagine", [made], NOW + datetime.timedelta(milliseconds=1)) == []
    older = backups.file_name("imagine", NOW - datetime.timedelta(days=1))
    assert backups.surplus("imagine", [*names, older], keep, NOW) == ([older] if keep == 1 else [])


def test_secrets_compared() -> None:
    saved = snapshots.SECRETS
    assert backups.compare(None, saved) == "absent"
    assert backups.compare(copy.deepcopy(saved), saved) == "same"
    newer = copy.deepcopy(saved)
    newer["sites"]["walton"] = {}
    newer["nomad"]["tokens"]["operator"] = "another"
    assert backups.compare(newer, saved) == "same"
    older = copy.deepcopy(saved)
    del older["sites"]["ifca"]
    assert backups.compare(older, saved) == "other"
    other = copy.deepcopy(saved)
    other["nomad"]["ca"]["certificate"] = "another"
    assert backups.compare(other, saved) == "other"
    assert backups.compare({}, saved) == "other"


@pytest.mark.parametrize("name", ["nomad.tokens.operator", "sites.ifca.consul_tokens.ifca-server.agent"])
def test_secrets_that_were_replaced_since(name: str) -> None:
    saved = copy.deepcopy(snapshots.SECRETS)
    rotation.put(saved, name, "old")
    saved["rotated"] = {name: "2026-02-01T00:00:00+00:00"}
    present = copy.deepcopy(saved)
    rotation.put(present, name, "new")
    present["rotated"][name] = "2026-03-02T00:00:00+00:00"
    assert backups.compare(present, saved) == "other"
    # From after the rotation, or of something that is no secret, or was not there yet.
    assert backups.compare(present, copy.deepcopy(present)) == "same"
    marked = copy.deepcopy(saved)
    marked["rotated"] |= {"certificates.ifca-server": "2026-03-02T00:00:00+00:00", "nomad.tokens.more": "2026"}
    rotation.put(marked, "nomad.tokens.more", "new")
    assert backups.compare(marked, saved) == "same"


def test_state_that_is_a_directory() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        directory = tarfile.TarInfo(STATE)
        directory.type = tarfile.DIRTYPE
        archive.addfile(directory)
    with pytest.raises(DamagedError, match="is no file"):
        state_of(packed.getvalue())
