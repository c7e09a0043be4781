"""Why a row needs a person's eye: the codes of `wire.DoubtfulRow`, and the collecting of such rows."""

from enum import StrEnum

from server.roster.lists import ListedDelegate, ListedHall, OtherRow
from server.wire import DoubtfulRow


class Doubt(StrEnum):
    """The codes, the gravest first. "Not taken": the row is imported only after a correction."""

    HALL_UNKNOWN = "hall_unknown"
    """The hall named is on no list, or fits several halls. Not taken; `hall` is the likeliest."""
    HALL_MISSING = "hall_missing"
    """No hall is named. Taken if the rows above and below are in one hall, or one hall alone has the row's unit."""
    DITTO_UNCLEAR = "ditto_unclear"
    """A ditto mark for the hall, but the row above is not the one that was meant (moved rows). Not taken."""
    NAME_MISSING = "name_missing"
    """There is no name, or one of more than 200 letters. Not taken."""
    DUPLICATE = "duplicate"
    """The same person again (`other_row`): same name and phone; or neither has one and hall, unit, position are the
    same. Not taken."""
    DUPLICATE_OTHER_HALL = "duplicate_other_hall"
    """The same name and phone again, but in another hall: the first is imported. Not taken."""
    HALL_REPEATED = "hall_repeated"
    """A hall of the list of halls again. Not taken."""
    HALL_NAME_MISSING = "hall_name_missing"
    """A row of the list of halls without a name, or with one of more than 200 letters. Not taken."""
    HALL_GUESSED = "hall_guessed"
    """The hall is written without accents or without its rank (xã, thị trấn …) and fits one hall only. Taken."""
    SECTION_DIFFERS = "section_differs"
    """A ditto mark right below a heading that names another hall than the row above it. Taken: the heading's hall."""
    DUPLICATE_POSSIBLE = "duplicate_possible"
    """Same name, hall, unit and position as `other_row`, but only one of the two has a phone. Taken."""
    ORDER_REPEATED = "order_repeated"
    """The running number was used by `other_row` for somebody else. Taken."""
    ORDER_MISSING = "order_missing"
    """No running number, and the gap between the neighbours does not tell which one. Taken, with the next number."""
    PHONE_SHARED = "phone_shared"
    """The same phone as `other_row` under another name. Taken."""
    PHONE_UNREADABLE = "phone_unreadable"
    """No telephone number of this country can be read from the cell. Taken, without a phone."""
    PHONE_SEVERAL = "phone_several"
    """The cell has more than one number. Taken, with the first."""
    ROLE_UNKNOWN = "role_unknown"
    """The part (thành phần) is none of official, guest, substitute. Taken as official, the words kept in the note."""
    ROLE_MISSING = "role_missing"
    """No part is given. Taken as official."""
    DETAIL_UNCLEAR = "detail_unclear"
    """A ditto mark for unit or position with nothing above it to repeat. Taken, the field empty."""
    TEXT_CUT = "text_cut"
    """A text is longer than the list can hold. Taken, cut."""
    CONVENED_UNREADABLE = "convened_unreadable"
    """The number of delegates convened is no number. Taken, without it."""
    CHAIR_REPEATED = "chair_repeated"
    """A second main hall (điểm cầu chính). Taken as an ordinary hall."""
    CHAIR_MISSING = "chair_missing"
    """No hall is marked as the main one. Taken; the row is the first hall's."""
    CONVENED_DIFFERS = "convened_differs"
    """The hall's number convened is not the number of delegates listed for it. Taken."""
    TOTAL_DIFFERS = "total_differs"
    """The list's own total is not what was counted. Nothing to take; the row is the total's."""


GRAVITY = {doubt: rank for rank, doubt in enumerate(Doubt)}


class Doubts:
    """The doubtful rows found so far."""

    def __init__(self) -> None:
        self._rows: list[DoubtfulRow] = []

    def add(
        self,
        row: ListedDelegate | ListedHall | OtherRow,
        code: Doubt,
        *,
        taken: bool,
        name: str = "",
        hall: str | None = None,
        other_row: int | None = None,
    ) -> None:
        self._rows.append(
            DoubtfulRow(
                sheet=row.sheet,
                row=row.row,
                code=code.value,
                taken=taken,
                cells=row.cells,
                name=name,
                hall=hall,
                other_row=other_row,
            )
        )

    def sorted(self) -> tuple[DoubtfulRow, ...]:
        """The rows, the gravest first, then as they stand in the file."""
        return tuple(sorted(self._rows, key=lambda row: (GRAVITY[Doubt(row.code)], row.sheet, row.row)))
