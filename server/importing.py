"""`diemcau import`: a clerk's workbook from the command line, with the same reading as the page's."""

import asyncio
from collections import Counter
from pathlib import Path

from rooms.actor import SERVER
from rooms.ids import MeetingId
from rooms.refusal import Refused
from server.database.meetings import Meetings
from server.meetings import NoSuchMeeting, OpenMeetings, new_command_id, summary
from server.offline import offline
from server.roster.plan import Plan, plan_workbook
from server.roster.workbook import WorkbookError
from server.runner import Runner
from server.settings import Settings


async def import_file(settings: Settings, file: Path, id: MeetingId | None, title: str, dry_run: bool) -> int:
    """The exit code: 0 imported (or shown), 1 the file or meeting is not usable."""
    async with offline(settings) as parts:
        try:
            runner = await _meeting(parts.meetings, parts.listed, id, title)
            data = await asyncio.to_thread(file.read_bytes)
            plan = await asyncio.to_thread(plan_workbook, data, runner.meeting.copy(), (), runner.now())
            _show(plan)
            if dry_run:
                return 0
            rev = await runner.submit(SERVER, plan.command(new_command_id()))
        except (WorkbookError, Refused, NoSuchMeeting) as error:
            print(f"{file.name}: {type(error).__name__}: {error}")
            return 1
        await parts.listed.summarise(runner.id, summary(runner))
        print(f"meeting {runner.id} is at entry {rev}")
        return 0


async def _meeting(meetings: OpenMeetings, listed: Meetings, id: MeetingId | None, title: str) -> Runner:
    if title:
        return await meetings.create(title)
    if id is None:
        newest = next(iter(await listed.all()), None)
        if newest is None:
            raise NoSuchMeeting("none yet: use --new")
        id = newest.id
    return await meetings.get(id)


def _show(plan: Plan) -> None:
    for row in plan.doubtful:
        mark = "+" if row.taken else "-"
        other = f" (row {row.other_row})" if row.other_row else ""
        print(f"{mark} {row.sheet}!{row.row}: {row.code}{other}: {row.name or ' | '.join(c for c in row.cells if c)}")
    for code, count in sorted(Counter(row.code for row in plan.doubtful).items()):
        print(f"  {code}: {count}")
    print(
        f"halls {len(plan.halls)} ({plan.new_halls} new), delegates {len(plan.delegates)} ({plan.new_delegates} new), "
        f"changed {plan.changed}, unchanged {plan.unchanged}, left out {len(plan.left_out)}"
    )
