"""The protocol once more, made from proto/cupel.proto and proto/frame.h without a line of Cupel's own code:
a second opinion on the wire, and a peer that can say what a well-behaved one never would.

Messages are dicts. Enum values are the words that Cupel shows: "timed_out" for VERDICT_TIMED_OUT."""
import re
import select
import socket
import struct
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

MESSAGE_OF = {"PONG": "Ping", "RUNNER_LIMITS": "SetLimits", "GET": "RunRequest", "WATCH": "RunRequest",
              "CANCEL": "RunRequest", "RETRY": "RunRequest", "WHY": "RunRequest", "RUNNERS": "RunnersRequest",
              "DRAIN_RUNNER": "DrainRequest", "FOLLOW": "FollowRequest"}
RAW = {"LOG"}
SCALARS = {"uint32", "uint64", "sint32", "bool", "string", "bytes"}


def _parse_proto():
    text = re.sub(r"//.*", "", (ROOT / "proto/cupel.proto").read_text())
    enums, messages = {}, {}
    for kind, name, body in re.findall(r"(enum|message)\s+(\w+)\s*\{(.*?)\}", text, re.S):
        if kind == "enum":
            prefix = name.upper() + "_"
            enums[name] = {int(number): value.removeprefix(prefix).lower()
                           for value, number in re.findall(r"(\w+)\s*=\s*(\d+)\s*;", body)}
            continue
        fields = {}
        for entry in filter(None, (part.strip() for part in body.split(";"))):
            match = re.fullmatch(r"(repeated\s+)?(map<string,\s*uint32>|\w+)\s+(\w+)\s*=\s*(\d+)", entry)
            fields[int(match[4])] = (match[3], match[2].split("<")[0], bool(match[1]))
        messages[name] = fields
    return enums, messages


def _parse_types():
    text = (ROOT / "proto/frame.h").read_text()
    return {name: int(number) for name, number in re.findall(r"FRAME_(\w+) = (\d+),", text)}


ENUMS, MESSAGES = _parse_proto()
TYPES = _parse_types()
NAMES = {number: name for name, number in TYPES.items()}


def message_of(type_name):
    return MESSAGE_OF.get(type_name) or "".join(word.capitalize() for word in type_name.split("_"))


def _varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _encode_field(number, kind, value):
    if kind in ("string", "bytes"):
        data = value.encode() if isinstance(value, str) else bytes(value)
        return _varint(number << 3 | 2) + _varint(len(data)) + data
    if kind in MESSAGES:
        data = encode(kind, value)
        return _varint(number << 3 | 2) + _varint(len(data)) + data
    if kind in ENUMS and isinstance(value, str):
        value = next(n for n, word in ENUMS[kind].items() if word == value)
    if kind == "sint32":
        value = value << 1 ^ value >> 31
    return _varint(number << 3) + _varint(int(value))


def encode(message, values):
    """The payload of `message`; a name that it doesn't have is our own mistake."""
    numbers = {name: (number, kind, repeated) for number, (name, kind, repeated) in MESSAGES[message].items()}
    out = b""
    for name, value in values.items():
        number, kind, repeated = numbers[name]
        if kind == "map":
            entries = [_encode_field(1, "string", k) + _encode_field(2, "uint32", v) for k, v in value.items()]
            out += b"".join(_varint(number << 3 | 2) + _varint(len(e)) + e for e in entries)
        else:
            out += b"".join(_encode_field(number, kind, one) for one in (value if repeated else [value]))
    return out


def _read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _raw_fields(data):
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        if key & 7 == 2:
            length, at = _read_varint(data, at)
            yield key >> 3, data[at:at + length]
            at += length
        else:
            value, at = _read_varint(data, at)
            yield key >> 3, value


def _decode_value(kind, raw):
    if kind == "string":
        return raw.decode(errors="replace")
    if kind in MESSAGES:
        return decode(kind, raw)
    if kind in ENUMS:
        return ENUMS[kind].get(raw, raw)
    if kind == "sint32":
        return raw >> 1 ^ -(raw & 1)
    return bool(raw) if kind == "bool" else raw


def _default(kind):
    if kind in MESSAGES:
        return None
    if kind in ENUMS:
        return ENUMS[kind][0]
    return {"string": "", "bytes": b"", "bool": False, "map": {}}.get(kind, 0)


def decode(message, data):
    fields = MESSAGES[message]
    out = {name: [] if repeated else _default(kind) for name, kind, repeated in fields.values()}
    for number, raw in _raw_fields(data):
        if number not in fields:
            continue
        name, kind, repeated = fields[number]
        if kind == "map":
            entry = dict(_raw_fields(raw))
            out[name] = {**out[name], entry.get(1, b"").decode(): entry.get(2, 0)}
        elif repeated:
            out[name].append(_decode_value(kind, raw))
        else:
            out[name] = _decode_value(kind, raw)
    return out


def frame(type_name, values=None, payload=None):
    if payload is None:
        payload = encode(message_of(type_name), values or {})
    number = TYPES[type_name] if isinstance(type_name, str) else type_name
    return struct.pack(">IBBH", len(payload), number, 0, 0) + payload


def log_payload(job, epoch, offset, data):
    return struct.pack(">QIQ", job, epoch, offset) + data


class Closed(Exception):
    """The other side has closed the connection."""


class Peer:
    """One connection to a dispatcher's unix socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(str(path))
        self.buffer = b""

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send_bytes(self, data):
        self.socket.sendall(data)

    def send(self, type_name, values=None, payload=None):
        self.send_bytes(frame(type_name, values, payload))

    def receive(self, seconds=10):
        """The next frame: its type's name and its message; raw frames as bytes."""
        end = time.monotonic() + seconds
        while True:
            if len(self.buffer) >= 8:
                length, number = struct.unpack(">IB", self.buffer[:5])
                if len(self.buffer) >= 8 + length:
                    payload, self.buffer = self.buffer[8:8 + length], self.buffer[8 + length:]
                    name = NAMES.get(number, f"type {number}")
                    known = name in TYPES and name not in RAW
                    return name, decode(message_of(name), payload) if known else payload
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                raise TimeoutError(f"no frame within {seconds} s")
            data = self.socket.recv(1 << 16)
            if not data:
                raise Closed()
            self.buffer += data

    def expect(self, *type_names, seconds=10):
        """The next frame of one of these types; others are passed over."""
        end = time.monotonic() + seconds
        while True:
            name, message = self.receive(max(0, end - time.monotonic()))
            if name in type_names:
                return message if len(type_names) == 1 else (name, message)

    def hello(self, role, name="test", **fields):
        self.send("HELLO", {"protocol_min": 1, "protocol_max": 1, "role": role, "name": name,
                            "software": "test", **fields})
        return self.expect("WELCOME")
