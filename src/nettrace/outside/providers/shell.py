"""Nodes as processes of a host that has a POSIX shell: what SSH and this machine itself have in common.

One script does everything; it goes as an argument, the enrolment token alone by standard input. A node is a folder
with the fleet's label in it; a folder without that label is not seen. One that stopped before it enrolled is
unfinished: it is made again, with a new token.
"""

import shlex
import subprocess
from collections.abc import Sequence

from nettrace.errors import Unreachable
from nettrace.outside.providers.port import NoCapacity, Order, Refused
from nettrace.placement.fleet import Machine

LIMIT_S = 60.0
_NOT_OURS, _NO_PROGRAM, _DIED, _FULL = 43, 44, 45, 46

SCRIPT = r"""
set -eu; umask 077
verb=$1 base=$2 fleet=$3 name=$4; shift 4
[ -n "$base" ] || base=${XDG_DATA_HOME:-$HOME/.local/share}/nettrace-fleet
dir=$base/$name
ours() { [ "$(cat "$1/fleet" 2>/dev/null)" = "$fleet" ]; }
alive() { pid=$(cat "$1/pid" 2>/dev/null) && [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null &&
  { [ ! -r "/proc/$pid/cmdline" ] || tr '\0' '\n' <"/proc/$pid/cmdline" | grep -qxF "$1/node"; }; }
state() { if [ ! -e "$1/command" ]; then echo unfinished; elif alive "$1"; then echo started
  elif [ -e "$1/node/identity.json" ]; then echo stopped; else echo unfinished; fi; }
start() {
  alive "$dir" && return 0
  set --; while IFS= read -r word; do set -- "$@" "$word"; done <"$dir/command"
  command -v "$1" >/dev/null 2>&1 || { echo "there is no program $1 here" >&2; exit 44; }
  own=nohup; if command -v setsid >/dev/null 2>&1; then own=setsid; fi
  $own "$@" >>"$dir/log" 2>&1 </dev/null 9>&- &
  echo $! >"$dir/pid.new"; mv "$dir/pid.new" "$dir/pid"
  tries=0; while [ $tries -lt 10 ]; do
    alive "$dir" && return 0; tries=$((tries + 1)); sleep 0.1
  done
  tail -n 3 "$dir/log" >&2; exit 45
}
if [ "$verb" != list ] && [ "$verb" != logs ] && [ "$verb" != version ]; then
  mkdir -p "$base"; exec 9>"$base/.lock"  # one at a time; the kernel lets go of it whatever happens to us
  command -v flock >/dev/null 2>&1 || { echo "there is no program flock here (util-linux)" >&2; exit 44; }
  flock 9
fi
stop() {
  alive "$dir" || return 0
  kill -TERM "$pid" 2>/dev/null || :; tries=0
  while alive "$dir" && [ $tries -lt 80 ]; do sleep 0.1; tries=$((tries + 1)); done
  if alive "$dir"; then kill -KILL "$pid" 2>/dev/null || :; fi
}
order() { printf '%s' "$fleet" >"$dir/fleet"; cat >"$dir/token"
  { printf '%s\n' "$@"; printf '%s\n' --token-file "$dir/token" --data "$dir/node"; } >"$dir/command.new"; }
case $verb in
list) for each in "$base"/*/; do each=${each%/}
    if ours "$each"; then printf '%s\t%s\n' "${each##*/}" "$(state "$each")"; fi
  done ;;
create)
  mkdir "$dir" 2>/dev/null || {
    [ -d "$dir" ] || { echo "$dir cannot be made" >&2; exit 46; }
    [ -e "$dir/fleet" ] || [ -n "$(ls -A "$dir")" ] || printf '%s' "$fleet" >"$dir/fleet"
    ours "$dir" || { echo "$dir is not this fleet's" >&2; exit 43; }
    [ "$(state "$dir")" = unfinished ] || { printf '%s\t%s\n' "$name" "$(state "$dir")"; exit 0; }
  }
  order "$@"; mv "$dir/command.new" "$dir/command"
  start; printf '%s\tstarted\n' "$name" ;;
start) ours "$dir" || exit 43; start ;;
destroy) [ -d "$dir" ] || exit 0; ours "$dir" || exit 43
  stop; rm -rf -- "$dir" ;;
version) command -v "$1" >/dev/null 2>&1 || { echo "there is no program $1 here" >&2; exit 44; }
  "$@" --version ;;
replace) ours "$dir" || exit 43
  [ -e "$dir/command.old" ] || cp "$dir/command" "$dir/command.old"
  order "$@"; stop; mv "$dir/command.new" "$dir/command"; start ;;
restore) ours "$dir" || exit 43
  if [ -e "$dir/command.old" ]; then stop; mv "$dir/command.old" "$dir/command"; fi
  start ;;
settle) ours "$dir" || exit 43; rm -f "$dir/command.old" ;;
logs) ours "$dir" || exit 43; tail -n "$1" "$dir/log" 2>/dev/null || : ;;
esac
"""


