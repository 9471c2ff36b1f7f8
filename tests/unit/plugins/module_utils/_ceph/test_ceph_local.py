# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands as children of this process, whatever they do: no Ceph is needed for that."""

from __future__ import annotations

import os
import pathlib
import sys
import time
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.local import LocalRunner
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.runner import OutputStream
from ansible_collections.rbd_backup.gfs.plugins.module_utils._errors import CephError, NotFound

FOREVER = 600.0
FLOOD = "import os\nfor _ in range(40): os.write(2, b'e' * 65536); os.write(1, b'o' * 65536)"


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def sh(program: str, *arguments: str) -> list[str]:
    return ["sh", "-c", program, "sh", *arguments]


def read_all(stream: OutputStream) -> bytes:
    return b"".join(iter(stream.read, b""))


def alive(pid_file: pathlib.Path) -> bool:
    try:
        os.kill(int(pid_file.read_text()), 0)
    except ProcessLookupError:
        return False
    return True


def eventually(condition: t.Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def written(path: pathlib.Path) -> bool:
    return path.exists() and bool(path.read_text().strip())


def test_a_command_that_fails_has_ended_all_the_same() -> None:
    completed = LocalRunner().run(sh("echo out; echo err >&2; exit 7"), FOREVER)
    assert (completed.rc, completed.stdout, completed.stderr) == (7, b"out\n", "err\n")


def test_a_name_is_never_read_by_a_shell() -> None:
    assert LocalRunner().run(["printf", "%s", "a; exit 9 #$(id)"], FOREVER).stdout == b"a; exit 9 #$(id)"


def test_much_on_both_outputs_does_not_block_and_stderr_is_bounded() -> None:
    completed = LocalRunner().run(python(FLOOD), FOREVER)
    assert completed.stdout == b"o" * (40 * 65536)
    assert completed.stderr == "e" * 65536


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(CephError, match="no-such-program could not be started on this host"):
        LocalRunner().run(["no-such-program"], FOREVER)


def test_a_command_that_does_not_end_is_ended(tmp_path: pathlib.Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(CephError, match=r"did not end within 0\.5 s .* It said: stuck"):
        LocalRunner().run(sh('echo $$ >"$1"; echo stuck >&2; sleep 600', str(pid)), 0.5)
    assert not alive(pid)


def test_a_command_that_closes_its_outputs_and_stays_is_ended() -> None:
    with pytest.raises(CephError, match="did not end within"):
        LocalRunner().run(sh("exec >&- 2>&-; exec sleep 600"), 0.5)


def test_a_command_that_writes_on_and_on_is_late_all_the_same() -> None:
    with pytest.raises(CephError, match="did not end within"):
        LocalRunner().run(sh("while echo more; do sleep 0.05; done"), 0.5)


def test_output_is_proved_at_its_end() -> None:
    with LocalRunner().open_output(python(FLOOD), FOREVER) as stream:
        with pytest.raises(CephError, match="not read to a good end"):
            stream.finish()
        data = read_all(stream)
        receipt = stream.finish()
    assert receipt.bytes == len(data)
    assert data == b"o" * (40 * 65536)


def test_output_never_ends_well_when_the_command_did_not() -> None:
    with LocalRunner().open_output(sh("echo data; echo why >&2; exit 5"), FOREVER) as stream:
        with pytest.raises(CephError, match="exit code 5: why") as caught:
            read_all(stream)
        with pytest.raises(CephError):
            stream.finish()
    assert caught.value.details["rc"] == 5


def test_a_killed_command_is_never_an_end() -> None:
    with LocalRunner().open_output(sh("echo data; kill -9 $$"), FOREVER) as stream:
        with pytest.raises(CephError, match="killed by signal 9"):
            read_all(stream)


def test_a_missing_image_is_told_apart() -> None:
    program = 'echo "rbd: error opening image x: (2) No such file or directory" >&2; exit 2'
    with LocalRunner().open_output(sh(program), FOREVER) as stream:
        with pytest.raises(NotFound):
            read_all(stream)


def test_output_that_stands_still_is_ended(tmp_path: pathlib.Path) -> None:
    pid = tmp_path / "pid"
    with LocalRunner().open_output(sh('echo $$ >"$1"; echo data; sleep 600', str(pid)), 0.5) as stream:
        with pytest.raises(CephError, match=r"stood still for 0\.5 s"):
            read_all(stream)
    assert not alive(pid)


@pytest.mark.parametrize("program", ["yes", "sleep 600", "while echo; do sleep 0.05; done"])
def test_output_ends_when_its_time_is_over_whether_it_goes_on_or_stands_still(program: str) -> None:
    with LocalRunner().open_output(sh(program), FOREVER, 0.5) as stream:
        with pytest.raises(CephError, match=r"did not end within 0\.5 s"):
            read_all(stream)


def test_a_word_on_stderr_is_a_sign_of_life() -> None:
    program = "for n in 1 2 3 4 5 6 7 8; do sleep 0.25; echo $n >&2; done; echo end"
    with LocalRunner().open_output(sh(program), 1.0) as stream:
        assert read_all(stream) == b"end\n"


def test_leaving_an_output_kills_the_command_and_what_it_started(tmp_path: pathlib.Path) -> None:
    pid = tmp_path / "pid"
    with LocalRunner().open_output(sh('sleep 600 & echo $! >"$1"; yes', str(pid)), FOREVER) as stream:
        stream.read()
        eventually(lambda: written(pid))
    eventually(lambda: not alive(pid))


def test_input_is_handed_over_whole(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "target"
    pieces = [os.urandom(size) for size in (1, 0, 3 << 20, 17, 1 << 16)]
    with LocalRunner().open_input(sh('exec cat >"$1"', str(target)), FOREVER) as stream:
        for piece in pieces:
            stream.write(piece)
        receipt = stream.finish()
    data = b"".join(pieces)
    assert target.read_bytes() == data
    assert receipt.bytes == len(data)


def test_empty_input_is_input() -> None:
    with LocalRunner().open_input(sh("exec cat"), FOREVER) as stream:
        assert stream.finish().bytes == 0


def test_the_last_byte_comes_with_finish_only(tmp_path: pathlib.Path) -> None:
    seen = tmp_path / "seen"
    program = (
        "import os, select, sys; data = os.read(0, 4)\n"
        "more = select.select([0], [], [], 1.0)[0]\n"
        "open(sys.argv[1], 'w').write(f'{data} {len(more)}\\n')\n"
        "data = os.read(0, 4); sys.exit(data != b'5')\n"
    )
    with LocalRunner().open_input([*python(program), str(seen)], FOREVER) as stream:
        stream.write(b"12345")
        eventually(lambda: written(seen))
        assert seen.read_text() == "b'1234' 0\n"
        assert stream.finish().bytes == 5


def test_leaving_an_input_kills_the_command_before_it_sees_the_end(tmp_path: pathlib.Path) -> None:
    done = tmp_path / "done"
    with LocalRunner().open_input(sh('cat >/dev/null; touch "$1"', str(done)), FOREVER) as stream:
        stream.write(b"x" * (2 << 20))
    assert not done.exists()


def test_a_command_that_dies_of_its_input_says_why() -> None:
    with LocalRunner().open_input(
        sh("head -c 9 >/dev/null; echo bad header >&2; exit 22"), FOREVER
    ) as stream:
        with pytest.raises(CephError, match="exit code 22: bad header"):
            stream.write(b"x" * (8 << 20))


def test_a_command_that_ends_well_without_its_whole_input_is_an_error() -> None:
    with LocalRunner().open_input(sh("head -c 9 >/dev/null"), FOREVER) as stream:
        with pytest.raises(CephError, match="before it had taken all"):
            stream.write(b"x" * (8 << 20))


def test_input_that_is_not_taken_is_ended() -> None:
    with LocalRunner().open_input(sh("exec sleep 600"), 0.5) as stream:
        with pytest.raises(CephError, match="stood still"):
            stream.write(b"x" * (8 << 20))


def test_a_failure_after_all_input_was_taken_is_a_failure() -> None:
    with LocalRunner().open_input(sh("cat >/dev/null; echo no space >&2; exit 28"), FOREVER) as stream:
        stream.write(b"data")
        with pytest.raises(CephError, match="exit code 28: no space"):
            stream.finish()


def test_nothing_stays_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _again in range(5):
        with LocalRunner().open_output(sh("yes"), FOREVER) as stream:
            stream.read()
        with LocalRunner().open_input(sh("exec cat"), FOREVER) as target:
            target.finish()
        LocalRunner().run(sh("true"), FOREVER)
    assert len(os.listdir("/proc/self/fd")) == before
