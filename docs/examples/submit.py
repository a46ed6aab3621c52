#!/usr/bin/env python3
"""Submits a commit over the dispatcher's unix socket and waits for its verdict: the protocol by hand.

Usage: submit.py SOCKET REPOSITORY [REVISION]"""
import socket
import struct
import sys

HELLO, WELCOME, ERROR, SUBMIT, SUBMITTED, WATCH, RUN = 1, 2, 4, 64, 65, 67, 71
SUBMITTER, VERDICTS = 3, "none passed failed timed_out killed errored cancelled superseded skipped".split()


def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def pack(fields):
    return b"".join(varint(number << 3 | 2) + varint(len(value.encode())) + value.encode() if isinstance(value, str)
                    else varint(number << 3) + varint(value) for number, value in fields.items())


def unpack(data):
    def number():
        nonlocal at
        value = shift = 0
        while True:
            at, byte = at + 1, data[at]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
    at, fields = 0, {}
    while at < len(data):
        key = number()
        value = number()
        if key & 7 == 2:
            at, value = at + value, data[at:at + value]
        fields[key >> 3] = value
    return fields


def send(stream, kind, fields):
    payload = pack(fields)
    stream.write(struct.pack(">IBBH", len(payload), kind, 0, 0) + payload)
    stream.flush()


def receive(stream, wanted):
    while True:
        length, kind = struct.unpack(">IBxxx", stream.read(8))
        fields = unpack(stream.read(length))
        if kind == ERROR:
            sys.exit("the dispatcher says: " + fields[2].decode())
        if kind == wanted:
            return fields


def main(path, repository, revision="HEAD"):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        stream = s.makefile("rwb")
        send(stream, HELLO, {1: 1, 2: 1, 3: SUBMITTER, 4: "submit.py"})
        receive(stream, WELCOME)
        send(stream, SUBMIT, {1: repository, 3: revision})
        run = receive(stream, SUBMITTED)[1]
        send(stream, WATCH, {1: run})
        while True:
            seen = receive(stream, RUN)
            if seen.get(9):
                print(f"run {run}: {VERDICTS[seen[9]]}: {seen.get(10, b'').decode()}")
                return


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])
