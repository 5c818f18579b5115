#!/usr/bin/env bash
# A real SLURM of one node on the loopback interface, for the integration tests. It needs Debian's
# packages slurm-wlm and munge; everything that it writes lies in FOLDER, nothing in /etc.
#
#   slurm.sh up FOLDER      start it and print the path of its slurm.conf (export SLURM_CONF=…)
#   slurm.sh down FOLDER    stop it
set -euo pipefail
folder=$(realpath -m "$2")
PATH=$PATH:/usr/sbin:/sbin # where Debian keeps the daemons

free_ports() { # two that nobody listens on
  python3 -c '
import socket
sockets = [socket.socket() for _ in range(2)]
for one in sockets: one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in sockets))'
}

start_munge() { # with a key and a socket of our own
  (umask 077 && head -c 1024 /dev/urandom >"$folder/munge.key")
  munged --force --num-threads 2 --key-file "$folder/munge.key" --socket "$folder/munge.socket" \
    --pid-file "$folder/munged.pid" --log-file "$folder/munged.log" \
    --seed-file "$folder/munge.seed"
}

write_settings() { # CONTROLLER_PORT NODE_PORT
  local host user
  host=$(hostname -s) user=$(id -un)
  cat >"$folder/slurm.conf" <<EOF
ClusterName=pycrumbs
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$1
SlurmdPort=$2
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$folder/munge.socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
# No cgroups, no accounting: the machine may be a container.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
# Jobs start at once and die soon, on more cores than there may be.
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=3
NodeName=$host NodeAddr=127.0.0.1 CPUs=8 State=UNKNOWN
PartitionName=tests Nodes=$host Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:8
EOF
}

up() {
  mkdir -p "$folder"/{state,spool}
  start_munge
  # shellcheck disable=SC2046 # two words are meant
  write_settings $(free_ports)
  export SLURM_CONF=$folder/slurm.conf
  slurmctld
  slurmd
  for _ in {1..100}; do
    if sinfo --noheader --format=%T 2>/dev/null | grep -Eq 'idle|mixed|allocated'; then
      echo "$SLURM_CONF"
      return
    fi
    sleep 0.1
  done
  tail -n 20 "$folder"/*.log >&2
  return 1
}

down() { # only what `up` started, by the ids it left
  local name pid
  for name in slurmd slurmctld munged; do
    if read -r pid 2>/dev/null <"$folder/$name.pid"; then kill "$pid" 2>/dev/null || true; fi
  done
}

"$1"
