# shellcheck shell=bash
# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Ceph: one monitor, one manager, one OSD on a sparse file, cephx on, everything on 127.0.0.1.

# Ceph's programs wait for a daemon for as long as it takes.
ceph_admin() { timeout 60 ceph -c "$CEPH_ADMIN_CONF" --connect-timeout 5 "$@"; }
rbd_admin() { timeout 60 rbd -c "$CEPH_ADMIN_CONF" "$@"; }

ceph_up() {
    [ -e "$CEPH_DIR/created" ] || create_ceph_monitor
    mkdir -p "$CEPH_DIR/run"
    run_daemon ceph-mon ceph-mon -f -c "$CEPH_ADMIN_CONF" -i a
    await_daemon ceph-mon ceph_mon_ready
    [ -e "$CEPH_DIR/created" ] || create_ceph_daemons
    run_daemon ceph-mgr ceph-mgr -f -c "$CEPH_ADMIN_CONF" -i x
    run_daemon ceph-osd ceph-osd -f -c "$CEPH_ADMIN_CONF" -i 0
    await_daemon ceph-osd ceph_osd_ready
    await_daemon ceph-mgr ceph_mgr_ready
    [ -e "$CEPH_DIR/created" ] || create_ceph_pools
    touch "$CEPH_DIR/created"
    write_client_files
}

ceph_mon_ready() { ceph_admin fsid; }
# The monitor takes an OSD that has just died for up; the OSD itself knows better.
ceph_osd_ready() {
    ceph_admin --admin-daemon "$CEPH_DIR/run/osd.0.asok" status | grep -q '"state": "active"'
}
ceph_mgr_ready() { ceph_admin mgr stat | grep -q '"available": true'; }

ceph_down() {
    stop_daemon ceph-osd
    stop_daemon ceph-mgr
    stop_daemon ceph-mon
}

ceph_status() {
    local rc=0
    report_daemon ceph-mon ceph_mon_ready || rc=1
    report_daemon ceph-mgr ceph_mgr_ready || rc=1
    report_daemon ceph-osd ceph_osd_ready || rc=1
    return "$rc"
}

create_ceph_monitor() {
    local fsid
    fsid=$(uuidgen)
    stop_daemon ceph-mon # of a creation that was interrupted
    rm -rf "$CEPH_DIR"
    mkdir -p "$CEPH_DIR"/{mon,mgr,osd,run}
    cat > "$CEPH_ADMIN_CONF" <<CONF
[global]
fsid = $fsid
mon_initial_members = a
mon_host = $CEPH_MON_HOST
public_network = 127.0.0.0/8
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
auth_allow_insecure_global_id_reclaim = false
keyring = $CEPH_DIR/ceph.client.admin.keyring
run_dir = $CEPH_DIR/run
admin_socket = $CEPH_DIR/run/\$name.asok
log_file =
log_to_stderr = true
mon_data = $CEPH_DIR/mon
mgr_data = $CEPH_DIR/mgr
osd_data = $CEPH_DIR/osd
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_data_avail_warn = 2
mon_data_avail_crit = 1
osd_memory_target = $((1 << 30))
bluestore_block_size = $(numfmt --from=iec "$OSD_SIZE")
[mon]
keyring = $CEPH_DIR/mon.keyring
# a snapshot taken or removed is a change of the OSD map, which a monitor else makes at most once a second
paxos_propose_interval = 0.05
paxos_min_wait = 0.02
[mgr]
keyring = $CEPH_DIR/mgr/keyring
[osd]
keyring = $CEPH_DIR/osd/keyring
[client]
admin_socket =
CONF
    ceph-authtool --create-keyring "$CEPH_DIR/mon.keyring" --gen-key -n mon. --cap mon 'allow *' > /dev/null
    ceph-authtool --create-keyring "$CEPH_DIR/ceph.client.admin.keyring" --gen-key -n client.admin \
        --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' > /dev/null
    ceph-authtool "$CEPH_DIR/mon.keyring" --import-keyring "$CEPH_DIR/ceph.client.admin.keyring" > /dev/null
    monmaptool --create --fsid "$fsid" --addv a "$CEPH_MON_HOST" "$CEPH_DIR/monmap" > /dev/null
    ceph-mon -c "$CEPH_ADMIN_CONF" --mkfs -i a --monmap "$CEPH_DIR/monmap" --keyring "$CEPH_DIR/mon.keyring" \
        >> "$LAB_LOGS/ceph-mon.log" 2>&1
}

create_ceph_daemons() {
    local osd
    osd=$(uuidgen)
    ceph_admin auth get-or-create mgr.x mon 'allow profile mgr' osd 'allow *' -o "$CEPH_DIR/mgr/keyring"
    ceph_admin osd new "$osd" > /dev/null
    ceph_admin auth get-or-create osd.0 mon 'allow profile osd' mgr 'allow profile osd' osd 'allow *' \
        -o "$CEPH_DIR/osd/keyring"
    ceph-osd -c "$CEPH_ADMIN_CONF" -i 0 --mkfs --osd-uuid "$osd" >> "$LAB_LOGS/ceph-osd.log" 2>&1
}

create_ceph_pools() {
    local pool
    for pool in "$LAB_POOL" "$LAB_OTHER_POOL"; do
        ceph_admin osd pool create "$pool" 8 > /dev/null 2>&1
        rbd_admin pool init "$pool"
    done
    rbd_admin namespace create "$LAB_POOL/$LAB_RADOS_NAMESPACE"
    # What a backup needs and no more: `profile rbd` on its pools, for images, snapshots and their removal,
    # and for reading the maps of the cluster (`ceph fsid`, `ceph osd pool ls detail`).
    ceph_admin auth get-or-create "client.$BACKUP_USER" mon 'profile rbd' \
        osd "profile rbd pool=$LAB_POOL, profile rbd pool=$LAB_OTHER_POOL" > /dev/null
}

# write_client_files: what somebody who uses this Ceph has of it, on the machine and in the two pods.
write_client_files() {
    local keyring=$CLIENT_DIR/ceph.client.$BACKUP_USER.keyring
    local toolbox=$LAB_DIR/pods/toolbox operator=$LAB_DIR/pods/operator/rook-ceph
    mkdir -p "$CLIENT_DIR" "$toolbox" "$operator"
    ceph_admin auth get "client.$BACKUP_USER" 2> /dev/null | grep -E '^\[|key = ' | put_file "$keyring" 600
    client_conf "$keyring" | put_file "$CLIENT_DIR/ceph.conf" 644
    put_file "$toolbox/keyring" 600 < "$keyring"
    client_conf /etc/ceph/keyring | put_file "$toolbox/ceph.conf" 644
    put_file "$operator/client.$BACKUP_USER.keyring" 600 < "$keyring"
    client_conf "/var/lib/rook/rook-ceph/client.$BACKUP_USER.keyring" | put_file "$operator/rook-ceph.config" 644
}

client_conf() {
    cat <<CONF
[global]
fsid = $(ceph_admin fsid)
mon_host = $CEPH_MON_HOST

[client.$BACKUP_USER]
keyring = $1
CONF
}
