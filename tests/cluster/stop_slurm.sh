#!/usr/bin/env bash
# stop_slurm.sh FOLDER: cancel every job, then end what start_slurm.sh started, each daemon by its pid file.
set -uo pipefail
folder=$1
ours() { # the processes of this cluster's jobs, whoever their parent is: Slurm loses some of those it cancels
  grep --null-data --line-regexp --files-with-matches --no-messages SLURM_CLUSTER_NAME=featurediff-test \
    /proc/[0-9]*/environ | cut -d/ -f3
}
if [ -s "$folder/slurmctld.pid" ] && [ -d "/proc/$(cat "$folder/slurmctld.pid")" ]; then
  timeout 60 scancel --full --user="$(id -un)" 2>/dev/null
  for _ in $(seq 50); do # their steps are no children of the daemons
    queue=$(timeout 20 squeue --noheader 2>/dev/null) && [ -z "$queue" ] && break
    sleep 0.2
  done
fi
for pid in $(ours); do kill -KILL "$pid" 2>/dev/null; done
for file in "$folder"/slurmd-*.pid "$folder/slurmctld.pid" "$folder/munged.pid"; do
  [ -s "$file" ] || continue
  pid=$(cat "$file")
  case $(cat "/proc/$pid/comm" 2>/dev/null) in # the number may be another's by now
    slurmd | slurmctld | munged) kill "$pid" 2>/dev/null || continue ;;
    *) continue ;;
  esac
  for turn in $(seq 300); do
    [ -d "/proc/$pid" ] && ! grep -q '^State:.*Z' "/proc/$pid/status" 2>/dev/null || break
    [ "$turn" = 200 ] && kill -KILL "$pid"
    sleep 0.1
  done
done
for pid in $(ours); do kill -KILL "$pid" 2>/dev/null; done # what a daemon started at the last moment
if grep -q '^ClusterName=featurediff-test$' /etc/slurm/slurm.conf 2>/dev/null; then
  rm -f /etc/slurm/slurm.conf /etc/slurm/gres.conf
fi
[ -e "$folder/hosts.before" ] && cat "$folder/hosts.before" >/etc/hosts
rm -rf "$folder"
