"""gRPC over HTTP/2 on libnghttp2, in the one event loop: policy without I/O, and a thin asyncio protocol."""
