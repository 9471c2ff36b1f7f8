# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles of a play ask Kubernetes once; of another cluster, or in another run, they ask anew."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import typing as t

import pytest
import yaml

from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import Cluster
from ansible_collections.rbd_backup.gfs.tests.integration.conftest import Lab
from ansible_collections.rbd_backup.gfs.tests.integration.counting_proxy import CountingProxy
from ansible_collections.rbd_backup.gfs.tests.integration.images import Images
from ansible_collections.rbd_backup.gfs.tests.integration.namespaces import Namespace
from ansible_collections.rbd_backup.gfs.tests.integration.sources import BLOCK, static_of

# Deployments, StatefulSets, claims and pods of the namespace; persistent volumes and storage classes. Lists, not
# requests: tests that run beside these may fill more than one page with persistent volumes.
ONE_RESOLUTION = 6


@pytest.fixture
def shop(namespace: Namespace, images: Images) -> Namespace:
    """A namespace with one claim of an image."""
    namespace.claim("data", BLOCK, static_of(images.create()))
    namespace.wait_for_claims("data")
    return namespace


class Play:
    """Runs roles one after the other, each with an API server of its own choice in its environment."""

    def __init__(self, lab: Lab, namespace: Namespace, directory: pathlib.Path) -> None:
        config = yaml.safe_load(pathlib.Path(lab.kubeconfig).read_text())
        self._token = config["users"][0]["user"]["token"]
        self._directory = directory
        (directory / "backup").mkdir()
        self._wanted = [{"namespace": namespace.name, "deployments": "all"}]
        self._settings = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "rbd_backup_root": str(directory / "backup"),
            "rbd_backup_timezone": "Europe/Berlin",
            "rbd_backup_init": True,
            "rbd_backup_storage_classes": [BLOCK],
            "rbd_backup_ceph": {"mode": "local", "user": lab.ceph_user},
        }

    def run(
        self, *steps: tuple[str, CountingProxy], expect: int = 0, more: t.Sequence[dict[str, t.Any]] = ()
    ) -> str:
        """Run (role, API server) steps in one play, with facts cached from one run to the next.

        *more* is wanted beside the namespace of the test.
        """
        settings = {**self._settings, "rbd_backup_workloads": [*self._wanted, *more]}
        self._file("inventory.json", {"all": {"hosts": {"lab": {}}, "vars": settings}})
        tasks = [
            {
                "block": [{"ansible.builtin.import_role": {"name": f"rbd_backup.gfs.{role}"}}],
                "environment": {"K8S_AUTH_HOST": proxy.url, "K8S_AUTH_API_KEY": self._token},
            }
            for role, proxy in steps
        ]
        play = self._file("play.yml", [{"hosts": "lab", "gather_facts": False, "tasks": tasks}])
        cache = f"cache_plugin = jsonfile\nfact_caching = jsonfile\nfact_caching_connection = {self._directory}/facts"
        (self._directory / "ansible.cfg").write_text(f"[defaults]\n{cache}\n")
        command = ["ansible-playbook", "-i", "inventory.json", play]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=self._directory)
        assert done.returncode == expect, done.stdout + done.stderr
        assert self._token not in done.stdout
        return done.stdout

    def _file(self, name: str, content: t.Any) -> str:
        (self._directory / name).write_text(json.dumps(content))
        return name


def test_later_roles_ask_nothing_of_the_same_cluster(
    lab: Lab, cluster: Cluster, shop: Namespace, tmp_path: pathlib.Path
) -> None:
    play = Play(lab, shop, tmp_path)
    with CountingProxy(cluster.host).running() as one, CountingProxy(cluster.host).running() as other:
        play.run(("rbd_snapshot", one), ("rbd_backup", one))
        assert one.lists() == ONE_RESOLUTION
        assert len(list((tmp_path / "backup").rglob("gfs-*.full.zst"))) == 1
        # A new run, with the facts of the old one in Ansible's cache.
        play.run(("rbd_backup", one))
        assert one.lists() == 2 * ONE_RESOLUTION
        # The environment leads the second role to another API server.
        play.run(("rbd_backup", one), ("rbd_backup", other), ("rbd_backup", other))
        assert one.lists() == 3 * ONE_RESOLUTION
        assert other.lists() == ONE_RESOLUTION


def test_what_was_found_is_no_answer_to_what_was_asked_in_vain(
    lab: Lab, cluster: Cluster, shop: Namespace, tmp_path: pathlib.Path
) -> None:
    play = Play(lab, shop, tmp_path)
    with CountingProxy(cluster.host).running() as gone:
        pass
    with CountingProxy(cluster.host).running() as one:
        output = play.run(("rbd_backup", one), ("rbd_backup", gone), expect=2)
    assert f"Kubernetes at {gone.url} could not be reached" in output
    assert one.lists() == ONE_RESOLUTION


def test_one_renamed_workload_costs_no_backup_and_is_told_at_the_very_end(
    lab: Lab, cluster: Cluster, shop: Namespace, tmp_path: pathlib.Path
) -> None:
    play = Play(lab, shop, tmp_path)
    renamed = {"namespace": "test-no-such-namespace", "deployments": ["web"]}
    with CountingProxy(cluster.host).running() as one:
        output = play.run(("rbd_snapshot", one), ("rbd_backup", one), expect=2, more=[renamed])
    assert "The namespace test-no-such-namespace does not exist. Asked for in it: web." in output
    assert len(list((tmp_path / "backup").rglob("gfs-*.full.zst"))) == 1
