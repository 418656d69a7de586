"""Whatever bytes a Linux name may hold has one blob name, from which it is told back; what Azure cannot store is named
as failed (pitfalls section 6, docs/reference/blob-names.md)."""
import base64
import contextlib
import hashlib
import os
import random
import re
import shutil
import socket
import subprocess
import unicodedata

import pytest

from compare import blob_to_name, compare, name_to_blob
from daemon import BUILD, until
from proxy import Answer

ODD = [b"a b", b"%41", b"a?b", b"a#b", b"a+b&c=d", b"quote'\"", b"back\\slash", b"back/slash/x", b"tab\there", b"new\nline",
       b"cr\rlf\n", b"esc\x1b[31m", b"\x01", b"\x1f", b"\x7f", b"trailing.", b"trailing...", b"...", b".hidden", b"..x",
       b"\xe9 latin", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b"caf\xc3\xa9", b"cafe\xcc\x81", "\u65e5\u672c".encode(),
       "\U0001f600".encode(), "\u201bE9".encode(), "\u201b\u201b".encode(), "\u2409".encode(), "\uff3c".encode(),
       "end\uff0e".encode(), "\uff0emiddle\uff0e.".encode(), "\u0085".encode(), "\ufffe".encode(), "\ufdd0".encode(),
       "\ue000".encode(), "\u202egnp.exe".encode(), b"~tilde", b"A", b"a", b"STRASSE", "stra\u00dfe".encode(), b" leading",
       b"trailing ", b"x" * 250, b"\xff" * 250, b"<&>\"'", b"]]>", b"-dash", b"*", b"con", b"dir\xe9. \\./in a folder."]
# five folders and a file: longer than any blob's name, while the folders are not
IMPOSSIBLE = b"/".join([b"n" * 200] * 5 + [b"f" * 195])


def put(folder, path, content=None):
    whole = os.path.join(os.fsencode(folder), path)
    os.makedirs(os.path.dirname(whole), exist_ok=True)
    with open(whole, "wb") as f:
        f.write(b"content of " + path if content is None else content)


def storable(name):
    """What the service documents as a blob's name, and no tool on the way changes (azure-blob.md 1.10)."""
    segments = name.split("/")
    return (len(name.encode("utf-16-le")) <= 2048 and len(segments) <= 254 and "\\" not in name
            and not any(s in ("", ".", "..") or s.endswith(".") for s in segments)
            and not any(unicodedata.category(c) in ("Cc", "Cs") or c == "\ue000" for c in name)
            and not any(0xfdd0 <= ord(c) <= 0xfdef or ord(c) & 0xfffe == 0xfffe for c in name))


def blob_names(account, container="box"):
    return [b.name for b in account.client().get_container_client(container).list_blobs()]


@pytest.mark.asan
@pytest.mark.parametrize("prefix", [None, "hosts/%H/caf\u00e9 1"])
def test_odd_names(make, account, folder, prefix):
    """6.1, 6.2, 6.6: all storable names are stored, and told back by the documented rules alone; exactly the
    impossible one, a path of 1,200 characters, is listed as failed. Nothing is normalised."""
    assert len(IMPOSSIBLE) == 1200
    for name in ODD + [IMPOSSIBLE]:
        put(folder, name)
    prefix, mapping = (prefix or "").replace("%H", socket.gethostname()), {"prefix": prefix} if prefix else {}
    known = {}

    def check():
        wrong = compare(account.client(), "box", folder, prefix)
        assert wrong == [f"{IMPOSSIBLE!r}: a file without a blob"]
        (item,) = [i for i in d.queue().values() if i["state"] == "failed"]
        assert item["path"].encode() == IMPOSSIBLE and "1,024 characters" in item["reason"]
        assert d.status()["failed"] == 1
        names = [name[len(prefix) + 1 if prefix else 0:] for name in blob_names(account)]
        assert all(storable(name) for name in names)
        back = [blob_to_name(name) for name in names]
        assert len(set(back)) == len(back) and all(name_to_blob(path) == name for path, name in zip(back, names))
        known.update(zip(back, names))
        return set(back)
    with make(mapping) as d:
        d.wait_sync(expect=3)
        assert check() == set(ODD)
        os.rename(os.path.join(os.fsencode(folder), b"dir\xe9. \\."), os.path.join(os.fsencode(folder), b"new\xe8."))
        os.unlink(os.path.join(os.fsencode(folder), b"new\nline"))
        d.wait_sync(expect=3)
        assert check() == set(ODD) - {b"new\nline", b"dir\xe9. \\./in a folder."} | {b"new\xe8./in a folder."}
    # written by hand, so that not everything rests on one reading of the page
    assert known[b"caf\xc3\xa9"] == "caf\u00e9" and known[b"cafe\xcc\x81"] == "cafe\u0301"
    assert known[b"trailing..."] == "trailing..\uff0e" and known[b"back\\slash"] == "back\uff3cslash"
    assert known[b"new\nline"] == "new\u240aline" and known[b"\xe9 latin"] == "\u201bE9 latin"


