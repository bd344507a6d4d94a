"""Images: pulled once for however many tasks want one, tried again by itself."""

import re
import time
from collections.abc import Callable, Mapping
from functools import partial

from scitq.model import MIB
from scitq.node.containers.answers import EngineAway, EngineRefused, NoSuchImage
from scitq.node.containers.engine import Engine, Login
from scitq.node.containers.presence import Presence
from scitq.node.containers.pulling import Layers
from scitq.node.crew import Crew
from scitq.node.progress import Item, Progress, of_image
from scitq.node.say import say

PAUSES = (1.0, 4.0, 15.0, 60.0)  # seconds between the tries of one image
TOLD_SECONDS = 10.0  # between two words about a pull in the log
FINAL = re.compile(
    r"not found|manifest unknown|no basic auth|unauthorized|denied|invalid reference|(?<![\w.:-])40[134](?![\w.:-])",
    re.IGNORECASE,
)
DEFAULT_REGISTRY = "docker.io"

Then = Callable[[object], None]


class Images:
    """`bring` an image; what follows is called in the agent's thread, with the user it names or what went wrong."""

    def __init__(self, presence: Presence, crew: Crew, progress: Progress) -> None:
        self.logins: Mapping[str, Login] = {}  # by registry
        self._presence = presence
        self._crew = crew
        self._progress = progress
        self._wanted: dict[str, list[Then]] = {}

    def bring(self, image: str, then: Then) -> None:
        """Have it on this machine: at once when it is there already."""
        waiting = self._wanted.setdefault(image, [])
        waiting.append(then)
        if len(waiting) == 1:
            self._crew.do("engine", partial(_here, self._presence, image), partial(self._looked, image))

    def _looked(self, image: str, found: object) -> None:
        if isinstance(found, NoSuchImage | EngineAway):
            item = self._progress.begin(of_image(image), of_image(image), 0)
            item.say("waits for other images")
            work = partial(_pull, self._presence, image, self.logins.get(registry_of(image)), item)
            self._crew.do("pulling", work, partial(self._brought, image))
        else:
            self._brought(image, found)

    def _brought(self, image: str, result: object) -> None:
        for then in self._wanted.pop(image, ()):
            then(result)


def registry_of(image: str) -> str:
    """The registry in an image's name: `docker.io` when it names none."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else DEFAULT_REGISTRY


def _here(presence: Presence, image: str) -> str:
    return presence.engine.user_of(image)


def _pull(presence: Presence, image: str, login: Login | None, item: Item) -> str:
    """Pull until it works or cannot work; while there is no engine no try is counted."""
    with item:
        return _pulled(presence, image, login, item)


def _pulled(presence: Presence, image: str, login: Login | None, item: Item) -> str:
    tries = iter(PAUSES)
    while True:
        engine: Engine | None = None
        try:
            engine = presence.engine
            try:
                return engine.user_of(image)
            except NoSuchImage:
                begin = time.monotonic()
                item.say("its registry is asked")
                size = engine.pull(image, login, _Telling(image, item))
                say(f"pulled the image {image}: {size / MIB:.0f} MiB in {time.monotonic() - begin:.1f} s")
                return engine.user_of(image)
        except EngineAway:
            if engine is not None:
                presence.lost(engine)
            item.say("waits for the worker's container engine, which does not answer")
            presence.wait(1.0)
        except EngineRefused as problem:
            pause = next(tries, None)
            if pause is None or FINAL.search(str(problem)):
                raise EngineRefused(
                    f"the image {image} cannot be had: {problem}{_hint(str(problem), login)}"
                ) from None
            item.say(f"is tried again in {pause:g} s: {problem}")
            time.sleep(pause)


class _Telling:
    """Passes on how far a pull is: to whoever asks, and now and then to the log."""

    def __init__(self, image: str, item: Item) -> None:
        self._image = image
        self._item = item
        self._say_at = time.monotonic() + TOLD_SECONDS

    def __call__(self, layers: Layers) -> None:
        self._item.reach(layers.here, layers.total, str(layers))
        if time.monotonic() >= self._say_at:
            self._say_at += TOLD_SECONDS
            say(f"pulling the image {self._image}: {layers.here / MIB:.0f} of {layers.total / MIB:.0f} MiB")


def _hint(problem: str, login: Login | None) -> str:
    if login is None and re.search("denied|auth", problem, re.IGNORECASE):
        return " (`scitq manage registry login` tells the workers who may pull it)"
    return ""
