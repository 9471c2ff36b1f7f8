# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The far side, run as it runs in a pod, on pipes instead of a connection. No Ceph is needed for that."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import time
import typing as t
import zipfile

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph import (
    child,
    far_side,
    near_side,
    packing,
    unpacking,
)

UTILS = pathlib.Path(near_side.__file__).parent.parent
TOKEN = "0123456789abcdef"


class Far:
    """A far side with its three pipes; stdout goes to a file unless the test reads it."""

    def __init__(
        self,
        argv: t.Sequence[str],
        takes_input: bool = False,
        stall: float = 600,
        limit: float = 600,
        stdout: int | t.IO[bytes] = subprocess.PIPE,
        pack: t.Sequence[int] = (),
        options: t.Sequence[str] = (),
        env: t.Mapping[str, str] | None = None,
    ) -> None:
        command = [sys.executable, *options, *near_side.far_command(argv)[1:]]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.PIPE, env=env
        )
        self.send(near_side.program())
        if argv:
            self.send(near_side.request(TOKEN, argv, takes_input, stall, limit, pack))

    def send(self, data: bytes) -> None:
        stdin = t.cast(t.IO[bytes], self.process.stdin)
        stdin.write(data)
        stdin.flush()

    def feed(self, data: bytes, seal: bool = True) -> None:
        for start in range(0, len(data), 1 << 20):
            self.send(near_side.frame(data[start : start + (1 << 20)]))
        if seal:
            self.seal(len(data), hashlib.sha256(data).digest())

    def seal(self, count: int, digest: bytes) -> None:
        self.send(near_side.frame(b"") + near_side.frame(struct.pack(">Q", count) + digest))

    def answer(self, token: str, argv: t.Sequence[str], limit: float = 600) -> tuple[dict[str, t.Any], bytes]:
        """Have it serve one more command, and return the word of its end and what the command wrote."""
        self.send(near_side.request(token, argv, False, 600, limit))
        said, came = t.cast(t.IO[bytes], self.process.stderr), t.cast(t.IO[bytes], self.process.stdout)
        end: dict[str, t.Any] = json.loads(said.readline().decode().partition(f"{token} ")[2])["end"]
        return end, came.read(end["bytes"])

    def words(self) -> list[dict[str, t.Any]]:
        """What it said until its end, which is waited for."""
        lines = t.cast(t.IO[bytes], self.process.stderr).read().decode().splitlines()
        assert all(line.startswith(TOKEN + " ") for line in lines), lines
        self.process.wait(20)
        return [json.loads(line[len(TOKEN) :]) for line in lines]

    def last_word(self) -> dict[str, t.Any]:
        """The end of a command that did not take all of its input; the far side waits for us to go."""
        lines = iter(t.cast(t.IO[bytes], self.process.stderr).readline, b"")
        words = (json.loads(line[len(TOKEN) :]) for line in lines)
        end: dict[str, t.Any] = next(word["end"] for word in words if "end" in word)
        t.cast(t.IO[bytes], self.process.stdin).close()
        assert self.process.wait(20) == 0
        return end

    def end(self) -> dict[str, t.Any]:
        end: dict[str, t.Any] = self.words()[-1]["end"]
        return end

    def __enter__(self) -> Far:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass
        self.process.wait()


def sh(program: str, *arguments: object) -> list[str]:
    return ["sh", "-c", program, "sh", *map(str, arguments)]


