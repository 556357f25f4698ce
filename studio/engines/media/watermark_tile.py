"""The tile that carries a mark's number: what stands in which of its waves, and the reader that finds and reads it.

Knows planes of numbers alone; how a mark comes into pictures and sounds stands in `watermark`.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Spectrum = NDArray[np.complex64]

TILE = 256
"""Side of the tile in samples."""
_INNER, _OUTER = 8.0, 31.0
"""Radii of the band in cycles a tile: below it pictures are strong, above it JPEG and x264 throw most away."""
SYMBOLS, _ROWS, _CHIPS = 8, 128, 256
"""Symbols; rows of the Hadamard matrix (with the sign a byte); coefficients that carry one symbol."""
_PILOT = 1.35
"""Strength of the pilot's coefficients against those of the symbols."""
CHECK_BYTES = 4
_SCALES = np.exp(np.arange(np.log(0.5), np.log(2.25), 0.006))
"""Sizes of the tile that are searched, as factors of the one that an uncropped picture has."""
PEAKS, _BEST_SCALES, _FEWER_PEAKS, _DOUBTFUL = 4, 3, 2, 4
"""Places that are tried at the usual sizes; sizes and places when searching; symbols that may be second best."""
MOST_PLACES = 2 * (2 * PEAKS + _BEST_SCALES * _FEWER_PEAKS)
"""Most places of one picture at which a number is read."""
BY_CHECK = MOST_PLACES * 2**_DOUBTFUL / 2.0 ** (8 * CHECK_BYTES)
"""No more probable is it that an unmarked picture passes the check by chance."""
BY_KNOWN = 5e-7
"""No more probable is it that one of the known numbers is taken to be in an unmarked picture."""


@dataclass(frozen=True)
class FoundMark:
    """A mark that was read.

    Attributes:
        number: 0 .. 2**32 - 1.
        strength: how far its pilot stands out, in standard deviations of all places.
        scale: size of the picture against the one that was marked, as far as a crop cannot be told from it.
        mirrored: the picture was flipped.
    """

    number: int
    strength: float
    scale: float
    mirrored: bool = False


