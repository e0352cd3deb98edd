#!/usr/bin/env bash
# Slurm runs this before a job's script, and sets what it prints: temporary and home folders of the node's own, which
# no other node and no other job sees. wipe_places.sh removes them when the job ends.
folder=$(dirname "$(sed -n 's/^StateSaveLocation=//p' /etc/slurm/slurm.conf)")
places=$folder/nodes/$SLURMD_NODENAME/$SLURM_JOB_ID
mkdir -p "$places"/{tmp,home}
echo "export TMPDIR=$places/tmp"
echo "export HOME=$places/home"
