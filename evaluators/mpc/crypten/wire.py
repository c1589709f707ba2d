"""How many bytes the kernel has brought into this process: a check of CrypTen's own count."""

from __future__ import annotations

import os
import socket
import struct

_TCP_INFO = 11
_RECEIVED_AT = 128  # offset of tcpi_bytes_received, 64 bits; Source: linux/tcp.h (since 4.1)


def received_bytes() -> int | None:
    """Bytes received on all open TCP connections of this process; None if the kernel is silent."""
    total, found = 0, False
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as link:
                if link.type != socket.SOCK_STREAM or link.family == socket.AF_UNIX:
                    continue
                info = link.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 256)
        except OSError:  # closed meanwhile, or not TCP
            continue
        if len(info) >= _RECEIVED_AT + 8:
            total += struct.unpack_from("=Q", info, _RECEIVED_AT)[0]
            found = True
    return total if found else None
