"""
Draws the table of C{wasinet_twisted/http/exchange.py} anew:

    python -m tests.http.exchangediagram

into C{docs/exchange.md}, as a table and as a Mermaid diagram, and into C{docs/exchange.svg}. A transition for which the
picture has no place is a C{KeyError} here.
"""

from __future__ import annotations

from pathlib import Path

from wasinet_twisted.http.exchange import CLOSED, CLOSES, EVENTS, OVER, REFUSED, STATES, TRANSITIONS

DOCS = Path(__file__).parents[2] / "docs"
BEGIN = "<!-- drawn by python -m tests.http.exchangediagram -->\n"
END = "<!-- up to here -->\n"

# Where each state stands: the middle of its box.
WIDTH, HEIGHT = 120, 46
PLACES = {
    "IDLE": (90, 130),
    "HEAD": (300, 130),
    "ASKING": (560, 130),
    "ASKED": (820, 130),
    "TUNNEL": (1070, 130),
    "UNREAD": (300, 310),
    "EARLY": (560, 310),
    "ANSWERING": (820, 310),
    "OVER": (560, 520),
    "CLOSED": (1070, 520),
}
# The corners of each arrow; where its label stands, and whether that begins, has its middle or ends there. Of a label
# in two lines the place is that of the second one.
ARROWS: dict[tuple[str, str], tuple[str, tuple[int, int], str]] = {
    ("IDLE", "HEAD"): ("150,130 240,130", (195, 122), "middle"),
    ("IDLE", "ASKING"): ("90,107 90,58 560,58 560,107", (325, 50), "middle"),
    ("HEAD", "ASKING"): ("360,130 500,130", (430, 122), "middle"),
    ("ASKING", "ASKED"): ("620,130 760,130", (690, 122), "middle"),
    ("ASKED", "TUNNEL"): ("880,130 1010,130", (960, 122), "middle"),
    ("ASKING", "EARLY"): ("560,153 560,287", (570, 225), "start"),
    ("ASKED", "ANSWERING"): ("820,153 820,287", (810, 260), "end"),
    ("EARLY", "ANSWERING"): ("620,310 760,310", (690, 302), "middle"),
    ("EARLY", "UNREAD"): ("500,310 360,310", (430, 302), "middle"),
    ("UNREAD", "IDLE"): ("240,310 115,310 115,153", (125, 302), "start"),
    ("ANSWERING", "IDLE"): ("795,333 795,400 65,400 65,153", (430, 392), "middle"),
    ("UNREAD", "OVER"): ("300,333 300,520 500,520", (310, 512), "start"),
    ("EARLY", "OVER"): ("560,333 560,497", (570, 455), "start"),
    ("ANSWERING", "OVER"): ("845,333 845,510 620,510", (690, 502), "start"),
}
# These all go where they go by one arrow each: from a frame around four states, and from nowhere.
REFUSALS = {"IDLE", "HEAD", "ASKING", "ASKED"}
FRAME = (15, 8, 900, 174)
REFUSED_ARROW = ("898,182 898,530 620,530", (908, 420), "start")
CLOSED_ARROW = ("1070,400 1070,497", (1080, 455), "start")

STYLE = """
    .page { fill: #ffffff } .box { fill: #eef3fb; stroke: #3b5b8c } .end { fill: #f1f1f1; stroke: #555555 }
    .frame { fill: none; stroke: #3b5b8c; stroke-dasharray: 5 4 } .arrow { fill: none; stroke: #444444 }
    .head { fill: #444444 } text { fill: #1c1c1c; font-family: sans-serif; font-size: 13px } .name { font-weight: bold }
    @media (prefers-color-scheme: dark) {
      .page { fill: #14181f } .box { fill: #22304a; stroke: #86a8dd } .end { fill: #2b2b2b; stroke: #aaaaaa }
      .frame { stroke: #86a8dd } .arrow { stroke: #c4c4c4 } .head { fill: #c4c4c4 } text { fill: #ececec }
    }
"""


