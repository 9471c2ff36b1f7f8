# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finishing a restore whose objects Kubernetes has refused: what is taken for its image. Images are in memory here,
so that one can be changed at any step; the integration tests do it with Ceph and Kubernetes."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions import restore
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.environment import Environment, Outcome
from ansible_collections.rbd_backup.gfs.plugins.module_utils._actions.restore_image import INCOMPLETE, WAITING
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.proof import load_proof, save_proof
from ansible_collections.rbd_backup.gfs.plugins.module_utils._archive.volume_directory import VolumeDirectory
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.reader import DiffReader
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.records import Data, Header
from ansible_collections.rbd_backup.gfs.plugins.module_utils._diffstream.writer import DiffWriter
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import HalfDone, NotFound
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageInfo, ImageSpec
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._actions.backup_of_contents import (
    BackupOfContents,
    image_digest,
    rebuild,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._actions.restoring import (
    SECOND,
    content,
)
from ansible_collections.rbd_backup.gfs.tests.unit.plugins.module_utils._archive import (
    archive_samples as samples,
)


@dataclasses.dataclass
class Image:
    content: bytearray = dataclasses.field(default_factory=bytearray)
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)


class Pipe:
    """A stream of ``rbd``: what was written, or is to be read."""

    def __init__(self, data: bytes = b"", finish: t.Callable[[bytes], object] = lambda _data: None) -> None:
        self.data = data
        self.finish = lambda: finish(self.data)

    def read(self, size: int) -> bytes:
        piece, self.data = self.data[:size], self.data[size:]
        return piece

    def write(self, data: bytes) -> None:
        self.data += data


class Ceph:
    """What a restore asks of an RbdClient."""

    def __init__(self) -> None:
        self.images: dict[str, Image] = {}

    def _image(self, spec: ImageSpec) -> Image:
        if spec.image not in self.images:
            raise NotFound(f"no image {spec}")
        return self.images[spec.image]

    def pool_ids(self) -> dict[str, int]:
        return {samples.SPEC.pool: 3}

    def rados_namespaces(self, _pool: str) -> tuple[str, ...]:
        return (samples.SPEC.rados_namespace,)

    def info(self, spec: ImageSpec) -> ImageInfo:
        return dataclasses.replace(samples.INFO, size=len(self._image(spec).content))

    def watchers(self, _spec: ImageSpec) -> int:
        return 0

    def metadata(self, spec: ImageSpec) -> dict[str, str]:
        return dict(self._image(spec).metadata)

    def set_metadata(self, spec: ImageSpec, key: str, value: str) -> None:
        self._image(spec).metadata[key] = value

    def remove_metadata(self, spec: ImageSpec, key: str) -> None:
        del self._image(spec).metadata[key]

    def create_image(self, spec: ImageSpec, size: int, *_options: t.Any) -> None:
        self.images[spec.image] = Image(bytearray(size))

    def empty_image(self, spec: ImageSpec, size: int) -> None:
        self._image(spec).content = bytearray(size)

    def rename_image(self, spec: ImageSpec, name: str) -> None:
        self.images[name] = self.images.pop(spec.image)

    def remove_image(self, spec: ImageSpec) -> None:
        self._image(spec)
        del self.images[spec.image]

    @contextlib.contextmanager
    def import_diff(self, spec: ImageSpec) -> t.Iterator[Pipe]:
        yield Pipe(finish=lambda data: self._apply(spec, data))

    def _apply(self, spec: ImageSpec, data: bytes) -> None:
        for record in DiffReader(Pipe(data)):
            if isinstance(record, Data):
                self._image(spec).content[record.offset : record.end] = record.data

    @contextlib.contextmanager
    def export_diff(self, spec: ImageSpec, _to: None, _base: None) -> t.Iterator[Pipe]:
        pipe, whole = Pipe(), bytes(self._image(spec).content)
        writer = DiffWriter(pipe.write)
        writer.header(Header(None, None, len(whole)))
        writer.record(Data(0, whole))
        writer.end()
        yield pipe


