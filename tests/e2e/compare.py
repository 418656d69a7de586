#!/usr/bin/python3
"""Is the container equal to the folder? Asked of the service through the official Azure SDK, knowing nothing of azsyncd
but docs/reference/blob-names.md, from which the mapping of names is written here a second time.

    compare.py --connection-string S [--prefix P] [--exclude PATH...] FOLDER CONTAINER

Exit 0: equal, every name and every byte. Exit 1: each difference is printed.
"""
import argparse
import base64
import concurrent.futures
import datetime
import hashlib
import os
import stat
import sys

from azure.storage.blob import BlobServiceClient

ESCAPE = "\u201b"
HEX = "0123456789ABCDEF"


def is_escape(c):
    return c in (ESCAPE, "\uff3c", "\u2421") or "\u2400" <= c <= "\u241f"


def unmapped(c):
    """Characters whose bytes are written as escapes, since the service refuses or loses them."""
    n = ord(c)
    return 0x80 <= n <= 0x9f or n == 0xe000 or 0xfdd0 <= n <= 0xfdef or n & 0xfffe == 0xfffe


def name_to_blob(path):
    """A path below the folder (bytes) -> the name of its blob."""
    return "/".join(segment_to_blob(segment) for segment in path.split(b"/"))


def segment_to_blob(segment):
    out = []
    text = segment.decode("utf-8", "surrogateescape")
    for at, c in enumerate(text):
        last = at == len(text) - 1
        if "\udc80" <= c <= "\udcff":
            out.append(f"{ESCAPE}{ord(c) - 0xdc00:02X}")
        elif unmapped(c):
            out += [f"{ESCAPE}{byte:02X}" for byte in c.encode()]
        elif c == "\\":
            out.append("\uff3c")
        elif c < " ":
            out.append(chr(0x2400 + ord(c)))
        elif c == "\x7f":
            out.append("\u2421")
        elif c == "." and last:
            out.append("\uff0e")
        elif is_escape(c) or (c == "\uff0e" and last):
            out.append(ESCAPE + c)
        else:
            out.append(c)
    return "".join(out)


def blob_to_name(blob):
    """The reverse. None: no path leads to this blob."""
    names = [segment_to_name(segment) for segment in blob.split("/")]
    path = b"/".join(names)
    impossible = b"\0" in path or any(name in (b"", b".", b"..") for name in names)
    return path if not impossible and name_to_blob(path) == blob else None


def segment_to_name(segment):
    out, at = bytearray(), 0
    while at < len(segment):
        c, rest = segment[at], segment[at + 1:at + 3]
        at += 1
        if c == ESCAPE and rest and (is_escape(rest[0]) or rest == "\uff0e"):
            out += rest[0].encode()
            at += 1
        elif c == ESCAPE and len(rest) == 2 and all(h in HEX for h in rest):
            out.append(int(rest, 16))
            at += 2
        elif c == "\uff3c":
            out += b"\\"
        elif "\u2400" <= c <= "\u241f":
            out.append(ord(c) - 0x2400)
        elif c == "\u2421":
            out += b"\x7f"
        elif c == "\uff0e" and at == len(segment):
            out += b"."
        else:
            out += c.encode("utf-8", "surrogatepass")
    return bytes(out)


def files_below(folder, exclude=()):
    """{relative path as bytes: stat} of every regular file; `exclude` names paths, relative too."""
    found, top = {}, os.fsencode(folder)
    exclude = {os.fsencode(e) for e in exclude}
    for where, folders, names in os.walk(top):
        here = os.path.relpath(where, top)
        join = (lambda name: name) if here == b"." else (lambda name: here + b"/" + name)
        folders[:] = [f for f in folders if join(f) not in exclude]
        for name in names:
            st = os.lstat(os.path.join(where, name))
            if stat.S_ISREG(st.st_mode) and join(name) not in exclude:
                found[join(name)] = st
    return found


def compare(client, container, folder, prefix="", exclude=(), metadata=True, content=True):
    """A list of differences, each one line; empty if container and folder are equal."""
    wrong, prefix = [], prefix.strip("/") + "/" if prefix.strip("/") else ""
    files, service = files_below(folder, exclude), client.get_container_client(container)
    blobs = {}
    for blob in service.list_blobs(name_starts_with=prefix or None, include=["metadata"]):
        path = blob_to_name(blob.name[len(prefix):])
        if path is None:
            wrong.append(f"{blob.name!r}: no file name leads to this blob")
        elif path not in files:
            wrong.append(f"{path!r}: a blob without a file")
        else:
            blobs[path] = blob
    wrong += [f"{path!r}: a file without a blob" for path in files.keys() - blobs.keys()]

    def one(item):
        path, blob = item
        with open(os.path.join(os.fsencode(folder), path), "rb") as f:
            data, st = f.read(), os.fstat(f.fileno())
        if content and service.download_blob(blob.name).readall() != data:
            return [f"{path!r}: other content"]
        return list(check_properties(path, blob, data, st)) if metadata else []

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for found in pool.map(one, sorted(blobs.items())):
            wrong += found
    return wrong


def check_properties(path, blob, data, st):
    """What rclone and azcopy would restore from (azure-blob conventions): MD5, type, times, mode, owner."""
    md5 = blob.content_settings.content_md5
    if md5 is None or bytes(md5) != hashlib.md5(data).digest():
        yield f"{path!r}: Content-MD5 is {base64.b64encode(bytes(md5 or b'')).decode()!r}"
    if not blob.content_settings.content_type:
        yield f"{path!r}: no Content-Type"
    meta = {name.lower(): value for name, value in (blob.metadata or {}).items()}
    expected = {"mtime": rfc3339(st.st_mtime_ns), "modtime": str(st.st_mtime_ns), "permissions": str(st.st_mode),
                "posix_owner": str(st.st_uid), "posix_group": str(st.st_gid)}
    for name, value in expected.items():
        if meta.get(name) != value:
            yield f"{path!r}: metadata {name} is {meta.get(name)!r}, not {value!r}"


def rfc3339(ns):
    whole = datetime.datetime.fromtimestamp(ns // 10**9, datetime.timezone.utc)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{ns % 10**9:09d}Z"


def main():
    parser = argparse.ArgumentParser(description="Compares a folder with a container, by the official Azure SDK.")
    parser.add_argument("--connection-string", default=os.environ.get("AZURE_STORAGE_CONNECTION_STRING"))
    parser.add_argument("--prefix", default="")
    parser.add_argument("--exclude", action="append", default=[])
    parser.add_argument("folder")
    parser.add_argument("container")
    options = parser.parse_args()
    if not options.connection_string:
        parser.error("--connection-string or AZURE_STORAGE_CONNECTION_STRING is needed")
    client = BlobServiceClient.from_connection_string(options.connection_string)
    wrong = compare(client, options.container, options.folder, options.prefix, options.exclude)
    for line in wrong[:20]:
        print(line)
    if len(wrong) > 20:
        print(f"... and {len(wrong) - 20} more")
    files = files_below(options.folder, options.exclude)
    if not wrong:
        total = sum(st.st_size for st in files.values())
        print(f"equal: {len(files)} files, {total / 2**20:.1f} MiB, every name and every byte")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
