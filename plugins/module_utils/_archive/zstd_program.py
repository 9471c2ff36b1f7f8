# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decompression by the program zstd, for the day on which its Python library is not there."""

from __future__ import annotations

import subprocess
import threading
import typing as t


class ProgramFailed(Exception):
    """The program refused what it was given; the text is what it said."""


def pieces_of(program: str, take: t.Callable[[], bytes], size: int) -> t.Iterator[bytes]:
    """Yield what *program* makes of what *take* returns (nothing: the end), in pieces of at most *size* bytes.

    The iteration ends only when the program has found its input whole. Raises ProgramFailed, and what *take* raises.
    """
    child = subprocess.Popen(
        [program, "-dcq"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    stdin, stdout, stderr = (t.cast(t.IO[bytes], pipe) for pipe in (child.stdin, child.stdout, child.stderr))
    failed: list[BaseException] = []

    def feed() -> None:
        try:
            with stdin:
                for piece in iter(take, b""):
                    stdin.write(piece)
        except BrokenPipeError:
            pass  # the program says why
        except BaseException as error:
            failed.append(error)

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    try:
        yield from iter(lambda: stdout.read(size), b"")
        feeder.join()
        said = stderr.read().decode("utf-8", "replace").strip()
        if failed:
            raise failed[0]
        if child.wait() != 0:
            raise ProgramFailed(said or f"exit code {child.returncode}")
    finally:
        child.kill()
        child.wait()
        feeder.join()
        stdout.close()
        stderr.close()
