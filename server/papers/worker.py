"""A child process that opens PDF files: `python -m server.papers.worker`. Jobs come on stdin, outcomes go to stdout.

It may use `MEMORY` bytes in all and some seconds of processor time per job, and cannot write a file. Whatever a PDF
does to it (an exception, no memory, a crash inside pdfium, an endless loop), the process that started it sees an
outcome or an end.
"""

import logging
import resource
import sys
from pathlib import Path
from typing import BinaryIO

from server.papers.document import Document
from server.papers.inspect import inspect_pdf
from server.papers.jobs import Draw, Facts, Failed, Inspect, Job, Outcome, Picture, Words, decode_job, framed
from server.papers.problem import PaperError

MEMORY = 1_536 * 1024 * 1024
SECONDS_PER_JOB = 30


def work(jobs: BinaryIO, outcomes: BinaryIO) -> None:
    """Until the jobs end."""
    desk = _Desk()
    while len(head := jobs.read(4)) == 4:
        job = decode_job(jobs.read(int.from_bytes(head, "big")))
        _allow_seconds(SECONDS_PER_JOB)
        outcomes.write(framed(desk.outcome(job)))
        outcomes.flush()


class _Desk:
    """Does the jobs, and keeps the last document open: pages are asked for one after the other."""

    def __init__(self) -> None:
        self._path = ""
        self._document: Document | None = None

    def outcome(self, job: Job) -> Outcome:
        try:
            return self._done(job)
        except PaperError as problem:
            return Failed(problem.code)
        except FileNotFoundError:
            return Failed("not_found")
        except Exception:
            # A broken file breaks readers in ways that they do not document: memory, recursion, keys, numbers, types.
            return Failed("pdf_broken", worn=True)

    def _done(self, job: Job) -> Outcome:
        if isinstance(job, Inspect):
            path = Path(job.path)
            if path.stat().st_size > job.most_bytes:
                raise PaperError("too_large")
            return Facts(inspect_pdf(path.read_bytes(), job.most_bytes, job.most_pages))
        document = self._open(job.path)
        if isinstance(job, Draw):
            return Picture(document.image(job.page, job.width))
        return Words(document.text(job.page))

    def _open(self, path: str) -> Document:
        if self._document is None or self._path != path:
            if not Path(path).is_file():
                raise FileNotFoundError(path)
            if self._document is not None:
                self._document.close()
            self._document = None
            self._document, self._path = Document(path), path
        return self._document


def _allow_seconds(seconds: int) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(usage.ru_utime + usage.ru_stime)
    resource.setrlimit(resource.RLIMIT_CPU, (spent + seconds + 1, resource.RLIM_INFINITY))


def main() -> None:
    logging.disable()  # what pypdf says of a hostile file is as long as the file likes
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    work(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
