"""Tables of Markdown."""

from collections.abc import Iterator


def table_head(*names: str) -> Iterator[str]:
    """The first two lines of a table."""
    yield table_row(*names)
    yield table_row(*["---"] * len(names))


def table_row(*cells: str) -> str:
    """One line of a table, whatever the cells hold."""
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


def megabytes(count: int) -> str:
    """Bytes as MB, 10^6 of them."""
    return f"{count / 1e6:,.2f}"
