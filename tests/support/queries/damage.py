"""Query files damaged at random."""

from __future__ import annotations

import random

WORDS = r"""( ) [ ] , ; " < <= == != * + - assert (assert and or not X_0 X_9 Y[0] Y[9] [0, 1 -1 1.5
1e400 0.5.5
float32 real Real declare-input declare-hidden declare-network equal-to <2.0> <9.9>
(((((((((( ))))))))))"""
TOKENS = [
    *WORDS.encode().split(),
    b" ",
    b"\n",
    b"\0",
    b"\xff",
    b'"a ; (b"',
    b'a"b(c"',
    b" 99999999999999999999999 ",
]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """`data` after one to four accidents: bytes cut, words put in, lines exchanged, a bit flipped."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        kind = chance.randrange(7)
        a, b = sorted(chance.randrange(len(data) + 1) for _ in range(2))
        lines = data.split(b"\n")
        at, other = chance.randrange(len(lines)), chance.randrange(len(lines))
        if kind == 0:
            data = data[:a] + data[min(b, a + chance.randrange(1, 30)) :]
        elif kind == 1:
            data = data[:a] + chance.choice(TOKENS) + data[a:]
        elif kind == 2:
            words = data.split(b" ")
            words[chance.randrange(len(words))] = chance.choice(TOKENS)
            data = b" ".join(words)
        elif kind == 3:
            data = data[:a]
        elif kind == 4:
            lines[at], lines[other] = lines[other], lines[at]
            data = b"\n".join(lines)
        elif kind == 5:
            lines[at] = lines[at] + b" " + lines[other]
            data = b"\n".join(lines)
        elif a < len(data):
            data = data[:a] + bytes([data[a] ^ (1 << chance.randrange(8))]) + data[a + 1 :]
        data = data or b"("
    return data
