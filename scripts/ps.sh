#!/usr/bin/env bash
# Stands in for `ps -e -o pid= -o ppid=` (all that Nextflow's task wrapper asks of ps) where there is no ps.
for status in /proc/[0-9]*/status; do
    pid= ppid=
    while read -r key value; do
        case $key in
            Pid:) pid=$value ;;
            PPid:) ppid=$value; break ;;
        esac
    done 2> /dev/null < "$status"
    [[ -n "$ppid" ]] && echo "$pid $ppid"
done
exit 0
