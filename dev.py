"""Work on etcdorm with nothing but Python 3.11 or newer; everything needed goes into .venv beside this file.

usage:
  python3 dev.py demo              start a real etcd and walk through what etcdorm does with it
  python3 dev.py test              every check: ruff, mypy, pyright, import-linter, pytest
  python3 dev.py test ARGUMENT...  pytest alone, with these arguments, as in: dev.py test tests/unit -k path
  python3 dev.py bench             how fast the v2 client is, beside others, on a real etcd
  python3 dev.py bench NAME        another benchmark: mapper, or coordination
  python3 dev.py bench --help      what else can be said to it; dev.py bench NAME --help, to another one

The first run sets .venv up and takes its time; later runs start at once, until pyproject.toml changes.
"""

# Everything down to the call of `refusal` runs, and the rest is parsed, by Pythons as old as 3.6.
import sys

OLDEST = (3, 11)


def refusal(version: "Sequence[int]") -> str:
    """What to tell a user whose Python is too old, or "" when it is not."""
    if tuple(version) >= OLDEST:
        return ""
    wanted, found = (".".join(str(part) for part in numbers) for numbers in (OLDEST, version))
    return (
        f"etcdorm needs Python {wanted} or newer, and this is Python {found} ({sys.executable}).\n"
        f"Is there a newer one? Then name it: python{wanted} dev.py, or python3.12, python3.13, ..."
    )


if refusal(sys.version_info[:2]):
    sys.exit(refusal(sys.version_info[:2]))

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "etcdorm-installed"
THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
BASE_PYTHON = getattr(sys, "_base_executable", sys.executable)  # when .venv's own Python runs this: what it came from

CHECKS = {
    "ruff check": ("-m", "ruff", "check"),
    "ruff format": ("-m", "ruff", "format", "--check"),
    "mypy": ("-m", "mypy"),
    "pyright": ("-m", "basedpyright"),
    "import-linter": ("-c", "from importlinter.cli import lint_imports_command as main; main()"),
}

# Most tests wait for an etcd or for time to pass, so more of them at once than there are processors are soonest done.
EVERY_TEST = ("-m", "pytest", "-n", "4", "--dist", "loadgroup")

# The extras that pip is asked for: each brings all that those before it do.
EXTRAS = ("server", "dev", "dev,bench")
# One of the clients to measure. The dnspython that etcdorm has is all it needs, but it asks for dnspython3, and that
# replaces dnspython by one of 2016, or writes over its files: etcdorm can't be imported any more.
AIO_ETCD = "aio-etcd==0.4.6.1"

# Set in a user's shell or a CI job, each of these would send the installation or the imports to another place.
DIVERTING = {
    *("VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__"),
    *("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PIP_DRY_RUN", "PIP_NO_DEPS"),
    *("PIP_REQUIREMENT", "PIP_EDITABLE", "PIP_REQUIRE_HASHES", "PIP_NO_BUILD_ISOLATION"),
}
# PIP_USER overrules a `user = true` in pip's configuration files too; they would lead out of .venv.
UNATTENDED = {"PIP_USER": "0", "DEBIAN_FRONTEND": "noninteractive"}


