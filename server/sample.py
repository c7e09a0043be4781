"""A sample meeting from a province's real lists, so that a newcomer sees the product in a minute."""

import asyncio
import time

from rooms.actor import SERVER
from rooms.agenda import AddItem, OpenMeeting
from rooms.documents import PublishDocument
from rooms.ids import ItemId
from server.demo import PAPER, ROSTER
from server.http.service import Service
from server.meetings import new_command_id
from server.roster.plan import plan_workbook
from server.runner import Runner

TITLE = "Hội nghị trực tuyến toàn tỉnh (cuộc họp mẫu)"
AGENDA = (
    ("Ổn định tổ chức, chào cờ, giới thiệu đại biểu", "Ban Tổ chức", 15),
    ("Báo cáo kết quả công tác tuyên giáo và dân vận", "Phó Trưởng ban", 40),
    ("Tham luận của các điểm cầu", "Các điểm cầu", 60),
    ("Trao đổi, giải đáp ý kiến đại biểu", "Đoàn chủ tọa", 30),
    ("Kết luận hội nghị", "Chủ tọa", 20),
)


async def make_sample(service: Service) -> Runner:
    """The sample meeting, opened, with its lists, agenda and one paper."""
    runner = await service.meetings.create(TITLE, "Hội trường Tỉnh ủy", time.time())
    data = await asyncio.to_thread(ROSTER.read_bytes)
    plan = await asyncio.to_thread(plan_workbook, data, runner.meeting.copy(), (), runner.now())
    await runner.submit(SERVER, plan.command(new_command_id()))
    items: list[str] = []
    for title, presenter, minutes in AGENDA:
        command = AddItem(id=new_command_id(), title=title, presenter=presenter, duration_s=minutes * 60)
        await runner.submit(SERVER, command)
        items.append(command.id)
    await _publish(service, runner, ItemId(items[1]))
    await runner.submit(SERVER, OpenMeeting(id=new_command_id()))
    return runner


async def _publish(service: Service, runner: Runner, item: ItemId) -> None:
    facts = await service.workers.inspect(PAPER)
    stored = await service.papers.put(await asyncio.to_thread(PAPER.read_bytes))
    await runner.submit(
        SERVER,
        PublishDocument(
            id=new_command_id(),
            title="Báo cáo kết quả công tác",
            filename="bao-cao.pdf",
            item=item,
            sha256=stored.sha256,
            size=stored.size,
            pages=facts.pages,
            searchable=facts.searchable,
        ),
    )
