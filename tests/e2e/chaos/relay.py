"""A relay as a process of its own: `python -m tests.e2e.chaos.relay HOST:PORT` prints the port where it listens."""

import asyncio
import sys
from contextlib import suppress


async def _carry(source: asyncio.StreamReader, drain: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            drain.write(data)
            await drain.drain()
    drain.close()


async def _relay(host: str, port: int) -> None:
    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:  # as if the broker's packets came through at last
            try:
                far, on = await asyncio.open_connection(host, port)
                break
            except OSError:
                await asyncio.sleep(0.05)
        await asyncio.gather(_carry(reader, on), _carry(far, writer))

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    host, _, port = sys.argv[1].rpartition(":")
    asyncio.run(_relay(host, int(port)))
