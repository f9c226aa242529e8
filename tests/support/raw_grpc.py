"""A gRPC client over HTTP/2 frames, for requests that no library sends."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import h2.config
import h2.connection
import h2.events


def call(port: int, path: str, chunks: Sequence[bytes], timeout: float = 10.0, **headers: str) -> dict[str, str]:
    """POST with DATA frames of `chunks`, the last with END_STREAM; none at all ends with the headers.

    Gives the reply's headers and trailers; {"reset": error code} where the stream was reset, {} where the connection
    was closed. Raises `TimeoutError` where nothing comes.
    """
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    client.initiate_connection()
    sent = {":method": "POST", ":scheme": "http", ":authority": "localhost", ":path": path, "te": "trailers"}
    sent |= {"content-type": "application/grpc"} | {name.replace("_", "-"): value for name, value in headers.items()}
    client.send_headers(1, list(sent.items()), end_stream=not chunks)
    for number, chunk in enumerate(chunks, 1):
        client.send_data(1, chunk, end_stream=number == len(chunks))
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(client.data_to_send())
        found: dict[str, str] = {}
        while data := connection.recv(65536):
            for event in client.receive_data(data):
                match event:
                    case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                        found |= dict(event.headers)
                    case h2.events.StreamEnded():
                        return found
                    case h2.events.StreamReset():
                        return {"reset": str(int(event.error_code))}
            connection.sendall(client.data_to_send())
        return found
