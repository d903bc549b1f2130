"""One reader of rows: a table as its owner has it becomes the named, typed inputs of a model, or is refused.

Everything that takes rows goes through `read_rows`, so that a table means the same wherever it is read. It
needs NumPy alone: tables of pandas, polars and Arrow are recognized by what they can do.
"""

from tamiz.rows.column import CellRefused, Column, RowsError, column_of
from tamiz.rows.reader import read_rows
from tamiz.rows.table import as_table

__all__ = ["CellRefused", "Column", "RowsError", "as_table", "column_of", "read_rows"]
