"""Records as the rows of a Parquet file."""

from __future__ import annotations

import io
from collections.abc import Sequence

from edgecap_runtime.records import COLUMNS, DamagedLine, Record, as_row, from_row


class Parquet:
    """The columns `COLUMNS`; text that is no UTF-8 stands as a JSON string, with its quotes."""

    def encode(self, records: Sequence[Record]) -> bytes:
        """All of a file."""
        import pyarrow
        from pyarrow import parquet

        kinds = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
        schema = pyarrow.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
        rows = (as_row(record, _is_text) for record in records)
        columns = (dict(zip(COLUMNS, row, strict=True)) for row in rows)
        file = io.BytesIO()
        parquet.write_table(pyarrow.Table.from_pylist(list(columns), schema), file)
        return file.getvalue()

    def decode(self, content: bytes) -> list[Record]:
        """What `encode` wrote.

        Raises:
            DamagedLine: if it is no such file.
            ForeignLine: if it is of another version.
        """
        import pyarrow
        from pyarrow import parquet

        try:
            table = parquet.read_table(io.BytesIO(content), columns=list(COLUMNS))
            return [from_row(list(row.values())) for row in table.to_pylist()]
        except (pyarrow.ArrowException, AttributeError, TypeError, ValueError, OSError) as error:
            raise DamagedLine from error


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
