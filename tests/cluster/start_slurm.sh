#!/usr/bin/env bash
# start_slurm.sh FOLDER GPUS...: a real Slurm on this machine, for tests. Everything listens on loopback; no database.
# One node for each number of GPUs: a slurmd of its own, with GPUs that are none. Needs root; /etc/slurm must be free,
# because the plugin's steps on a node see only a configuration that lies there. stop_slurm.sh FOLDER ends what is
# started here.
set -euo pipefail
folder=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
host=$(hostname -s)
conf=/etc/slurm/slurm.conf
devices=(/dev/null /dev/zero /dev/full)
if [ -e $conf ] && ! grep -q '^ClusterName=featurediff-test$' $conf; then
  echo "there is a Slurm already: $conf is not this script's" >&2
  exit 1
fi
mkdir -p "$folder"/{state,spool,log,nodes} /etc/slurm
chmod 755 "$folder"

# The daemons bind to the address of the host's name, and that must be loopback.
if [ "$(getent ahostsv4 "$host" | awk 'NR == 1 { print $1 }')" != 127.0.0.1 ]; then
  cp /etc/hosts "$folder/hosts.before"
  printf '127.0.0.1 %s\n%s\n' "$host" "$(cat "$folder/hosts.before")" >/etc/hosts # in place: it may be a mount
fi

# More cores and memory than there are (config_overrides): jobs ask for what real ones need. A job whose node was lost
# waits for cred_expire, 120 s where it is not set, before it starts again. The long times are for a busy machine: Slurm's
# own would take a slow answer for a lost node. MinJobAge: the tests ask for jobs that ended long ago.
{
  cat <<CONF
ClusterName=featurediff-test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16917
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.sock,cred_expire=20
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd-%n.log
TaskProlog=$here/own_places.sh
Epilog=$here/wipe_places.sh
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
MessageTimeout=100
TCPTimeout=30
SlurmdTimeout=3600
BatchStartTimeout=600
UnkillableStepTimeout=600
MinJobAge=86400
KillWait=2
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
  number=0
  for gpus in "$@"; do
    number=$((number + 1))
    echo "NodeName=node$number NodeHostname=$host NodeAddr=127.0.0.1 Port=$((16917 + number)) CPUs=8 RealMemory=64000" \
      "Gres=gpu:$gpus"
  done
} >$conf
number=0
for gpus in "$@"; do
  number=$((number + 1))
  echo "NodeName=node$number Name=gpu File=$(IFS=, && echo "${devices[*]:0:gpus}")"
done >/etc/slurm/gres.conf

(umask 077 && head -c 128 /dev/urandom >"$folder/munge.key")
munged --key-file="$folder/munge.key" --socket="$folder/munge.sock" --pid-file="$folder/munged.pid" \
  --log-file="$folder/log/munged.log" --seed-file="$folder/munge.seed" --origin=127.0.0.1
slurmctld -c
for ((number = 1; number <= $#; number++)); do slurmd -N "node$number"; done

while ((SECONDS < 300)); do
  [ "$(timeout 60 sinfo --noheader --Node --format=%T 2>/dev/null | sort -u)" = idle ] && exit 0
  sleep 0.2
done
echo "Slurm did not come up:" >&2
tail -n 20 "$folder"/log/*.log >&2
exit 1
