"""PDF files for tests: sound ones made by pypdf, and hostile ones put together object by object."""

import io
import zlib
from collections.abc import Mapping

from pypdf import PdfWriter


def pdf(objects: Mapping[int, bytes], *, root: int = 1) -> bytes:
    """A file of these numbered objects, with a correct table of their places."""
    out = io.BytesIO()
    out.write(b"%PDF-1.7\n")
    places = {}
    for number, body in objects.items():
        places[number] = out.tell()
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = out.tell()
    size = max(objects) + 1
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % size)
    for number in range(1, size):
        out.write(b"%010d %05d %s \n" % (places.get(number, 0), 0, b"n" if number in places else b"f"))
    out.write(b"trailer\n<< /Size %d /Root %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, root, start))
    return out.getvalue()


def stream(data: bytes, entries: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), entries, data)


def text_pdf(*pages: str) -> bytes:
    """Pages with one line of (ASCII) text each."""
    objects = {1: b"<< /Type /Catalog /Pages 2 0 R >>", 3: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"}
    kids = []
    for n, text in enumerate(pages):
        page, content = 4 + 2 * n, 5 + 2 * n
        kids.append(b"%d 0 R" % page)
        objects[page] = (
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R "
            b"/Resources << /Font << /F 3 0 R >> >> >>" % content
        )
        objects[content] = stream(b"BT /F 24 Tf 50 700 Td (%s) Tj ET" % text.encode("ascii"))
    objects[2] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    return pdf(dict(sorted(objects.items())))


def scanned_pdf(pages: int) -> bytes:
    """Pages without a letter of text."""
    writer = PdfWriter()
    for _ in range(pages):
        writer.add_blank_page(595, 842)
    return _written(writer)


def encrypted_pdf(user_password: str) -> bytes:
    """AES-256; with an empty user password everybody can open it."""
    writer = PdfWriter(
        clone_from=io.BytesIO(text_pdf("Only for those who have the password, more than thirty letters"))
    )
    writer.encrypt(user_password, "owner-password", algorithm="AES-256")
    return _written(writer)


def page_bomb(depth: int = 9, width: int = 10) -> bytes:
    """A tree of pages each of whose nodes names the next one `width` times: 10^9 pages in a kilobyte."""
    objects = {1: b"<< /Type /Catalog /Pages 2 0 R >>"}
    for n in range(depth):
        kids = b"%d 0 R " % (n + 3) * width
        objects[n + 2] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, width ** (depth - n))
    objects[depth + 2] = b"<< /Type /Page /MediaBox [0 0 595 842] >>"
    return pdf(objects)


def page_loop() -> bytes:
    """A tree of pages that contains itself."""
    return pdf(
        {1: b"<< /Type /Catalog /Pages 2 0 R >>", 2: b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 /Parent 2 0 R >>"}
    )


def deep_tree(depth: int) -> bytes:
    """One page, below as many nodes."""
    objects = {1: b"<< /Type /Catalog /Pages 2 0 R >>"}
    for n in range(2, depth + 2):
        objects[n] = b"<< /Type /Pages /Kids [%d 0 R] /Count 1 >>" % (n + 1)
    objects[depth + 2] = b"<< /Type /Page /MediaBox [0 0 595 842] >>"
    return pdf(objects)


def nested_arrays(depth: int) -> bytes:
    """A catalogue with a value so deep that a recursive reader ends its stack."""
    return pdf(
        {1: b"<< /Type /Catalog /Pages 2 0 R /X %s%s >>" % (b"[" * depth, b"]" * depth), 2: b"<< /Type /Pages >>"}
    )


def stream_bomb(gigabytes: int = 2) -> bytes:
    """One page whose content unpacks to gigabytes: deflated twice, the file is a few kilobytes."""
    block = b"0 0 m 9 9 l S\n" * 75_000
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)  # stands on its own, so it can be repeated
    check = 1
    for _ in range(gigabytes * 1024):
        check = zlib.adler32(block, check)
    once = b"\x78\xda" + piece * (gigabytes * 1024) + b"\x03\x00" + check.to_bytes(4, "big")
    content = stream(zlib.compress(once, 9), b"/Filter [/FlateDecode /FlateDecode]")
    return pdf(
        {
            1: b"<< /Type /Catalog /Pages 2 0 R >>",
            2: b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            3: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R >>",
            4: content,
        }
    )


def huge_image() -> bytes:
    """A picture of 40,000 × 40,000 points in one page."""
    rows = zlib.compress(bytes(5_000) * 40_000, 9)
    image = b"/Type /XObject /Subtype /Image /Width 40000 /Height 40000 /BitsPerComponent 1 /ColorSpace /DeviceGray"
    return pdf(
        {
            1: b"<< /Type /Catalog /Pages 2 0 R >>",
            2: b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            3: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
            b"/Resources << /XObject << /I 5 0 R >> >> >>",
            4: stream(b"595 0 0 842 0 0 cm /I Do"),
            5: stream(rows, image + b" /Filter /FlateDecode"),
        }
    )


def sized_page(width: float, height: float) -> bytes:
    writer = PdfWriter()
    writer.add_blank_page(width, height)
    return _written(writer)


def _written(writer: PdfWriter) -> bytes:
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()
