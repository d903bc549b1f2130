"""The contract's data types and numpy's, both ways."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tamiz.v1.manifest_pb2 import DataType

NUMERIC_DTYPES: Final[dict[DataType, np.dtype[Any]]] = {
    DataType.DATA_TYPE_BOOL: np.dtype(np.bool_),
    DataType.DATA_TYPE_INT8: np.dtype("<i1"),
    DataType.DATA_TYPE_INT16: np.dtype("<i2"),
    DataType.DATA_TYPE_INT32: np.dtype("<i4"),
    DataType.DATA_TYPE_INT64: np.dtype("<i8"),
    DataType.DATA_TYPE_UINT8: np.dtype("<u1"),
    DataType.DATA_TYPE_UINT16: np.dtype("<u2"),
    DataType.DATA_TYPE_UINT32: np.dtype("<u4"),
    DataType.DATA_TYPE_UINT64: np.dtype("<u8"),
    DataType.DATA_TYPE_FLOAT16: np.dtype("<f2"),
    DataType.DATA_TYPE_FLOAT32: np.dtype("<f4"),
    DataType.DATA_TYPE_FLOAT64: np.dtype("<f8"),
}
"""Contract type to little-endian numpy dtype, for every type but strings."""

_BY_DTYPE: Final = {dtype: data_type for data_type, dtype in NUMERIC_DTYPES.items()}


def to_data_type(dtype: np.dtype[Any]) -> DataType:
    """Return the contract's type of a numpy dtype; object, str and bytes arrays count as strings.

    Raises:
        TypeError: for a dtype that the contract cannot carry, such as complex numbers or dates.
    """
    if dtype.kind in "OUST":
        return DataType.DATA_TYPE_STRING
    data_type = _BY_DTYPE.get(dtype.newbyteorder("<"))
    if data_type is None:
        known = ", ".join(str(known) for known in _BY_DTYPE)
        raise TypeError(f"dtype {dtype} cannot be sent; expected strings or one of {known}")
    return data_type


def name_of(data_type: DataType) -> str:
    """Return a contract type's name for people: "float32", "string"."""
    return DataType.Name(data_type).removeprefix("DATA_TYPE_").lower()
