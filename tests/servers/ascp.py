"""A stand-in of Aspera's `ascp`, which nobody may give away: it writes down its words, and copies inside a folder.

What it is told, and what it must leave behind, is as its own manual says; how the bytes cross a network is not tried.
"""

import sys
from pathlib import Path

_SCRIPT = """#!{python}
import os, pathlib, shutil, sys
words, server, log = sys.argv[1:], pathlib.Path({server!r}), {log!r}
with open(log, "a") as file:
    print(*words, sep="\\t", file=file)
said = os.environ.get("ASCP_SAYS")
if said:
    print(said)
    sys.exit(1)
pairs = [word.partition("=")[2] for word in words if word.startswith("--file-pair-list=")]
if pairs:
    source, target = pathlib.Path(pairs[0]).read_text().splitlines()
    target = server / target.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
else:
    source, target = server / words[-2].lstrip("/"), words[-1]
if not os.path.exists(source):
    print("ascp: Server aborted session: No such file or directory, exiting.")
    sys.exit(1)
shutil.copyfile(source, target)
"""


def install(programs: Path, server: Path) -> Path:
    """Put it, with a key beside it, into a folder of programs; returns the file with the words, one call a line."""
    log = programs / "ascp.words"
    script = programs / "ascp"
    script.write_text(_SCRIPT.format(python=sys.executable, server=str(server), log=str(log)))
    script.chmod(0o755)
    (programs / "aspera_bypass_rsa.pem").write_text("a key")
    return log
