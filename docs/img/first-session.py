#!/usr/bin/env python3
"""Draws first-session.svg: what `enjamb demo` prints on a terminal, line by line, in its own colours.

    cargo build && python3 docs/img/first-session.py

Only the port, which is another one at each run, is written as 8888, so that the same output gives the same file.
"""

import html
import os
import pty
import re
import subprocess
import sys
import textwrap
from pathlib import Path

COLUMNS = 112
SIZE = 13  # pixels of the font; a character of a monospace font is 0.602 as wide
WIDTH, LEADING = 0.602 * SIZE, 18
LEFT, TOP = 20, 56
COLOURS = {"1": "#f0f3f6", "2": "#8b949e", "31": "#ff8f85", "32": "#7ee08a", "36": "#79c8ff"}
PLAIN = "#c9d1d9"

HERE = Path(__file__).resolve().parent
BINARY = HERE.parent.parent / "target" / "debug" / "enjamb"


def output():
    """The demonstration's output, on a terminal of its own so that it comes in colour."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen([BINARY, "demo"], stdout=terminal, stdin=subprocess.DEVNULL)
    os.close(terminal)
    data = b""
    while True:
        try:
            piece = os.read(controller, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not piece:
            break
        data += piece
    if process.wait() != 0:
        sys.exit("the demonstration failed")
    text = data.decode().replace("\r\n", "\n")
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8888", text)


def lines(text):
    """Screen lines, each a list of (colour, bold, text)."""
    for line in text.strip("\n").split("\n"):
        pieces, code = [], "0"
        for part in re.split(r"(\x1b\[\d+m)", line):
            if part.startswith("\x1b["):
                code = part[2:-1]
            elif part:
                pieces.append((COLOURS.get(code, PLAIN), code == "1", part))
        if not pieces:
            yield []
            continue
        # Only a line's last piece is long; what does not fit goes on below where it began.
        *before, (colour, bold, last) = pieces
        indent = sum(len(text) for _, _, text in before)
        folded = textwrap.wrap(last, COLUMNS - indent, break_on_hyphens=False, drop_whitespace=False)
        for number, row in enumerate(folded):
            head = before if number == 0 else [(PLAIN, False, " " * indent)]
            yield [*head, (colour, bold, row)]


def svg(rows):
    width, height = round(2 * LEFT + COLUMNS * WIDTH), TOP + LEADING * len(rows) + 12
    out = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' viewBox='0 0 {width} {height}' role='img' aria-labelledby='t'>",
        "<title id='t'>A terminal with the output of enjamb demo</title>",
        f"<rect width='{width}' height='{height}' rx='9' fill='#0d1117'/>",
        *(f"<circle cx='{22 + 20 * n}' cy='20' r='6' fill='{c}'/>" for n, c in enumerate(["#ff5f57", "#febc2e", "#28c840"])),
        f"<g font-family='DejaVu Sans Mono, Menlo, Consolas, monospace' font-size='{SIZE}' fill='{PLAIN}'>",
    ]
    for number, row in enumerate(rows):
        at = 0
        for colour, bold, text in row:
            weight = " font-weight='bold'" if bold else ""
            x, y = LEFT + at * WIDTH, TOP + LEADING * number
            # Renderers fold blanks; those that do not break are kept.
            body = html.escape(text.strip().replace(" ", "\u00a0"), quote=False)
            if text.strip():
                skipped = len(text) - len(text.lstrip())
                out.append(f"<text x='{x + skipped * WIDTH:.1f}' y='{y}' fill='{colour}'{weight}>{body}</text>")
            at += len(text)
    return "\n".join([*out, "</g>", "</svg>", ""])


rows = [[("#8b949e", False, "$ "), (PLAIN, True, "enjamb demo")], [], *lines(output())]
(HERE / "first-session.svg").write_text(svg(rows))
