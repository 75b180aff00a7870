"""Errors of decoders in our words: their own texts are for programmers, and can hold bytes of the file."""

from __future__ import annotations

import re
import struct
import zlib

_WORDS = tuple(
    (re.compile(pattern, re.IGNORECASE), words)
    for pattern, words in (
        (r"checksum|\bcrc\b|adler", "a checksum is wrong"),
        (
            r"truncat|cut short|premature|end of (file|stream|data|input)|\beof\b|unexpected end|too short|not enough"
            r"|insufficient|incomplete|requires a buffer|buffer is smaller|broken data stream|partial",
            "it ends early",
        ),
        (r"signature|magic|cannot identify|bad header|not a (jpeg|png|webp|tiff|bmp)|header", "its header is damaged"),
        (r"recursion|too deep", "its parts nest too deep"),
        (
            r"huffman|inflat|deflat|decompress|decod|lzw|packbits|zlib|corrupt|bitstream|invalid (code|data)|garbage",
            "its compressed data is damaged",
        ),
        (r"not supported|unsupported|unknown|unrecogni[sz]ed|not implemented", "it holds an unknown kind of data"),
    )
)


def words_for(error: BaseException) -> str:
    """What is wrong with a file whose decoder raised `error`.

    An `OSError` that code of `restore` raises has our words already.

    >>> words_for(zlib.error("Error -3 while decompressing data: incorrect header check"))
    'its compressed data is damaged'
    >>> words_for(KeyError(b"\\x1b"))
    'a field holds an impossible value'
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if type(error) is OSError and _is_ours(error):
        return str(error)
    if isinstance(error, zlib.error):
        return "its compressed data is damaged"
    if isinstance(error, EOFError | struct.error):
        return "it ends early"
    text = str(error)
    for pattern, words in _WORDS:
        if pattern.search(text):
            return words
    if isinstance(error, ArithmeticError | LookupError | TypeError | ValueError):
        return "a field holds an impossible value"
    return "its data is damaged"


def _is_ours(error: BaseException) -> bool:
    """Whether code of this package raised it: the innermost frame is ours, and no library's."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("restore.")
