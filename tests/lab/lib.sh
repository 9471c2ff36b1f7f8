# shellcheck shell=bash
# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Messages, processes, waiting, the lock.

say() { printf 'lab: %s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

# put_file PATH MODE: what comes on stdin becomes the file, at once: somebody may be reading the one before.
put_file() {
    local new
    new=$(mktemp "$1.XXXXXX")
    cat > "$new"
    chmod "$2" "$new"
    mv "$new" "$1"
}

need_root() {
    [ "$(id -u)" = 0 ] || die "only root can run the lab: it starts containerd, mounts, writes sysctls."
}

# attempt COMMAND...: run it in a subshell that ends at its first error; its result is left in the caller's
# attempt_rc. Called plainly, never as a condition: inside a condition bash turns `set -e` off.
attempt() {
    set +e
    (
        set -e
        "$@"
    )
    # shellcheck disable=SC2034 # read by the caller
    attempt_rc=$?
    set -e
}

take_lock() {
    mkdir -p "$LAB_DIR" "$LAB_LOGS" "$LAB_PIDS"
    chmod 700 "$LAB_DIR"
    while :; do
        mkdir -p "$LAB_DIR"
        exec 9> "$LAB_DIR/lock"
        flock --nonblock 9 || { say "waiting for another run of the lab"; flock 9; }
        # A `down --wipe` that was waited for has removed the file whose lock is now held.
        [ "$LAB_DIR/lock" -ef /proc/self/fd/9 ] && break
    done
    mkdir -p "$LAB_LOGS" "$LAB_PIDS"
}

# pid_of NAME: the pid of the lab's daemon NAME; fails when it does not run. The number may have been given
# to another program since (a reboot, a killed session): ours has a path of the lab in its arguments.
pid_of() {
    local pid
    pid=$(cat "$LAB_PIDS/$1" 2>/dev/null) && [ -n "$pid" ] || return 1
    grep -q '^State:[[:space:]]*[^ZX]' "/proc/$pid/status" 2>/dev/null || return 1
    tr '\0' ' ' 2>/dev/null < "/proc/$pid/cmdline" | grep -qF -- "$LAB_DIR/" || return 1
    echo "$pid"
}

# run_daemon NAME COMMAND...: start it unless it runs; its output goes to NAME.log.
run_daemon() {
    local name=$1
    shift
    pid_of "$name" >/dev/null && return
    setsid nohup "$@" 9>&- < /dev/null >> "$LAB_LOGS/$name.log" 2>&1 &
    echo $! > "$LAB_PIDS/$name"
    # Until the new process has become its program, pid_of does not know it.
    wait_until 2 pid_of "$name" || true
}

stop_daemon() {
    local name=$1 pid
    if pid=$(pid_of "$name"); then
        kill "$pid" 2> /dev/null || true
        wait_until 10 daemon_gone "$name" || kill -KILL "$pid" 2>/dev/null || true
        wait_until 10 daemon_gone "$name" || die "process $pid ($name) cannot be stopped."
    fi
    rm -f "$LAB_PIDS/$name"
}

daemon_gone() { ! pid_of "$1" > /dev/null; }

# wait_until SECONDS COMMAND...: poll until the command succeeds or the time is over.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" > /dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.2
    done
}

# await WHAT LOG COMMAND...: wait_until, and show the end of the log when it does not come.
await() {
    local what=$1 log=$2
    shift 2
    wait_until "$READY_SECONDS" "$@" && return
    say "$what is not ready after $READY_SECONDS s. The end of $log:"
    tail -n 30 "$log" >&2 || true
    return 1
}

# await_daemon NAME COMMAND...: the same for a daemon; gives up at once when the process has ended.
await_daemon() {
    local name=$1
    shift
    await "$name" "$LAB_LOGS/$name.log" ready_or_ended "$name" "$@" || return
    pid_of "$name" > /dev/null && return
    say "$name has ended. The end of $LAB_LOGS/$name.log:"
    tail -n 30 "$LAB_LOGS/$name.log" >&2
    return 1
}

ready_or_ended() {
    local name=$1
    shift
    "$@" || daemon_gone "$name"
}

# report_daemon NAME COMMAND...: report, for a daemon that has to run as well.
report_daemon() {
    local name=$1
    shift
    report "$name" running_and "$name" "$@"
}

running_and() { pid_of "$1" && "${@:2}"; }

# report NAME COMMAND...: one line of status.
report() {
    local name=$1
    shift
    if "$@" > /dev/null 2>&1; then
        printf '%-24s up\n' "$name"
    else
        printf '%-24s DOWN\n' "$name"
        return 1
    fi
}
