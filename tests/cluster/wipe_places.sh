#!/usr/bin/env bash
# Slurm runs this on a job's node when the job has ended: it notes the files that are left there, and removes them.
folder=$(dirname "$(sed -n 's/^StateSaveLocation=//p' /etc/slurm/slurm.conf)")
places=$folder/nodes/$SLURMD_NODENAME/$SLURM_JOB_ID
{
  echo "$SLURM_JOB_ID"
  [ ! -d "$places" ] || find "$places" -type f -printf "$SLURM_JOB_ID %P\n"
} >>"$folder/nodes/left.txt"
rm -rf "$places"
exit 0 # another status would drain the node
