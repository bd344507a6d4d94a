"""An FTP server that says the first and the last word of a transfer in one breath, as fast ones may."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread

_SAID = {
    "USER": "331 go on",
    "PASS": "230 welcome",
    "PWD": '257 "/"',
    "TYPE": "200 so be it",
    "CWD": "250 there",
    "REST": "350 from there",
    "QUIT": "221 farewell",
}


@contextmanager
def hasty_ftp(content: bytes) -> Iterator[str]:
    """Yields host:port; whatever file is asked for, it has this content, which fits into a socket's buffer."""
    with ThreadingTCPServer(("127.0.0.1", 0), _Conversation) as server:
        server.daemon_threads = True
        server.content = content  # type: ignore[attr-defined]
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class _Conversation(StreamRequestHandler):
    def handle(self) -> None:
        content: bytes = self.server.content  # type: ignore[attr-defined]
        self._say("220 hello")
        with socket.create_server(("127.0.0.1", 0)) as passive:
            port = passive.getsockname()[1]
            while line := self.rfile.readline():
                command = line.decode().split()[0].upper()
                if command == "SIZE":
                    self._say(f"213 {len(content)}")
                elif command == "PASV":
                    self._say(f"227 here (127,0,0,1,{port >> 8},{port & 255})")
                elif command == "RETR":
                    data, _ = passive.accept()
                    with data:
                        data.sendall(content)
                    self._say("150 it comes\r\n226 it came")
                else:
                    self._say(_SAID.get(command, "500 what?"))

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())
