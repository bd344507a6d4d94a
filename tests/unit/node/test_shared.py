"""What tasks call /data, wherever a worker has it."""

from pathlib import Path

import pytest

from scitq.errors import UsageError
from scitq.model import Spec
from scitq.node.shared import found, located


def test_addresses_below_data_are_found_where_the_worker_has_it() -> None:
    spec = Spec(
        inputs=("file:///data/a b.txt", "/data/x.tgz|untar", "file:///database/y", "s3://data/z", "/data/"),
        resources=("file:///data/db/|mv:new",),
        output="file:///data",
    )
    assert located(spec, "/mnt/nfs") == Spec(
        inputs=("file:///mnt/nfs/a b.txt", "/mnt/nfs/x.tgz|untar", "file:///database/y", "s3://data/z", "/mnt/nfs/"),
        resources=("file:///mnt/nfs/db/|mv:new",),
        output="file:///mnt/nfs",
    )


@pytest.mark.parametrize("data", ["", "/data"])
def test_elsewhere_nothing_changes(data: str) -> None:
    spec = Spec(inputs=("file:///data/a",), output="/data/b")
    assert located(spec, data) is spec


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert found(str(tmp_path)) == str(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        found(f"{tmp_path}/absent")
