"""Conference papers: what was published, and who has opened it.  Rules D1–D6 in SPEC.md.

The file itself is stored by its content hash; the record only names it.
"""

from msgspec.structs import replace

from rooms.actor import Actor, DelegateActor, HallActor
from rooms.agenda import Item, require_not_closed
from rooms.ids import DelegateId, DocumentId, HallId, ItemId
from rooms.meeting import Change, Command, Meeting, Record, new_id, put, text
from rooms.refusal import Refusal, Refused

MOST_DOCUMENTS = 500


class Document(Record, frozen=True, kw_only=True, tag="document"):
    """A published paper. `sha256` (hex) names the stored file; `searchable` is False for a scan without text."""

    title: str
    filename: str
    item: ItemId | None = None
    sha256: str
    size: int
    pages: int
    searchable: bool
    published_at: float
    order: int


class Readership(Record, frozen=True, kw_only=True, tag="readership"):
    """How many have opened a document; its id is the document's. `halls` are the halls whose page has."""

    halls: tuple[HallId, ...] = ()
    delegates: int = 0


class Reading(Record, frozen=True, kw_only=True, tag="reading"):
    """That one reader has opened one document; its id is "<document>:<reader>"."""

    document: DocumentId
    hall: HallId | None = None
    delegate: DelegateId | None = None
    opened_at: float


class PublishDocument(Command, frozen=True, kw_only=True, tag="document.publish"):
    """Comes from the upload only: the server has checked and stored the file."""

    title: str
    filename: str
    item: ItemId | None = None
    sha256: str
    size: int
    pages: int
    searchable: bool


class EditDocument(Command, frozen=True, kw_only=True, tag="document.edit"):
    document: DocumentId
    title: str
    item: ItemId | None = None


class WithdrawDocument(Command, frozen=True, kw_only=True, tag="document.withdraw"):
    document: DocumentId


class OpenDocument(Command, frozen=True, kw_only=True, tag="document.open"):
    """A reader opens it: the first time counts."""

    document: DocumentId


def publish_document(meeting: Meeting, actor: Actor, command: PublishDocument, now: float) -> Change:
    require_not_closed(meeting)
    if meeting.count(Document) >= MOST_DOCUMENTS:
        raise Refused(Refusal.BAD_VALUE, "documents")  # D1
    if command.item is not None:
        meeting.require(Item, command.item)
    document = Document(
        id=new_id(meeting, Document, command),
        title=text(command.title, "title", 300),
        filename=text(command.filename, "filename", 300),
        item=command.item,
        sha256=command.sha256,
        size=command.size,
        pages=command.pages,
        searchable=command.searchable,
        published_at=now,
        order=max((d.order for d in meeting.select(Document)), default=0) + 1,
    )
    return put(document, Readership(id=document.id))


def edit_document(meeting: Meeting, actor: Actor, command: EditDocument, now: float) -> Change:
    document = meeting.require(Document, command.document)
    if command.item is not None:
        meeting.require(Item, command.item)
    return put(replace(document, title=text(command.title, "title", 300), item=command.item))


def withdraw_document(meeting: Meeting, actor: Actor, command: WithdrawDocument, now: float) -> Change:
    """Take the paper back. Who had opened it stays in the log (D3)."""
    document = meeting.require(Document, command.document)
    readings = (reading.key for reading in meeting.select(Reading, document=document.id))
    return Change(drop=(document.key, Readership(id=document.id).key, *readings))


def open_document(meeting: Meeting, actor: Actor, command: OpenDocument, now: float) -> Change:
    document = DocumentId(meeting.require(Document, command.document).id)
    count = meeting.get(Readership, document) or Readership(id=document)
    if not isinstance(actor, DelegateActor | HallActor):
        raise Refused(Refusal.NOT_ALLOWED)
    id = f"{document}:{actor.id}"
    if meeting.get(Reading, id) is not None:
        return Change()  # D4
    if isinstance(actor, HallActor):
        reading = Reading(id=id, document=document, hall=actor.id, opened_at=now)
        return put(reading, replace(count, halls=(*count.halls, actor.id)))
    reading = Reading(id=id, document=document, delegate=actor.id, opened_at=now)
    return put(reading, replace(count, delegates=count.delegates + 1))
