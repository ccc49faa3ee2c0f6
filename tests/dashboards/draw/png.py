"""A PNG with a palette of 256 colours in place of one with three bytes a pixel: half of the size."""

import collections
import struct
import zlib

import svg


def chunks(data):
    at = 8
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        yield kind, data[at + 8 : at + 8 + size]
        at += 12 + size


def rows(data):
    """The rows of a picture of 8 bits a channel, RGB, without their filters."""
    packed, w = b"", 0
    for kind, body in chunks(data):
        if kind == b"IHDR":
            w, _, depth, form = struct.unpack(">IIBB", body[:10])
            assert (depth, form) == (8, 2), "not RGB"
        elif kind == b"IDAT":
            packed += body
    raw, size = zlib.decompress(packed), w * 3
    before = bytearray(size)
    for at in range(0, len(raw), size + 1):
        row = unfiltered(raw[at], bytearray(raw[at + 1 : at + 1 + size]), before)
        yield row
        before = row


def unfiltered(kind, row, before):
    for i in range(len(row)) if kind else ():
        left = row[i - 3] if i > 2 else 0
        up, corner = before[i], before[i - 3] if i > 2 else 0
        if kind == 4:
            near = left + up - corner
            guess = min((left, up, corner), key=lambda one: abs(near - one))
        else:
            guess = (0, left, up, (left + up) // 2)[kind]
        row[i] = (row[i] + guess) & 255
    return row


def shrink(path):
    """Writes the picture anew, with the colours of the series and the most frequent others, 256 in all."""
    with open(path, "rb") as opened:
        pixels = [bytes(row) for row in rows(opened.read())]
    colors = [[row[i : i + 3] for i in range(0, len(row), 3)] for row in pixels]
    counted = collections.Counter(color for row in colors for color in row)
    named = dict.fromkeys(bytes.fromhex(color[1:]) for color in (*svg.NAMED.values(), *svg.PALETTE))
    palette = list(dict.fromkeys([*(one for one in named if one in counted), *(one for one, _ in counted.most_common(256))]))[:256]
    nearest = {color: number for number, color in enumerate(palette)}
    for color in counted:
        if color not in nearest:
            nearest[color] = min(range(len(palette)), key=lambda n: sum((a - b) ** 2 for a, b in zip(color, palette[n])))
    body = b"".join(b"\0" + bytes(nearest[color] for color in row) for row in colors)
    head = struct.pack(">IIBBBBB", len(colors[0]), len(colors), 8, 3, 0, 0, 0)
    with open(path, "wb") as written:
        written.write(b"\x89PNG\r\n\x1a\n")
        for kind, data in ((b"IHDR", head), (b"PLTE", b"".join(palette)), (b"IDAT", zlib.compress(body, 9)), (b"IEND", b"")):
            written.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
