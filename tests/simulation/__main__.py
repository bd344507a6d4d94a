"""One seed alone, with its story: `python -m tests.simulation SEED [SECONDS]`."""

import sys

from tests.simulation.world import World


def main() -> int:
    world = World(int(sys.argv[1]))
    try:
        world.play(*map(float, sys.argv[2:3]))
    finally:
        print(world.story())
        print(f"seed {world.seed}: {world.steps} steps, {world.crashes} crashes of the broker, {world.now:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
