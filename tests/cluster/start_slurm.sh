#!/usr/bin/env bash
# start_slurm.sh FOLDER NODES: a real Slurm on this machine, for tests. Everything listens on loopback; no database.
# Each node is a slurmd of its own, with one GPU that is none (/dev/null). Needs root; /etc/slurm must be free, because
# the plugin's steps on a node see only a configuration that lies there. stop_slurm.sh FOLDER ends what is started here.
set -euo pipefail
folder=$1 nodes=$2
host=$(hostname -s)
conf=/etc/slurm/slurm.conf
if [ -e $conf ] && ! grep -q '^ClusterName=featurediff-test$' $conf; then
  echo "there is a Slurm already: $conf is not this script's" >&2
  exit 1
fi
mkdir -p "$folder"/{state,spool,log} /etc/slurm
chmod 755 "$folder"

# The daemons bind to the address of the host's name, and that must be loopback.
if [ "$(getent ahostsv4 "$host" | awk 'NR == 1 { print $1 }')" != 127.0.0.1 ]; then
  cp /etc/hosts "$folder/hosts.before"
  printf '127.0.0.1 %s\n%s\n' "$host" "$(cat "$folder/hosts.before")" >/etc/hosts # in place: it may be a mount
fi

# More cores and memory than there are (config_overrides): jobs ask for what real ones need. A job whose node was lost
# waits for cred_expire, 120 s where it is not set, before it starts again.
{
  cat <<CONF
ClusterName=featurediff-test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16917
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.sock,cred_expire=5
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=1
MinJobAge=600
KillWait=2
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
  for ((i = 1; i <= nodes; i++)); do
    echo "NodeName=node$i NodeHostname=$host NodeAddr=127.0.0.1 Port=$((16917 + i)) CPUs=8 RealMemory=64000 Gres=gpu:1"
  done
} >$conf
for ((i = 1; i <= nodes; i++)); do
  echo "NodeName=node$i Name=gpu File=/dev/null"
done >/etc/slurm/gres.conf

(umask 077 && head -c 128 /dev/urandom >"$folder/munge.key")
munged --key-file="$folder/munge.key" --socket="$folder/munge.sock" --pid-file="$folder/munged.pid" \
  --log-file="$folder/log/munged.log" --seed-file="$folder/munge.seed" --origin=127.0.0.1
slurmctld -c
for ((i = 1; i <= nodes; i++)); do slurmd -N "node$i"; done

for _ in $(seq 100); do
  [ "$(timeout 2 sinfo --noheader --Node --format=%T 2>/dev/null | sort -u)" = idle ] && exit 0
  sleep 0.2
done
echo "Slurm did not come up:" >&2
tail -n 20 "$folder"/log/*.log >&2
exit 1
