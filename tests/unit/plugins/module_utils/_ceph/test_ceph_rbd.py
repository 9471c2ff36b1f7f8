# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that the client makes, seen by a runner that only writes them down."""

from __future__ import annotations

import math
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.runner import (
    Completed,
    InputStream,
    OutputStream,
    Runner,
)
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import CephError, NotFound
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec

SPEC = ImageSpec("pool", "tenant", "odd name;with#all $(id)")
ON_IMAGE = ["--pool", "pool", "--namespace", "tenant", "--image", "odd name;with#all $(id)"]
QUIET = ["--debug-ms", "0", "--log-to-stderr=false", "--err-to-stderr=true"]


class Notebook(Runner):
    """Fault injection and notes: answers what it was told to answer, and keeps the commands."""

    def __init__(self, *answers: Completed) -> None:
        self.commands: list[list[str]] = []
        self._answers = list(answers)

    def run(self, argv: t.Sequence[str], timeout: float) -> Completed:
        self.commands.append(list(argv))
        return self._answers.pop(0) if self._answers else Completed(0, b"", "")

    def open_output(
        self, argv: t.Sequence[str], stall_timeout: float, timeout: float = math.inf
    ) -> OutputStream:
        self.commands.append(list(argv))
        raise CephError("the notebook runs nothing", rc=1)

    def open_input(self, argv: t.Sequence[str], stall_timeout: float) -> InputStream:
        self.commands.append(list(argv))
        raise CephError("the notebook runs nothing", rc=1)

    def describe(self) -> str:
        return "notebook"


def answer(stdout: bytes) -> Completed:
    return Completed(0, stdout, "")


def test_a_question_is_asked_once_more_where_the_program_crashed() -> None:
    crashed = Completed(-6, b"", "terminate called after throwing an instance of 'std::system_error'")
    notebook = Notebook(crashed, answer(b"[]"))
    assert RbdClient(notebook).snapshots(SPEC) == ()
    assert notebook.commands[0] == notebook.commands[1]
    with pytest.raises(CephError, match="was killed by signal 6"):
        RbdClient(Notebook(crashed, crashed)).snapshots(SPEC)


@pytest.mark.parametrize("rc", [-6, -9])
def test_what_changes_something_or_was_killed_is_not_done_twice(rc: int) -> None:
    notebook = Notebook(Completed(rc, b"", ""))
    with pytest.raises(CephError, match="was killed by signal"):
        RbdClient(notebook).create_snapshot(SPEC, "s")
    assert len(notebook.commands) == 1
    killed = Notebook(Completed(-9, b"", ""))
    with pytest.raises(CephError, match="was killed by signal 9"):
        RbdClient(killed).snapshots(SPEC)
    assert len(killed.commands) == 1


def last_command(call: t.Callable[[RbdClient], object], *answers: Completed) -> list[str]:
    notebook = Notebook(*answers)
    try:
        call(RbdClient(notebook))
    except CephError:
        pass
    return notebook.commands[-1]


CALLS: dict[str, tuple[t.Callable[[RbdClient], object], list[str]]] = {
    "info": (lambda c: c.info(SPEC), ["info", "--format", "json", *ON_IMAGE]),
    "snapshots": (lambda c: c.snapshots(SPEC), ["snap", "ls", "--all", "--format", "json", *ON_IMAGE]),
    "create": (lambda c: c.create_snapshot(SPEC, "a b"), ["snap", "create", "--snap", "a b", *ON_IMAGE]),
    "remove": (lambda c: c.remove_snapshot(SPEC, 7), ["snap", "rm", "--snap-id", "7", *ON_IMAGE]),
    "full": (
        lambda c: c.export_diff(SPEC, "to", None),
        ["export-diff", "--snap", "to", "--path", "-", *ON_IMAGE],
    ),
    "diff": (
        lambda c: c.export_diff(SPEC, "to", "base"),
        ["export-diff", "--snap", "to", "--from-snap", "base", "--path", "-", *ON_IMAGE],
    ),
    "import": (lambda c: c.import_diff(SPEC), ["import-diff", "--path", "-", *ON_IMAGE]),
    "remove image": (lambda c: c.remove_image(SPEC), ["rm", *ON_IMAGE]),
    "rename": (
        lambda c: c.rename_image(SPEC, "new name"),
        ["rename", "--dest-pool", "pool", "--dest", "new name", "--dest-namespace", "tenant", *ON_IMAGE],
    ),
    "watchers": (lambda c: c.watchers(SPEC), ["status", "--format", "json", *ON_IMAGE]),
}


