"""HTTP/1.1 on h11: the services in JSON, in the server's event loop."""
