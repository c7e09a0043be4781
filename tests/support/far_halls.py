"""Synthetic halls in a process of their own: `python -m tests.support.far_halls URL HOST`, their tokens on stdin, a
line each. It prints a line when all are in, and they go when stdin ends.
"""

import asyncio
import sys

from clients.rehearsal.desk import Invited
from tests.support.synthetic_halls import halls_in


async def main(url: str, host: str) -> None:
    loop = asyncio.get_running_loop()
    invited = []
    while line := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        id, token = line.split()
        invited.append(Invited(id, token, False))
    async with halls_in((url,), invited, host):
        print("in", flush=True)
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