class Shell:
    """A shell somewhere, reached by a command that takes one more word: what to run there."""

    def __init__(
        self,
        provider: str,
        fleet: str,
        reach: Sequence[str],
        place: str,
        program: Sequence[str],
        base: str = "",
    ) -> None:
        self._provider, self._fleet, self._reach = provider, fleet, tuple(reach)
        self._place, self._program, self._base = place, tuple(program), base

    def machines(self) -> list[Machine]:
        """The fleet's nodes at this host."""
        lines = self._run("list", "").splitlines()
        return [self._machine(*line.split("\t")) for line in lines]

    def create(self, order: Order) -> Machine:
        """Make the folder, hand the token over, start."""
        said = self._run("create", order.wanted.name, *self._command(order), given=order.token.reveal())
        return self._machine(*said.splitlines()[-1].split("\t"))

    def version(self) -> str:
        """What the program over there calls its version."""
        return (self._run("version", "", *self._program).split() or [""])[-1]

    def replace(self, machine: Machine, order: Order) -> None:
        """Stop it, keep its command as `command.old`, start the new one on the same folder."""
        self._run("replace", machine.name, *self._command(order), given=order.token.reveal())

    def restore(self, machine: Machine) -> None:
        """Start the kept command; it runs what that program is by now."""
        self._run("restore", machine.name)

    def settle(self, machine: Machine) -> None:
        """Remove the kept command."""
        self._run("settle", machine.name)

    def start(self, machine: Machine) -> None:
        """Start a node that stopped."""
        self._run("start", machine.name)

    def destroy(self, machine: Machine) -> None:
        """Stop it (SIGTERM, KILL after eight seconds) and remove its folder."""
        self._run("destroy", machine.name)

    def logs(self, machine: Machine, lines: int) -> list[str]:
        """What it printed."""
        return self._run("logs", machine.name, str(lines)).splitlines()

    def _command(self, order: Order) -> list[str]:
        return [*self._program, "node", *order.node, "--region", order.wanted.code]

    def _machine(self, name: str, state: str) -> Machine:
        return Machine(self._provider, f"{self._place}/{name}", name, self._place, state)

    def _run(self, verb: str, name: str, *words: str, given: str = "") -> str:
        call = shlex.join(["sh", "-c", SCRIPT, "nettrace-fleet", verb, self._base, self._fleet, name, *words])
        try:
            ran = subprocess.run(  # noqa: S603 (our own script, every word quoted)
                [*self._reach, call],
                input=given,
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as problem:
            kind = "no answer in a minute" if isinstance(problem, subprocess.TimeoutExpired) else str(problem)
            raise Unreachable(f"{self._place}: {kind}", "Run the command again: it resumes") from None
        if ran.returncode == 0:
            return ran.stdout
        said = (ran.stderr.strip().splitlines() or ["no word"])[-1][:300]
        if ran.returncode == 255:
            raise Unreachable(f"{self._place}: {said}", _next_step(said, self._place))
        if ran.returncode == _NOT_OURS:
            raise Refused(f"{self._place}: '{name}' is not of the fleet '{self._fleet}'", "It is left alone")
        if ran.returncode == _NO_PROGRAM:
            raise Refused(
                f"{self._place}: {said}", "Install it there (pipx install nettrace), or set [ssh] program"
            )
        if ran.returncode == _FULL or "No space left" in said:
            raise NoCapacity(f"{self._place}: {said}", "Make room there")
        word = "ended at once" if ran.returncode == _DIED else f"failed ({ran.returncode})"
        raise Refused(f"{self._place}: {verb} of '{name}' {word}: {said}", "See nettrace fleet logs")


def _next_step(said: str, place: str) -> str:
    """What to do about a connection that could not be had or kept, by `ssh`'s last word of it.

    >>> _next_step("Connection to h closed by remote host.", "root@h")
    'The connection broke; run the command again: it resumes'
    """
    if "Host key verification failed" in said:
        return (
            f"Another host may answer there. If its key was changed on purpose: ssh-keygen -R {place.rpartition('@')[2]}, "
            "and log in once"
        )
    if any(word in said for word in ("closed by", "reset by", "Broken pipe", "not responding")):
        return "The connection broke; run the command again: it resumes"
    return "Check that ssh gets there without a password"
