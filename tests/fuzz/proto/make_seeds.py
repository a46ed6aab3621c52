#!/usr/bin/env python3
"""Writes the seeds of proto's fuzzers, into tests/fuzz/corpus: run it again when a message has got a new field."""
import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "system"))
import wire  # noqa: E402  (the protocol without Cupel's own code)

CORPUS = HERE.parent / "corpus"
SECRET = bytes(range(32)).hex()
COMMIT = "0123456789abcdef0123456789abcdef01234567"
BY_NAME = {"commit": COMMIT, "incarnation": b"i" * 16, "log_digest": b"d" * 32, "state": "running"}


def sample(message, depth=0):
    """One of everything that a message may hold."""
    values = {}
    for name, kind, repeated in wire.MESSAGES[message].values():
        if kind in wire.MESSAGES:
            value = sample(kind, depth + 1)
        elif kind in wire.ENUMS:
            value = BY_NAME.get(name, 1)
        elif kind == "map":
            value = {"timed_out": 1}
        else:
            value = BY_NAME.get(name, {"string": "text", "bytes": b"", "bool": True, "sint32": -1}.get(kind, 7))
        values[name] = [value, value] if repeated and kind != "map" else value
    return values


def write(fuzzer, name, data):
    folder = CORPUS / fuzzer
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def main():
    stream = b""
    for name, number in wire.TYPES.items():
        if name in wire.RAW:
            payload = wire.log_payload(7, 1, 4096, b"some output\n")
        else:
            payload = wire.encode(wire.message_of(name), sample(wire.message_of(name)))
        write("fuzz_message", name.lower(), bytes([number]) + payload)
        if len(payload) < 100:
            stream += wire.frame(name, payload=payload)
    write("fuzz_frame", "stream", stream)
    write("fuzz_frame", "empty", wire.frame("DRAIN", payload=b""))
    write("fuzz_frame", "over", struct.pack(">IBBH", (1 << 20) + 1, 1, 0, 0))
    write("fuzz_frame", "cut", stream[:-3])
    for i, text in enumerate(("unix:/run/cupel/dispatcher.sock", "box:8888", "[::1]:1", "10.0.0.1", "box:65536")):
        write("fuzz_address", f"address-{i}", text.encode())
    for i, text in enumerate((f"cupel1:box-1:{SECRET}:dispatcher.example:8888", f"cupel1:a:{SECRET}:[::1]:9",
                              f"cupel1:a:{SECRET[:-2]}:h:1")):
        write("fuzz_token", f"token-{i}", text.encode())


if __name__ == "__main__":
    main()
