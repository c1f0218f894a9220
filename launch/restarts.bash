#!/usr/bin/env bash
#
# Part of launch/run, which sources it: what it takes to start a job again. Which hosts there are and which of them
# answer, what a dead job has left on them, and how many ranks fit on fewer of them.
#
# Of launch/run it uses hosts, hostfile, several_hosts, flags, job_host_list (what job_hosts printed) and mpirun_patience
# (seconds), and the functions say and quoted.
# shellcheck disable=SC2154

# The hosts of the job, one a line: name and slots, or name and 0 where the slots are not known. Of one machine: nothing.
job_hosts() {
  if [ -n "$hosts" ]; then
    printf '%s\n' "$hosts" | tr , '\n' | sed 's/^\([^:]*\)$/\1:1/; s/:/ /'
  elif [ -n "$hostfile" ]; then
    # NAME slots=N max_slots=M, with comments; a name given again adds slots.
    sed 's/#.*//' "$hostfile" | awk '
      NF { slots = 0; for (i = 2; i <= NF; i++) if ($i ~ /^slots=[0-9]+$/) slots = substr($i, 7)
           if (!($1 in sum)) order[++count] = $1
           sum[$1] += slots }
      END { for (i = 1; i <= count; i++) print order[i], sum[order[i]] }'
  elif [ "${SLURM_JOB_NUM_NODES:-1}" -gt 1 ]; then
    # Tasks of each node as in 16(x2),8.
    local tasks
    tasks=$(printf '%s\n' "${SLURM_TASKS_PER_NODE:-}" | tr , '\n' | awk '
      NF { times = 1; if (match($0, /\(x[0-9]+\)/)) times = substr($0, RSTART + 2, RLENGTH - 3)
           sub(/\(.*/, ""); while (times-- > 0) print }')
    scontrol show hostnames "${SLURM_JOB_NODELIST:-}" | paste -d ' ' - <(printf '%s\n' "$tasks") |
      awk 'NF { print $1, ($2 == "" ? 0 : $2) }'
  elif [ -n "$several_hosts" ]; then
    # A line of $PBS_NODEFILE for each slot.
    awk 'NF { if (!($1 in sum)) order[++count] = $1; sum[$1]++ }
      END { for (i = 1; i <= count; i++) print order[i], sum[order[i]] }' "$PBS_NODEFILE"
  fi
}

is_this_host() {
  case "$1" in localhost | 127.0.0.1 | "$(hostname)" | "$(hostname -s)") return 0 ;; esac
  # A long name of this host, but not a number.
  [[ "$1" == "$(hostname -s)".* && ! "$1" =~ ^[0-9.]+$ ]]
}

# Runs a shell command on a host, in a time that is limited, in the way that the job's launcher reaches the host.
on_host() { # host command
  local limit=() agent
  if command -v timeout >/dev/null; then limit=(timeout -k 5 20); fi
  agent=${FREEWHEEL_SSH:-${OMPI_MCA_plm_rsh_agent:-}}
  if is_this_host "$1"; then
    sh -c "$2" </dev/null
  elif [ -n "$agent" ]; then
    # shellcheck disable=SC2086  # a command and its options
    ${limit[@]+"${limit[@]}"} $agent "$1" "$2" </dev/null
  elif [ -n "${SLURM_JOB_ID:-}" ]; then
    ${limit[@]+"${limit[@]}"} srun --overlap --quiet --nodes 1 --ntasks 1 --nodelist "$1" sh -c "$2" </dev/null
  else
    ${limit[@]+"${limit[@]}"} ssh -o BatchMode=yes -o ConnectTimeout=10 "$1" "$2" </dev/null
  fi
}

# Those of the hosts, given as lines of name and slots, that answer; asked all at once.
answering() {
  local folder host slots
  folder=$(mktemp -d)
  while read -r host slots; do
    { ! on_host "$host" true >/dev/null 2>&1 || touch "$folder/$host"; } &
  done <<<"$1"
  wait
  while read -r host slots; do
    [ ! -e "$folder/$host" ] || printf '%s %s\n' "$host" "$slots"
  done <<<"$1"
  rm -rf "$folder"
}

# Ends what is left of a start of the job on all its hosts: ranks that were stopped or lost their mpirun, and the files
# that Open MPI had in /dev/shm and the folder for temporary files. Hosts that do not answer are passed over.
clean_up() { # start family mpirun
  local command host
  # A process is the job's if it was started with the start's name in its environment; what started it on another host
  # is Open MPI's orted. The files carry the job family, a number that mpirun drew.
  # shellcheck disable=SC2016  # expanded where it runs
  command='start=$0 family=$1 mpirun=$2; tries=0
    while [ $tries -lt 50 ]; do
      found=
      for process in /proc/[0-9]*; do
        grep -qzxF "FREEWHEEL_START=$start" "$process/environ" 2>/dev/null || continue
        grep -q "^State:[[:space:]]*[ZX]" "$process/status" 2>/dev/null && continue
        parent=$(sed -n "s/^PPid:[[:space:]]*//p" "$process/status" 2>/dev/null)
        [ "$(cat "/proc/$parent/comm" 2>/dev/null)" != orted ] || kill -KILL "$parent"
        kill -KILL "${process#/proc/}" && found=1
      done
      [ -n "$found" ] || break
      tries=$((tries + 1)); sleep 0.1
    done
    user=$(id -u); temporary=${TMPDIR:-/tmp}
    if [ -n "$family" ]; then
      rm -f "/dev/shm/"*".$user.$family"[0-9a-f][0-9a-f][0-9a-f][0-9a-f].* \
        "/dev/shm/"*".$family"[0-9a-f][0-9a-f][0-9a-f][0-9a-f].*
      rm -rf "$temporary/ompi."*".$user/jf.$(printf %d "0x$family")"
    fi
    rm -rf "$temporary/ompi."*".$user/pid.$mpirun"
    # What a watchdog shares is named by the process that made it, and has a name only for a moment.
    for file in /dev/shm/freewheel-*; do
      process=${file#/dev/shm/freewheel-}
      [ -d "/proc/${process%%-*}" ] || rm -f "$file"
    done'
  command="sh -c $(quoted "$command") $(quoted "$1") $(quoted "${2:-}") $(quoted "$3")"
  sh -c "$command" </dev/null 2>/dev/null || true
  while read -r host _; do
    if [ -z "$host" ] || is_this_host "$host"; then continue; fi
    { on_host "$host" "$command" >/dev/null 2>&1 || true; } &
  done <<<"$job_host_list"
  wait
}

# The most ranks, up to a number, over which lanes divide as they must: evenly, by a power of two.
ranks_for_lanes() { # lanes most
  local ranks share
  for ((ranks = $2; ranks > 0; ranks--)); do
    [ $(($1 % ranks)) = 0 ] || continue
    share=$(($1 / ranks))
    if [ $((share & (share - 1))) = 0 ]; then
      echo "$ranks"
      return
    fi
  done
}

# The value of --lanes among the program's flags.
lanes_given() {
  local index
  for ((index = 0; index < ${#flags[@]}; index++)); do
    case "${flags[index]}" in
    --lanes) printf '%s\n' "${flags[index + 1]:-}" ;;
    --lanes=*) printf '%s\n' "${flags[index]#--lanes=}" ;;
    esac
  done
}

# Why a job is started again, in words.
reason_for() { # code
  if [ "$1" = 75 ]; then
    echo "it stopped after a checkpoint (exit code 75)"
  elif [ "$1" -gt 128 ] && kill -l $(($1 - 128)) >/dev/null 2>&1; then
    echo "a rank or mpirun was ended by SIG$(kill -l $(($1 - 128))) (exit code $1)"
  else
    echo "exit code $1"
  fi
}

# Ends an mpirun that lives on although all ranks on this host are gone, as it can while it waits for a host that does
# not answer. Where no rank was on this host, it does nothing.
watch_mpirun() { # mpirun
  local seen='' gone=0 child files
  while sleep 5 && kill -0 "$1" 2>/dev/null; do
    files=()
    # shellcheck disable=SC2013  # one word a process
    for child in $(cat "/proc/$1/task"/*/children 2>/dev/null); do files+=("/proc/$child/environ"); done
    # A rank has its number in its environment; what mpirun reaches other hosts with has none.
    if [ "${#files[@]}" -gt 0 ] && grep -qsz '^OMPI_COMM_WORLD_RANK=' "${files[@]}"; then
      seen=1 gone=0
    elif [ -n "$seen" ]; then
      gone=$((gone + 5))
    fi
    if [ "$gone" -ge "$mpirun_patience" ]; then
      say "all ranks on this host are gone, and mpirun has waited for others for $gone s: ending it"
      kill -KILL "$1" 2>/dev/null || true
      return
    fi
  done
}
