# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab for the tests: a real Ceph and a real Kubernetes. Where it is not up the tests fail; none is skipped."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import subprocess
import typing as t

import pytest

from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.access import open_ceph
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.access_spec import CEPH_SPEC
from ansible_collections.rbd_backup.gfs.plugins.module_utils._ceph.rbd import RbdClient
from ansible_collections.rbd_backup.gfs.plugins.module_utils._kubernetes.client import Cluster, connect
from ansible_collections.rbd_backup.gfs.plugins.module_utils._model import ImageSpec
from ansible_collections.rbd_backup.gfs.tests.integration import history
from ansible_collections.rbd_backup.gfs.tests.integration.images import MIB, Images
from ansible_collections.rbd_backup.gfs.tests.integration.modules import Modules
from ansible_collections.rbd_backup.gfs.tests.integration.namespaces import Namespace
from ansible_collections.rbd_backup.gfs.tests.integration.processes import eventually

LAB = pathlib.Path(__file__).resolve().parents[1] / "lab" / "lab"
NOT_UP = (
    "The lab is not up, and these tests are about nothing without it: run 'make lab' and look at its log."
)

CEPH_DEFAULTS = {name: option.get("default") for name, option in CEPH_SPEC["options"].items()}


@dataclasses.dataclass(frozen=True)
class Lab:
    """Where things of the lab are. Paths are absolute."""

    directory: str
    pool: str
    other_pool: str
    rados_namespace: str
    ceph_conf: str
    ceph_user: str
    ceph_keyring: str
    admin_ceph_conf: str
    kubeconfig: str
    admin_kubeconfig: str

    def ceph_options(self, way: str, **changes: t.Any) -> dict[str, t.Any]:
        """Return the option ``ceph`` of a module for one of the ways ``local`` (as the backup user), ``toolbox`` and
        ``operator``, with all its suboptions."""
        options: dict[str, dict[str, t.Any]] = {
            "local": {"conf": self.ceph_conf, "keyring": self.ceph_keyring, "user": self.ceph_user},
            "toolbox": {"mode": "pod"},
            "operator": {
                "mode": "pod",
                "selector": "app=rook-ceph-operator",
                "conf": "/var/lib/rook/rook-ceph/rook-ceph.config",
            },
        }
        return {**CEPH_DEFAULTS, **options[way], **changes}


