import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DataType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DATA_TYPE_UNSPECIFIED: _ClassVar[DataType]
    DATA_TYPE_BOOL: _ClassVar[DataType]
    DATA_TYPE_INT8: _ClassVar[DataType]
    DATA_TYPE_INT16: _ClassVar[DataType]
    DATA_TYPE_INT32: _ClassVar[DataType]
    DATA_TYPE_INT64: _ClassVar[DataType]
    DATA_TYPE_UINT8: _ClassVar[DataType]
    DATA_TYPE_UINT16: _ClassVar[DataType]
    DATA_TYPE_UINT32: _ClassVar[DataType]
    DATA_TYPE_UINT64: _ClassVar[DataType]
    DATA_TYPE_FLOAT16: _ClassVar[DataType]
    DATA_TYPE_FLOAT32: _ClassVar[DataType]
    DATA_TYPE_FLOAT64: _ClassVar[DataType]
    DATA_TYPE_STRING: _ClassVar[DataType]

class Subdivision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SUBDIVISION_UNSPECIFIED: _ClassVar[Subdivision]
    SUBDIVISION_PREDICTED_CLASS: _ClassVar[Subdivision]
    SUBDIVISION_SLICE: _ClassVar[Subdivision]

class Promise(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROMISE_UNSPECIFIED: _ClassVar[Promise]
    PROMISE_SELECTIVE_ERROR: _ClassVar[Promise]
    PROMISE_JOINT_ERROR: _ClassVar[Promise]
    PROMISE_COVERAGE: _ClassVar[Promise]
DATA_TYPE_UNSPECIFIED: DataType
DATA_TYPE_BOOL: DataType
DATA_TYPE_INT8: DataType
DATA_TYPE_INT16: DataType
DATA_TYPE_INT32: DataType
DATA_TYPE_INT64: DataType
DATA_TYPE_UINT8: DataType
DATA_TYPE_UINT16: DataType
DATA_TYPE_UINT32: DataType
DATA_TYPE_UINT64: DataType
DATA_TYPE_FLOAT16: DataType
DATA_TYPE_FLOAT32: DataType
DATA_TYPE_FLOAT64: DataType
DATA_TYPE_STRING: DataType
SUBDIVISION_UNSPECIFIED: Subdivision
SUBDIVISION_PREDICTED_CLASS: Subdivision
SUBDIVISION_SLICE: Subdivision
PROMISE_UNSPECIFIED: Promise
PROMISE_SELECTIVE_ERROR: Promise
PROMISE_JOINT_ERROR: Promise
PROMISE_COVERAGE: Promise

class Manifest(_message.Message):
    __slots__ = ("format_version", "name", "created_at", "library_versions", "graph_digest", "inputs", "classes", "calibrator", "threshold", "reference_histograms", "parity", "estimator", "scores_kind", "row_sets", "seed", "recalibrated_from", "inputs_digest")
    class LibraryVersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    LIBRARY_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    GRAPH_DIGEST_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    CALIBRATOR_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_HISTOGRAMS_FIELD_NUMBER: _ClassVar[int]
    PARITY_FIELD_NUMBER: _ClassVar[int]
    ESTIMATOR_FIELD_NUMBER: _ClassVar[int]
    SCORES_KIND_FIELD_NUMBER: _ClassVar[int]
    ROW_SETS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    RECALIBRATED_FROM_FIELD_NUMBER: _ClassVar[int]
    INPUTS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    format_version: int
    name: str
    created_at: _timestamp_pb2.Timestamp
    library_versions: _containers.ScalarMap[str, str]
    graph_digest: str
    inputs: _containers.RepeatedCompositeFieldContainer[InputSpec]
    classes: Classes
    calibrator: Calibrator
    threshold: Threshold
    reference_histograms: _containers.RepeatedCompositeFieldContainer[Histogram]
    parity: Parity
    estimator: str
    scores_kind: str
    row_sets: _containers.RepeatedCompositeFieldContainer[RowSet]
    seed: int
    recalibrated_from: str
    inputs_digest: str
    def __init__(self, format_version: _Optional[int] = ..., name: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., library_versions: _Optional[_Mapping[str, str]] = ..., graph_digest: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[InputSpec, _Mapping]]] = ..., classes: _Optional[_Union[Classes, _Mapping]] = ..., calibrator: _Optional[_Union[Calibrator, _Mapping]] = ..., threshold: _Optional[_Union[Threshold, _Mapping]] = ..., reference_histograms: _Optional[_Iterable[_Union[Histogram, _Mapping]]] = ..., parity: _Optional[_Union[Parity, _Mapping]] = ..., estimator: _Optional[str] = ..., scores_kind: _Optional[str] = ..., row_sets: _Optional[_Iterable[_Union[RowSet, _Mapping]]] = ..., seed: _Optional[int] = ..., recalibrated_from: _Optional[str] = ..., inputs_digest: _Optional[str] = ...) -> None: ...

