"""Files of rows: the one reader of CSV, JSON lines and Parquet, for the client's command and the exporter's.

A file becomes a pyarrow Table. Its columns have the types that the model knows; docs/rows.md has the rules.

    options ─► source ─► separated (CSV, TSV)  ─► lines
                  │    ─► json_lines           ─► lines
                  │    ─► parquet
                  └────► columns ─► guess, cells
"""