class Code:
    """Which Fourier coefficients of the tile carry what, under which signs; all drawn from a seed."""

    def __init__(self, seed: bytes) -> None:
        fy = np.fft.fftfreq(TILE, 1 / TILE)[:, None]
        fx = np.arange(TILE // 2 + 1)[None, :]
        radius = np.hypot(fy, fx)
        # of the column without horizontal change one half is the mirror of the other
        self._at = np.nonzero((radius >= _INNER) & (radius <= _OUTER) & ((fx > 0) | (fy > 0)))
        self.size = 2 * len(self._at[0])
        self.radii = np.repeat(radius[self._at], 2)
        # not numpy's generators: their streams may change, and marks are to be read in years
        stream = hashlib.shake_256(seed).digest(9 * self.size)
        order = np.argsort(np.frombuffer(stream[: 8 * self.size], ">u8"), kind="stable")
        signs = np.where(np.frombuffer(stream[8 * self.size :], np.uint8) & 1, 1.0, -1.0)
        carried = SYMBOLS * _CHIPS
        self.symbols = order[:carried].reshape(SYMBOLS, _CHIPS)
        self.symbol_signs = signs[:carried].reshape(SYMBOLS, _CHIPS)
        self.pilot, self.pilot_signs = order[carried:], signs[carried:]

    @cached_property
    def searched_pilot(self) -> Spectrum:
        """What the tile is searched by: the pilot's conjugate, coarse waves first, for they survive most."""
        coefficients = np.zeros(self.size)
        coefficients[self.pilot] = self.pilot_signs / self.radii[self.pilot]
        return np.conj(self.spectrum(coefficients)).astype(np.complex64)

    def tile(self, symbols: bytes) -> Plane:
        """Return the tile that carries symbols, standard deviation 1.  # (TILE, TILE)"""
        coefficients = np.zeros(self.size)
        coefficients[self.pilot] = _PILOT * self.pilot_signs
        rows = np.concatenate([_hadamard(), -_hadamard()])[list(symbols)]
        coefficients[self.symbols] = self.symbol_signs * rows
        tile = np.fft.irfft2(self.spectrum(coefficients), s=(TILE, TILE))
        return np.asarray(tile / tile.std(), np.float32)

    def spectrum(self, coefficients: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Return the half spectrum of real coefficients."""
        out = np.zeros((TILE, TILE // 2 + 1), np.complex128)
        out[self._at] = coefficients[0::2] + 1j * coefficients[1::2]
        out[TILE // 2 + 1 :, 0] = np.conj(out[1 : TILE // 2, 0][::-1])
        return out

    def coefficients(self, spectrum: NDArray[np.complexfloating[Any]]) -> NDArray[np.float64]:
        """Return the real coefficients of a half spectrum."""
        out = np.empty(self.size)
        out[0::2], out[1::2] = spectrum[self._at].real, spectrum[self._at].imag
        return out


_FY = np.fft.fftfreq(TILE)[:, None]
_FX = np.arange(TILE // 2 + 1)[None, :] / TILE
_RINGS = (np.hypot(_FY, _FX) * TILE).astype(np.intp)


class Reader:
    """Finds the tile in one picture and reads what stands in it.

    Args:
        flat: the picture as `flattened` returns it.  # (H, W)
        symbols_of: number -> bytes that stand in its mark.
        known: see `Watermark.read`.
    """

    def __init__(self, code: Code, flat: Plane, symbols_of: Callable[[int], bytes], known: Sequence[int] = ()) -> None:
        self._code, self._flat, self._symbols_of, self._known = code, flat, symbols_of, known

    def at(self, tile: float, peaks: int) -> tuple[FoundMark, ...]:
        """Return the marks at the places of one size of the tile where the pilot fits best; each number once."""
        found: dict[int, FoundMark] = {}
        for mirrored, fits, spectrum in zip((False, True), *self._fits(tile), strict=True):
            for _ in range(peaks):
                y, x = np.unravel_index(int(fits.argmax()), fits.shape)
                number = self._number_at(spectrum, int(y), int(x))
                if number is not None:
                    found.setdefault(number, FoundMark(number, float(fits[y, x]), float(TILE / tile), mirrored))
                rows, columns = (np.arange(-3, 4) + y) % TILE, (np.arange(-3, 4) + x) % TILE
                fits[np.ix_(rows, columns)] = -np.inf
        return tuple(sorted(found.values(), key=lambda mark: -mark.strength))

    def searched(self) -> tuple[FoundMark, ...]:
        """Return the marks at the size of the tile at which most is found, of all sizes."""
        sizes = sorted(_SCALES * TILE, key=self._strength, reverse=True)[:_BEST_SCALES]
        found = [self.at(self._refined(size), _FEWER_PEAKS) for size in sizes]
        return max(found, key=len)

    def _strength(self, tile: float) -> float:
        return max(float(f.max()) for f in self._fits(tile)[0])

    def _refined(self, tile: float) -> float:
        """Return the size near by at which the pilot stands out most."""
        best, size = self._strength(tile), tile
        for step in (0.003, 0.0012):
            for tried in (size * (1 - step), size * (1 + step)):
                strength = self._strength(tried)
                if strength > best:
                    best, size = strength, tried
        return size

    def _fits(self, tile: float) -> tuple[tuple[Plane, Plane], tuple[Spectrum, Spectrum]]:
        """Return how well the pilot fits at every place, in standard deviations, and the tile's spectrum.

        Both as the picture is, and mirrored.
        """
        from scipy import fft

        upright = _evened(fft.rfft2(_folded(self._flat, tile)))
        mirrored = np.conj(np.roll(upright[::-1], 1, axis=0))
        fits = [fft.irfft2(s * self._code.searched_pilot, s=(TILE, TILE)) for s in (upright, mirrored)]
        return (fits[0] / (fits[0].std() + 1e-12), fits[1] / (fits[1].std() + 1e-12)), (upright, mirrored)

    def _number_at(self, spectrum: Spectrum, y: int, x: int) -> int | None:
        """Return the number that stands in a tile which begins at a place; None where there is none."""
        turned = spectrum * np.exp(2j * np.pi * (_FY * y + _FX * x))
        values = self._code.coefficients(turned) * self._trust(turned)
        carried = values[self._code.symbols] * self._code.symbol_signs
        scores = carried @ _hadamard().T  # of each symbol and row
        scores = np.concatenate([scores, -scores], axis=1)
        best = np.argsort(-scores, axis=1)
        lead = np.take_along_axis(scores, best[:, :2], 1)
        weakest = np.argsort(lead[:, 0] - lead[:, 1])[:_DOUBTFUL]
        for swapped in itertools.product((0, 1), repeat=_DOUBTFUL):
            symbols = best[:, 0].copy()
            symbols[weakest] = best[weakest, swapped]
            read = bytes(symbols.astype(np.uint8))
            number = int.from_bytes(read[:4], "big")
            if hmac.compare_digest(read, self._symbols_of(number)):
                return number
        return self._known_in(scores, float(np.linalg.norm(carried)))

    def _known_in(self, scores: NDArray[np.float64], size: float) -> int | None:
        """Return the known number whose whole mark is there too strongly to be chance; None where none is."""
        if not self._known or size == 0:
            return None
        fits = scores[np.arange(SYMBOLS), self._known_symbols].sum(1) / size
        at = int(fits.argmax())
        return self._known[at] if fits[at] > surely(len(self._known)) else None

    @cached_property
    def _known_symbols(self) -> NDArray[np.uint8]:
        whole = b"".join(self._symbols_of(number) for number in self._known)
        return np.frombuffer(whole, np.uint8).reshape(-1, SYMBOLS)

    def _trust(self, spectrum: Spectrum) -> NDArray[np.float64]:
        """Return how much each coefficient counts: as much as the pilot beside it has survived."""
        code = self._code
        fits = code.coefficients(spectrum)[code.pilot] * code.pilot_signs
        at, kernel = code.radii.astype(np.intp), np.ones(5)
        size = int(_OUTER) + 2
        total = np.convolve(np.bincount(at[code.pilot], fits, size), kernel, "same")
        count = np.convolve(np.bincount(at[code.pilot], minlength=size), kernel, "same")
        return np.asarray(np.maximum(total / np.maximum(count, 1), 0.0)[at])


def surely(known: int) -> float:
    """Return how well one of so many known numbers has to fit, in standard deviations.

    The signs under which coefficients are added up are drawn with the key, whatever the picture is, so Hoeffding's
    bound exp(-t^2 / 2) holds for each try; all tries of one picture together stay under BY_KNOWN.
    """
    return float(np.sqrt(2 * np.log(MOST_PLACES * known / BY_KNOWN)))


def flattened(plane: Plane) -> Plane:
    """Return what a plane has in the mark's band, everywhere as strong.

    Nearly only the signs count: hard compression leaves no more.
    """
    import cv2

    band = cv2.GaussianBlur(plane, (0, 0), 0.8) - cv2.GaussianBlur(plane, (0, 0), 3.0)
    size = np.abs(band)
    around = np.maximum(cv2.GaussianBlur(size, (0, 0), 5.0), cv2.GaussianBlur(size, (0, 0), 1.5))
    return np.asarray(band / (around + 0.1), np.float32)


def _folded(flat: Plane, tile: float) -> Plane:
    """Lay all tiles of a size over each other.  # (TILE, TILE)"""
    import cv2

    factor = TILE / tile
    down, across = (int(np.ceil(side * factor / TILE)) for side in flat.shape)
    matrix = np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2]])
    fitted = cv2.warpAffine(flat, matrix, (across * TILE, down * TILE), flags=cv2.INTER_LINEAR)
    return np.asarray(fitted.reshape(down, TILE, across, TILE).sum((0, 2)), np.float32)


def _evened(spectrum: Spectrum) -> Spectrum:
    """Give every ring of a spectrum the same mean size: pictures are strong where they are coarse."""
    sizes = np.abs(spectrum).ravel()
    rings = _RINGS.ravel()
    means = (np.bincount(rings, sizes) / np.bincount(rings) + 1e-9).astype(np.float32)
    return np.asarray(spectrum / means[_RINGS], np.complex64)


def _hadamard() -> NDArray[np.float64]:
    """Return Sylvester's matrix, each row repeated to the length of a symbol.  # (128, 256)"""
    at = np.arange(_ROWS)
    rows = np.where(np.bitwise_count(at[:, None] & at[None, :]) & 1, -1.0, 1.0)
    return np.tile(rows, (1, _CHIPS // _ROWS))
