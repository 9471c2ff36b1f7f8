# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures us beside the tools themselves in the lab, and prints a table.

Each file bench_NAME.py is a benchmark: its ``measure(bench, repeats)`` yields lines. It is found by its name alone.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pathlib
import platform
import signal
import sys
import time

from ansible_collections.rbd_backup.gfs.tests.bench.lab import Bench

NAMES = sorted(path.stem[len("bench_") :] for path in pathlib.Path(__file__).parent.glob("bench_*.py"))


def main() -> None:
    """Run the benchmarks that are named, or all."""
    parser = argparse.ArgumentParser(prog="tests/bench/run", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(NAMES)}; all if none")
    parser.add_argument(
        "--repeats", type=int, default=5, help="rounds that are counted, after one that is not"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that images and files are removed then, too
    unknown = set(arguments.names) - set(NAMES)
    if unknown or arguments.repeats < 1:
        parser.error(
            f"there is no benchmark {', '.join(unknown)}" if unknown else "at least one repeat is needed"
        )
    python, load = platform.python_version(), os.getloadavg()[0]
    print(f"{os.cpu_count()} CPUs, {platform.machine()}, Python {python}, load {load:.1f}")
    for name in arguments.names or NAMES:
        started = time.monotonic()
        print(f"\n{name}", flush=True)
        with Bench() as bench:
            for line in importlib.import_module(f"{__package__}.bench_{name}").measure(
                bench, arguments.repeats
            ):
                verdict = {None: "", True: "met", False: "MISSED"}[line.met]
                print(f"  {line.what:44} {line.figure:48} {line.target:10} {verdict}", flush=True)
        print(f"  ({time.monotonic() - started:.0f} s)", flush=True)
    sys.stdout.flush()


main()
