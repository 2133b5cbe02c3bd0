#!/usr/bin/env bash
# Set up SchNet's environment, .frazil/schnet: schnetpack on a torch for CPUs. PyPI has torch with CUDA only (3 GB), so it is
# the system's Python and torch that are used: on Debian 12 the package python3-torch (150 MB with what it needs).
set -euo pipefail
unset CDPATH
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-/usr/bin/python3}
fail() { printf 'error: %s\n' "$*" >&2; exit 2; }

"$python" -c 'import torch, venv' 2> /dev/null ||
    fail "$python has no torch or no venv; install it (on Debian: apt-get install python3-torch python3-venv), or name another by PYTHON="
echo "set-up: schnetpack into .frazil/schnet (500 MB, a minute)" >&2
rm -rf .frazil/schnet
"$python" -m venv --system-site-packages .frazil/schnet
.frazil/schnet/bin/python -m pip --disable-pip-version-check install --quiet --requirement containers/schnet.txt
# The package without its own requirements: nothing that runs here needs JAX.
echo "$PWD/src" > "$(.frazil/schnet/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/frazil.pth"
PYTHONPATH=src .frazil/schnet/bin/python -c 'from frazil.experiments.infrared import schnet; schnet.ready_torch(); import schnetpack'
