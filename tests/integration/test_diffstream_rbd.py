# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The diff stream room against the real rbd: what it exports, what it merges, what it imports."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import io
import json
import os
import pathlib
import random
import subprocess
import typing as t
import uuid

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.digest import ImageDigest
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.merge import merge
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.raw import write_raw
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.reader import (
    DiffReader,
    check_header,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import (
    Data,
    Header,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.sparsify import sparsify
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._diffstream.model import (
    apply,
    assert_well_formed,
    decode,
    image_digest,
    written,
)

KIB, MIB = 1 << 10, 1 << 20
LAYOUTS: dict[str, dict[str, int]] = {
    "usual": {"order": 22},
    "small objects": {"order": 20},
    "large objects": {"order": 24},
    "striped": {"order": 20, "stripe_unit": 64 * KIB, "stripe_count": 3, "features": 1 | 2},
}
SEEDS = range(20) if os.environ.get("RBD_SOAK") else range(1)


class Rbd:
    """The rbd command as the backup user, and the images to be removed in the end."""

    def __init__(self, prefix: str) -> None:
        self.pool = os.environ["RBD_LAB_POOL"]
        self.user = os.environ["RBD_LAB_CEPH_USER"]
        self._prefix = prefix
        self._images: list[str] = []

    def __call__(self, *words: object, stdin: bytes | None = None) -> bytes:
        """Run rbd and return what it prints."""
        command = ["rbd", "--id", self.user, *map(str, words)]
        return subprocess.run(command, input=stdin, check=True, stdout=subprocess.PIPE).stdout

    def new(self) -> str:
        """The spec of an image that is not there yet."""
        self._images.append(f"{self._prefix}-{len(self._images)}")
        return f"{self.pool}/{self._images[-1]}"

    def play(self, size: int, layout: dict[str, int], operations: list[list[t.Any]]) -> str:
        """Make an image with a history."""
        spec = self.new()
        job = {
            "conf": os.environ["CEPH_CONF"],
            "user": self.user,
            "pool": self.pool,
            "image": spec.partition("/")[2],
            "size": size,
            "layout": layout,
            "operations": operations,
        }
        script = pathlib.Path(__file__).with_name("play_rbd_history.py")
        subprocess.run(["/usr/bin/python3", script], input=json.dumps(job), text=True, check=True)
        return spec

    def clean(self) -> None:
        """Remove the images with their snapshots."""
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(self._remove, self._images))

    def _remove(self, image: str) -> None:
        for words in (["snap", "purge"], ["rm"]):
            command = ["rbd", "--id", self.user, *words, f"{self.pool}/{image}"]
            subprocess.run(command, check=False, capture_output=True)


@dataclasses.dataclass
class History:
    """A real image: at each snapshot its content, its full, and the diff from the snapshot before."""

    spec: str
    layout: dict[str, int]
    contents: list[bytes]
    fulls: list[bytes]
    diffs: list[bytes]


@pytest.fixture(scope="module")
def rbd() -> t.Iterator[Rbd]:
    """The rbd of the lab."""
    client = Rbd(f"diffstream-{uuid.uuid4().hex[:12]}")
    yield client
    client.clean()


@pytest.fixture(scope="module", params=[(name, seed) for name in LAYOUTS for seed in SEEDS], ids=str)
def history(request: pytest.FixtureRequest, rbd: Rbd, tmp_path_factory: pytest.TempPathFactory) -> History:
    """A history that shrinks and grows again, both between two snapshots and over three."""
    name, seed = request.param
    rng = random.Random(f"{name} {seed}")
    size, steps = 22 * MIB + 1536, 6
    sizes = [size, size, 9 * MIB + 512, 22 * MIB + 1536, 30 * MIB, 17 * MIB]
    operations: list[list[t.Any]] = []
    for step in range(steps):
        if step == 4:
            operations.append(["resize", 5 * MIB + 7])
        if sizes[step] != sizes[step - 1] and step:
            operations.append(["resize", sizes[step]])
        for _number in range(6):
            offset = rng.randrange(sizes[step])
            offset -= offset % rng.choice([1, 512, 4096])
            length = min(rng.choice([1, 700, 4096, 100_000, 3 * MIB]), sizes[step] - offset)
            kind = rng.choice(["write", "write", "zeros", "discard"])
            operations.append([kind, offset, length] + ([rng.randrange(2**32)] if kind == "write" else []))
        operations.append(["snap", f"s{step}"])
    spec = rbd.play(size, LAYOUTS[name], operations)
    directory = tmp_path_factory.mktemp("history")
    result = History(spec, LAYOUTS[name], [], [], [])
    for step in range(steps):
        rbd("export", f"{spec}@s{step}", directory / f"{step}")
        result.contents.append((directory / f"{step}").read_bytes())
        result.fulls.append(rbd("export-diff", f"{spec}@s{step}", "-"))
        base = ["--from-snap", f"s{step - 1}"] if step else []
        result.diffs.append(rbd("export-diff", *base, f"{spec}@s{step}", "-"))
    return result


def merged(*streams: bytes) -> bytes:
    """The streams as one, zeros made holes."""
    result = merge([DiffReader(io.BytesIO(stream)) for stream in streams])
    return written(result.header, sparsify(result.records))


def imported(rbd: Rbd, stream: bytes, into: str, directory: pathlib.Path) -> bytes:
    """What an image holds after rbd import-diff."""
    rbd("import-diff", "-", into, stdin=stream)
    target = directory / "imported"
    target.unlink(missing_ok=True)
    rbd("export", into, target)
    return target.read_bytes()


def flat(stream: bytes) -> tuple[Header, bytes, bytes]:
    """What a diff says, however it says it: which bytes it touches, and what they are then."""
    header, records = decode(stream)
    touched = [Data(r.offset, b"\1" * (r.end - r.offset)) for r in records]
    return header, apply(b"", header, touched), apply(b"", header, records)


def test_every_real_export_is_read_and_means_what_the_image_holds(history: History) -> None:
    for step, content in enumerate(history.contents):
        header, records = decode(history.fulls[step])
        check_header(header, None, f"s{step}", len(content))
        assert_well_formed(header, records)
        assert apply(b"", header, records) == content
        if step:
            header, records = decode(history.diffs[step])
            check_header(header, f"s{step - 1}", f"s{step}", len(content))
            assert_well_formed(header, records)
            assert apply(history.contents[step - 1], header, records) == content


def test_what_is_written_is_what_rbd_writes(history: History) -> None:
    """Byte for byte, where no record is longer than the writer makes them."""
    for stream in history.fulls + history.diffs:
        if history.layout["order"] <= 22 and "stripe_count" not in history.layout:
            object_size = 1 << history.layout["order"]
            assert written(*decode(stream), object_size=object_size) == stream
        else:
            assert decode(written(*decode(stream)))[0] == decode(stream)[0]


def test_the_merged_chain_restores(history: History, rbd: Rbd, tmp_path: pathlib.Path) -> None:
    """With rbd, without a snapshot of ours on the new image; and without rbd."""
    for point in (3, len(history.contents) - 1):
        content = history.contents[point]
        header, records = decode(merged(history.fulls[0], *history.diffs[1 : point + 1]))
        target = rbd.new()
        rbd("create", "--size", "1M", target)
        stream = written(Header(None, None, header.size), records)
        assert imported(rbd, stream, target, tmp_path) == content
        assert json.loads(rbd("snap", "ls", "--format", "json", target)) == []
        with open(tmp_path / f"raw{point}", "xb") as file:
            write_raw(records, header.size, file)
        assert (tmp_path / f"raw{point}").read_bytes() == content
        for cut in (stream, history.fulls[point], merged(history.fulls[point])):
            digest = ImageDigest(len(content))
            for record in decode(cut)[1]:
                digest.update(record)
            assert digest.hexdigest() == image_digest(content)


def test_a_merged_diff_leads_from_its_base_to_its_end(
    history: History, rbd: Rbd, tmp_path: pathlib.Path
) -> None:
    """Applied to an image that really holds the base, rests of a later shrink included."""
    for first, last in ((1, 3), (0, 5)):
        target = rbd.new()
        rbd("create", "--size", "1M", target)
        rbd("import-diff", "-", target, stdin=history.fulls[first])
        stream = merged(*history.diffs[first + 1 : last + 1])
        assert imported(rbd, stream, target, tmp_path) == history.contents[last]


def test_merges_like_rbd_merge_diff(history: History, rbd: Rbd, tmp_path: pathlib.Path) -> None:
    for first in range(1, len(history.diffs) - 1):
        pair = history.diffs[first : first + 2]
        for name, stream in zip("ab", pair):
            (tmp_path / f"{name}{first}").write_bytes(stream)
        rbd("merge-diff", tmp_path / f"a{first}", tmp_path / f"b{first}", tmp_path / f"ab{first}")
        assert flat((tmp_path / f"ab{first}").read_bytes()) == flat(merged(*pair))


def test_rbd_merge_diff_takes_what_was_merged(history: History, rbd: Rbd, tmp_path: pathlib.Path) -> None:
    (tmp_path / "full").write_bytes(merged(history.fulls[0], *history.diffs[1:3]))
    (tmp_path / "diff").write_bytes(merged(*history.diffs[3:]))
    rbd("merge-diff", tmp_path / "full", tmp_path / "diff", tmp_path / "both")
    header, records = decode((tmp_path / "both").read_bytes())
    assert apply(b"", header, records) == history.contents[-1]
