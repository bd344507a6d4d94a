"""vsftpd: no MLSD, listings as `ls -l` writes them; anonymous, and allowed everything in one folder."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.ports import free_port, listening

CONFIG = """
listen=YES
background=NO
listen_address=127.0.0.1
listen_port={port}
run_as_launching_user={plain}
anonymous_enable=YES
no_anon_password=YES
anon_root={root}
write_enable=YES
anon_upload_enable=YES
anon_mkdir_write_enable=YES
anon_other_write_enable=YES
anon_umask=022
anon_world_readable_only=NO
secure_chroot_dir={home}/empty
seccomp_sandbox=NO
xferlog_enable=NO
{more}
"""


@contextmanager
def vsftpd(root: Path, more: str = "") -> Iterator[str]:
    """Yields host:port; files may be stored in `root`/place. Skips without vsftpd, or the right to use it."""
    program = shutil.which("vsftpd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None or os.geteuid() != 0:
        pytest.skip("vsftpd is not here, or not for us: it changes its user")
    home = root.parent / f"{root.name}.vsftpd"
    (home / "empty").mkdir(parents=True)
    place = root / "place"
    place.mkdir(parents=True, exist_ok=True)
    root.chmod(0o555)  # vsftpd lets nobody in whose own folder can be written
    place.chmod(0o777)
    shutil.chown(place, "ftp")
    for folder in (root, *root.parents):
        if folder.stat().st_mode & 0o005 != 0o005 and folder != folder.parent:
            folder.chmod(folder.stat().st_mode | 0o005)
    config = home / "vsftpd.conf"
    port = free_port()
    config.write_text(CONFIG.format(port=port, root=root, home=home, plain="NO", more=more))
    with subprocess.Popen([program, config]) as server:
        try:
            listening(port, server)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()
