#!/usr/bin/env bash
# Build the container images as an ordinary user, and write down which one each kind of task gets.
#   containers/build.sh [IMAGE…]     IMAGE: deepmd (DeePMD-kit, LAMMPS, JAX), jax, labels, these when none is named; schnet
#   containers/build.sh docker NAME  build one image of all by Docker, push it to a registry (NAME, as HOST/USER/frazil), print
#                                    the line that `-profile docker` needs
#   containers/build.sh content      print the hash that the images' names carry
#   containers/build.sh cuda-lock    renew cuda.lock (needs uv)
# VARIANT=cuda builds the images for GPUs. They lie in $FRAZIL_IMAGES (.frazil/images when not set). COMPRESSION_LEVEL=1
# (of 8) builds larger ones sooner.
set -euo pipefail
unset CDPATH
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
images=${FRAZIL_IMAGES:-$root/.frazil/images}
variant=${VARIANT:-cpu}
debian=bookworm
inputs=(containers requirements.lock pyproject.toml src/frazil)

say() { printf 'images: %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 2; }

# Files in the order of their names, without what Python and editors leave.
files() { find "${inputs[@]}" -type f ! -path '*/__pycache__/*' ! -name '.*' ! -name '*~' -print0 | LC_ALL=C sort -z; }

content() { files | xargs -0 sha256sum | sha256sum | cut -c 1-12; }

# What uv is asked for: extras of pyproject.toml, and the CUDA packages in place of the CPU's.
requirements_of() {
    case $1-$variant in
        deepmd-cpu) echo "--extra deepmd --extra jax --extra infrared" ;;
        jax-cpu) echo "--extra jax --extra infrared" ;;
        labels-cpu) echo "--extra labels --extra jax --extra infrared" ;;
        schnet-cpu) echo "--schnet" ;;
        deepmd-cuda | jax-cuda) echo "--extra jax --extra infrared containers/cuda-$1.in" ;;
        *) fail "no image '$1' of the variant '$variant'; allowed: deepmd, jax (cpu, cuda), labels, schnet (cpu)" ;;
    esac
}

# A plain Debian with Python: from a hub's image, or made of Debian packages where no hub is reached.
build_base() {
    [[ -e $images/base-$debian.sif ]] && return
    local packages=python3,python3-venv,procps,ca-certificates
    if apptainer build --force --fakeroot "$scratch/hub.sif" "docker://debian:$debian-slim" > "$scratch/log" 2>&1; then
        say "base image from the hub's debian:$debian-slim"
        printf 'Bootstrap: localimage\nFrom: %s\n%%post\n    apt-get update && apt-get install -y --no-install-recommends %s && rm -rf /var/lib/apt/lists/*\n' \
            "$scratch/hub.sif" "${packages//,/ }" > "$scratch/base.def"
        apptainer build --force --fakeroot "$scratch/base.sif" "$scratch/base.def" > "$scratch/log" 2>&1 || fail "$(tail -n 5 "$scratch/log")"
    else
        type -P mmdebstrap > /dev/null ||
            fail "no image hub is reached and there is no mmdebstrap; install mmdebstrap, or put a Debian $debian image with Python at $images/base-$debian.sif"
        say "base image from Debian's packages"
        mmdebstrap --quiet --mode=unshare --variant=minbase --include=$packages \
            --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
            "$debian" "$scratch/rootfs.tar" > "$scratch/log" 2>&1 || fail "$(tail -n 5 "$scratch/log")"
        mkdir "$scratch/rootfs"
        tar -xf "$scratch/rootfs.tar" -C "$scratch/rootfs" --exclude='./dev/*'
        apptainer build --force "$scratch/base.sif" "$scratch/rootfs" > "$scratch/log" 2>&1 || fail "$(tail -n 5 "$scratch/log")"
    fi
    mv "$scratch/base.sif" "$images/base-$debian.sif"
}

