"""The contract of Tamiz: what exporter, server and client agree on, and nothing else.

`tamiz.v1` holds the generated protobuf code; `tamiz.bundle_format` says how a manifest lies in an ONNX file;
`tamiz.public_keys` takes the file of keys apart with which bundles are signed; `tamiz.dtypes` maps the contract's data types to numpy's.
"""