def main(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("help", "-h", "--help"):
        print(__doc__.strip())
        return 0 if arguments else 2
    command, rest = arguments[0], arguments[1:]
    if command == "demo" and not rest:
        prepare("server")
        become("examples/tour.py")
    if command == "test":
        prepare("dev")
        return become("-m", "pytest", *rest) if rest else test()
    if command == "bench":
        module = "benchmarks"
        if rest and (ROOT / "benchmarks" / rest[0] / "__main__.py").exists():
            module, rest = f"benchmarks.{rest[0]}", rest[1:]
        prepare("dev,bench")
        become("-m", module, *rest)
    print(f"dev.py does not know {' '.join(arguments)!r}\n\n{__doc__.strip()}", file=sys.stderr)
    return 2


def test() -> int:
    """Run every check, also after one has failed; pytest comes last, and its summary ends the output."""
    failed = [name for name, command in CHECKS.items() if not quietly(name, [str(PYTHON), *command])]
    if not failed:
        become(*EVERY_TEST)
    tests = subprocess.run([PYTHON, *EVERY_TEST], env=environment(os.environ), cwd=ROOT, check=False)
    if tests.returncode:
        failed.append("pytest")
    print("failed: " + ", ".join(failed), file=sys.stderr)
    return 1


# -- .venv --------------------------------------------------------------------------------------------------------


def prepare(extras: str) -> None:
    """See to it that .venv works and holds etcdorm, editable, with what ``extras`` ask for."""
    fault = venv_fault()
    wanted = stamp_line(extras, (ROOT / "pyproject.toml").read_bytes(), THIS_PYTHON, str(ROOT))
    if not fault and covers(read_stamp(), wanted):
        return
    if fault:
        make_venv(fault)
    STAMP.unlink(missing_ok=True)  # until pip has come to its end, nothing is known to be installed
    install(f"etcdorm[{extras}]", "--editable", f".[{extras}]")
    if extras.endswith("bench"):
        install(AIO_ETCD, "--no-deps", AIO_ETCD)
    STAMP.write_text(wanted + "\n")


def install(what: str, *arguments: str) -> None:
    """``pip install``, in .venv; ends this process when that fails."""
    pip = ("-m", "pip", "install", "--disable-pip-version-check", "--no-input", *arguments)
    if not quietly(f"installing {what} into .venv", [str(PYTHON), *pip]):
        sys.exit(
            f"pip could not install {what}; its own words are above.\n"
            "It needs the Python package index that pip is configured for. "
            "Once that is in reach, run the same command again."
        )


def stamp_line(extras: str, pyproject: bytes, python: str, root: str) -> str:
    """What is remembered of an installation: for whom it was, and a hash of all that it depends on."""
    digest = hashlib.sha256(b"\0".join((pyproject, AIO_ETCD.encode(), python.encode(), os.fsencode(root))))
    return f"{extras} {digest.hexdigest()}"


def covers(installed: str, wanted: str) -> bool:
    """Whether the installation of one stamp line does for another one."""
    extras, _, digest = wanted.partition(" ")
    return installed in (f"{more} {digest}" for more in EXTRAS[EXTRAS.index(extras) :])


def read_stamp() -> str:
    try:
        return STAMP.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def venv_fault() -> str:
    """Why .venv can't be used as it is, or "" when it can."""
    if not VENV.exists():
        return "there is none yet"
    probe = [str(PYTHON), "-I", "-c", "import pip, sys; print('%d.%d' % sys.version_info[:2], sys.prefix)"]
    try:
        answer = subprocess.run(probe, capture_output=True, text=True, timeout=60, check=True).stdout.split(maxsplit=1)
    except (OSError, subprocess.SubprocessError):
        return "it is broken or half made"
    version, prefix = answer[0], Path(answer[1].strip())
    if version != THIS_PYTHON:
        return f"it is of Python {version}, and this is {THIS_PYTHON}"
    return "" if prefix.resolve() == VENV.resolve() else "it is broken or half made"


def make_venv(fault: str) -> None:
    if VENV.exists():
        print(f".venv is made anew: {fault}", flush=True)
    if not importlib.util.find_spec("venv") or not importlib.util.find_spec("ensurepip"):
        get_ensurepip()
    if not quietly("making .venv", [BASE_PYTHON, "-m", "venv", "--clear", str(VENV)]):
        sys.exit(f"{BASE_PYTHON} could not make {VENV}; its own words are above.")


# -- where Debian has taken ensurepip out of Python --------------------------------------------------------------------


class Remedy(NamedTuple):
    """What to do about a Python without ensurepip: words for the user, and the commands where they may be run."""

    words: str
    commands: tuple[tuple[str, ...], ...] = ()


def remedy(executable: str, version: str, *, apt: bool, root: bool) -> Remedy:
    missing = f"This Python ({executable}) comes without ensurepip, which a virtual environment needs."
    package = f"python{version}-venv"
    if not apt or not executable.startswith("/usr/bin/"):
        return Remedy(f"{missing}\nInstall it (the package is often called {package}), or use another Python.")
    if not root:
        return Remedy(f"{missing}\nThis installs it; then run dev.py again:\n  sudo apt-get install {package}")
    update = ("apt-get", "update", "--quiet")
    install = ("apt-get", "install", "--yes", "--no-install-recommends", package)
    return Remedy(f"{missing} It is installed with apt.", (update, install))


def get_ensurepip() -> None:
    way = remedy(BASE_PYTHON, THIS_PYTHON, apt=bool(shutil.which("apt-get")), root=os.geteuid() == 0)
    if not way.commands:
        sys.exit(way.words)
    print(way.words, flush=True)
    # An update that fails may still leave lists that are good enough: only the last command has to succeed.
    done = [quietly(" ".join(command), command) for command in way.commands]
    if not done[-1]:
        sys.exit("apt could not install it; its own words are above.")


# -- running things --------------------------------------------------------------------------------------------------


def environment(outer: Mapping[str, str]) -> dict[str, str]:
    """The environment for .venv's Python: the outer one, without what would lead it elsewhere."""
    inner = {name: value for name, value in outer.items() if name not in DIVERTING}
    try:
        Path.home()
    except RuntimeError:  # no HOME, and a user that the system does not know: pip would make a directory called "~"
        inner["HOME"] = str(VENV)
    return inner


def become(*arguments: str) -> NoReturn:
    """Go on as .venv's Python: it gets the terminal, every signal, and the exit status."""
    sys.stdout.flush()
    os.chdir(ROOT)
    os.execve(PYTHON, [str(PYTHON), *arguments], environment(os.environ))


def quietly(doing: str, command: Sequence[str]) -> bool:
    """Run a command behind one line that says what is being done and for how long; show its output if it fails."""
    begun = time.monotonic()
    terminal = sys.stdout.isatty()
    print(f"{doing} ...", end="", flush=True)
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environment(os.environ), **UNATTENDED},
            cwd=ROOT,
        )
        try:
            while process.poll() is None:
                if terminal:
                    print(f"\r{doing} ... {time.monotonic() - begun:.0f} s", end="", flush=True)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=1)
        except KeyboardInterrupt:
            print(" stopped")
            process.terminate()
            process.wait()
            raise
        restart = f"\r{doing} ..." if terminal else ""
        outcome = "FAILED" if process.returncode else "ok"
        print(f"{restart} {outcome}, {time.monotonic() - begun:.1f} s", flush=True)
        if process.returncode:
            output.seek(0)
            sys.stdout.buffer.write(output.read())
            sys.stdout.flush()
    return process.returncode == 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
