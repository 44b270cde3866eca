"""Backups that were damaged after they were made."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path as FilePath

import pytest

from eliza_state.backup import NotABackup, backup, verify
from tests.eliza_state.backup.talks import contents, say, url_of


@pytest.fixture
async def copy(tmp_path: FilePath) -> FilePath:
    """A backup."""
    await say(tmp_path / "store", 30)
    await backup(url_of(tmp_path / "store"), tmp_path / "copy")
    return tmp_path / "copy"


async def test_a_good_one(copy: FilePath) -> None:
    before = contents(copy)
    found = await verify(copy)

    assert found.is_good
    assert found.checked["checksums"] == 2
    assert (found.checked["records"], found.checked["plugins"]) == (30, 1)
    assert contents(copy) == before


async def test_a_folder_that_cannot_be_written(copy: FilePath) -> None:
    os.chmod(copy, 0o500)
    try:
        found = await verify(copy)
    finally:
        os.chmod(copy, 0o700)

    assert found.is_good


@pytest.mark.parametrize("name", ["state.db", "state.db-plugins"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: content[:5_000] + bytes([content[5_000] ^ 4]) + content[5_001:],
        lambda content: content + b"more",
        lambda _content: b"",
    ],
    ids=["cut off", "the last bit", "a bit", "longer", "empty"],
)
async def test_a_damaged_file_is_found(copy: FilePath, name: str, damage: Callable[[bytes], bytes]) -> None:
    (copy / name).write_bytes(damage((copy / name).read_bytes()))
    found = await verify(copy)

    assert [finding.file for finding in found.findings if finding.check == "checksums"] == [name]
    assert not found.is_good


@pytest.mark.parametrize("name", ["state.db", "state.db-plugins"])
async def test_a_missing_file_is_found(copy: FilePath, name: str) -> None:
    (copy / name).unlink()
    found = await verify(copy)

    assert (found.findings[0].check, found.findings[0].file) == ("checksums", name)


async def test_a_journal_of_another_backup_is_found(copy: FilePath, tmp_path: FilePath) -> None:
    """Its manifest may have been made to suit it; the journal says where it stands."""
    first, _ = (copy / "manifest.json").read_text("utf-8").splitlines()
    told = json.loads(first)

    assert told["position"] == 30
    rewrite(copy, first.replace('"position":30', '"position":31'))
    found = await verify(copy)
    assert [finding.message for finding in found.findings] == [
        "its journal stands at 30, the manifest says 31"
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text.replace("eliza-state backup", "eliza-state session"), "of the format"),
        (lambda text: text.replace('"version":1', '"version":2'), "run the newer code"),
        (lambda text: text.replace('"name":"state.db"', '"name":"../state.db"'), "names files"),
        (lambda text: text.replace('"position":30', '"position":"many"'), "damaged"),
        (lambda text: text[:-20], "damaged"),
    ],
)
async def test_a_manifest_that_is_none_is_refused(
    copy: FilePath, change: Callable[[str], str], reason: str
) -> None:
    first, _ = (copy / "manifest.json").read_text("utf-8").splitlines()
    rewrite(copy, change(first))
    with pytest.raises(NotABackup, match=reason):
        await verify(copy)


async def test_a_changed_manifest_is_refused(copy: FilePath) -> None:
    text = (copy / "manifest.json").read_text("utf-8")
    (copy / "manifest.json").write_text(text.replace('"position":30', '"position":20'), "utf-8")
    with pytest.raises(NotABackup, match="it was changed"):
        await verify(copy)


async def test_a_folder_without_a_manifest_is_none(copy: FilePath, tmp_path: FilePath) -> None:
    (copy / "manifest.json").unlink()
    with pytest.raises(NotABackup, match="there is no manifest"):
        await verify(copy)
    shutil.rmtree(copy)
    with pytest.raises(NotABackup):
        await verify(copy)


def rewrite(copy: FilePath, first: str) -> None:
    """Write a manifest with a checksum that suits it."""
    line = f"{first}\n".encode()
    closing = json.dumps({"sha256": hashlib.sha256(line).hexdigest()}).encode()
    (copy / "manifest.json").write_bytes(line + closing + b"\n")