class RowSet(_message.Message):
    __slots__ = ("role", "n_rows", "digest", "worth")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    N_ROWS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    WORTH_FIELD_NUMBER: _ClassVar[int]
    role: str
    n_rows: int
    digest: str
    worth: float
    def __init__(self, role: _Optional[str] = ..., n_rows: _Optional[int] = ..., digest: _Optional[str] = ..., worth: _Optional[float] = ...) -> None: ...

class InputSpec(_message.Message):
    __slots__ = ("name", "dtype", "shape", "column_names", "missing_values_allowed")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    COLUMN_NAMES_FIELD_NUMBER: _ClassVar[int]
    MISSING_VALUES_ALLOWED_FIELD_NUMBER: _ClassVar[int]
    name: str
    dtype: DataType
    shape: _containers.RepeatedScalarFieldContainer[int]
    column_names: _containers.RepeatedScalarFieldContainer[str]
    missing_values_allowed: bool
    def __init__(self, name: _Optional[str] = ..., dtype: _Optional[_Union[DataType, str]] = ..., shape: _Optional[_Iterable[int]] = ..., column_names: _Optional[_Iterable[str]] = ..., missing_values_allowed: bool = ...) -> None: ...

class Classes(_message.Message):
    __slots__ = ("integers", "strings")
    INTEGERS_FIELD_NUMBER: _ClassVar[int]
    STRINGS_FIELD_NUMBER: _ClassVar[int]
    integers: _containers.RepeatedScalarFieldContainer[int]
    strings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, integers: _Optional[_Iterable[int]] = ..., strings: _Optional[_Iterable[str]] = ...) -> None: ...

class Calibrator(_message.Message):
    __slots__ = ("method", "parameters", "n_rows", "metrics_before", "metrics_after", "candidates", "reason")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    N_ROWS_FIELD_NUMBER: _ClassVar[int]
    METRICS_BEFORE_FIELD_NUMBER: _ClassVar[int]
    METRICS_AFTER_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    method: str
    parameters: _containers.RepeatedCompositeFieldContainer[Parameter]
    n_rows: int
    metrics_before: _containers.RepeatedCompositeFieldContainer[Metric]
    metrics_after: _containers.RepeatedCompositeFieldContainer[Metric]
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    reason: str
    def __init__(self, method: _Optional[str] = ..., parameters: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ..., n_rows: _Optional[int] = ..., metrics_before: _Optional[_Iterable[_Union[Metric, _Mapping]]] = ..., metrics_after: _Optional[_Iterable[_Union[Metric, _Mapping]]] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., reason: _Optional[str] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("method", "chosen", "status", "metrics")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    method: str
    chosen: bool
    status: str
    metrics: _containers.RepeatedCompositeFieldContainer[Metric]
    def __init__(self, method: _Optional[str] = ..., chosen: bool = ..., status: _Optional[str] = ..., metrics: _Optional[_Iterable[_Union[Metric, _Mapping]]] = ...) -> None: ...

class Parameter(_message.Message):
    __slots__ = ("name", "values")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    name: str
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, name: _Optional[str] = ..., values: _Optional[_Iterable[float]] = ...) -> None: ...

