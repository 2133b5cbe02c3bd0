#!/bin/sh
# Install the package and what its lock file has of it, for any builder of images: frazil.def (Apptainer), Dockerfile (Docker).
#   install.sh --extra NAME… [FILE.in]     within the image, the checkout's files in /opt/source; makes /opt/frazil
#   install.sh --schnet                    SchNet's environment (scripts/schnet.sh), on Debian's torch
set -eu
cd /opt/source
if [ "$1" = --schnet ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-torch python3-venv > /dev/null
    python3 -m venv --system-site-packages /opt/frazil
    /opt/frazil/bin/pip install --quiet --no-cache-dir -r containers/schnet.txt
    packages=$(echo /opt/frazil/lib/python3*/site-packages)
    cp -r src/frazil "$packages"
    rm -rf /opt/source /var/lib/apt/lists/*
    /opt/frazil/bin/python -m compileall -q -j 2 "$packages" > /dev/null || true
    exit
fi
export UV_LINK_MODE=copy UV_NO_PROGRESS=1
python3 -m venv /opt/frazil /opt/build
/opt/build/bin/pip install --quiet --no-cache-dir --require-hashes -r containers/uv.lock
uv=/opt/build/bin/uv

# The names that a set of requirements comes to, at the lock's versions; then the lock's own lines for these names.
names() { $uv pip compile --quiet --no-header --no-annotate -c requirements.lock -c containers/cuda.lock "$@"; }
install() { # Python, file of names
    awk -F== 'NR == FNR { wanted[$1]; next } /^[^ ]/ { keep = ($1 in wanted) && !seen[$1]++ } keep' \
        "$2" requirements.lock containers/cuda.lock > "$2.lock"
    test "$(grep -c == "$2")" = "$(grep -c '^[^ ].*==' "$2.lock")"
    VIRTUAL_ENV=$1 $uv pip install --quiet --no-deps --require-hashes -r "$2.lock"
}
names pyproject.toml "$@" > /opt/build/image
install /opt/frazil /opt/build/image
echo hatchling > /opt/build/hatchling.in
names /opt/build/hatchling.in > /opt/build/hatchling
install /opt/build /opt/build/hatchling
/opt/build/bin/python -m hatchling build -t wheel -d /opt/build > /dev/null
VIRTUAL_ENV=/opt/frazil $uv pip install --quiet --no-deps --no-index /opt/build/frazil-*.whl

packages=$(echo /opt/frazil/lib/python3*/site-packages)
rm -rf /opt/build /opt/source "$packages"/tensorflow/include "$packages"/pip
for name in numpy scipy pandas matplotlib statsmodels h5py pyarrow sympy; do
    find "$packages/$name" -type d -name tests -prune -exec rm -rf {} + 2> /dev/null || true
done
/opt/frazil/bin/python -m compileall -q -j 2 "$packages" > /dev/null || true
