# shellcheck shell=bash
# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Kubernetes from Debian's source package, built once into the cache.
#
# Debian 12 has the whole vendored source of Kubernetes but packages only the client. The Go that fits it is
# unpacked from its packages, not installed. A build is made in a scratch directory and renamed into place
# when it is whole, under a name that holds the checksum of the recipe.

KUBERNETES_VERSION=1.20.2
GO_PACKAGES=(golang-1.19-go golang-1.19-src)
KUBERNETES_PROGRAMS=(kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl)

kubernetes_build_dir() {
    local key
    key=$(cat "$LAB_SOURCE/kubernetes-build.sh" "$LAB_SOURCE/pause/"* | sha256sum | cut -c1-12)
    echo "$LAB_CACHE/kubernetes-$KUBERNETES_VERSION-$(dpkg --print-architecture)-$key"
}

link_kubernetes() { ln -sfn "$(kubernetes_build_dir)" "$LAB_DIR/bin"; }

build_kubernetes() {
    local result work log attempt_rc=0
    result=$(kubernetes_build_dir)
    [ ! -d "$result" ] || return 0
    mkdir -p "$LAB_CACHE" "$LAB_LOGS"
    exec 8> "$LAB_CACHE/lock"
    flock --nonblock 8 || { say "waiting for another build of Kubernetes"; flock 8; }
    if [ ! -d "$result" ]; then
        work=$LAB_CACHE/build
        log=$LAB_CACHE/build.log
        say "building Kubernetes $KUBERNETES_VERSION: about 6 minutes on two idle cores, once; log in $log"
        install_packages dpkg-dev
        rm -rf "$work"
        mkdir -p "$work"
        attempt build_steps "$work" "$result" > "$log" 2>&1 9>&-
        rm -rf "$work"
        [ "$attempt_rc" = 0 ] || { tail -n 30 "$log" >&2; die "Kubernetes could not be built; see $log"; }
        say "built Kubernetes after ${SECONDS} s"
    fi
    exec 8>&-
}

build_steps() {
    set -x
    local work=$1 result=$2
    fetch_go "$work"
    fetch_source "$work"
    export GOROOT=$work/go/usr/lib/go-1.19 GOPATH=$work/gopath GOCACHE=$work/gocache HOME=$work
    export GO111MODULE=off GOPROXY=off GOSUMDB=off GOFLAGS='' CGO_ENABLED=0
    mkdir -p "$GOPATH/src/k8s.io" "$work/out"
    mv "$work/source" "$GOPATH/src/k8s.io/kubernetes"
    cd "$GOPATH/src/k8s.io/kubernetes" || exit
    generate_openapi "$work"
    "$GOROOT/bin/go" build -trimpath -tags 'providerless dockerless' -ldflags "$(version_flags)" \
        -o "$work/out/" "${KUBERNETES_PROGRAMS[@]/#/./cmd/}"
    "$GOROOT/bin/go" build -trimpath -ldflags '-s -w' -o "$work/out/pause" "$LAB_SOURCE/pause/pause.go"
    python3 "$LAB_SOURCE/pause/image.py" "$work/out/pause" "$work/out/pause.tar"
    "$work/out/kubectl" version --client --short | grep -qF "v$KUBERNETES_VERSION"
    sync -f "$work/out"
    mv "$work/out" "$result"
}

fetch_go() {
    mkdir -p "$1/packages"
    (cd "$1/packages" && apt-get download "${GO_PACKAGES[@]}")
    local package
    for package in "$1"/packages/*.deb; do dpkg -x "$package" "$1/go"; done
}

# The machine's own Debian mirror as a source of source packages, in lists of our own.
fetch_source() {
    local apt=$1/apt options
    mkdir -p "$apt/parts" "$apt/lists/partial" "$apt/cache/archives/partial" "$1/download"
    [ ! -e /etc/apt/sources.list ] ||
        sed -n 's/^deb /deb-src /p' /etc/apt/sources.list > "$apt/parts/debian.list"
    [ ! -e /etc/apt/sources.list.d/debian.sources ] ||
        sed 's/^Types:.*/Types: deb-src/' /etc/apt/sources.list.d/debian.sources > "$apt/parts/debian.sources"
    options=(-o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$apt/parts"
        -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root)
    apt-get "${options[@]}" -q update
    (cd "$1/download" && apt-get "${options[@]}" -q source --download-only kubernetes)
    dpkg-source --no-check -x "$1"/download/kubernetes_1.20*.dsc "$1/source"
}

# pkg/generated/openapi is not part of the source: it is generated from the packages that are marked for it.
generate_openapi() {
    local inputs
    "$GOROOT/bin/go" build -o "$1/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
    inputs=$(grep -rl --include='*.go' --exclude='*_test.go' '+k8s:openapi-gen=' vendor/k8s.io/*/ pkg |
        grep -vE '^vendor/k8s.io/(code-generator|kube-openapi|sample-[a-z]+)/' |
        xargs -n 1 dirname | LC_ALL=C sort -u | sed 's|^|k8s.io/kubernetes/|' | paste -sd ,)
    "$1/openapi-gen" --logtostderr --input-dirs "$inputs" --output-base "$GOPATH/src" \
        --output-package k8s.io/kubernetes/pkg/generated/openapi --output-file-base zz_generated.openapi \
        --go-header-file vendor/k8s.io/code-generator/hack/boilerplate.go.txt \
        --report-filename "$1/violations"
}

# Without a version the programs refuse one another: Kubernetes compares them at run time.
version_flags() {
    local package flags='-s -w' major=${KUBERNETES_VERSION%%.*} minor
    minor=${KUBERNETES_VERSION#*.}
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        package=k8s.io/kubernetes/vendor/$package
        flags+=" -X $package.gitVersion=v$KUBERNETES_VERSION -X $package.gitTreeState=clean"
        flags+=" -X $package.gitMajor=$major -X $package.gitMinor=${minor%%.*}"
    done
    echo "$flags"
}