class Restores:
    """Restores of one volume into the image ``again``, with objects."""

    def __init__(self, backup: BackupOfContents, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ceph = Ceph()
        self.refuse = False
        self._backup = backup
        monkeypatch.setattr(Environment, "ceph", lambda _environment: self.ceph)
        monkeypatch.setattr(restore, "check_manifests", lambda *_args: None)
        monkeypatch.setattr(restore, "manifests_for", lambda *_args: ())
        monkeypatch.setattr(restore, "apply_manifests", self._apply)

    def _apply(self, *_args: t.Any) -> None:
        if self.refuse:
            raise HalfDone("refused")

    @property
    def image(self) -> Image:
        return self.ceph.images["again"]

    def run(self, check_mode: bool = False, **options: t.Any) -> Outcome:
        target = {**dict.fromkeys(("raw", "pool", "rados_namespace", "data_pool")), "image": "again"}
        given = {
            **dict.fromkeys(("prefix", "workload", "directory", "image_ids")),
            "root": str(self._backup.root),
            "cluster": "lab",
            "namespace": "shop",
            "claim": "data",
            "restore_point": "latest",
            "accept_unproved": options.pop("accept_unproved", False),
            "parallel": 1,
            "manifests": {"apply": True, "file": None},
            "target": {**target, "metadata": False, "overwrite": False, **options},
        }
        return restore.run(Environment(given, check_mode))

    def refused(self, **options: t.Any) -> None:
        """The first run: the image is there, and its objects are not."""
        self.refuse = True
        assert _messages(self.run(**options)) == ["refused"]
        self.refuse = False

    def message(self, **options: t.Any) -> str:
        """Why the restore fails, and touches nothing, as its preview does."""
        before = copy.deepcopy(self.ceph.images)
        preview, outcome = self.run(check_mode=True, **options), self.run(**options)
        assert _messages(preview) == _messages(outcome)
        assert not outcome.changed
        assert before == self.ceph.images
        (message,) = _messages(outcome)
        return message


def _messages(outcome: Outcome) -> list[str]:
    return [one["message"] for one in outcome.failures or ()]


@pytest.fixture
def restores(backup: BackupOfContents, monkeypatch: pytest.MonkeyPatch) -> Restores:
    return Restores(backup, monkeypatch)


def test_it_is_finished_and_what_was_read_of_the_image_is_no_proof_of_the_chain(
    backup: BackupOfContents, restores: Restores
) -> None:
    directory = backup.add("data", [content(1), content(2)])
    restores.refused()
    assert WAITING in restores.image.metadata
    proof = load_proof(str(directory))
    proof.replayed.clear()
    save_proof(str(directory), proof)
    (preview,) = restores.run(check_mode=True).values["volumes"]
    (result,) = restores.run().values["volumes"]
    assert (preview["resumed"], result["resumed"]) == (True, True)
    assert (preview["image_digest"], result["image_digest"]) == (None, image_digest(content(2)))
    assert not result["image_digest_recorded"]
    assert load_proof(str(directory)).replayed == {}
    assert WAITING not in restores.image.metadata


def test_an_image_that_was_changed_meanwhile_is_refused_by_the_preview_as_well(
    backup: BackupOfContents, restores: Restores
) -> None:
    backup.add("data", [content(1)])
    restores.refused()
    restores.image.content[5] ^= 1
    assert "has been changed since" in restores.message()


def test_what_was_restored_unproved_is_not_taken_for_what_is_proved_since(
    backup: BackupOfContents, restores: Restores
) -> None:
    directory = backup.add("data", [content(1), content(2)])
    manifests = {path: path.read_bytes() for path in directory.glob("*.zst.json")}
    rebuild(directory)
    restores.refused(accept_unproved=True)
    for path, before in manifests.items():
        path.write_bytes(before)
    assert "exists" in restores.message()
    assert load_proof(str(directory)).image_digest(samples.state(2, len(content(2)))) is None


def test_an_image_of_another_digest_than_is_on_record_by_now_is_refused(
    backup: BackupOfContents, restores: Restores
) -> None:
    directory = backup.add("data", [content(1), content(2)])
    restores.refused()
    proof = load_proof(str(directory))
    proof.record_replayed(samples.state(2, len(content(2))), image_digest(content(3)), samples.NOON)
    save_proof(str(directory), proof)
    assert "another image digest is on record" in restores.message()
    assert load_proof(str(directory)).replayed[SECOND].image_digest == image_digest(content(3))


def test_what_has_been_overwritten_waits_for_nothing(backup: BackupOfContents, restores: Restores) -> None:
    backup.add("data", [content(1), content(2)])
    restores.refused()
    restores.run(overwrite=True)
    assert restores.image.metadata == {}


def test_what_another_restore_has_begun_to_overwrite_is_not_taken_up(
    backup: BackupOfContents, restores: Restores
) -> None:
    backup.add("data", [content(1)])
    restores.refused()
    restores.image.metadata[INCOMPLETE] = "incomplete: another"
    assert "exists" in restores.message()


def test_metadata_that_is_asked_for_by_now_is_set_as_the_result_says(
    backup: BackupOfContents, restores: Restores
) -> None:
    directory = backup.add("data", [content(1)])
    described = VolumeDirectory.read(str(directory))
    described.description["image"]["metadata"] = {"note": "mine"}
    described.save()
    restores.refused()
    (result,) = restores.run(metadata=True).values["volumes"]
    assert result["metadata"] == ["note"]
    assert restores.image.metadata == {"note": "mine"}