build() {
    local name=frazil-$1-$variant-$content.sif requirements
    requirements=$(requirements_of "$1")
    [[ -e $images/$name ]] && return
    say "$name (some minutes)"
    apptainer build --force --fakeroot --bind "$images/cache:/mnt" \
        --bind /etc/ssl/certs/ca-certificates.crt --mksquashfs-args "-comp zstd -Xcompression-level ${COMPRESSION_LEVEL:-8}" \
        --build-arg base="$images/base-$debian.sif" --build-arg source="$scratch/source" --build-arg image="$1" \
        --build-arg variant="$variant" --build-arg requirements="$requirements" --build-arg content="$content" \
        --build-arg version="$(version)" \
        "$scratch/$name" containers/frazil.def > "$scratch/log" 2>&1 ||
        fail "$name was not built: $(tail -n 20 "$scratch/log")"
    sha256sum "$scratch/$name" | cut -d ' ' -f 1 > "$images/$name.sha256"
    mv "$scratch/$name" "$images/$name"
    say "$name: $(du -m "$images/$name" | cut -f 1) MB"
}

# The newest variant that there is; an image that was not built is stood in for by the one that holds most.
image_for() {
    local candidate
    for candidate in "$@"; do
        [[ -e $images/frazil-$candidate-$content.sif ]] && { echo "$images/frazil-$candidate-$content.sif"; return; }
    done
}

write_config() {
    {
        echo '// Written by containers/build.sh.'
        echo 'process {'
        echo "    container = '$(image_for deepmd-cpu deepmd-cuda jax-cpu)'"
        echo "    withLabel: gpu { container = '$(image_for deepmd-cuda deepmd-cpu jax-cuda jax-cpu)' }"
        echo "    withLabel: labels { container = '$(image_for labels-cpu deepmd-cpu deepmd-cuda)' }"
        [[ -z $(image_for schnet-cpu) ]] || echo "    withLabel: schnet { container = '$(image_for schnet-cpu)' }"
        echo '}'
    } > "$scratch/images.config"
    mv "$scratch/images.config" "$images/images.config"
}

[[ ${1:-} == content ]] && { content; exit; }
version() { sed -n 's/^__version__ = "\(.*\)"/\1/p' src/frazil/__init__.py; }
if [[ ${1:-} == docker ]]; then
    [[ -n ${2:-} && $2 != *[:@]sha256* ]] || fail "give a name in a registry that you may push to: containers/build.sh docker HOST/USER/frazil"
    type -P docker > /dev/null || fail "no docker on PATH; install it, or use apptainer (containers/build.sh)"
    tag=$2:$(content)
    docker build --file containers/Dockerfile --build-arg "version=$(version)" --build-arg "content=$(content)" --tag "$tag" . >&2 ||
        fail "$tag was not built; docker says why above"
    docker push "$tag" >&2 || fail "$tag was built, but not pushed; log in to the registry (docker login), and repeat"
    echo "export FRAZIL_IMAGE=$(docker inspect --format '{{index .RepoDigests 0}}' "$tag")"
    exit
fi
if [[ ${1:-} == cuda-lock ]]; then
    uv pip compile pyproject.toml containers/cuda-*.in --extra jax -c requirements.lock --python-version 3.11 --quiet \
        --python-platform x86_64-manylinux_2_28 --generate-hashes --no-header --no-annotate |
        awk 'NR == FNR { if (/^[^ ]/) cpu[$1]; next } /^[^ ]/ { keep = !($1 in cpu) } keep' requirements.lock - > containers/cuda.lock.new
    mv containers/cuda.lock.new containers/cuda.lock
    exit
fi
type -P apptainer > /dev/null || fail "no apptainer on PATH; load its module, or ask the site for it (docs/cluster.md)"
(($#)) || { [[ $variant == cuda ]] && set -- deepmd jax || set -- deepmd jax labels; }
for image in "$@"; do requirements_of "$image" > /dev/null; done
mkdir -p "$images/cache"
exec 9> "$images/.lock"
flock 9
scratch=$(mktemp -d "$images/.build.XXXXXX")
trap 'chmod -R u+w "$scratch" 2> /dev/null; rm -rf "$scratch"' EXIT
export APPTAINER_TMPDIR=$scratch
content=$(content)
mkdir "$scratch/source"
files | tar -c --null -T - | tar -x -C "$scratch/source"
cp README.md LICENSE "$scratch/source"
build_base
for image in "$@"; do build "$image"; done
write_config
