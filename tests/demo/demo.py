# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ten weeks of backups in the lab, as a user would run them, and the proof that they can be restored.

The first and the last day run the shipped playbooks; one play loops over the roles for the days between.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import filecmp
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import typing as t
import zoneinfo

HERE = pathlib.Path(__file__).resolve().parent
LAB = HERE.parent / "lab"
ZONE = zoneinfo.ZoneInfo("Europe/Berlin")
POOL = "replicapool"
WORKLOADS = [
    {"namespace": "demo-shop", "deployments": ["web", "statefulset/db"]},
    {"namespace": "demo-office", "deployments": ["archive", "wiki"]},
]
MISSING = {"namespace": "demo-office", "deployments": ["crm"]}
CLAIMS = {"demo-shop": ["web-data", "data-db-0", "data-db-1"], "demo-office": ["archive-data", "wiki-data"]}


class Failed(Exception):
    """Something did not come out as it must."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of ansible-playbook."""

    rc: int
    output: str

    @property
    def changed(self) -> bool:
        """Whether the recap speaks of a change."""
        recap = self.output.rpartition("PLAY RECAP")[2]
        return "changed=0" not in recap


class Demo:
    """One cluster with a few workloads, a backup directory and an inventory, all made anew."""

    def __init__(self, weeks: int = 10, quiet: bool = False) -> None:
        self.quiet = quiet
        self.directory = pathlib.Path(os.environ["RBD_LAB_DIR"]) / "demo"
        self.root = self.directory / "backup"
        self.inventory = self.directory / "inventory.json"
        last = dt.datetime.now(ZONE).date() - dt.timedelta(days=1)
        self.dates = [last - dt.timedelta(days=days) for days in range(weeks * 7 - 1, -1, -1)]
        self.images: dict[str, str] = {}
        self.environment: dict[str, str] = {}

    def say(self, text: str) -> None:
        """Tell the spectator what comes."""
        print(f"\n##### {text}", flush=True)

    def prepare(self) -> None:
        """Make the workloads, their volumes, the inventory and an empty backup root."""
        self.clean_up()
        self.root.mkdir(parents=True)
        self.install()
        self.say("Workloads in Kubernetes, and an inventory that names them")
        _kubectl("apply", "-f", str(HERE / "workloads.yaml"))
        for namespace, claims in CLAIMS.items():
            _command(sys.executable, str(LAB / "provision.py"), namespace, *claims)
        volumes = json.loads(_kubectl("get", "pv", "-o", "json"))["items"]
        for volume in volumes:
            claim = volume["spec"].get("claimRef") or {}
            if claim.get("namespace") in CLAIMS and "csi" in volume["spec"]:
                image = volume["spec"]["csi"].get("volumeAttributes", {}).get("imageName")
                if image:
                    self.images[f"{claim['namespace']}/{claim['name']}"] = image
        self.write_inventory(WORKLOADS)
        print(self.inventory.read_text(encoding="utf-8"))

    def install(self) -> None:
        """Build the collection and install it into an empty path, from which everything is run."""
        self.say("The collection, built and installed")
        built, installed = self.directory / "built", self.directory / "collections"
        command = ["ansible-galaxy", "collection"]
        stage = os.path.join(
            os.environ["ANSIBLE_COLLECTIONS_PATH"], "ansible_collections", "rbd_backup", "gfs"
        )
        _command(*command, "build", stage, "--output-path", str(built))
        (archive,) = built.iterdir()
        self.environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(installed)}
        _command(*command, "install", str(archive), "--offline", env=self.environment)
        print(f"{archive.name}, installed in {installed}")

    def write_inventory(self, workloads: list[dict[str, t.Any]]) -> None:
        """Write the inventory of a cluster called ``lab`` that backs *workloads* up."""
        settings = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "rbd_backup_root": str(self.root),
            "rbd_backup_timezone": str(ZONE),
            "rbd_backup_storage_classes": ["rook-ceph-block"],
            "rbd_backup_ceph": {"mode": "local", "user": os.environ["RBD_LAB_CEPH_USER"]},
            "rbd_backup_workloads": workloads,
        }
        inventory = {"rbd_backup": {"hosts": {"lab": {}}, "vars": settings}}
        self.inventory.write_text(json.dumps(inventory, indent=2), encoding="utf-8")

    def clean_up(self) -> None:
        """Remove what an earlier demo has left."""
        for namespace in CLAIMS:
            _command(sys.executable, str(LAB / "provision.py"), "--remove", namespace)
        for image in json.loads(_rbd("ls", "--format", "json", POOL)):
            if image.startswith("demo-restored-"):
                _rbd("rm", "--no-progress", f"{POOL}/{image}")
        shutil.rmtree(self.directory, ignore_errors=True)

    def play(self, playbook: str, *arguments: str, expect: int = 0, **variables: t.Any) -> Run:
        """Run a playbook as a user would, and show what it prints."""
        command = ["ansible-playbook", "-i", str(self.inventory), playbook, *arguments]
        if variables:
            command += ["--extra-vars", json.dumps(variables)]
        print(f"$ {' '.join(command)}", flush=True)
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.environment
        ) as process:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if not self.quiet:
                    print(line, end="", flush=True)
        run = Run(process.returncode, "".join(lines))
        if run.rc != expect:
            raise Failed(
                f"{playbook} ended with {run.rc}, expected {expect}.\n{run.output if self.quiet else ''}"
            )
        return run

    def work(self, date: dt.date) -> None:
        """Let the workloads change their data."""
        _command(*self._write_data(), date.isoformat(), *self.images.values())

    def snapshot_time(self, date: dt.date) -> str:
        """17:00 of a day, in UTC."""
        return _utc(dt.datetime.combine(date, dt.time(17), ZONE))

    def consolidate_time(self, date: dt.date) -> str | None:
        """02:00 of a Monday, in UTC; None on another day."""
        return _utc(dt.datetime.combine(date, dt.time(2), ZONE)) if date.weekday() == 0 else None

    def first_day(self) -> None:
        """The first snapshot and the first backup, with an inventory that names a workload that is not there."""
        first = self.dates[0]
        self.say(
            f"The first day, {first}: one workload of the inventory does not exist; all others are backed up"
        )
        self.write_inventory([*WORKLOADS, MISSING])
        self.work(first)
        time = self.snapshot_time(first)
        for playbook, variables in (
            ("rbd_backup.gfs.snapshot", {"rbd_snapshot_time": time}),
            ("rbd_backup.gfs.backup", {"rbd_backup_init": True}),
        ):
            run = self.play(playbook, expect=2, **variables)
            if "crm" not in run.output.rpartition("PLAY RECAP")[0][-3000:]:
                raise Failed(f"{playbook} does not name the missing workload at its end.")
        self.write_inventory(WORKLOADS)

    def middle_days(self) -> None:
        """Every day but the first and the last, in one play."""
        days = [
            {
                "date": date.isoformat(),
                "snapshot": self.snapshot_time(date),
                "consolidate": self.consolidate_time(date),
            }
            for date in self.dates[1:-1]
        ]
        self.say(f"The {len(days)} days from {days[0]['date']} to {days[-1]['date']}")
        self.play(
            str(HERE / "days.yml"),
            demo_days=days,
            demo_images=list(self.images.values()),
            demo_write_data=self._write_data(),
        )

    def last_day(self) -> None:
        """The last day, and the consolidation of the Monday after it; each a second time without a change."""
        last = self.dates[-1]
        self.say(f"The last day, {last}: first a preview, then the playbooks, then each again")
        self.work(last)
        time = self.snapshot_time(last)
        before = self.fingerprint()
        self.play("rbd_backup.gfs.snapshot", "--check", "--diff", rbd_snapshot_time=time)
        self.play("rbd_backup.gfs.backup", "--check", "--diff")
        self.play("rbd_backup.gfs.consolidate", "--check", "--diff")
        if self.fingerprint() != before:
            raise Failed("A run with --check has changed something.")
        self.play("rbd_backup.gfs.snapshot", rbd_snapshot_time=time)
        self.play("rbd_backup.gfs.backup")
        self.play("rbd_backup.gfs.consolidate")
        for playbook in ("rbd_backup.gfs.backup", "rbd_backup.gfs.consolidate"):
            if self.play(playbook).changed:
                raise Failed(f"{playbook} reports a change when there was nothing left to do.")

    def restore(self) -> None:
        """Restore an old, a middle and the newest restore point of three volumes and compare them with Ceph."""
        for number, (volume, image) in enumerate(sorted(self.images.items())[:3]):
            snapshots = [
                item["name"] for item in json.loads(_rbd("snap", "ls", "--format", "json", f"{POOL}/{image}"))
            ]
            snapshot = (snapshots[0], snapshots[len(snapshots) // 2], snapshots[-1])[number]
            self.say(f"Restore {snapshot} of {volume} and compare it with the live snapshot, byte for byte")
            namespace, claim = volume.split("/")
            target = f"demo-restored-{number}"
            self.play(
                "rbd_backup.gfs.restore",
                rbd_restore_namespace=namespace,
                rbd_restore_claim=claim,
                rbd_restore_point=snapshot,
                rbd_restore_target={"image": target},
            )
            self.compare(f"{POOL}/{image}@{snapshot}", f"{POOL}/{target}")

    def compare(self, one: str, other: str) -> None:
        """Demand that two images have the same bytes."""
        with tempfile.TemporaryDirectory(dir=self.directory) as directory:
            files = [os.path.join(directory, name) for name in ("one", "other")]
            for image, file in zip((one, other), files):
                _rbd("export", "--no-progress", image, file)
            size = json.loads(_rbd("info", "--format", "json", other))["size"]
            if [os.path.getsize(file) for file in files] != [size, size]:
                raise Failed(f"{one} and {other} are not of the same size.")
            if not filecmp.cmp(*files, shallow=False):
                raise Failed(f"{one} and {other} differ.")
        print(f"equal, {size} bytes: {one} and {other}", flush=True)

    def table(self) -> str:
        """The restore points with the reasons for which they stay."""
        file = self.directory / "table.txt"
        quiet, self.quiet = self.quiet, True
        self.play(str(HERE / "table.yml"), "--check", demo_table=str(file))
        self.quiet = quiet
        return file.read_text(encoding="utf-8")

    def fingerprint(self) -> str:
        """All that a preview must not touch: every byte of the backup directory, and the snapshots in Ceph."""
        files = _command("find", str(self.root), "-type", "f", "-exec", "sha256sum", "{}", "+")
        listings = [
            _rbd("snap", "ls", "--format", "json", f"{POOL}/{image}") for image in self.images.values()
        ]
        return "\n".join([*sorted(files.splitlines()), *listings])

    def _write_data(self) -> list[str]:
        return ["/usr/bin/python3", str(HERE / "write_data.py"), POOL]


def _utc(time: dt.datetime) -> str:
    return time.astimezone(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _command(*argv: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        raise Failed(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr}{done.stdout}")
    return done.stdout


def _kubectl(*argv: str) -> str:
    return _command("kubectl", "--kubeconfig", os.environ["RBD_LAB_ADMIN_KUBECONFIG"], *argv)


def _rbd(*argv: str) -> str:
    return _command("rbd", "--id", os.environ["RBD_LAB_CEPH_USER"], *argv)


def main() -> int:
    """Play the whole demo. Exit code 0 only when everything came out as it must."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weeks", type=int, default=10, help="how many weeks are played (default: 10)")
    parser.add_argument("--quiet", action="store_true", help="show what Ansible prints only when it fails")
    options = parser.parse_args()
    began = dt.datetime.now()
    demo = Demo(options.weeks, options.quiet)
    try:
        demo.prepare()
        demo.first_day()
        demo.middle_days()
        demo.last_day()
        demo.restore()
        demo.say("The restore points, and why each stays")
        print(demo.table())
    except Failed as error:
        print(f"\n##### FAILED: {error}", file=sys.stderr)
        return 1
    demo.say(
        f"All comparisons were equal. {len(demo.dates)} days in {(dt.datetime.now() - began).seconds} seconds."
    )
    print(f"The backup directory is {demo.root}, the inventory {demo.inventory}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
