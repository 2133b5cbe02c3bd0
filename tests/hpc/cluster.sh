#!/usr/bin/env bash
# A Slurm cluster of this one machine with two pretended GPUs, run by whoever calls this, for jobs of the same user.
#   cluster.sh start FOLDER PORT     (the cluster's clients need SLURM_CONF=FOLDER/slurm.conf)
#   cluster.sh stop FOLDER
set -euo pipefail
action=$1
mkdir -p "$2"
cd "$2"
folder=$PWD

stop() {
    local pid
    for pid in slurmctld.pid slurmd.pid munged.pid; do
        if [[ -s $pid ]]; then kill "$(< "$pid")" 2> /dev/null || true; fi
    done
}

start() {
    local port=$1 memory_MB
    chmod 0755 .
    memory_MB=$(slurmd -C | sed -n 's/.*RealMemory=\([0-9]*\).*/\1/p')
    cat > slurm.conf << END
ClusterName=frost
SlurmctldHost=$(hostname -s)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CryptoType=crypto/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
EnforcePartLimits=ALL
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
JobCompType=jobcomp/none
MinJobAge=86400
KillWait=30
SchedulerParameters=sched_interval=5
ReturnToService=2
MpiDefault=none
SwitchType=switch/none
GresTypes=gpu,shard
NodeName=node NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$memory_MB Gres=gpu:2,shard:8 State=UNKNOWN
PartitionName=main Nodes=node Default=YES MaxTime=2-00:00:00 State=UP
END
    printf 'NodeName=node Name=gpu File=%s\n' /dev/null /dev/zero > gres.conf
    echo 'NodeName=node Name=shard Count=8' >> gres.conf
    mkdir -p state spool
    [[ -e munge.key ]] || mungekey --create --keyfile="$folder/munge.key"
    munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
        --log-file="$folder/munged.log" --seed-file="$folder/munged.seed"
    export SLURM_CONF=$folder/slurm.conf
    slurmctld -f "$SLURM_CONF"
    slurmd -f "$SLURM_CONF" -N node
    local tries
    for tries in {1..60}; do
        [[ "$(sinfo --noheader --format=%a:%T 2> /dev/null)" == up:idle* ]] && return
        sleep 0.5
    done
    echo "the cluster did not come up in 30 s: $(tail -n 5 slurmctld.log slurmd.log)" >&2
    return 1
}

case $action in
    start) start "$3" ;;
    stop) stop ;;
esac
