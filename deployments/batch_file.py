"""The result file of a batch: appended whole line by whole line, mended after a crash."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import UUID

import orjson

from models.batch import BatchCounts
from models.errors import DiskFull, InvalidRequest
from tasks.adapters.database import Database
from tasks.adapters.store.batches import ended_lines

PAGE_LINES = 500
KEPT = ("completed", "invalid")


class ResultFile:
    """Takes a batch's results as they come; each write is whole lines and reaches the file at once.

    Opening it keeps the lines of the same batch that are final, drops a torn last line, and drops
    lines that the batch tries again. Raises InvalidRequest for a file that is not this batch's.
    """

    def __init__(self, path: Path, batch_id: UUID, tell: Callable[[BatchCounts], None]) -> None:
        self._path, self._batch_id, self._tell = path, str(batch_id), tell
        self.written: set[int] = set()
        self._handle = -1

    def __enter__(self) -> ResultFile:
        try:
            self._handle = self._locked(self._path)
            if os.fstat(self._handle).st_size:
                self._mend()
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            os.fsync(self._handle)
        finally:
            os.close(self._handle)

    async def take(self, documents: Sequence[dict[str, Any]], counts: BatchCounts) -> None:
        """Append the documents that are not in the file yet."""
        self._append(documents)
        self._tell(counts)

    async def catch_up(self, database: Database) -> None:
        """Append every result that is stored and not in the file: a crash came between the two."""
        from tasks.adapters.batches.sink import line_document

        after, batch_id = 0, UUID(self._batch_id)
        while rows := await ended_lines(database, batch_id, after=after, limit=PAGE_LINES):
            self._append(
                [
                    line_document(
                        row["line_no"], row["status"], row["labels"], row["result"], row["problem"]
                    )
                    for row in rows
                    if row["status"] in KEPT
                ]
            )
            after = rows[-1]["line_no"]

    def _append(self, documents: Sequence[dict[str, Any]]) -> None:
        fresh = [one for one in documents if one["line"] not in self.written]
        data = b"".join(self._line(one) for one in fresh)
        try:
            while data:
                data = data[os.write(self._handle, data) :]
        except OSError as error:
            raise self._unwritable(error) from error
        self.written.update(one["line"] for one in fresh)

    def _line(self, document: dict[str, Any]) -> bytes:
        line = {"batch_id": self._batch_id, **document}
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)

    def _locked(self, path: Path) -> int:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise InvalidRequest(f"another process writes {str(self._path)!r}") from None
        return handle

    def _mend(self) -> None:
        """Put a copy with the final lines in the file's place, locked before it is there."""
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        draft.unlink(missing_ok=True)
        handle = self._locked(draft)
        try:
            with self._path.open("rb") as old, os.fdopen(os.dup(handle), "wb") as new:
                new.writelines(self._final_lines(old))
            os.replace(draft, self._path)
        except BaseException:
            os.close(handle)
            draft.unlink(missing_ok=True)
            raise
        os.close(self._handle)
        self._handle = handle

    def _final_lines(self, old: Iterable[bytes]) -> Iterator[bytes]:
        for text in old:
            number = self._final(text)
            if number is not None and number not in self.written:
                self.written.add(number)
                yield text

    def _final(self, text: bytes) -> int | None:
        """Return the line's number when it is whole and final."""
        try:
            document = orjson.loads(text)
        except ValueError:
            if text.endswith(b"\n"):
                raise self._not_ours() from None
            return None  # torn by a crash
        if not isinstance(document, dict) or document.get("batch_id") != self._batch_id:
            raise self._not_ours()
        number = document.get("line")
        final = document.get("status") in KEPT and text.endswith(b"\n")
        return number if final and isinstance(number, int) else None

    def _not_ours(self) -> InvalidRequest:
        return InvalidRequest(
            f"{str(self._path)!r} holds something else than results of this batch:"
            " choose another --out"
        )

    def _unwritable(self, error: OSError) -> DiskFull:
        return DiskFull(f"{str(self._path)!r} cannot be written: {error.strerror}")
