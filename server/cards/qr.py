"""QR codes of join links, as SVG and PNG.

Error correction M, as usual for print on paper; the quiet zone of four modules that the standard asks for. The mask is
always the same: trying all eight for the prettiest takes six times as long (10 ms a code, 100 s for a meeting's cards),
every reader takes any of them, and tokens are random enough that no mask makes a bad picture of them.
"""

import io
from typing import Any

from PIL import Image
from qrcode.constants import ERROR_CORRECT_M
from qrcode.main import QRCode

QUIET_ZONE = 4
_MODULE_PX = 10
_MASK = 3


def qr_matrix(link: str) -> list[list[bool]]:
    """The modules, True for dark, without the quiet zone. Raises `ValueError` if the link is too long for a code."""
    code: Any = QRCode(error_correction=ERROR_CORRECT_M, border=0, mask_pattern=_MASK)
    code.add_data(link)
    code.make(fit=True)
    return [[bool(module) for module in row] for row in code.get_matrix()]


def qr_svg(link: str) -> bytes:
    """A picture without a size of its own: one unit per module, on white, so that it reads on a dark page too."""
    matrix = qr_matrix(link)
    side = len(matrix) + 2 * QUIET_ZONE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" shape-rendering="crispEdges">'
        f'<rect width="{side}" height="{side}" fill="#fff"/>'
        f'<path d="{_path(matrix, QUIET_ZONE)}" fill="#000"/></svg>'
    ).encode()


def qr_png(link: str) -> bytes:
    """Black and white, ten pixels to a module."""
    matrix = qr_matrix(link)
    side = len(matrix) + 2 * QUIET_ZONE
    picture = Image.new("1", (side, side), 1)
    for y, row in enumerate(matrix):
        for x, dark in enumerate(row):
            if dark:
                picture.putpixel((x + QUIET_ZONE, y + QUIET_ZONE), 0)
    out = io.BytesIO()
    picture.resize((side * _MODULE_PX, side * _MODULE_PX), Image.Resampling.NEAREST).save(out, "PNG", optimize=True)
    return out.getvalue()


def _path(matrix: list[list[bool]], margin: int) -> str:
    """One rectangle for each run of dark modules in a row."""
    parts: list[str] = []
    for y, row in enumerate(matrix):
        x = 0
        while x < len(row):
            start = x
            while x < len(row) and row[x]:
                x += 1
            if x > start:
                parts.append(f"M{start + margin} {y + margin}h{x - start}v1h-{x - start}z")
            x += 1
    return "".join(parts)


def qr_outline(link: str) -> tuple[int, str]:
    """The side with its quiet zone, and the dark modules as an SVG path."""
    matrix = qr_matrix(link)
    return len(matrix) + 2 * QUIET_ZONE, _path(matrix, QUIET_ZONE)
