"""What is in the package, and what installing it does where systemd does not run. Nothing is booted here."""
import collections
import io
import os
import pathlib
import re
import stat
import subprocess
import tarfile

import pytest

import root

TOP = pathlib.Path(__file__).resolve().parents[2]
DOC = "usr/share/doc/azsyncd"
PROGRAMS = ("usr/bin/azsyncd", "usr/bin/azsyncctl", "usr/libexec/azsyncd/azsyncctl-cloud")
LIMIT = 3600  # seconds, for a build on a busy machine

Member = collections.namedtuple("Member", "mode owner target")


def quiet(*command, **options):
    done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=LIMIT, **options)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def archive(package):
    """The files of the package, as a tar file."""
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        yield tar


@pytest.fixture(scope="module")
def members(archive):
    """path -> Member, of all that are no folders. Man pages are compressed in a package, and only there."""
    return {m.name.removeprefix("./").removesuffix(".gz"): Member(m.mode, f"{m.uname}:{m.gname}", m.linkname)
            for m in archive if not m.isdir()}


def test_same_as_meson_install(members, tmp_path):
    """Neither more nor less than `meson install` puts there, with the same modes; but for what each Debian package has."""
    build, dest = tmp_path / "build", tmp_path / "dest"
    options = re.search(r"dh_auto_configure -- (.*)", (TOP / "debian/rules").read_text())[1].split()
    quiet("meson", "setup", build, TOP, "--prefix=/usr", "-Doptimization=0", *options)
    quiet("ninja", "-C", build)
    quiet("meson", "install", "-C", build, "--no-rebuild", "--destdir", dest)
    theirs = {str(p.relative_to(dest)): Member(stat.S_IMODE(p.lstat().st_mode), "root:root",
                                               os.readlink(p) if p.is_symlink() else "")
              for p in dest.rglob("*") if p.is_symlink() or not p.is_dir()}
    ours = {name: member for name, member in members.items() if not name.startswith(f"{DOC}/")}
    assert ours == theirs
    assert {name for name in members if name.startswith(f"{DOC}/")} == {f"{DOC}/copyright", f"{DOC}/changelog"}
    assert set(PROGRAMS) <= set(ours)


def test_build_dependencies():
    """The package asks for what scripts/packages installs for a build: neither list is forgotten."""
    control = (TOP / "debian/control").read_text()
    asked = re.search(r"^Build-Depends: (.*?)^\S", control, re.MULTILINE | re.DOTALL)[1]
    asked = {re.split(r"[ (]", one.strip())[0] for one in asked.split(",")}
    installed = set(quiet(TOP / "scripts/packages", "build").split())
    # what every build has, and what comes with meson
    assert asked - {"debhelper-compat"} == installed - {"build-essential", "ninja-build"}


def test_lintian(package):
    """Debian's own judgement, without an override."""
    assert quiet("lintian", "--allow-root", "--fail-on", "error,warning", package) == ""


@pytest.mark.parametrize("program", PROGRAMS)
def test_hardened(archive, tmp_path, program):
    """hardening=+all has arrived: at random addresses, nothing left to bind later, checked functions of the C library."""
    archive.extract(f"./{program}", tmp_path)
    headers = quiet("readelf", "--wide", "--headers", "--dynamic", "--symbols", tmp_path / program)
    assert re.search(r"FLAGS_1.*\bNOW\b.*\bPIE\b", headers) and "GNU_RELRO" in headers
    assert re.search(r"GNU_STACK .* RW ", headers) and "__stack_chk_fail" in headers and "_chk@GLIBC" in headers


def test_reproducible(package, archive, tmp_path):
    """The same tree elsewhere, from files with other modes and times, gives the same bytes."""
    copy = tmp_path / "another-place"
    names = quiet("git", "-c", "safe.directory=*", "-C", TOP, "ls-files", "-co", "--exclude-standard").splitlines()
    for name in names:
        if (TOP / name).is_file() and not name.startswith("tests/"):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((TOP / name).read_bytes())
            (copy / name).chmod(0o700 if os.access(TOP / name, os.X_OK) else 0o600)
    epoch = max(m.mtime for m in archive)
    quiet(copy / "scripts/package", env=dict(os.environ, SOURCE_DATE_EPOCH=str(epoch), TZ="Asia/Tokyo", LC_ALL="C"))
    (made,) = (copy / "dist").glob("*.deb")
    assert made.name == package.name and made.read_bytes() == package.read_bytes()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_without_systemd(package, tmp_path):
    """In a chroot, as when an image is made: the user is there before anything is his, and nothing is enabled."""
    if all(line.split()[4] != "/" for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()):
        pytest.skip("/ is no mount point: no mounts of its own can be made here")
    quiet("tar", "-x", "--numeric-owner", "-f", root.tarball(package), "-C", tmp_path)
    (tmp_path / "azsyncd.deb").write_bytes(package.read_bytes())

    def run(*command):
        return quiet("unshare", "--mount", "--pid", "--fork", f"--mount-proc={tmp_path}/proc", "chroot", tmp_path,
                     *command, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"})

    run("dpkg", "--install", "/azsyncd.deb")
    assert run("stat", "-c", "%A %U:%G %n", "/etc/azsyncd", "/etc/azsyncd/mappings.d").splitlines() == [
        "drwxr-x--- root:azsyncd /etc/azsyncd", "drwxr-x--- root:azsyncd /etc/azsyncd/mappings.d"]
    assert run("getent", "passwd", "azsyncd").strip().endswith("/var/lib/azsyncd:/usr/sbin/nologin")
    assert not list(tmp_path.glob("etc/systemd/system/*/azsyncd.service"))
    run("systemctl", "enable", "azsyncd.service")
    assert "is good: 0 accounts, 0 mappings" in run("azsyncd", "--check-config")
    (tmp_path / "etc/azsyncd/contoso.key").write_text("secret")
    run("dpkg", "--remove", "azsyncd")
    assert (tmp_path / "etc/azsyncd/contoso.key").exists()
    run("dpkg", "--purge", "azsyncd")
    assert not [p for p in tmp_path.rglob("*azsyncd*") if p.name != "azsyncd.deb" and "var/cache" not in str(p)]