@pytest.fixture(scope="session", autouse=True)
def lab() -> Lab:
    """The lab, whose environment variables are those of this process from now on."""
    script = f"eval \"$('{LAB}' env)\" && '{LAB}' status >&2 && env -0"
    done = subprocess.run(["bash", "-euc", script], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.fail(f"{NOT_UP}\n{done.stderr}", pytrace=False)
    os.environ.update(line.split("=", 1) for line in done.stdout.split("\0") if "=" in line)
    return Lab(
        directory=os.environ["RBD_LAB_DIR"],
        pool=os.environ["RBD_LAB_POOL"],
        other_pool=os.environ["RBD_LAB_OTHER_POOL"],
        rados_namespace=os.environ["RBD_LAB_RADOS_NAMESPACE"],
        ceph_conf=os.environ["CEPH_CONF"],
        ceph_user=os.environ["RBD_LAB_CEPH_USER"],
        ceph_keyring=os.environ["RBD_LAB_CEPH_KEYRING"],
        admin_ceph_conf=os.environ["RBD_LAB_ADMIN_CEPH_CONF"],
        kubeconfig=os.environ["KUBECONFIG"],
        admin_kubeconfig=os.environ["RBD_LAB_ADMIN_KUBECONFIG"],
    )


@pytest.fixture(scope="session")
def cluster(lab: Lab) -> Cluster:
    """Kubernetes, as the restricted ServiceAccount."""
    return connect({"kubeconfig": lab.kubeconfig})


@pytest.fixture
def fresh(lab: Lab) -> Cluster:
    """The same, with nothing read yet."""
    return connect({"kubeconfig": lab.kubeconfig})


@pytest.fixture
def namespace(lab: Lab) -> t.Iterator[Namespace]:
    """A namespace for one test."""
    found = Namespace(lab.admin_kubeconfig)
    yield found
    found.clear()


@pytest.fixture(scope="session")
def local_rbd(lab: Lab) -> RbdClient:
    """Ceph from this host, as the backup user."""
    return open_ceph(lab.ceph_options("local"), _no_cluster)


@pytest.fixture(scope="session")
def toolbox_rbd(lab: Lab, cluster: Cluster) -> RbdClient:
    """Ceph through Rook's toolbox pod."""
    return open_ceph(lab.ceph_options("toolbox"), lambda: cluster)


@pytest.fixture(scope="session")
def operator_rbd(lab: Lab, cluster: Cluster) -> RbdClient:
    """Ceph through Rook's operator pod."""
    return open_ceph(lab.ceph_options("operator"), lambda: cluster)


@pytest.fixture(params=["local", "toolbox", "operator"])
def any_rbd(request: pytest.FixtureRequest) -> RbdClient:
    """Ceph in each of the three ways."""
    client: RbdClient = request.getfixturevalue(f"{request.param}_rbd")
    return client


@pytest.fixture(params=["local", "toolbox"])
def way(request: pytest.FixtureRequest) -> str:
    """On this host, and through a pod."""
    return str(request.param)


@pytest.fixture(scope="session")
def images_in_use(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Images]:
    """Images that tests could not remove: who was killed with an image open counts as its user for 30 s more."""
    left = Images(lab.admin_ceph_conf, lab.pool, tmp_path_factory.mktemp("images"))
    yield left
    eventually(lambda: not left.clear(), seconds=90)


@pytest.fixture
def images(lab: Lab, images_in_use: Images, tmp_path: pathlib.Path) -> t.Iterator[Images]:
    """A factory of images that are removed after the test, with their snapshots."""
    factory = Images(lab.admin_ceph_conf, lab.pool, tmp_path)
    yield factory
    images_in_use.adopt(factory.clear())


@pytest.fixture
def modules(lab: Lab, tmp_path: pathlib.Path) -> Modules:
    """The modules, with rbd on this host and a backup directory of their own."""
    return modules_in(lab, tmp_path, "local")


@pytest.fixture
def modules_each_way(lab: Lab, tmp_path: pathlib.Path, way: str) -> Modules:
    """The modules with rbd on this host, and in the toolbox pod."""
    return modules_in(lab, tmp_path, way)


@pytest.fixture(scope="module")
def pristine(
    lab: Lab, images_in_use: Images, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ImageSpec, pathlib.Path]:
    """An image with four days of history, all backed up, and the backup set; it grows all the time."""
    modules = Modules(lab.ceph_options("local"), tmp_path_factory.mktemp("backup"), lab.kubeconfig)
    image = images_in_use.create(history.SIZE)
    for number in range(4):
        history.age(images_in_use, image, [number])
        images_in_use.change(image, ("resize", (17 + number) * MIB))
    modules.backup([image])
    return image, modules.set_path


@pytest.fixture
def four_days(modules: Modules, pristine: tuple[ImageSpec, pathlib.Path]) -> ImageSpec:
    """That image, with a copy of its backup set for one test."""
    shutil.copytree(pristine[1], modules.set_path)
    return pristine[0]


def modules_in(lab: Lab, directory: pathlib.Path, way: str, **access: t.Any) -> Modules:
    """The modules with a backup directory in *directory*; *access* changes the option ``ceph``."""
    root = directory / "backup"
    root.mkdir()
    return Modules(lab.ceph_options(way, **access), root, lab.kubeconfig)


def _no_cluster() -> Cluster:
    raise AssertionError("Kubernetes was asked for where Ceph is reached directly.")
