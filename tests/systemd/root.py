"""The Debian that the machines of these tests start from: made once by mmdebstrap, of the release that runs here, with
what the package depends on; kept as a tarball below the tree."""
import hashlib
import os
import pathlib
import platform
import re
import subprocess

TOP = pathlib.Path(__file__).resolve().parents[2]
WHERE = TOP / "build-systemd"
BASE = ["systemd", "systemd-sysv", "dbus", "libpam-systemd"]
SOURCES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources")
LIMIT = 3600  # seconds


def dependencies(package):
    """Names of what a .deb depends on; of alternatives the first."""
    fields = subprocess.run(["dpkg-deb", "--field", package, "Depends", "Pre-Depends"], capture_output=True, text=True,
                            check=True).stdout
    listed = ",".join(re.findall(r"^(?:Pre-)?Depends: (.*)$", fields, re.MULTILINE))
    return sorted({re.split(r"[\s(|:]", one.strip())[0] for one in listed.split(",") if one.strip()})


def tarball(package):
    """The path of the root for this package; minutes the first time."""
    names = [*BASE, *dependencies(package)]
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    key = hashlib.sha256(" ".join([release, *names]).encode()).hexdigest()[:12]
    made = WHERE / f"root-{release}-{key}.tar"
    if made.exists():
        return made
    WHERE.mkdir(exist_ok=True)
    for old in WHERE.glob("root-*"):
        old.unlink()
    part = made.with_name(f"{made.stem}.{os.getpid()}.tar")
    sources = [name for name in SOURCES if os.path.exists(name)]
    try:
        subprocess.run(["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(names)}",
                        "--aptopt=Acquire::Retries \"5\"", release, part, *sources], stdin=subprocess.DEVNULL,
                       check=True, timeout=LIMIT)
        part.rename(made)
    finally:
        part.unlink(missing_ok=True)
    return made
