# Body of .frazil/bin/nextflow; scripts/setup.sh writes kind, nextflow and java_home above it.
frazil=$(cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/.." && pwd)
export PATH="$frazil/venv/bin:$frazil/bin:$PATH"
if [[ -n "$java_home" ]]; then
    export JAVA_HOME="$frazil/${java_home#.frazil/}"
    PATH="$PATH:$JAVA_HOME/bin"
fi

case $kind in
    own) exec "$nextflow" "$@" ;;
    launcher)
        export NXF_HOME="$frazil/nextflow/home" NXF_VER=24.10.0 NXF_DISABLE_CHECK_LATEST=true
        PATH="$PATH:$frazil/nextflow/bin"
        exec bash "$frazil/nextflow/bin/nextflow" "$@"
        ;;
esac

export NXF_HOME="$frazil/nextflow/home" NXF_OFFLINE=true NXF_CLI="nextflow $*"
opens=(
    java.lang java.io java.nio java.net java.util java.util.concurrent.locks java.util.concurrent.atomic
    java.nio.file.spi sun.nio.ch sun.nio.fs sun.net.www.protocol.http sun.net.www.protocol.https
    sun.net.www.protocol.ftp sun.net.www.protocol.file jdk.internal.misc jdk.internal.vm java.util.regex
)
add_opens=()
for package in "${opens[@]}"; do add_opens+=("--add-opens=java.base/$package=ALL-UNNAMED"); done
java=java
[[ -n "${JAVA_HOME:-}" ]] && java=$JAVA_HOME/bin/java
# shellcheck disable=SC2086 # NXF_OPTS holds several options
exec "$java" -XX:+TieredCompilation -XX:TieredStopAtLevel=1 -Dfile.encoding=UTF-8 -Djava.awt.headless=true \
    ${NXF_OPTS:-} "${add_opens[@]}" -cp "$frazil/nextflow/lib/*" nextflow.cli.Launcher "$@"
