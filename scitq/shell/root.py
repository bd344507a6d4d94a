"""The trunk of the command tree: every noun is a door, so that a command loads itself only."""

from scitq.shell.connect import SERVER
from scitq.shell.tree import Door, Group

_COMMANDS = "scitq.shell.commands"

_MANAGE = Group(
    "manage",
    "look at and steer tasks, batches, workers and keys",
    (
        Door("task", "one command with its inputs, output and options", f"{_COMMANDS}.task:TASK"),
        Door("batch", "a name that ties tasks to workers", f"{_COMMANDS}.batch:BATCH"),
        Door("worker", "a machine, or a part of one, that runs tasks", f"{_COMMANDS}.worker:WORKER"),
        Door("attempt", "one try at a task", f"{_COMMANDS}.attempt:ATTEMPT"),
        Door("access", "the keys that the broker accepts", f"{_COMMANDS}.access:ACCESS"),
        Door("registry", "where workers log in to pull images", f"{_COMMANDS}.registry:REGISTRY"),
    ),
    options=SERVER,
)

ROOT = Group(
    "scitq",
    "run commands, here or on a hundred machines, and lose none",
    (
        Door("launch", "queue a command", "scitq.shell.launch:LAUNCH"),
        _MANAGE,
        Door("fetch", "move data between storages", f"{_COMMANDS}.fetch:FETCH"),
        Door("up", "start the local mesh: a broker and a worker on this machine", f"{_COMMANDS}.mesh:UP"),
        Door("down", "stop the local mesh; what runs goes on", f"{_COMMANDS}.mesh:DOWN"),
        Door("status", "say what the mesh is and does", f"{_COMMANDS}.mesh:STATUS"),
        Door("broker", "serve a mesh, or look after its state", f"{_COMMANDS}.broker:BROKER"),
        Door("node", "run tasks on this machine (scitq-worker)", f"{_COMMANDS}.node:NODE"),
    ),
)
