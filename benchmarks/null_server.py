"""A grpcio server that answers every call with its own request: the most that the transport can do."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc
from grpc import aio


class Echo(grpc.GenericRpcHandler):
    """Answers every method."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:  # noqa: ARG002
        """Return the one handler."""

        async def echo(body: bytes, _context: object) -> bytes:
            return body

        return grpc.unary_unary_rpc_method_handler(echo)


async def main(port: int) -> None:
    """Serve until killed."""
    server = aio.server()
    server.add_generic_rpc_handlers((Echo(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(main(int(sys.argv[1])))
    except ModuleNotFoundError:
        asyncio.run(main(int(sys.argv[1])))
