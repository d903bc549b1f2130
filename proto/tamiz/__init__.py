"""The contract of Tamiz: what exporter, server and client agree on, and nothing else.

`tamiz.v1` holds the generated protobuf code. `tamiz.bundle_format` says how a manifest lies in an ONNX file,
`tamiz.gate` and `tamiz.thresholds` which rows are answered, `tamiz.dtypes` which numpy type a data type of
the contract is.
"""
