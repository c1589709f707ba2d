import socket

from evaluators.mpc.crypten.wire import received_bytes


def test_counts_what_tcp_brought() -> None:
    before = received_bytes() or 0
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as one,
        server.accept()[0] as other,
    ):
        one.sendall(b"x" * 10_000)
        got = 0
        while got < 10_000:
            got += len(other.recv(10_000))
        assert (received_bytes() or 0) - before == 10_000
