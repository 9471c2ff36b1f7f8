# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore into raw files, through the module's action and through scripts/restore.py, with no Ceph anywhere."""

from __future__ import annotations

import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions import restore, restore_content
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.lock import VolumeLock
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import load_proof, save_proof
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import (
    InvalidInput,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._actions.backup_of_contents import (
    MIB,
    BackupOfContents,
    ext4,
    image_digest,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive import (
    archive_samples as samples,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils.mounts import memory

SCRIPT = pathlib.Path(__file__).resolve().parents[5] / "scripts" / "restore.py"
FIRST, SECOND, THIRD = (samples.snapshot(day) for day in (1, 2, 3))


def content(seed: int, size: int = 4 * MIB) -> bytes:
    """A thin image: 64 KiB of data somewhere in it, and in its last bytes."""
    noise = random.Random(seed)
    made = bytearray(size)
    made[seed * 8192 : seed * 8192 + 65536] = noise.randbytes(65536)
    made[-100:] = noise.randbytes(100)
    return bytes(made)


@pytest.fixture
def backup(tmp_path: pathlib.Path) -> BackupOfContents:
    return BackupOfContents(tmp_path / "backup")


def environment(backup: BackupOfContents, check_mode: bool = False, **options: t.Any) -> Environment:
    target = {"image": None, "raw": None, "pool": None, "rados_namespace": None, "data_pool": None}
    target.update({"metadata": False, "overwrite": False}, **options.pop("target", {}))
    defaults = {
        "root": str(backup.root),
        "cluster": "lab",
        "namespace": "shop",
        "claim": None,
        "workload": None,
    }
    defaults.update({"directory": None, "image_id": None, "restore_point": "latest", "parallel": 2})
    return Environment({**defaults, "manifests": None, "target": target, **options}, check_mode)


def run(backup: BackupOfContents, raw: pathlib.Path | str, **options: t.Any) -> t.Any:
    return restore.run(environment(backup, target={"raw": str(raw)}, **options))


def test_every_restore_point_is_what_was_backed_up_and_as_thin(
    backup: BackupOfContents, tmp_path: pathlib.Path
) -> None:
    contents = [content(1), content(2, 6 * MIB), content(3, 2 * MIB)]
    directory = backup.add("data", contents)
    for day, expected in enumerate(contents, start=1):
        raw = tmp_path / f"{day}.raw"
        result = run(backup, raw, claim="data", restore_point=samples.snapshot(day))
        (volume,) = result.values["volumes"]
        assert raw.read_bytes() == expected
        assert os.stat(raw).st_blocks * 512 <= 256 * 1024
        assert os.stat(raw).st_mode & 0o777 == 0o600
        assert volume["image_digest"] == image_digest(expected)
        assert volume["image_digest_recorded"] is (day > 1)
        assert load_proof(str(directory)).image_digest(samples.state(day, len(expected))) == image_digest(
            expected
        )
    assert sorted(path.name for path in tmp_path.glob(".tmp*")) == []


def test_a_preview_proves_the_chain_and_writes_nothing(
    backup: BackupOfContents, tmp_path: pathlib.Path
) -> None:
    directory = backup.add("data", [content(1), content(2)])
    before = {path.name: path.read_bytes() for path in directory.iterdir() if path.name != ".lock"}
    preview = run(backup, tmp_path / "x.raw", claim="data", check_mode=True)
    assert preview.changed
    assert not (tmp_path / "x.raw").exists()
    samples.flip(directory / f"{FIRST}.full.zst", -20)
    failed = run(backup, tmp_path / "x.raw", claim="data", check_mode=True)
    assert "damaged" in failed.failures[0]["message"]
    samples.flip(directory / f"{FIRST}.full.zst", -20)
    assert before == {path.name: path.read_bytes() for path in directory.iterdir() if path.name != ".lock"}


def test_all_volumes_of_a_workload_at_the_same_point(
    backup: BackupOfContents, tmp_path: pathlib.Path
) -> None:
    backup.add("data-0", [content(1), content(2)])
    backup.add("data-1", [content(3), content(4)])
    backup.add("other", [content(5)], users=("Deployment/web",))
    outcome = run(backup, tmp_path / "{claim}-{restore_point}.raw", workload="StatefulSet/db")
    assert [volume["claim"] for volume in outcome.values["volumes"]] == ["data-0", "data-1"]
    assert (tmp_path / f"data-0-{SECOND}.raw").read_bytes() == content(2)
    assert (tmp_path / f"data-1-{SECOND}.raw").read_bytes() == content(4)
    with pytest.raises(InvalidInput, match="More than one volume would be restored to"):
        run(backup, tmp_path / "one.raw", workload="StatefulSet/db")
    with pytest.raises(InvalidInput, match="which is none of"):
        run(backup, tmp_path / "{pod}.raw", workload="StatefulSet/db")
    with pytest.raises(InvalidInput, match="on record in that namespace: Deployment/web, StatefulSet/db"):
        run(backup, tmp_path / "x.raw", workload="Deployment/db")


def test_volumes_of_a_workload_are_not_restored_at_different_points(
    backup: BackupOfContents, tmp_path: pathlib.Path
) -> None:
    backup.add("data-0", [content(1), content(2), content(3)])
    backup.add("data-1", [content(3), content(4)])
    with pytest.raises(InvalidInput, match=f"newest that all of them have is {SECOND}"):
        run(backup, tmp_path / "{claim}.raw", workload="StatefulSet/db")
    outcome = run(backup, tmp_path / "{claim}.raw", workload="StatefulSet/db", restore_point=SECOND)
    assert len(outcome.values["volumes"]) == 2


def test_a_volume_that_fails_does_not_stop_the_others(
    backup: BackupOfContents, tmp_path: pathlib.Path
) -> None:
    damaged = backup.add("data-0", [content(1)])
    backup.add("data-1", [content(2)])
    samples.flip(damaged / f"{FIRST}.full.zst", 100)
    outcome = run(backup, tmp_path / "{claim}.raw", workload="StatefulSet/db")
    assert [volume["claim"] for volume in outcome.values["volumes"]] == ["data-1"]
    assert [failure["claim"] for failure in outcome.failures] == ["data-0"]
    assert [path.name for path in tmp_path.glob("*.raw")] == ["data-1.raw"]


def test_a_claim_that_was_created_anew_needs_an_image_id(
    backup: BackupOfContents, tmp_path: pathlib.Path
) -> None:
    first = backup.add("data", [content(1)], image_id="aa11")
    backup.add("data", [content(2)], image_id="bb22")
    with pytest.raises(InvalidInput) as caught:
        run(backup, tmp_path / "x.raw", claim="data")
    for word in ("aa11", "bb22", "2026-", f"{4 * MIB} bytes", str(first)):
        assert word in caught.value.message
    run(backup, tmp_path / "x.raw", claim="data", image_id=["aa11"])
    run(backup, tmp_path / "y.raw", workload="StatefulSet/db", image_id=["bb22"])
    run(backup, tmp_path / "z.raw", directory=os.path.relpath(first, backup.root / "lab"), namespace=None)
    found = [(tmp_path / f"{name}.raw").read_bytes() for name in "xyz"]
    assert found == [content(1), content(2), content(1)]
    with pytest.raises(InvalidInput, match="with image id cc33"):
        run(backup, tmp_path / "w.raw", claim="data", image_id=["cc33"])
    with pytest.raises(InvalidInput, match="not the directory of a volume"):
        run(backup, tmp_path / "w.raw", directory="shop")


@pytest.mark.parametrize("options", [{"claim": "data"}, {"workload": "StatefulSet/db"}])
def test_a_directory_that_cannot_be_read_is_never_passed_over_for_another_of_the_claim(
    backup: BackupOfContents, tmp_path: pathlib.Path, options: dict[str, t.Any]
) -> None:
    backup.add("data", [content(1)], image_id="0a")
    newer = backup.add("data", [content(2)], image_id="0b")
    backup.add("other", [content(3)], users=())
    (newer / "volume.json").write_text("{", encoding="ascii")
    with pytest.raises(InvalidInput, match=r"volume\.json is damaged.*image_id"):
        run(backup, tmp_path / "x.raw", **options)
    assert not (tmp_path / "x.raw").exists()
    run(backup, tmp_path / "x.raw", **options, image_id=["0a"])
    assert (tmp_path / "x.raw").read_bytes() == content(1)
    run(backup, tmp_path / "y.raw", claim="other")
    assert (tmp_path / "y.raw").read_bytes() == content(3)


def test_a_file_that_exists_is_never_overwritten(backup: BackupOfContents, tmp_path: pathlib.Path) -> None:
    backup.add("data", [content(1)])
    (tmp_path / "x.raw").write_bytes(b"mine")
    outcome = run(backup, tmp_path / "x.raw", claim="data")
    assert "never overwrites" in outcome.failures[0]["message"]
    assert (tmp_path / "x.raw").read_bytes() == b"mine"
    outcome = run(backup, tmp_path / "nowhere" / "x.raw", claim="data")
    assert "does not exist" in outcome.failures[0]["message"]


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> t.Iterator[pathlib.Path]:
    """A file system of 128 KiB."""
    with memory(tmp_path / "small", "128k") as path:
        yield path


def test_a_full_disk_leaves_nothing_and_says_so(
    backup: BackupOfContents, small_disk: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    backup.add("data", [random.Random(1).randbytes(MIB)])
    outcome = run(backup, small_disk / "x.raw", claim="data")
    assert "No space left" in outcome.failures[0]["message"]
    assert list(small_disk.iterdir()) == []


def test_a_kill_in_the_middle_leaves_no_file_of_that_name(
    backup: BackupOfContents, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.add("data", [content(1)])
    monkeypatch.setattr(
        restore_content.Content, "_compare", lambda *_args: os.kill(os.getpid(), signal.SIGKILL)
    )
    child = os.fork()
    if child == 0:
        run(backup, tmp_path / "x.raw", claim="data")
        os._exit(0)
    _pid, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    (left,) = [path.name for path in tmp_path.iterdir() if path.name.endswith(".raw")]
    assert left.startswith(".tmp-")
    monkeypatch.undo()
    run(backup, tmp_path / "x.raw", claim="data")
    assert (tmp_path / "x.raw").read_bytes() == content(1)


def test_a_backup_that_cannot_be_written_to_is_restored_all_the_same(
    backup: BackupOfContents, tmp_path: pathlib.Path
) -> None:
    directory = backup.add("data", [content(1)], digest=False)
    with VolumeLock(str(directory)):
        (volume,) = run(backup, tmp_path / "x.raw", claim="data").values["volumes"]
    assert volume["image_digest_on_record"] is None
    assert not volume["image_digest_recorded"]
    (volume,) = run(backup, tmp_path / "y.raw", claim="data").values["volumes"]
    assert volume["image_digest_recorded"]
    (volume,) = run(backup, tmp_path / "z.raw", claim="data").values["volumes"]
    assert volume["image_digest_on_record"] == volume["image_digest"]
    assert not volume["image_digest_recorded"]


def test_a_damaged_record_of_what_was_proved_hinders_no_restore(
    backup: BackupOfContents, tmp_path: pathlib.Path
) -> None:
    directory = backup.add("data", [content(1), content(2)])
    (directory / "proof.json").write_text("{", encoding="ascii")
    result = run(backup, tmp_path / "x.raw", claim="data")
    assert (tmp_path / "x.raw").read_bytes() == content(2)
    assert not result.failures
    (warning,) = result.warnings
    assert "proof.json is damaged" in warning
    assert "without comparing" in warning
    done = script("restore", directory, "--stdout")
    assert done.stdout == content(2)
    assert b"proof.json is damaged" in done.stderr
    assert b"none on record" in done.stderr


def test_archives_that_lead_elsewhere_than_on_record_restore_nothing(
    backup: BackupOfContents, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = backup.add("data", [content(1), content(2)])
    proof = load_proof(str(directory))
    proof.record_replayed(samples.state(2, 4 * MIB), "0" * 64, samples.NOON)
    save_proof(str(directory), proof)
    outcome = run(backup, tmp_path / "x.raw", claim="data")
    assert "not what was backed up" in outcome.failures[0]["message"]
    assert list(tmp_path.glob("*.raw")) + list(tmp_path.glob(".tmp*")) == []


def script(*arguments: object, path: str = "/nonexistent", python: t.Sequence[str] = ()) -> t.Any:
    """Run scripts/restore.py with *path* as PATH; ``-S`` in *python* leaves it no library but Python's own."""
    command = [sys.executable, "-I", *python, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, env={"PATH": path}, check=False, capture_output=True)


@pytest.fixture
def only_zstd(tmp_path: pathlib.Path) -> str:
    """A PATH with the program zstd and nothing else."""
    (tmp_path / "bin").mkdir()
    program = shutil.which("zstd")
    assert program
    (tmp_path / "bin" / "zstd").symlink_to(program)
    return str(tmp_path / "bin")


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
def test_the_script_needs_nothing_but_python(
    backup: BackupOfContents, tmp_path: pathlib.Path, only_zstd: str, compression: str
) -> None:
    contents = [content(1), content(2, 6 * MIB)]
    directory = backup.add("data", contents, compression)
    listed = script("list", backup.root, python=["-S"], path=only_zstd).stdout.decode()
    assert f"{SECOND}  {6 * MIB} bytes, from 2 archive(s)" in listed
    for number, (python, path) in enumerate(((["-S"], only_zstd), ([], "/nonexistent"))):
        raw = tmp_path / f"{number}.raw"
        done = script("restore", directory, "--raw", raw, python=python, path=path)
        assert done.returncode == 0, done.stderr
        assert raw.read_bytes() == contents[1]
        assert os.stat(raw).st_blocks * 512 <= 256 * 1024
    done = script("restore", directory, "--stdout", "--point", FIRST, python=["-S"], path=only_zstd)
    assert done.stdout == contents[0]
    assert image_digest(contents[0]).encode() in done.stderr


def test_the_script_runs_from_an_installed_collection_and_without_the_set(
    backup: BackupOfContents, tmp_path: pathlib.Path, only_zstd: str
) -> None:
    directory = backup.add("data", [content(1)])
    alone = tmp_path / "alone"
    shutil.copytree(directory, alone)
    copy = tmp_path / "elsewhere" / "gfs"
    for part in ("plugins/module_utils", "scripts"):
        shutil.copytree(SCRIPT.parents[1] / part, copy / part)
    command = [
        sys.executable,
        "-I",
        "-S",
        str(copy / "scripts" / "restore.py"),
        "restore",
        str(alone),
        "--stdout",
    ]
    done = subprocess.run(command, env={"PATH": only_zstd}, check=True, capture_output=True)
    assert done.stdout == content(1)


def test_the_script_refuses_a_damaged_chain_before_the_first_byte(
    backup: BackupOfContents, tmp_path: pathlib.Path, only_zstd: str
) -> None:
    # at the very end of what cannot be compressed, when most of it would be out already
    directory = backup.add("data", [content(1), random.Random(1).randbytes(2 * MIB)])
    samples.flip(directory / f"{SECOND}.from-{FIRST}.diff.zst", -200)
    for python, path in ((["-S"], only_zstd), ([], "/nonexistent")):
        done = script("restore", directory, "--stdout", python=python, path=path)
        assert done.returncode == 1
        assert done.stdout == b""
        assert b"damaged" in done.stderr
        assert b"Traceback" not in done.stderr
    assert script("restore", directory, "--point", FIRST, "--raw", tmp_path / "x.raw").returncode == 0


def test_the_script_says_what_it_cannot_do(backup: BackupOfContents, tmp_path: pathlib.Path) -> None:
    backup.add("data-0", [content(1)])
    backup.add("data-1", [content(1)])
    (tmp_path / "x.raw").write_bytes(b"mine")
    several = script("restore", backup.root, "--raw", tmp_path / "y.raw")
    assert b"holds 2 volumes" in several.stderr
    exists = script("restore", backup.root / "lab/shop/data-0", "--raw", tmp_path / "x.raw")
    assert b"never overwrites" in exists.stderr
    assert (tmp_path / "x.raw").read_bytes() == b"mine"
    library = script("restore", backup.root / "lab/shop/data-0", "--stdout", python=["-S"])
    assert b"zstandard" in library.stderr
    assert {several.returncode, exists.returncode, library.returncode} == {1}
    assert script("restore", backup.root).returncode == 2


def test_the_script_lists_all_that_it_can_and_what_it_cannot(backup: BackupOfContents) -> None:
    damaged = backup.add("data-0", [content(1)])
    (damaged / "volume.json").write_text("{", encoding="ascii")
    directory = backup.add("data-1", [content(1), content(2)])
    (directory / f"{SECOND}.from-{FIRST}.diff.zst").unlink()
    backup.add("data-2", [content(1)])
    (backup.add("data-3", [content(1)]) / "volume.json").unlink()
    done = script("list", backup.root)
    said = done.stdout.decode()
    assert done.returncode == 1
    assert "volume.json is damaged" in said
    assert "volume.json: No such file" in said
    assert f"{FIRST}  {4 * MIB} bytes" in said
    assert f"{SECOND}  cannot be restored:" in said
    assert "is missing, its manifest is there" in said
    assert "shop/data-2" in said
    assert done.stderr == b""
    whole = script("list", backup.root / "lab/shop/data-2")
    assert (whole.returncode, whole.stderr) == (0, b"")


def test_the_script_needs_no_record_of_the_set(backup: BackupOfContents) -> None:
    directory = backup.add("data", [content(1)])
    (backup.root / "lab" / "backup-set.json").write_text("{", encoding="ascii")
    assert script("restore", directory, "--stdout").stdout == content(1)


@pytest.mark.parametrize("form", ["raw", "diff"])
def test_an_output_that_is_full_is_no_traceback(backup: BackupOfContents, form: str) -> None:
    directory = backup.add("data", [content(1)])
    command = [sys.executable, "-I", str(SCRIPT), "restore", str(directory), "--stdout", "--format", form]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, check=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception" not in done.stderr


def test_the_streams_reader_that_goes_away_is_no_traceback(
    backup: BackupOfContents, tmp_path: pathlib.Path, only_zstd: str
) -> None:
    directory = backup.add("data", [content(1)])
    command = (
        f"'{sys.executable}' -I '{SCRIPT}' restore '{directory}' --stdout | head -c 10 >'{tmp_path}/out'"
    )
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        env={"PATH": "/usr/bin:/bin"},
        check=False,
        capture_output=True,
    )
    assert done.returncode == 1
    assert b"ended before its end" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_restored_file_system_holds_its_files(backup: BackupOfContents, tmp_path: pathlib.Path) -> None:
    files = {"known.txt": b"known\n" * 5000, "random": random.Random(7).randbytes(300_000)}
    backup.add("data", [ext4(tmp_path, {"old": b"x"}), ext4(tmp_path, files)])
    raw = tmp_path / "x.raw"
    run(backup, raw, claim="data")
    subprocess.run(["e2fsck", "-f", "-n", str(raw)], check=True, capture_output=True)
    for name, expected in files.items():
        done = subprocess.run(["debugfs", "-R", f"cat {name}", str(raw)], check=True, capture_output=True)
        assert done.stdout == expected
