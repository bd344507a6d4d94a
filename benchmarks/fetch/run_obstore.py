"""obstore alone, as short as one would write it: `down|up|list BUCKET/KEY LOCAL`, a final `/` for folders."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import obstore
from obstore.store import S3Store


def main(verb: str, path: str, local: str) -> None:
    """One of the three."""
    bucket, _, key = path.partition("/")
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    store = S3Store(
        bucket, endpoint=endpoint, virtual_hosted_style_request=False, client_options={"allow_http": True}
    )
    if verb == "list":
        print(sum(len(page) for page in obstore.list(store, key or None, chunk_size=1000)))
    elif verb == "up" and not key.endswith("/"):
        obstore.put(store, key, Path(local), chunk_size=16 << 20, max_concurrency=4)
    elif verb == "up":
        names = [name.relative_to(local).as_posix() for name in Path(local).rglob("*") if name.is_file()]
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(lambda name: obstore.put(store, key + name, Path(local, name)), names))
    elif not key.endswith("/"):
        with open(local, "wb", buffering=0) as target:
            size = obstore.head(store, key)["size"]
            step = 16 << 20
            with ThreadPoolExecutor(4) as pool:
                begins = range(0, size, step)
                list(
                    pool.map(
                        lambda begin: _range(store, key, begin, min(begin + step, size), target.fileno()), begins
                    )
                )
    else:
        found = [one["path"] for page in obstore.list(store, key, chunk_size=1000) for one in page]
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(lambda name: _whole(store, name, Path(local, name.removeprefix(key))), found))


def _range(store: S3Store, key: str, begin: int, end: int, fd: int) -> None:
    os.pwrite(fd, obstore.get_range(store, key, start=begin, end=end), begin)


def _whole(store: S3Store, key: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(obstore.get(store, key).bytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
