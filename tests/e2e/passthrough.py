"""passthrough.py BACKING MOUNTPOINT [FLAG]: a FUSE file system that shows another folder. While the file FLAG exists,
every answer waits: a server that took the question and says nothing. (SIGSTOP it, and it does not even take them.)"""
import os
import sys
import time

import fusepy


class Passthrough(fusepy.Operations):
    def __init__(self, backing, flag):
        self.backing, self.flag = backing, flag

    def _at(self, path):
        while self.flag and os.path.exists(self.flag):
            time.sleep(0.05)  # the fault itself
        return self.backing + path

    def getattr(self, path, fh=None):
        st = os.lstat(self._at(path))
        return {key: getattr(st, key) for key in ("st_atime", "st_ctime", "st_gid", "st_mode", "st_mtime", "st_nlink",
                                                  "st_size", "st_uid")}

    def readdir(self, path, fh):
        return [".", "..", *os.listdir(self._at(path))]

    def readlink(self, path):
        return os.readlink(self._at(path))

    def mkdir(self, path, mode):
        return os.mkdir(self._at(path), mode)

    def rmdir(self, path):
        return os.rmdir(self._at(path))

    def unlink(self, path):
        return os.unlink(self._at(path))

    def rename(self, old, new):
        return os.rename(self._at(old), self._at(new))

    def chmod(self, path, mode):
        return os.chmod(self._at(path), mode)

    def utimens(self, path, times=None):
        return os.utime(self._at(path), times)

    def open(self, path, flags):
        return os.open(self._at(path), flags)

    def create(self, path, mode, fi=None):
        return os.open(self._at(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)

    def read(self, path, size, offset, fh):
        self._at(path)
        return os.pread(fh, size, offset)

    def write(self, path, data, offset, fh):
        return os.pwrite(fh, data, offset)

    def truncate(self, path, length, fh=None):
        return os.truncate(self._at(path), length)

    def flush(self, path, fh):
        return 0

    def release(self, path, fh):
        return os.close(fh)

    def statfs(self, path):
        st = os.statvfs(self._at(path))
        return {key: getattr(st, key) for key in ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_files", "f_frsize",
                                                  "f_namemax")}


if __name__ == "__main__":
    fusepy.FUSE(Passthrough(sys.argv[1], sys.argv[3] if len(sys.argv) > 3 else None), sys.argv[2], foreground=True,
                attr_timeout=0, entry_timeout=0, fsname="passthrough", allow_other=os.getuid() == 0)
