"""What is ordered to start: a command from a keeper, or a container from the engine."""

import os

import msgspec

from scitq.model import Word
from scitq.node.environment import Environment, Owner, encoded, user_of_container
from scitq.node.gpus import container_names
from scitq.node.job import Job
from scitq.node.means import Share
from scitq.node.orders import ContainerOrder, Order


def command(
    job: Job, owner: Owner | None, folder: str, environment: Environment, share: Share, resources: str
) -> Order:
    """The order of a task without a container, in a folder that is ready; `resources`: where all of them lie."""
    spec = job.spec
    head, tail = _kept(spec.log_limit)
    return Order(
        name=job.name,
        argv=[encoded(word) for word in spec.command],
        env=environment.of(spec, owner, folder, share),
        folder=os.fsencode(folder + "/tmp"),  # noqa: S108 - the task's own
        uid=None if owner is None else owner.uid,
        gid=None if owner is None else owner.gid,
        timeout=spec.run_timeout,
        head=head,
        tail=tail,
        only_read=(os.fsencode(f"{folder}/resource"), os.fsencode(resources)) if spec.resources else (),
        cgroups=job.given.cgroups,
        spec=msgspec.msgpack.encode(job.carried),
    )


def container(job: Job, folder: str, data: str, share: Share) -> ContainerOrder:
    """The order of a task in a container, in a folder that is ready; `data` is mounted too, unless "".

    GPUs that it did not ask of scitq are docker's to give, as `-O` says.
    """
    spec = job.spec
    head, tail = _kept(spec.log_limit)
    return ContainerOrder(
        name=job.name,
        image=spec.container,
        options=spec.container_options,
        command=[_text(word) for word in spec.command],
        env={
            "CPU": str(share.cpus),
            "MEM": str(share.mem),
            **{name: _text(value) for name, value in spec.env.items()},
        },
        folder=folder,
        data=data,
        user=user_of_container(spec, job.image_user),
        cpu=share.cpu_limit,
        mem=share.mem_limit,
        devices=tuple(container_names(share.gpus)) if spec.gpu else (),
        timeout=spec.run_timeout,
        head=head,
        tail=tail,
        spec=msgspec.msgpack.encode(job.carried),
    )


def _kept(limit: int | None) -> tuple[int | None, int]:
    """Bytes of head and tail that a log limit leaves to each stream."""
    return (None, 0) if limit is None else (limit // 2, limit - limit // 2)


def _text(word: Word) -> str:
    return word.decode() if isinstance(word, bytes) else word
