#!/usr/bin/env bash
# stop_slurm.sh FOLDER: cancel every job, then end what start_slurm.sh started, each by its pid file.
set -uo pipefail
folder=$1
if [ -s "$folder/slurmctld.pid" ]; then
  timeout 10 scancel --full --user="$(id -un)" 2>/dev/null
  for _ in $(seq 50); do # their steps are no children of the daemons
    [ -z "$(timeout 2 squeue --noheader 2>/dev/null)" ] && break
    sleep 0.2
  done
fi
for file in "$folder"/slurmd-*.pid "$folder/slurmctld.pid" "$folder/munged.pid"; do
  [ -s "$file" ] || continue
  pid=$(cat "$file")
  kill "$pid" 2>/dev/null || continue
  for _ in $(seq 100); do
    [ -d "/proc/$pid" ] && ! grep -q '^State:.*Z' "/proc/$pid/status" 2>/dev/null || break
    sleep 0.1
  done
done
if grep -q '^ClusterName=featurediff-test$' /etc/slurm/slurm.conf 2>/dev/null; then
  rm -f /etc/slurm/slurm.conf /etc/slurm/gres.conf
fi
[ -e "$folder/hosts.before" ] && cat "$folder/hosts.before" >/etc/hosts
rm -rf "$folder"