class Metric(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...

class Threshold(_message.Message):
    __slots__ = ("value", "certificate", "not_certified", "subdivision", "slice_input", "subsets", "prices")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    NOT_CERTIFIED_FIELD_NUMBER: _ClassVar[int]
    SUBDIVISION_FIELD_NUMBER: _ClassVar[int]
    SLICE_INPUT_FIELD_NUMBER: _ClassVar[int]
    SUBSETS_FIELD_NUMBER: _ClassVar[int]
    PRICES_FIELD_NUMBER: _ClassVar[int]
    value: float
    certificate: Certificate
    not_certified: str
    subdivision: Subdivision
    slice_input: str
    subsets: _containers.RepeatedCompositeFieldContainer[SubsetThreshold]
    prices: Prices
    def __init__(self, value: _Optional[float] = ..., certificate: _Optional[_Union[Certificate, _Mapping]] = ..., not_certified: _Optional[str] = ..., subdivision: _Optional[_Union[Subdivision, str]] = ..., slice_input: _Optional[str] = ..., subsets: _Optional[_Iterable[_Union[SubsetThreshold, _Mapping]]] = ..., prices: _Optional[_Union[Prices, _Mapping]] = ...) -> None: ...

class Prices(_message.Message):
    __slots__ = ("abstention", "error", "matrix")
    ABSTENTION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MATRIX_FIELD_NUMBER: _ClassVar[int]
    abstention: float
    error: float
    matrix: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, abstention: _Optional[float] = ..., error: _Optional[float] = ..., matrix: _Optional[_Iterable[float]] = ...) -> None: ...

class SubsetThreshold(_message.Message):
    __slots__ = ("name", "value", "certificate", "not_certified")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    NOT_CERTIFIED_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    certificate: Certificate
    not_certified: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., certificate: _Optional[_Union[Certificate, _Mapping]] = ..., not_certified: _Optional[str] = ...) -> None: ...

class Certificate(_message.Message):
    __slots__ = ("method", "max_error", "confidence_level", "n_rows", "n_accepted", "n_errors", "p_value", "error_upper_bound", "expected_coverage", "promise", "min_coverage", "n_groups", "proven_thresholds")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    MAX_ERROR_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_LEVEL_FIELD_NUMBER: _ClassVar[int]
    N_ROWS_FIELD_NUMBER: _ClassVar[int]
    N_ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    N_ERRORS_FIELD_NUMBER: _ClassVar[int]
    P_VALUE_FIELD_NUMBER: _ClassVar[int]
    ERROR_UPPER_BOUND_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_COVERAGE_FIELD_NUMBER: _ClassVar[int]
    PROMISE_FIELD_NUMBER: _ClassVar[int]
    MIN_COVERAGE_FIELD_NUMBER: _ClassVar[int]
    N_GROUPS_FIELD_NUMBER: _ClassVar[int]
    PROVEN_THRESHOLDS_FIELD_NUMBER: _ClassVar[int]
    method: str
    max_error: float
    confidence_level: float
    n_rows: int
    n_accepted: int
    n_errors: int
    p_value: float
    error_upper_bound: float
    expected_coverage: float
    promise: Promise
    min_coverage: float
    n_groups: int
    proven_thresholds: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, method: _Optional[str] = ..., max_error: _Optional[float] = ..., confidence_level: _Optional[float] = ..., n_rows: _Optional[int] = ..., n_accepted: _Optional[int] = ..., n_errors: _Optional[int] = ..., p_value: _Optional[float] = ..., error_upper_bound: _Optional[float] = ..., expected_coverage: _Optional[float] = ..., promise: _Optional[_Union[Promise, str]] = ..., min_coverage: _Optional[float] = ..., n_groups: _Optional[int] = ..., proven_thresholds: _Optional[_Iterable[float]] = ...) -> None: ...

class Histogram(_message.Message):
    __slots__ = ("name", "edges", "counts")
    NAME_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    edges: _containers.RepeatedScalarFieldContainer[float]
    counts: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., edges: _Optional[_Iterable[float]] = ..., counts: _Optional[_Iterable[int]] = ...) -> None: ...

class Parity(_message.Message):
    __slots__ = ("n_rows", "batch_sizes", "max_probability_difference", "probability_tolerance", "label_flips")
    N_ROWS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZES_FIELD_NUMBER: _ClassVar[int]
    MAX_PROBABILITY_DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FLIPS_FIELD_NUMBER: _ClassVar[int]
    n_rows: int
    batch_sizes: _containers.RepeatedScalarFieldContainer[int]
    max_probability_difference: float
    probability_tolerance: float
    label_flips: int
    def __init__(self, n_rows: _Optional[int] = ..., batch_sizes: _Optional[_Iterable[int]] = ..., max_probability_difference: _Optional[float] = ..., probability_tolerance: _Optional[float] = ..., label_flips: _Optional[int] = ...) -> None: ...
