# shellcheck shell=bash
# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# etcd, kube-apiserver (Node and RBAC authorisation), kube-controller-manager, kube-scheduler.

# lab_kubectl KUBECONFIG ARGUMENTS...: an API server whose etcd has died answers nobody, and would be waited for.
lab_kubectl() {
    "$LAB_DIR/bin/kubectl" --kubeconfig "$1" --cache-dir "$KUBERNETES_DIR/kubectl" --request-timeout 10s "${@:2}"
}

kubectl_admin() { lab_kubectl "$ADMIN_KUBECONFIG" "$@"; }
probe() { curl --silent --fail --insecure --max-time 5 "$@"; }

control_plane_up() {
    mkdir -p "$KUBERNETES_DIR"/{etcd,volume-plugins}
    chmod 700 "$KUBERNETES_DIR/etcd"
    create_pki
    run_daemon etcd etcd --name lab --data-dir "$KUBERNETES_DIR/etcd" --logger zap --log-outputs stderr \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
        --initial-cluster lab=http://127.0.0.1:2380
    await_daemon etcd etcd_ready
    # The advertised address may not be a loopback one; nobody uses it, as endpoint reconciliation is off.
    run_daemon kube-apiserver "$LAB_DIR/bin/kube-apiserver" --etcd-servers http://127.0.0.1:2379 \
        --bind-address 127.0.0.1 --secure-port 6443 \
        --advertise-address "$NODE_IP" --endpoint-reconciler-type none \
        --tls-cert-file "$PKI_DIR/apiserver.crt" --tls-private-key-file "$PKI_DIR/apiserver.key" \
        --client-ca-file "$PKI_DIR/ca.crt" --cert-dir "$KUBERNETES_DIR/apiserver" \
        --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
        --service-account-issuer https://kubernetes.default.svc \
        --api-audiences https://kubernetes.default.svc \
        --service-account-signing-key-file "$PKI_DIR/service-account.key" \
        --service-account-key-file "$PKI_DIR/service-account.pub" --service-cluster-ip-range 10.96.0.0/16 \
        --kubelet-client-certificate "$PKI_DIR/kubelet-client.crt" \
        --kubelet-client-key "$PKI_DIR/kubelet-client.key" --kubelet-preferred-address-types InternalIP
    await_daemon kube-apiserver api_ready
    run_daemon kube-controller-manager "$LAB_DIR/bin/kube-controller-manager" \
        --port 0 --bind-address 127.0.0.1 --cert-dir "$KUBERNETES_DIR/controller-manager" \
        --kubeconfig "$PKI_DIR/controller-manager.kubeconfig" --leader-elect=false \
        --use-service-account-credentials --root-ca-file "$PKI_DIR/ca.crt" \
        --service-account-private-key-file "$PKI_DIR/service-account.key" \
        --flex-volume-plugin-dir "$KUBERNETES_DIR/volume-plugins"
    run_daemon kube-scheduler "$LAB_DIR/bin/kube-scheduler" --port 0 --bind-address 127.0.0.1 \
        --cert-dir "$KUBERNETES_DIR/scheduler" --kubeconfig "$PKI_DIR/scheduler.kubeconfig" \
        --leader-elect=false
    await_daemon kube-controller-manager healthy 10257
    await_daemon kube-scheduler healthy 10259
}

api_ready() {
    probe --cert "$PKI_DIR/admin.crt" --key "$PKI_DIR/admin.key" "$API_URL/readyz"
}
etcd_ready() { probe http://127.0.0.1:2379/health; }
healthy() { probe "https://127.0.0.1:$1/healthz"; }

control_plane_down() {
    stop_daemon kube-scheduler
    stop_daemon kube-controller-manager
    stop_daemon kube-apiserver
    stop_daemon etcd
}

control_plane_status() {
    local rc=0
    report_daemon etcd etcd_ready || rc=1
    report_daemon kube-apiserver api_ready || rc=1
    report_daemon kube-controller-manager healthy 10257 || rc=1
    report_daemon kube-scheduler healthy 10259 || rc=1
    return "$rc"
}
