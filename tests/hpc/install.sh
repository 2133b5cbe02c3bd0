#!/usr/bin/env bash
# Install Slurm and Apptainer for the test, from Debian's packages, as root; nothing where they are there already.
# Debian has Apptainer from its next release on: on Debian 12 the newer package is made to fit (lower_glibc.py). A
# cluster has its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export DEBIAN_FRONTEND=noninteractive
wait=(-o DPkg::Lock::Timeout=600) # another may be installing

missing() { for program in "$@"; do type -P "$program" > /dev/null || return 0; done; return 1; }

if missing slurmctld slurmd sbatch munged mmdebstrap squashfuse fuse-overlayfs newuidmap zstd pkill; then
    apt-get -qq update
    apt-get -qq "${wait[@]}" install --no-install-recommends slurm-wlm munge mmdebstrap squashfuse fuse-overlayfs uidmap zstd procps \
        squashfs-tools debian-archive-keyring > /dev/null
fi
if missing apptainer && ! { apt-get -qq update && apt-get -qq "${wait[@]}" install apptainer > /dev/null 2>&1; }; then
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    mkdir -p "$scratch/lists/partial"
    cd "$scratch"
    # Debian's unstable release, from where this machine gets its packages.
    uri=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m 1 '/debian/*$')
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri sid main" > sid.list
    options=(-o "Dir::Etc::sourcelist=$PWD/sid.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$PWD/lists" -o APT::Sandbox::User=root)
    apt-get -qq "${options[@]}" update
    apt-get -qq "${options[@]}" download apptainer
    dpkg-deb -R apptainer_*.deb package
    python3 "$OLDPWD/lower_glibc.py" package/usr/bin/apptainer package/usr/lib/*/apptainer/bin/starter
    sed -i 's/libc6 (>= 2\.[0-9]*)/libc6 (>= 2.36)/' package/DEBIAN/control
    dpkg-deb -b package apptainer.deb > /dev/null
    apt-get -qq "${wait[@]}" install "$PWD/apptainer.deb" > /dev/null
fi
[[ ! -e /dev/fuse ]] || chmod 0666 /dev/fuse
apptainer --version
