# shellcheck shell=bash
# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The one node: containerd and kubelet.

CONTAINERD_STATE=$LAB_DIR/run/containerd
# The kubelet sets these for itself at its start, to these values; the machine's own are put back after that.
KUBELET_SYSCTLS=(vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops)
KUBELET_SYSCTL_VALUES='1 0 10 1'
# Places that kubelet and containerd have built in. Those that the lab made go with it.
BUILT_IN_PLACES=(/var/lib/kubelet /var/log/pods /var/log/containers /run/containerd)

containerd_client() { ctr -a "$CONTAINERD_SOCKET" --timeout 10s -n k8s.io "$@"; }

node_up() {
    mkdir -p "$KUBERNETES_DIR"/{cni,kubelet} "$LAB_DIR/run"
    ip address replace "$NODE_IP/32" dev lo ||
        die "the address $NODE_IP, which the lab's node uses, cannot be put on the interface lo."
    list_built_in_places
    if ! pid_of containerd > /dev/null && [ -z "$(shims)" ]; then
        stop_daemon kubelet # it believes in mounts that go now
        forget_dead_containers
    fi
    write_containerd_conf
    run_daemon containerd containerd --config "$KUBERNETES_DIR/containerd.toml"
    await_daemon containerd containerd_client version
    containerd_client images ls -q | grep -qx docker.io/rbd-lab/pause:1 ||
        containerd_client images import "$LAB_DIR/bin/pause.tar" > /dev/null
    if ! pid_of kubelet > /dev/null; then
        save_sysctls
        write_kubelet_conf
        run_daemon kubelet "$LAB_DIR/bin/kubelet" --config "$KUBERNETES_DIR/kubelet.yaml" \
            --kubeconfig "$PKI_DIR/node.kubeconfig" --hostname-override "$NODE_NAME" --node-ip "$NODE_IP" \
            --container-runtime remote --container-runtime-endpoint "unix://$CONTAINERD_SOCKET" \
            --root-dir "$KUBERNETES_DIR/kubelet" --cert-dir "$KUBERNETES_DIR/kubelet/pki"
    fi
    await_daemon kubelet node_ready
    if [ -e "$LAB_DIR/sysctls" ]; then
        await_daemon kubelet kubelet_sysctls_set
        restore_sysctls
    fi
}

node_ready() {
    # Right after a start the API server still tells what the kubelet said before it was stopped.
    local ready='{.status.conditions[?(@.type=="Ready")].status}'
    probe --cert "$PKI_DIR/kubelet-client.crt" --key "$PKI_DIR/kubelet-client.key" \
        "https://$NODE_IP:10250/healthz" &&
        kubectl_admin get node "$NODE_NAME" -o jsonpath="$ready" | grep -qx True
}

node_down() {
    stop_daemon kubelet
    stop_daemon containerd
    kill_shims
    forget_dead_containers
    restore_sysctls
    ip address del "$NODE_IP/32" dev lo 2> /dev/null || true
}

node_wipe() {
    local place
    if [ -e "$LAB_DIR/built-in-places" ]; then
        while read -r place; do rm -rf --one-file-system -- "$place"; done < "$LAB_DIR/built-in-places"
    fi
}

node_status() {
    local rc=0
    report_daemon containerd containerd_client version || rc=1
    report_daemon kubelet node_ready || rc=1
    return "$rc"
}

# Containers outlive containerd: each has a shim, which a new containerd finds again.
shims() { pgrep -f "^[^ ]*containerd-shim-runc-v2 .*-address $CONTAINERD_SOCKET" || true; }

kill_shims() {
    local pid
    for pid in $(shims); do kill -KILL "$pid" 2> /dev/null || true; done
}

# With containerd and the shims gone, what they leave behind (processes, mounts, sockets, empty cgroups) keeps
# a new containerd from starting the pods again. A container is known by its id in its process's cgroup.
forget_dead_containers() {
    local bundle pid place
    for bundle in "$CONTAINERD_STATE"/io.containerd.runtime.v2.task/k8s.io/*/; do
        pid=$(cat "$bundle/init.pid" 2>/dev/null) || continue
        ! grep -qF "$(basename "$bundle")" "/proc/$pid/cgroup" 2>/dev/null || kill -KILL "$pid" || true
    done
    awk -v dir="$LAB_DIR/" 'index($2, dir) == 1 {print $2}' /proc/mounts | sort -r | while read -r place; do
        umount -l "$place"
    done
    rm -rf --one-file-system -- "$CONTAINERD_STATE" "$CONTAINERD_SOCKET" "$CONTAINERD_SOCKET.ttrpc"
    find /sys/fs/cgroup -depth -type d -path '*/kubepods*' -exec rmdir {} + 2> /dev/null || true
}

list_built_in_places() {
    local place
    [ ! -e "$LAB_DIR/built-in-places" ] || return 0
    for place in "${BUILT_IN_PLACES[@]}"; do
        [ -e "$place" ] || echo "$place"
    done > "$LAB_DIR/built-in-places"
}

save_sysctls() { [ -e "$LAB_DIR/sysctls" ] || sysctl "${KUBELET_SYSCTLS[@]}" > "$LAB_DIR/sysctls"; }

kubelet_sysctls_set() {
    [ "$(sysctl -n "${KUBELET_SYSCTLS[@]}" | paste -sd ' ')" = "$KUBELET_SYSCTL_VALUES" ]
}

restore_sysctls() {
    [ ! -e "$LAB_DIR/sysctls" ] || sysctl -q -p "$LAB_DIR/sysctls"
    rm -f "$LAB_DIR/sysctls"
}

write_containerd_conf() {
    cat > "$KUBERNETES_DIR/containerd.toml" <<CONF
version = 2
root = "$KUBERNETES_DIR/containerd"
state = "$CONTAINERD_STATE"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "$CONTAINERD_SOCKET"
[plugins."io.containerd.internal.v1.opt"]
  path = "$KUBERNETES_DIR/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/rbd-lab/pause:1"
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  # Without this runc cannot lower a container's OOM score on machines that restrict even root, and dies of
  # it.
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  conf_dir = "$KUBERNETES_DIR/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
CONF
    # A node without a pod network is never Ready. The lab's own pods use the machine's network, so none is
    # made.
    cat > "$KUBERNETES_DIR/cni/lab.conflist" <<CONF
{"cniVersion": "0.4.0", "name": "none", "plugins": [{"type": "loopback"}]}
CONF
}

write_kubelet_conf() {
    cat > "$KUBERNETES_DIR/kubelet.yaml" <<CONF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $NODE_IP
healthzBindAddress: 127.0.0.1
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $PKI_DIR/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: $PKI_DIR/node.crt
tlsPrivateKeyFile: $PKI_DIR/node.key
cgroupDriver: cgroupfs
failSwapOn: false
makeIPTablesUtilChains: false
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
nodeStatusUpdateFrequency: 2s
volumePluginDir: $KUBERNETES_DIR/volume-plugins
resolvConf: ""
CONF
}
