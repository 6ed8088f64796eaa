"""One etcd process that can't outlive the Python process that started it, however that one ends.

Between the two stands a small shell, the guard. It is etcd's parent, and reads a pipe whose other end only this
process holds (and a fork of it that does not exec). When the pipe closes, because we were stopped, killed or collected,
the guard ends etcd. As nobody else waits for etcd, its process id can't pass on to another process while the guard
lives.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from etcdorm.errors import ServerError

_GRACE = 1.0  # seconds that etcd has to end by itself: with an open watch 3.5 would take 7
_SLACK = 4.0  # seconds that the guard has on top of it

# $1 is a directory to remove when the pipe closes without a word, that is, when there is nobody left to do it; the rest
# is etcd's command line. The first line of stdout is etcd's process id. Whatever is said goes to the log, on stderr.
#
# The keeper waits for the pipe. Once awake it must not be killed outright: its `sleep` would be left behind as an
# orphan, and in a container that has no init, as a zombie.
_SCRIPT = f"""
scratch=$1
shift
exec 3<&0 </dev/null
"$@" >&2 3<&- &
etcd=$!
echo "$etcd"
exec >&2
(
    outcome=9
    read -r word <&3 && outcome=0
    sleeper=
    trap 'kill $sleeper; wait; exit $outcome' TERM
    kill -TERM "$etcd"
    kill -CONT "$etcd"
    sleep {_GRACE} &
    sleeper=$!
    wait "$sleeper"
    kill -KILL "$etcd"
    exit $outcome
) 2>/dev/null &
keeper=$!
wait "$etcd"
status=$?
kill "$keeper" 2>/dev/null
wait "$keeper" 2>/dev/null
[ $? -ne 9 ] || [ -z "$scratch" ] || rm -rf -- "$scratch"
exit $status
"""


class Guard:
    """A running etcd and the shell that watches over it; ``pid`` is that of etcd itself.

    ``log`` receives all that etcd says; ``scratch`` is a directory that is removed if this process ends without
    having called :meth:`stop`.
    """

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str], log: Path, scratch: Path | None
    ) -> None:
        # Not Popen's own pipe: a Popen that is collected while its process runs is kept alive, and its pipe with it.
        reading_end, writing_end = os.pipe()
        self._pipe = os.fdopen(writing_end, "wb", buffering=0)
        try:
            with os.fdopen(reading_end, "rb") as stdin, log.open("ab") as stderr:
                # In a session of its own: Ctrl-C in the terminal is for us, and we end etcd in our own time.
                self._shell = subprocess.Popen(
                    ["/bin/sh", "-c", _SCRIPT, "etcd-guard", str(scratch or ""), *command],
                    bufsize=0,
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    env=environment,
                    start_new_session=True,
                )
            self.pid = self._read_pid()
        except BaseException:
            self._pipe.close()  # whatever runs by now ends by that
            raise

    def _read_pid(self) -> int:
        assert self._shell.stdout is not None
        with self._shell.stdout as stdout:
            line = stdout.readline().decode()
        if not line.strip().isdigit():
            raise ServerError(f"/bin/sh did not start etcd; it said {line!r}")
        return int(line)

    @property
    def status(self) -> int | None:
        """None while etcd runs, then its exit status as a shell tells it: 137 after SIGKILL."""
        return self._shell.poll()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to etcd, if it still runs."""
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End etcd as a crash would."""
        self.send(signal.SIGKILL)
        self._wait()
        self.stop()

    def stop(self) -> None:
        """End etcd: ask it to, and kill it when it takes too long. It always ends, and may be called twice."""
        if not self._pipe.closed:
            with contextlib.suppress(BrokenPipeError), self._pipe:
                self._pipe.write(b"stop\n")
        self._wait()

    def _wait(self) -> None:
        try:
            self._shell.wait(_GRACE + _SLACK)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._shell.pid, signal.SIGKILL)
            self._shell.wait()
