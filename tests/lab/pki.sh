# shellcheck shell=bash
# Copyright (c) 2026, rbd_backup.gfs contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Keys, certificates and kubeconfig files of the Kubernetes components.

create_pki() {
    [ ! -e "$PKI_DIR/created" ] || return 0
    rm -rf "$PKI_DIR"
    mkdir -p "$PKI_DIR"
    chmod 700 "$KUBERNETES_DIR" "$PKI_DIR"
    new_key ca
    openssl req -x509 -new -key "$PKI_DIR/ca.key" -days 3650 -subj /CN=lab-ca -out "$PKI_DIR/ca.crt"
    certificate apiserver /CN=kube-apiserver DNS:localhost,IP:127.0.0.1
    certificate node "/O=system:nodes/CN=system:node:$NODE_NAME" "DNS:$NODE_NAME,IP:127.0.0.1,IP:$NODE_IP"
    certificate kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
    certificate admin /O=system:masters/CN=kubernetes-admin
    certificate controller-manager /CN=system:kube-controller-manager
    certificate scheduler /CN=system:kube-scheduler
    new_key service-account
    openssl pkey -in "$PKI_DIR/service-account.key" -pubout -out "$PKI_DIR/service-account.pub"
    local name
    for name in node controller-manager scheduler; do
        certificate_kubeconfig "$name" "$PKI_DIR/$name.kubeconfig"
    done
    certificate_kubeconfig admin "$ADMIN_KUBECONFIG"
    touch "$PKI_DIR/created"
}

new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$PKI_DIR/$1.key"; }

# certificate NAME SUBJECT [ALTERNATIVE NAMES]
certificate() {
    new_key "$1"
    openssl req -new -key "$PKI_DIR/$1.key" -subj "$2" -out "$PKI_DIR/$1.csr"
    {
        echo 'basicConstraints = CA:FALSE'
        echo 'keyUsage = digitalSignature'
        echo 'extendedKeyUsage = serverAuth, clientAuth'
        [ -z "${3:-}" ] || echo "subjectAltName = $3"
    } > "$PKI_DIR/$1.ext"
    openssl x509 -req -in "$PKI_DIR/$1.csr" -CA "$PKI_DIR/ca.crt" -CAkey "$PKI_DIR/ca.key" -CAcreateserial \
        -days 3650 -extfile "$PKI_DIR/$1.ext" -out "$PKI_DIR/$1.crt" 2> /dev/null
}

certificate_kubeconfig() {
    local certificate key
    certificate=$(base64 -w 0 "$PKI_DIR/$1.crt")
    key=$(base64 -w 0 "$PKI_DIR/$1.key")
    write_kubeconfig "$2" "{client-certificate-data: $certificate, client-key-data: $key}"
}

# write_kubeconfig FILE USER: USER is the credentials as a YAML flow mapping.
write_kubeconfig() {
    (
        umask 077
        cat > "$1.new" <<KUBECONFIG
apiVersion: v1
kind: Config
current-context: lab
clusters:
  - name: lab
    cluster: {server: "$API_URL", certificate-authority-data: $(base64 -w 0 "$PKI_DIR/ca.crt")}
users:
  - name: lab
    user: $2
contexts:
  - name: lab
    context: {cluster: lab, user: lab}
KUBECONFIG
    )
    mv "$1.new" "$1"
}
