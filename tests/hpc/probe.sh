#!/usr/bin/env bash
# Can this user build an image and run a program in it here? The image is empty but for the machine's own /usr.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
mkdir -p root/{usr,etc,tmp,proc,sys,dev,var/tmp}
ln -s usr/bin usr/sbin usr/lib usr/lib64 root/
apptainer build --fakeroot probe.sif root
apptainer exec --fakeroot --bind /usr probe.sif /usr/bin/true
