# shellcheck shell=bash disable=SC2034
# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Where everything of the lab lies and how it is called.

LAB_DIR=${RBD_LAB_DIR:-/var/tmp/rbd_backup_gfs-lab}
LAB_CACHE=${RBD_LAB_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/rbd_backup_gfs-lab}
LAB_RBAC=$(cd "$LAB_SOURCE/../.." && pwd)/examples/rbac.yaml
LAB_LOGS=$LAB_DIR/log
LAB_PIDS=$LAB_DIR/pids
CLIENT_DIR=$LAB_DIR/client

LAB_POOL=replicapool
LAB_OTHER_POOL=otherpool
LAB_RADOS_NAMESPACE=tenant
BACKUP_USER=backup
CEPH_DIR=$LAB_DIR/ceph
CEPH_ADMIN_CONF=$CEPH_DIR/ceph.conf
CEPH_MON_HOST='[v2:127.0.0.1:3300,v1:127.0.0.1:6789]'
OSD_SIZE=40G

KUBERNETES_DIR=$LAB_DIR/kubernetes
PKI_DIR=$KUBERNETES_DIR/pki
ADMIN_KUBECONFIG=$KUBERNETES_DIR/admin.kubeconfig
API_URL=https://127.0.0.1:6443
NODE_NAME=lab-node
# The kubelet refuses a loopback address as its node's, and not every machine has the same network cards:
# this address of the benchmarking range (RFC 2544) is put on lo, where nothing outside reaches it.
NODE_IP=198.18.53.1
CONTAINERD_SOCKET=$LAB_DIR/run/containerd.sock

# For anything to become ready. Generous: a lab that seems not to start from its data is made anew.
READY_SECONDS=180

LAB_PACKAGES=(
    ceph-mon ceph-mgr ceph-osd ceph-common python3-rbd python3-rados
    etcd-server containerd runc iptables
    ca-certificates curl iproute2 mount openssl procps python3 util-linux uuid-runtime
)

# The caller may use the lab already: its own settings are not for the programs that run the lab.
unset CEPH_CONF CEPH_ARGS CEPH_KEYRING KUBECONFIG

check_settings() {
    # The directory's name goes unquoted into configuration files and, with a socket's name, into 107 bytes.
    [[ $LAB_DIR =~ ^/[A-Za-z0-9._/-]{1,55}$ ]] ||
        die "RBD_LAB_DIR=$LAB_DIR cannot be used:" \
            "it must be an absolute path of at most 56 letters, digits, '.', '_', '-' and '/'."
    [[ $LAB_CACHE =~ ^/[A-Za-z0-9._/-]+$ ]] ||
        die "RBD_LAB_CACHE=$LAB_CACHE cannot be used:" \
            "it must be an absolute path of letters, digits, '.', '_', '-' and '/'."
}