LISTED = b'[{"image":"a","id":"1f","size":1,"format":2}]'


def test_a_pool_is_listed_in_one_command_that_may_take_its_time() -> None:
    waits: list[float] = []

    class Patient(Notebook):
        def run(self, argv: t.Sequence[str], timeout: float) -> Completed:
            waits.append(timeout)
            return super().run(argv, timeout)

    notebook = Patient(answer(LISTED), answer(b'["a"]'))
    client = RbdClient(notebook, timeout=7, stall_timeout=700)
    assert list(client.list_images("pool", "tenant")) == ["a"]
    assert client.image_names("pool", "") == {"a"}
    common = ["rbd", *QUIET, "--client-mount-timeout", "3", "ls"]
    assert notebook.commands == [
        [*common, "--pool", "pool", "--namespace", "tenant", "--long", "--format", "json"],
        [*common, "--pool", "pool", "--format", "json"],
    ]
    assert waits == [700, 7]


# Fault injection: what rbd says is made up after its source, as a single image cannot be broken in these ways.
@pytest.mark.parametrize(
    ("rc", "stdout", "stderr", "known"),
    [
        (0, LISTED, "rbd: error opening b: (2) No such file or directory\n", ["a"]),
        (
            1,
            LISTED,
            "rbd: error opening b: (1) Operation not permitted\nrbd: listing images failed: ...\n",
            ["a"],
        ),
        (0, LISTED, "rbd: error processing image a: (5) Input/output error\n", []),
        (0, LISTED, "x" * (64 << 10), []),
    ],
)
def test_what_a_listing_passed_over_is_not_known(
    rc: int, stdout: bytes, stderr: str, known: list[str]
) -> None:
    client = RbdClient(Notebook(Completed(rc, stdout, stderr)))
    assert list(client.list_images("pool", "")) == known


@pytest.mark.parametrize(
    ("rc", "stdout", "stderr"),
    [
        (2, b"", "rbd: error opening pool 'pool': (2) No such file or directory\n"),
        (1, b"", "rbd: error opening b: (1) Operation not permitted\n"),
        (1, LISTED, "rbd: listing images failed: (5) Input/output error\n"),
        (-9, LISTED, ""),
        (0, b"", ""),
        (0, LISTED[:-1], ""),
    ],
)
def test_a_listing_that_failed_is_an_error(rc: int, stdout: bytes, stderr: str) -> None:
    with pytest.raises(CephError, match="Listing the images of pool/tenant failed"):
        RbdClient(Notebook(Completed(rc, stdout, stderr))).list_images("pool", "tenant")


@pytest.mark.parametrize("name", CALLS)
def test_names_stand_in_options_of_their_own(name: str) -> None:
    call, words = CALLS[name]
    assert last_command(call) == ["rbd", *QUIET, "--client-mount-timeout", "30", *words]


def test_the_default_rados_namespace_is_not_named() -> None:
    command = last_command(lambda c: c.info(ImageSpec("pool", "", "image")))
    assert command[-4:] == ["--pool", "pool", "--image", "image"]


@pytest.mark.parametrize("name", CALLS)
def test_nothing_is_ever_forced_or_purged(name: str) -> None:
    assert not {"--force", "purge", "--whole-object", "lock"} & set(last_command(CALLS[name][0]))


def test_access_is_said_to_both_programs_and_extra_arguments_have_the_last_word() -> None:
    notebook = Notebook(answer(b'{"fsid":"f","pools":[]}'), answer(b"[]"))
    client = RbdClient(notebook, "/c", "/k", "u", ["--cluster", "east"], timeout=7)
    client.fsid()
    client.snapshots(SPEC)
    access = ["--conf", "/c", "--keyring", "/k", "--id", "u", *QUIET]
    extra = ["3", "--cluster", "east"]
    assert notebook.commands == [
        ["ceph", *access, "--connect-timeout", *extra, "osd", "dump", "--format", "json"],
        [
            "rbd",
            *access,
            "--client-mount-timeout",
            *extra,
            "snap",
            "ls",
            "--all",
            "--format",
            "json",
            *ON_IMAGE,
        ],
    ]


