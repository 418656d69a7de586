"""A command on a terminal of its own: what it shows, and what is typed."""
import contextlib
import os
import pty
import select
import subprocess


@contextlib.contextmanager
def terminal(arguments, environment):
    """(send, output, process): output() is all that was shown so far."""
    main, side = pty.openpty()
    process = subprocess.Popen(arguments, env=environment, stdin=side, stdout=side, stderr=side, start_new_session=True)
    os.close(side)
    seen = bytearray()

    def output():
        while select.select([main], [], [], 0)[0]:
            try:
                piece = os.read(main, 65536)
            except OSError:
                break
            if not piece:
                break
            seen.extend(piece)
        return bytes(seen)
    try:
        yield (lambda text: os.write(main, text)), output, process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(main)
