# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=bash
# What every set-up script needs to know about the machine's own apt.  Sourced, not run.

ARCHIVE_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# The command given, as root: by sudo where we are not.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# The machine's release: bookworm, trixie …
release_codename() {
    (. /etc/os-release && echo "$VERSION_CODENAME")
}

# The URI of the mirror that the machine's main archive comes from.  apt reads its own sources (one-line and deb822 alike), so
# nothing here parses them; it lists only what `apt-get update` has fetched.
own_mirror() {
    local mirror
    mirror=$(main_archive)
    if [ -z "$mirror" ]; then
        update_lists
        mirror=$(main_archive)
    fi
    case $mirror in
        mirror+file:*) mirror=$(awk '!/^#/ && NF { print $1; exit }' "${mirror#mirror+file:}") ;;
    esac
    [ -n "$mirror" ] || { echo "apt knows no main archive of $(release_codename)" >&2; return 1; }
    echo "$mirror"
}

# Unstable, which apt knows as sid, calls itself by the name of the release to come.
main_archive() {
    apt-get indextargets --format '$(LABEL) $(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        awk -v codename="$(release_codename)" '$1 == "Debian" && $3 == "main" && !found[$2] { found[$2] = $4 }
            END { print codename in found ? found[codename] : found["sid"] }'
}

# A deb822 source on the machine's own mirror.  $@: suites
own_source() {
    local mirror
    mirror=$(own_mirror) || return 1
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$mirror" "$*" "$ARCHIVE_KEYRING"
}

# Unpacks every .deb of directory $2 below $1.  base-files goes first: it has the links /bin, /lib, /lib64 and /sbin that the others
# are unpacked through.
unpack_packages() {
    local package
    for package in "$2"/base-files_*.deb $(find "$2" -name '*.deb' ! -name 'base-files_*' | LC_ALL=C sort); do
        dpkg-deb --fsys-tarfile "$package" | tar -xC "$1" --keep-directory-symlink \
            --exclude='./usr/share/doc*' --exclude='./usr/share/man*' --exclude='./usr/share/locale*'
    done
}

is_installed() {
    [ "$(dpkg-query -Wf '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Installs those of the distribution's packages $@ that are missing.
install_packages() {
    local package missing=()
    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "setup: installing ${missing[*]}"
    update_lists
    install_now "${missing[@]}"
}

# apt waits for another apt.  $@: more options
update_lists() {
    as_root apt-get --quiet=2 -o DPkg::Lock::Timeout=300 "$@" update
}

# $@: options and packages
install_now() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get --quiet=2 --yes --no-install-recommends \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install "$@" >/dev/null
}
