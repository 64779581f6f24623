"""Tables as text and for notebooks."""

from collections.abc import Collection, Sequence
from html import escape
from typing import NamedTuple

Row = Sequence[str]


class Table(NamedTuple):
    """Rows of texts under headings, with a total and a note; `numbers` are columns to the right."""

    headings: Row
    rows: Sequence[Row]
    total: Row
    note: str
    numbers: Collection[int]

    def text(self) -> str:
        """Return it in lines."""
        rows = [self.headings, *self.rows, self.total]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = []
        for row in rows:
            cells = [
                text.rjust(width) if column in self.numbers else text.ljust(width)
                for column, (text, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
        rule = "-" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], self.note])

    def html(self) -> str:
        """Return it as HTML."""

        def line(row: Row, tag: str) -> str:
            right = ' style="text-align: right"'
            cells = [
                f"<{tag}{right if column in self.numbers else ''}>{escape(text)}</{tag}>"
                for column, text in enumerate(row)
            ]
            return f"<tr>{''.join(cells)}</tr>"

        body = "".join(line(row, "td") for row in self.rows)
        return (
            f"<table><caption>{escape(self.note)}</caption>"
            f"<thead>{line(self.headings, 'th')}</thead><tbody>{body}</tbody>"
            f"<tfoot>{line(self.total, 'th')}</tfoot></table>"
        )
