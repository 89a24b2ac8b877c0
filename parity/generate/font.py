"""Writes parity/fixtures/two-letters.ttf, the smallest font that tests can measure.

A line is 1000 units high. `A` is a square of 500 x 500 units on the base line, `B` a bar of 125 x 500. Needs fontTools.

Run: python parity/generate/font.py
"""

from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

SHAPES = {".notdef": None, "A": (500, 500), "B": (125, 500)}


def glyph(shape):
    pen = TTGlyphPen(None)
    if shape:
        width, height = shape
        pen.moveTo((0, 0))
        for corner in ((0, height), (width, height), (width, 0)):
            pen.lineTo(corner)
        pen.closePath()
    return pen.glyph()


builder = FontBuilder(1000, isTTF=True)
builder.setupGlyphOrder(list(SHAPES))
builder.setupCharacterMap({ord(name): name for name in SHAPES if len(name) == 1})
builder.setupGlyf({name: glyph(shape) for name, shape in SHAPES.items()})
builder.setupHorizontalMetrics({name: (600, 0) for name in SHAPES})
builder.setupHorizontalHeader(ascent=800, descent=-200)
builder.setupNameTable({"familyName": "Two letters", "styleName": "Regular"})
builder.setupOS2(sTypoAscender=800, sTypoDescender=-200, usWinAscent=800, usWinDescent=200)
builder.setupPost()
builder.font["head"].created = builder.font["head"].modified = 0
builder.font.recalcTimestamp = False
builder.save(Path(__file__).parents[1] / "fixtures" / "two-letters.ttf")
