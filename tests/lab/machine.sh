# shellcheck shell=bash
# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Can this machine carry the lab, and has it the Debian packages?

check_machine() {
    need_root
    command -v apt-get > /dev/null ||
        die "the lab needs Debian 12 (or its like): there is no apt-get here."
    local memory_kib disk_kib existing=$LAB_DIR
    memory_kib=$(awk '$1 == "MemTotal:" {print $2}' /proc/meminfo)
    [ "$memory_kib" -ge $((3800 * 1024)) ] ||
        die "the lab needs 4 GiB of memory; this machine has $((memory_kib / 1024)) MiB."
    until [ -d "$existing" ]; do existing=$(dirname "$existing"); done
    disk_kib=$(df --output=avail -k "$existing" | tail -n 1)
    [ -e "$LAB_DIR/ceph/created" ] || [ "$disk_kib" -ge $((15 * 1024 * 1024)) ] ||
        die "the lab needs 15 GiB of disk; $existing has $((disk_kib / 1024)) MiB free." \
            "Set RBD_LAB_DIR to another place."
}

# A port that is taken by someone else would only show as a daemon that ends for a reason deep in its log.
check_ports() {
    command -v ss > /dev/null || return 0
    local name port ports line
    while read -r name ports; do
        pid_of "$name" > /dev/null && continue
        for port in $ports; do
            line=$(ss -Hltnp "sport = :$port")
            [ -z "$line" ] ||
                die "port $port, which $name needs, is taken: $(awk '{print $4, $6}' <<< "$line")." \
                "Stop that program first (a lab in another directory: RBD_LAB_DIR=... $LAB_SOURCE/lab down)."
        done
    done <<'PORTS'
ceph-mon 3300 6789
etcd 2379 2380
kube-apiserver 6443
kube-controller-manager 10257
kube-scheduler 10259
kubelet 10248 10250
PORTS
}

# install_packages NAME...: those that are missing. Nothing is started: the lab runs its own daemons.
install_packages() {
    local missing=() name policy=/usr/sbin/policy-rc.d made_policy=false rc=0 log=$LAB_LOGS/apt.log
    local apt=(apt-get -o DPkg::Lock::Timeout=300 -q)
    for name in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing ${missing[*]}"
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod 755 "$policy"
        made_policy=true
    fi
    {
        "${apt[@]}" update &&
            DEBIAN_FRONTEND=noninteractive "${apt[@]}" -y install --no-install-recommends "${missing[@]}"
    } > "$log" 2>&1 || rc=$?
    [ "$made_policy" = false ] || rm -f "$policy"
    [ "$rc" = 0 ] || { tail -n 20 "$log" >&2; die "apt-get could not install ${missing[*]}; see $log."; }
}