def named() -> list[tuple[str, str, str]]:
    """
    The table as states and events by name: from, event, to.
    """
    return [(STATES[state], EVENTS[event], STATES[to]) for (state, event), to in TRANSITIONS.items()]


def table() -> str:
    """
    A row a state, a column an event; an empty cell is an error of whoever causes it.
    """
    rows = ["| | " + " | ".join(EVENTS) + " |", "| --- " * (len(EVENTS) + 1) + "|"]
    for state, name in enumerate(STATES):
        cells = [TRANSITIONS.get((state, event)) for event in range(len(EVENTS))]
        rows.append(f"| `{name}` | " + " | ".join("" if to is None else f"`{STATES[to]}`" for to in cells) + " |")
    return "\n".join(rows) + "\n"


def mermaid() -> str:
    """
    All but what closes the connection, which leads from every state to CLOSED.
    """
    lines = [f"    {state} --> {to}: {event}" for state, event, to in named() if event != EVENTS[CLOSES]]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> IDLE", *lines, "```"]) + "\n"


def svg() -> str:
    """
    The picture.
    """
    refusals = {state for state, event, _ in named() if event == EVENTS[REFUSED]}
    closing = {state for state, event, _ in named() if event == EVENTS[CLOSES]}
    if refusals != REFUSALS or closing != set(STATES) - {STATES[CLOSED]}:
        raise KeyError("the picture has one arrow for all refusals, and one for all that closes")
    x, y, width, height = FRAME
    parts = [f'<rect class="frame" x="{x}" y="{y}" width="{width}" height="{height}" rx="10"/>']
    for state, event, to in named():
        if event not in (EVENTS[REFUSED], EVENTS[CLOSES]):
            parts += _arrow(ARROWS[state, to], event)
    parts += _arrow(REFUSED_ARROW, EVENTS[REFUSED])
    parts += _arrow(CLOSED_ARROW, EVENTS[CLOSES])
    parts.append('<text x="1070" y="390" text-anchor="middle">every other state</text>')
    for name, (x, y) in PLACES.items():
        box = f'x="{x - WIDTH // 2}" y="{y - HEIGHT // 2}"'
        kind = "end" if STATES.index(name) >= OVER else "box"
        parts += [
            f'<rect class="{kind}" {box} width="{WIDTH}" height="{HEIGHT}" rx="8"/>',
            f'<text class="name" x="{x}" y="{y + 5}" text-anchor="middle">{name}</text>',
        ]
    marker = '<marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1240 570" role="img">',
            "<title>The states of an exchange</title>",
            f"<style>{STYLE}</style>",
            f'<defs>{marker}<path class="head" d="M0 0 L8 4 L0 8 z"/></marker></defs>',
            '<rect class="page" width="1240" height="570"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _arrow(arrow: tuple[str, tuple[int, int], str], event: str) -> list[str]:
    corners, (x, y), anchor = arrow
    words = event.split(" ")
    # What is long stands in two lines, as even as may be.
    splits = [(" ".join(words[:count]), " ".join(words[count:])) for count in range(1, len(words))]
    lines = (event,) if len(event) < 20 else min(splits, key=lambda split: max(map(len, split)))
    return [
        f'<polyline class="arrow" points="{corners}" marker-end="url(#head)"/>',
        *(
            f'<text x="{x}" y="{y - 15 * (len(lines) - 1 - number)}" text-anchor="{anchor}">{line}</text>'
            for number, line in enumerate(lines)
        ),
    ]


def page(text: str) -> str:
    """
    The page with the drawn part anew.
    """
    before, found, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not found or not end:
        raise ValueError(f"docs/exchange.md must hold {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{table()}\n{mermaid()}\n{END}{after}"


def main() -> None:
    """
    Write both files.
    """
    path = DOCS / "exchange.md"
    path.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8")
    (DOCS / "exchange.svg").write_text(svg(), encoding="utf-8")


if __name__ == "__main__":
    main()