def test_a_new_image_is_like_the_old_one() -> None:
    command = last_command(
        lambda c: c.create_image(
            SPEC,
            12345 * 512,
            1 << 20,
            ["layering", "data-pool", "striping", "operations", "deep-flatten"],
            data_pool="ec",
            stripe_unit=1 << 16,
            stripe_count=3,
        )
    )
    assert command[command.index("create") :] == [
        "create",
        *["--size", "6320640B", "--object-size", "1048576B"],
        *["--image-feature", "layering", "--image-feature", "deep-flatten"],
        *["--data-pool", "ec", "--stripe-unit", "65536B", "--stripe-count", "3"],
        *ON_IMAGE,
    ]


def test_default_striping_is_not_asked_for() -> None:
    command = last_command(
        lambda c: c.create_image(SPEC, 512, 1 << 22, ["layering"], stripe_unit=1 << 22, stripe_count=1)
    )
    assert "--stripe-unit" not in command


def test_the_cluster_and_its_pools_are_asked_for_once() -> None:
    notebook = Notebook(answer(b'{"fsid":"f","pools":[{"pool":3,"pool_name":"pool"}]}'))
    client = RbdClient(notebook)
    assert [client.fsid(), client.fsid()] == ["f", "f"]
    client.pool_ids()["pool"] = 9
    assert client.pool_ids() == {"pool": 3}
    assert len(notebook.commands) == 1


def test_a_failure_to_ask_is_not_kept() -> None:
    client = RbdClient(Notebook(Completed(1, b"", "timed out"), answer(b'{"fsid":"f","pools":[]}')))
    with pytest.raises(CephError, match="timed out"):
        client.fsid()
    assert client.fsid() == "f"


def test_a_message_says_what_failed_where_and_why() -> None:
    client = RbdClient(
        Notebook(Completed(2, b"", "rbd: error opening image x: (2) No such file or directory\n"))
    )
    with pytest.raises(NotFound) as caught:
        client.snapshots(ImageSpec("pool", "", "x"))
    assert caught.value.message == (
        "Listing the snapshots of pool/x failed (notebook): rbd ended with exit code 2: "
        "rbd: error opening image x: (2) No such file or directory"
    )
    assert (caught.value.details["rc"], caught.value.details["where"]) == (2, "notebook")


def test_an_answer_that_cannot_be_read_is_a_failure_of_the_question() -> None:
    with pytest.raises(
        CephError, match=r"Listing the snapshots of pool/x failed \(notebook\): the answer is empty"
    ):
        RbdClient(Notebook()).snapshots(ImageSpec("pool", "", "x"))


def test_a_pool_that_ceph_does_not_have() -> None:
    with pytest.raises(NotFound, match="no pool elsewhere"):
        RbdClient(Notebook(answer(b'{"fsid":"f","pools":[]}'))).identity(ImageSpec("elsewhere", "", "x"))


def test_no_metadata_is_believed_only_in_words() -> None:
    words = answer(b"There are 0 metadata on this image.\n")
    assert RbdClient(Notebook(answer(b""), words)).metadata(SPEC) == {}
    assert RbdClient(Notebook(answer(b"{}"))).metadata(SPEC) == {}
    with pytest.raises(CephError, match="empty"):
        RbdClient(Notebook(answer(b""), answer(b"There is 1 metadatum on this image:\n"))).metadata(SPEC)
    with pytest.raises(CephError, match="empty"):
        RbdClient(Notebook(answer(b""), answer(b""))).metadata(SPEC)


def test_a_version_that_is_none() -> None:
    said = b"ceph version 16.2.15 (618f440892089921c3e944a991122ddc44e60516) pacific (stable)\n"
    assert RbdClient(Notebook(answer(said))).version() == "16.2.15"
    with pytest.raises(CephError, match="names no version"):
        RbdClient(Notebook(answer(b"hello"))).version()