def path_of(units, character, cost):
    """A path of so many UTF-16 units, made of `character`, which costs `cost` of them, in names of some 240 bytes."""
    names = []
    while True:
        n = min(units // cost, 240 // len(character))
        left = units - n * cost
        if left <= cost:
            return b"/".join(names + [character * n + b"x" * left])
        names.append(character * n)
        units = left - 1


@pytest.mark.parametrize("prefix", ["", "p" * 100])
def test_limits(make, account, folder, prefix):
    """6.1, 6.3: 1,024 UTF-16 units and 254 segments with the prefix, to the last one; beyond it Azurite would take the
    name, so it is refused on our side."""
    fits, fails = set(), set()
    room = 1024 - (len(prefix) + 1 if prefix else 0)
    for character, cost in ((b"a", 1), ("\u00e9".encode(), 1), ("\U0001f600".encode(), 2), (b"\xfe", 3), (b"\\", 1)):
        fits.add(path_of(room, character, cost))
        fails.add(path_of(room + 1, character, cost))
    deepest = 254 - (1 if prefix else 0)
    fits.add(b"/".join([b"d"] * (deepest - 1) + [b"f"]))
    fails.add(b"/".join([b"e"] * deepest))  # as a folder: nothing in it can be stored
    for path in fits | fails:
        put(folder, path + b"/f" if path.startswith(b"e/") else path)
    for path in fits:
        assert len(name_to_blob(path).encode("utf-16-le")) // 2 <= room and storable(name_to_blob(path))
    with make({"prefix": prefix} if prefix else {}) as d:
        d.wait_sync(expect=3)
        failed = {base64.b64decode(i["path_bytes"]) if i.get("path_bytes") else i["path"].encode(): i["reason"]
                  for i in d.queue().values() if i["state"] == "failed"}
        assert set(failed) == fails
    names = blob_names(account)
    assert {blob_to_name(name[len(prefix) + 1 if prefix else 0:]) for name in names} == fits
    assert max(len(name.encode("utf-16-le")) for name in names) == 2048
    assert max(name.count("/") for name in names) == 253


@contextlib.contextmanager
def at(folder, names):
    """A descriptor of folder/names[0]/names[1]/..., made if missing; no path is ever longer than one name (6.7)."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in names:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=fd)
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


def touch(fd, name):
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=fd))


@pytest.mark.asan
def test_too_deep(make, account, folder):
    """6.7: a tree 15,000 characters deep. What can be stored is; the rest is one row, however much it holds, and goes
    when the tree goes."""
    names = ["n" * 250] * 60
    for depth in range(len(names) + 1):
        with at(folder, names[:depth]) as fd:
            touch(fd, "file")
    with at(folder, names[:5]) as fd:
        for n in range(200):
            touch(fd, f"{n:03d}")
    first = "/".join(names[:5])  # 1,254 characters; "file" in the folder above has 1,008

    def failed():
        return {path: item["reason"] for path, item in d.queue().items() if item["state"] == "failed"}
    with make() as d:
        d.wait_sync(expect=3)
        assert list(failed()) == [first] and "everything beneath" in failed()[first]
        assert sorted(blob_names(account)) == ["/".join(names[:n] + ["file"]) for n in range(5)]
        # what is moved up far enough is stored, as far as it then can be
        with at(folder, names[:58]) as fd, at(folder, []) as top:
            os.rename(names[58], "up", src_dir_fd=fd, dst_dir_fd=top)
        d.until_status(files=7)  # up/file and up/n.../file
        with at(folder, names[:8]) as fd, at(folder, []) as top:
            os.rename(names[8], "more", src_dir_fd=fd, dst_dir_fd=top)
        d.until_status(files=12, failed=2)
        assert set(failed()) == {first, "/".join(["more"] + names[:5])}
        shutil.rmtree(folder / "more")
        shutil.rmtree(folder / names[0])
        d.until_status(failed=0)
        d.wait_sync()
        assert sorted(blob_names(account)) == ["file", "up/file", f"up/{names[0]}/file"]


PIECES = [b"a", b".", b"..", b"/", b"\\", b"\x01", b"\x1f", b"\x7f", b"\x80", b"\xc2", b"\xc2\x80", b"\xc2\x9f", b"\xc2\xa0",
          b"\xe2", b"\xe2\x80", "\u201b".encode(), "\u201b".encode(), "\u2400".encode(), "\u2401".encode(), "\u241f".encode(),
          "\u2420".encode(), "\u2421".encode(), "\uff3c".encode(), "\uff0e".encode(), "\uff0e".encode(), "\ue000".encode(),
          "\ufffe".encode(), "\ufdef".encode(), b"\xed\xa0\x80", "\U0001f600".encode(), "\U0010ffff".encode(), b"\xff", b"4",
          b"1", b"E", b"F", b"2F", b"00", b"C3", "\u00e9".encode(), b"e\xcc\x81", b" ", b"%2F", b"x" * 20]


def mapped(what, names, prefix=""):
    """What azsyncd's own code makes of them; None: refused."""
    lines = "".join(f"{what} {name.hex()}\n" for name in names)
    done = subprocess.run([BUILD / "tests/unit/map-names", prefix], input=lines, capture_output=True, text=True, check=True)
    return [None if line in ("-", "long", "deep") else bytes.fromhex(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("prefix", ["", "hosts/h\u00e9"])
def test_told_twice(prefix, seed, rounds):
    """The mapping in C and the one that compare.py has from the page agree, both ways, on names made to confuse."""
    for n in range(rounds(1, 100)):
        tell_twice(prefix, random.Random(seed + n))


def tell_twice(prefix, rand):
    def name():
        if rand.randrange(4) == 0:
            return bytes(rand.randrange(1, 256) for _ in range(rand.randrange(1, 20)))
        long = 40 if rand.randrange(10) == 0 else 1
        return b"".join(rand.choice(PIECES) for _ in range(rand.randrange(1, 20) * long))

    def is_path(path):
        return not any(part in (b"", b".", b"..") for part in path.split(b"/"))

    def reverse(blob):
        try:
            text = blob.decode()
        except UnicodeDecodeError:
            return None
        begins = prefix + "/" if prefix else ""
        return blob_to_name(text[len(begins):]) if text.startswith(begins) else None
    paths = list({path for path in (name() for _ in range(10000)) if is_path(path)})
    blobs = mapped("f", paths, prefix)
    whole = [(prefix + "/" if prefix else "") + name_to_blob(path) for path in paths]
    fits = [len(text.encode("utf-16-le")) <= 2048 and text.count("/") < 254 for text in whole]
    assert sum(fits) > 3000 and not all(fits)
    assert blobs == [text.encode() if fit else None for text, fit in zip(whole, fits)]
    stored = [blob for blob in blobs if blob is not None]
    assert len(set(stored)) == len(stored) and all(storable(blob.decode()) for blob in stored)
    assert mapped("r", stored, prefix) == [path for path, fit in zip(paths, fits) if fit]
    # and whatever a container may hold
    strangers = [(prefix + "/").encode() + name() if prefix else name() for _ in range(10000)]
    told = mapped("r", strangers, prefix)
    short = [len(blob) <= 1024 for blob in strangers]
    assert [t for t, s in zip(told, short) if s] == [reverse(blob) for blob, s in zip(strangers, short) if s]
    ours = [(blob, path) for blob, path in zip(strangers, told) if path is not None]
    assert len(ours) > 300 and mapped("f", [path for _, path in ours], prefix) == [blob for blob, _ in ours]


LISTED = ('<Blob><Name Encoded="true">{name}</Name><Properties><Etag>{etag}</Etag><Content-Length>{size}</Content-Length>'
          "<Content-MD5>{md5}</Content-MD5><BlobType>BlockBlob</BlobType></Properties></Blob>")


def test_encoded_listing(make, account, proxy, folder, equal):
    """6.5: a listing may have its names percent-encoded. Ours is recognised and not sent again; one that no file can
    have (Azurite's listings break on it, so it is put in by the proxy) is left alone."""
    content, path = b"the same bytes", b"100%25 a+b\xe9\n"
    put(folder, path, content)
    blob = account.client().create_container("box").upload_blob(name_to_blob(path), content)
    md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
    etag = blob.get_blob_properties().etag.strip('"')
    name = "".join(f"%{byte:02X}" for byte in name_to_blob(path).encode())
    body = ('\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>'
            + LISTED.format(name=name, etag=etag, size=len(content), md5=md5)
            + LISTED.format(name="stranger%EF%BF%BE%01", etag="0x1", size=1, md5=md5)
            + "</Blobs><NextMarker/></EnumerationResults>").encode()
    proxy.rule = lambda request: Answer(200, "", body=body) if request.verb == "list" else None
    with make(port=proxy.port) as d:
        d.wait_sync()
        assert d.status()["uploaded_files"] == 0 and d.status()["files"] == 1
    assert proxy.count("list") > 0 and proxy.count("put-blob") == proxy.count("delete") == 0
    assert not any("stranger" in request.path for request in proxy.requests)
    equal()


EVIL = b"evil\x1b[31m\x9b2J\r\nMAINPID=1\nSTOPPING=1\xff\x07" + "\u202e\u2066\u0085".encode()


@pytest.mark.asan
def test_odd_names_in_output(make, account, folder):
    """6.8: nothing a file is called reaches a terminal, the log or STATUS= as it is; programs get its bytes."""
    put(folder, EVIL)
    put(folder, b"/".join([EVIL * 4] + [b"n" * 200] * 4 + [EVIL * 2]))  # it must be shown, since it fails
    daemon = make(speedup=10)

    def harmless(text, *needed):
        assert all(word in text for word in needed), (needed, text)
        bad = re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]|^(MAINPID|STOPPING)", text,
                        re.MULTILINE)
        assert not bad, (bad, text)
    once = daemon.run("--once")
    assert once.rc == 3
    harmless(once.out + once.err, "not synced", "evil\\x1b[31m")
    with daemon as d:
        d.until_status(failed=1, files=1)
        harmless(d.ctl("queue").out, "evil\\x1b[31m\\x9b2J\\x0d\\x0aMAINPID=1\\x0a")
        harmless(d.ctl("status").out, "1 path cannot be uploaded")
        harmless(d.ctl("status", "--check").out, "1 path cannot be uploaded")
        harmless(d.wait_sync(expect=3).err, "waiting does not help")
        for output in (d.ctl("status", "--json").out, d.ctl("queue", "--json").out):
            harmless(output)
        (item,) = [i for i in d.queue().values() if i["state"] == "failed"]
        harmless(item["path"])
        assert base64.b64decode(item["path_bytes"]).endswith(EVIL * 2)
        until(lambda: any(line.startswith("STATUS=") for line in d.notifier.lines))
        harmless("\n".join(d.notifier.lines))
        harmless(d.log(), "evil\\x1b[31m")
    (blob,) = account.client().get_container_client("box").list_blobs(include=["metadata"])
    assert blob.name == name_to_blob(EVIL)
    harmless("\n".join(f"{name}={value}" for name, value in blob.metadata.items()))  # one line each: no splitting