def eventually(condition: t.Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def pid_in(path: pathlib.Path) -> int:
    eventually(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def test_it_counts_and_hashes_what_passes(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "out"
    with target.open("wb") as stdout:
        with Far(sh("head -c 5000000 /dev/urandom; echo why >&2; exit 3"), stdout=stdout) as far:
            end = far.end()
    data = target.read_bytes()
    assert end == {
        "rc": 3,
        "why": "",
        "bytes": 5000000,
        "sha256": hashlib.sha256(data).hexdigest(),
        "stderr": "why\n",
    }


@pytest.mark.parametrize("pack", [packing.ZSTD, packing.ZLIB])
def test_it_packs_what_passes_and_tells_of_what_the_command_wrote(tmp_path: pathlib.Path, pack: int) -> None:
    data = os.urandom(300_000) + bytes(9_000_000) + os.urandom(3_000_000)
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(data)
    with target.open("wb") as stdout:
        with Far(["cat", str(source)], stdout=stdout, pack=[pack]) as far:
            end = far.end()
    packed = target.read_bytes()
    assert len(packed) < 6_000_000
    assert unpacking.Unpacker().feed(packed) == data
    assert (end["bytes"], end["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())


def test_without_a_command_it_serves_one_after_the_other() -> None:
    with Far([]) as far:
        for token, text, rc in (("a", "first", 0), ("b", "", 2), ("c", "third" * 5000, 0)):
            end, answer = far.answer(
                token, sh('printf %s "$1"; echo "$1" | head -c 5 >&2; exit $2', text, rc)
            )
            assert answer == text.encode()
            assert (end["rc"], end["why"], end["stderr"].strip()) == (rc, "", text[:5])
            assert (end["bytes"], end["sha256"]) == (len(answer), hashlib.sha256(answer).hexdigest())
        t.cast(t.IO[bytes], far.process.stdin).close()
        far.process.wait(20)


def test_a_command_arrives_as_it_was_sent_whatever_the_locale_of_the_pod() -> None:
    """Without a locale, as containers are, Python 3.6 knows ASCII alone; newer ones have to be told to be like that."""
    with Far([], options=("-X", "utf8=0"), env={**os.environ, "LC_ALL": "C"}) as far:
        end, answer = far.answer("a", sh('printf %s "$1"', "Gr\xf6\xdfe \u20ac \udcff"))
    assert (end["rc"], end["why"], answer) == (0, "", b"Gr\xc3\xb6\xc3\x9fe \xe2\x82\xac \xff")


def test_after_a_command_that_had_to_be_ended_it_serves_no_more() -> None:
    with Far([]) as far:
        end, _answer = far.answer("a", sh("exec sleep 600"), limit=0.2)
        assert end["why"] == "late"
        assert far.process.wait(20) == 0


def test_it_does_not_wait_for_ever_for_another_command(monkeypatch: pytest.MonkeyPatch) -> None:
    real = near_side._source
    monkeypatch.setattr(
        near_side, "_source", lambda module: real(module).replace("IDLE = 60.0", "IDLE = 0.1")
    )
    with Far([]) as far:
        assert far.process.wait(20) == 0


def test_a_signal_is_told_as_such() -> None:
    with Far(sh("kill -9 $$")) as far:
        assert far.end()["rc"] == -9


def test_a_program_that_is_not_there() -> None:
    with Far(["no-such-program"]) as far:
        end = far.end()
    assert (end["rc"], end["why"]) == (None, "start")
    assert "no-such-program" in end["stderr"]


def test_a_command_that_stands_still_is_ended(tmp_path: pathlib.Path) -> None:
    with Far(sh('echo $$ >"$1"; exec sleep 600', tmp_path / "pid"), stall=0.5) as far:
        assert far.end()["why"] == "stalled"
    assert not alive(pid_in(tmp_path / "pid"))


def test_a_command_that_does_not_end_in_time_is_ended() -> None:
    with Far(sh("while echo more >&2; do sleep 0.05; done"), limit=0.5) as far:
        assert far.end()["why"] == "late"


def test_a_near_side_that_reads_no_more_is_a_stall(tmp_path: pathlib.Path) -> None:
    with Far(sh('echo $$ >"$1"; exec yes', tmp_path / "pid"), stall=0.5) as far:
        assert far.end()["why"] == "stalled"
    assert not alive(pid_in(tmp_path / "pid"))


@pytest.mark.parametrize("takes_input", [False, True])
def test_the_command_goes_with_the_near_side(tmp_path: pathlib.Path, takes_input: bool) -> None:
    done = tmp_path / "done"
    with Far(sh('echo $$ >"$1"; sleep 600; touch "$2"', tmp_path / "pid", done), takes_input) as far:
        pid = pid_in(tmp_path / "pid")
        t.cast(t.IO[bytes], far.process.stdin).close()
        assert far.end()["why"] == "gone"
        assert not alive(pid)
    assert not done.exists()


def test_the_command_goes_when_its_output_is_cut(tmp_path: pathlib.Path) -> None:
    with Far(sh('echo $$ >"$1"; exec sleep 600', tmp_path / "pid")) as far:
        pid = pid_in(tmp_path / "pid")
        t.cast(t.IO[bytes], far.process.stdout).close()
        assert far.end()["why"] == "gone"
        assert not alive(pid)


def test_input_reaches_the_command_when_the_seal_fits(tmp_path: pathlib.Path) -> None:
    data = os.urandom((3 << 20) + 5)
    with Far(sh('exec cat >"$1"', tmp_path / "in"), takes_input=True) as far:
        far.feed(data)
        words = far.words()
    assert (tmp_path / "in").read_bytes() == data
    assert words[-1]["end"]["sha256"] == hashlib.sha256(data).hexdigest()
    acknowledged = [word["ack"] for word in words if "ack" in word]
    assert acknowledged == sorted(acknowledged)
    assert acknowledged[-1] == len(data)


def test_empty_input_is_input() -> None:
    with Far(sh("exec cat"), takes_input=True) as far:
        far.feed(b"")
        assert (far.end()["rc"], far.process.returncode) == (0, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda count, digest: (count + 1, digest),
        lambda count, digest: (count, bytes(32)),
        lambda count, digest: (count, digest[:31]),
    ],
)
def test_the_last_byte_is_kept_back_from_the_command_when_the_seal_does_not_fit(
    tmp_path: pathlib.Path, wrong: t.Callable[[int, bytes], tuple[int, bytes]]
) -> None:
    done = tmp_path / "done"
    with Far(sh('head -c 4 >/dev/null; touch "$1"', done), takes_input=True) as far:
        far.feed(b"data", seal=False)
        far.seal(*wrong(4, hashlib.sha256(b"data").digest()))
        assert far.last_word()["why"] == "mismatch"
    assert not done.exists()


def test_input_without_a_seal_never_completes_the_command(tmp_path: pathlib.Path) -> None:
    done = tmp_path / "done"
    with Far(sh('head -c 4 >/dev/null; touch "$1"', done), takes_input=True) as far:
        far.feed(b"data", seal=False)
        t.cast(t.IO[bytes], far.process.stdin).close()
        assert far.end()["why"] == "gone"
    assert not done.exists()


def test_a_command_that_dies_of_its_input_says_why() -> None:
    with Far(sh("head -c 9 >/dev/null; echo bad header >&2; exit 22"), takes_input=True) as far:
        far.feed(b"x" * (8 << 20))
        end = far.last_word()
    assert (end["rc"], end["why"], end["stderr"]) == (22, "", "bad header\n")


def test_input_that_is_not_taken_is_a_stall() -> None:
    with Far(sh("exec sleep 600"), takes_input=True, stall=0.5) as far:
        far.feed(b"x" * (3 << 20), seal=False)
        assert far.last_word()["why"] == "stalled"


def test_it_says_that_it_is_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    real = near_side._source
    monkeypatch.setattr(
        near_side, "_source", lambda module: real(module).replace("BEAT = 10.0", "BEAT = 0.1")
    )
    with Far(sh("sleep 3")) as far:
        words = far.words()
    assert [word for word in words if "beat" in word]


def test_a_near_side_that_is_killed_before_it_asked_leaves_nothing() -> None:
    process = subprocess.Popen(
        [sys.executable, *near_side.far_command(["sleep", "600"])[1:]], stdin=subprocess.PIPE
    )
    t.cast(t.IO[bytes], process.stdin).close()
    assert process.wait(20) == 1


def test_it_ends_when_it_is_terminated_itself(tmp_path: pathlib.Path) -> None:
    with Far(sh('echo $$ >"$1"; exec yes', tmp_path / "pid")) as far:
        pid = pid_in(tmp_path / "pid")
        far.process.send_signal(signal.SIGKILL)
        far.process.wait()
        t.cast(t.IO[bytes], far.process.stdout).close()
        eventually(lambda: not alive(pid))


@pytest.mark.parametrize("module", [child, packing, far_side])
def test_what_is_sent_is_python_3_6_and_needs_nothing_else(module: t.Any) -> None:
    tree = ast.parse(pathlib.Path(module.__file__).read_text(encoding="utf-8"), feature_version=(3, 6))
    imported = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    imported += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    package = child.__name__.rpartition(".")[0]
    # sys.stdlib_module_names would say it, from Python 3.10 on
    found = {name: importlib.util.find_spec(name) for name in imported if not name.startswith(package)}
    assert found
    assert [name for name, spec in found.items() if spec is None or "site-packages" in str(spec.origin)] == []


def test_it_is_found_inside_the_zip_that_ansible_makes_of_a_module(tmp_path: pathlib.Path) -> None:
    package = "ansible_collections/rbd_backup/gfs/plugins/module_utils"
    with zipfile.ZipFile(tmp_path / "module.zip", "w") as archive:
        for level in range(1, 6):
            archive.writestr("/".join(package.split("/")[:level]) + "/__init__.py", "")
        for path in UTILS.rglob("*.py"):
            archive.write(path, f"{package}/{path.relative_to(UTILS).as_posix()}")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'module.zip')!r})\n"
        f"from {near_side.__name__} import program\n"
        "sys.stdout.buffer.write(program())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={}, stdout=subprocess.PIPE, check=True
    )
    assert done.stdout == near_side.program()
