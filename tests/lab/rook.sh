# shellcheck shell=bash
# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# What a user of Rook finds in the cluster: toolbox, operator, storage classes; and a restricted
# ServiceAccount.

rook_up() {
    sed "s|@LAB_DIR@|$LAB_DIR|g" "$LAB_SOURCE/manifests/rook.yaml" | kubectl_admin apply -f - > /dev/null
    kubectl_admin apply -f "$LAB_SOURCE/manifests/storage-classes.yaml" -f "$LAB_RBAC" > /dev/null
    await "the toolbox" "$LAB_LOGS/kubelet.log" toolbox_works
    await "the operator" "$LAB_LOGS/kubelet.log" operator_works
    restricted_kubeconfig_works || write_restricted_kubeconfig
    restricted_kubeconfig_works || die "the ServiceAccount of $LAB_RBAC cannot use the cluster."
}

deployment_ready() {
    [ "$(kubectl_admin -n rook-ceph get pods -l "app=$1" --field-selector status.phase=Running \
        -o jsonpath='{.items[*].status.containerStatuses[0].ready}')" = true ]
}

in_pod() {
    local app=$1
    shift
    kubectl_admin -n rook-ceph exec "deploy/$app" -- "$@"
}

toolbox_works() { deployment_ready rook-ceph-tools && in_pod rook-ceph-tools rbd ls "$LAB_POOL"; }

operator_works() {
    deployment_ready rook-ceph-operator &&
        in_pod rook-ceph-operator rbd --conf=/var/lib/rook/rook-ceph/rook-ceph.config ls "$LAB_POOL"
}

restricted_kubeconfig_works() { lab_kubectl "$CLIENT_DIR/kubeconfig" -n rook-ceph get pods > /dev/null 2>&1; }

write_restricted_kubeconfig() {
    local token
    local url=/api/v1/namespaces/rook-ceph/serviceaccounts/rbd-backup/token
    token=$(kubectl_admin create -f - --raw "$url" <<'REQUEST' |
{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 315360000}}
REQUEST
        python3 -c 'import json, sys; print(json.load(sys.stdin)["status"]["token"])')
    write_kubeconfig "$CLIENT_DIR/kubeconfig" "{token: $token}"
}

rook_status() {
    local rc=0
    report rook-ceph-tools deployment_ready rook-ceph-tools || rc=1
    report rook-ceph-operator deployment_ready rook-ceph-operator || rc=1
    report rbd-backup-account restricted_kubeconfig_works || rc=1
    return "$rc"
}
