"""Hair and headwear: painted strand by strand, once per person, in front of the head and behind it."""

from dataclasses import dataclass

import cv2
import numpy as np

from avce_pl.synthesis.appearance import Colour, Identity, mix
from avce_pl.synthesis.canvas import FINE, SHIFT, Array, Bytes, Frame, blend, fill, grain, scaled, soften, spline

_MIRROR = np.array([-1.0, 1.0])


@dataclass
class _Coat:
    """Hair in the making: brightness ``tone`` (128 is the plain hair colour) and ``opacity``, both (h, w)."""

    frame: Frame
    rng: np.random.Generator
    tone: Bytes
    opacity: Bytes

    def body(self, polygon: Array, tone: int) -> None:
        """Fill the mass of the hair."""
        fill(self.opacity, self.frame, polygon)
        fill(self.tone, self.frame, polygon, tone)

    def strands(
        self,
        lines: Array,
        tones: Array,
        width: float = 0.010,
        ragged: float = 0.12,
        wave: float = 0.0,
    ) -> None:
        """Draw strands (count, n, 2) from root to tip.

        Args:
            lines: The strands; neighbours in the first axis are neighbours on the head.
            tones: Brightness (count,) of each strand.
            width: Canonical width of a strand.
            ragged: How unequal their lengths are, as a share.
            wave: Canonical amplitude of waves along the strand.
        """
        if self.frame.ppu < FINE:
            lines, tones = lines[::2], tones[::2]
        count, n, _ = lines.shape
        t = np.linspace(0, 1, n)
        length = self.rng.uniform(1 - ragged, 1, (count,))
        k = t[None] * length[:, None] * (n - 1)
        low = np.minimum(k.astype(int), n - 2)
        share = (k - low)[..., None]
        rows = np.arange(count)[:, None]
        lines = lines[rows, low] * (1 - share) + lines[rows, low + 1] * share
        if wave:
            phase = np.cumsum(self.rng.normal(0, 0.18, count))[:, None] + 17.0 * t[None]
            offset = wave * np.sin(phase) * np.minimum(1, 3 * t)
            direction = np.asarray(np.gradient(lines, axis=1))
            direction /= np.linalg.norm(direction, axis=2, keepdims=True) + 1e-9
            lines = lines + offset[..., None] * direction[..., ::-1] * (1, -1)
        fixed = self.frame.fixed(lines)
        thickness = self.frame.thickness(width)
        cv2.polylines(self.opacity, list(fixed), False, 255, thickness, cv2.LINE_AA, SHIFT)
        levels = np.clip(np.round(tones / 22) * 22, 8, 250).astype(int)
        for level in np.unique(levels):
            cv2.polylines(self.tone, list(fixed[levels == level]), False, int(level), thickness, cv2.LINE_AA, SHIFT)

    def sheen(self, lines: Array, centre: float, amount: float) -> None:
        """Brighten some strands around the share ``centre`` of their length, in a ragged band."""
        count, n, _ = lines.shape
        for reach, tone in ((0.20, 0.35), (0.13, 0.65), (0.07, 1.0)):
            chosen = np.flatnonzero(self.rng.random(count) < 0.4)
            middle = centre + 0.07 * self.rng.standard_normal(len(chosen))
            t = np.clip(middle[:, None] + reach * np.linspace(-1, 1, 5), 0, 1) * (n - 1)
            low = np.minimum(t.astype(int), n - 2)
            share = (t - low)[..., None]
            rows = chosen[:, None]
            part = lines[rows, low] * (1 - share) + lines[rows, low + 1] * share
            self.strands_tone(part, 112 + amount * tone * (1 + 0.4 * self.rng.standard_normal(len(chosen))), 0.007)

    def strands_tone(self, lines: Array, tones: Array, width: float) -> None:
        """Draw lines into the brightness alone."""
        fixed, thickness = self.frame.fixed(lines), self.frame.thickness(width)
        levels = np.clip(np.round(tones / 22) * 22, 8, 250).astype(int)
        for level in np.unique(levels):
            cv2.polylines(self.tone, list(fixed[levels == level]), False, int(level), thickness, cv2.LINE_AA, SHIFT)

    def locks(self, count: int, base: float, spread: float) -> Array:
        """Brightness (count,) of neighbouring strands: random, but alike within a lock."""
        lock = np.repeat(self.rng.normal(0, 1, count // 6 + 1), 6)[:count]
        return base + spread * (0.7 * lock + 0.6 * self.rng.normal(0, 1, count))

    def curls(self, centres: Array, radius: tuple[float, float], tones: Array, width: float) -> None:
        """Draw tufts of two or three nested arcs of random size and direction at ``centres`` (n, 2)."""
        count = len(centres)
        size = self.rng.uniform(*radius, count)[:, None]
        start = self.rng.uniform(0, 2 * np.pi, count)[:, None]
        squash = self.rng.uniform(0.55, 0.95, count)[:, None]
        turn = start + np.linspace(0, 2 * np.pi, 9)[None]
        tufts = centres[:, None] + np.stack([size * np.cos(turn), size * squash * np.sin(turn)], axis=-1)
        arcs = []
        for share, sweep in ((0.98, 3.0), (0.72, 2.7), (0.46, 2.4)):
            turn = start + self.rng.normal(0, 0.2, (count, 1)) + np.linspace(0, sweep, 6)[None]
            arcs.append(
                centres[:, None] + share * np.stack([size * np.cos(turn), size * squash * np.sin(turn)], axis=-1)
            )
        body = self.frame.fixed(tufts)
        lines = self.frame.fixed(np.stack(arcs, axis=1))
        thickness = self.frame.thickness(width)
        # In blocks, so that later tufts lie over earlier ones whatever their brightness.
        for block in np.array_split(np.arange(count), 8):
            level = float(tones[block].mean())
            for tuft in body[block]:  # one by one: where two polygons of one call overlap, there would be a hole
                cv2.fillConvexPoly(self.opacity, tuft, 255, cv2.LINE_AA, SHIFT)
                cv2.fillConvexPoly(self.tone, tuft, 0.55 * level, cv2.LINE_8, SHIFT)
            for k, gain in enumerate((0.8, 1.05, 1.3)):
                cv2.polylines(self.tone, list(lines[block, k]), False, gain * level, thickness, cv2.LINE_AA, SHIFT)


def _hairline(identity: Identity) -> Array:
    """Front edge of the hair from the left to the right sideburn (9, 2)."""
    recede = {"receding": 0.13, "bald": 0.30}.get(identity.hair_style, 0.0)
    wide = identity.half_width
    half = np.array(
        [
            (-wide + 0.020, 0.03),
            (-wide + 0.045, -0.18),
            (-wide + 0.100, -0.38 - 0.6 * recede),
            (-0.40, -0.585 - recede),
            (-0.19, -0.665 - 0.55 * recede),
        ]
    )
    middle = np.array([(0.0, -0.675 - 0.3 * recede)])
    return np.concatenate([half, middle, (half * _MIRROR)[::-1]])


def _silhouette(identity: Identity, volume: float) -> Array:
    """Outer edge of the hair from the left to the right sideburn (9, 2), ``volume`` above the skull."""
    wide = identity.half_width + 0.25 * volume
    top = -1.075 - volume
    half = np.array(
        [
            (-identity.half_width - 0.01, 0.02),
            (-wide - 0.015, -0.22),
            (-wide - 0.015, -0.52),
            (-wide * 0.88, -0.84 - 0.4 * volume),
            (-wide * 0.52, 0.94 * top),
        ]
    )
    return np.concatenate([half, [(0.0, top)], (half * _MIRROR)[::-1]])


def _arcs(roots: Array, middles: Array, tips: Array, n: int = 9) -> Array:
    """Quadratic Bézier strands (count, n, 2)."""
    t = np.linspace(0, 1, n)[None, :, None]
    return roots[:, None] * (1 - t) ** 2 + middles[:, None] * 2 * t * (1 - t) + tips[:, None] * t**2


def _sheet(inner: Array, outer: Array, s: Array, n: int = 12) -> Array:
    """Strands (count, n, 2) between two guide curves, at shares ``s`` (count,) of the way."""
    a, b = spline(inner, n), spline(outer, n)
    return a[None] + s[:, None, None] * (b - a)[None]


def _lerp(a: tuple[float, float], b: tuple[float, float], s: Array) -> Array:
    """Points (count, 2) between two points."""
    return np.stack([a[k] + s * (b[k] - a[k]) for k in (0, 1)], axis=-1)


def _jittered(rng: np.random.Generator, count: int) -> Array:
    """Evenly spread shares in (0, 1), a little shuffled."""
    return (np.arange(count) + rng.random(count)) / count


def _sides(coat: _Coat, identity: Identity, volume: float) -> None:
    """Short hair in front of and above the ears."""
    line, edge = spline(_hairline(identity), 41), spline(_silhouette(identity, volume), 41)
    for part in (slice(0, 15), slice(26, 41)):
        a, b = line[part], edge[part]
        s = _jittered(coat.rng, 60)
        k = coat.rng.uniform(2, len(a) - 2, 60)
        row = k.astype(int)
        root = a[row] + s[:, None] * (b[row] - a[row])
        drop = np.column_stack([0.10 * (b[row, 0] - a[row, 0]), coat.rng.uniform(0.05, 0.13, 60)])
        coat.strands(_arcs(root, root + 0.5 * drop, root + drop, 5), coat.locks(60, 92, 26), 0.008, 0.4)


def _cap(coat: _Coat, identity: Identity, volume: float, tone: int = 76) -> tuple[Array, Array]:
    """The mass of hair between hairline and silhouette; returns both edges, 81 points each."""
    line, edge = spline(_hairline(identity), 81), spline(_silhouette(identity, volume), 81)
    line = line + coat.rng.normal(0, 0.005, line.shape)
    coat.body(np.concatenate([line, edge[::-1]]), tone)
    return line, edge


def _side_part(coat: _Coat, identity: Identity) -> None:
    volume = 0.11 * identity.hair_volume
    _cap(coat, identity, volume)
    _sides(coat, identity, volume)
    p = identity.parting
    near, top = np.sign(p), -1.075 - volume
    wide = identity.half_width
    for sign, count in ((near, 70), (-near, 130)):
        s = _jittered(coat.rng, count)[::-1]
        root = _lerp((p, -0.665), (0.75 * p, top + 0.05), s)
        far = sign != near
        lift = 0.15 if far else 0.03
        tip = _lerp((sign * (wide - 0.085), -0.40), (sign * (wide + 0.03), -0.46), s)
        middle = _lerp((sign * (0.30 if far else 0.52), -0.70 - lift), (sign * 0.86 * wide, top - 0.10), s)
        lines = _arcs(root, middle, tip, 11) + coat.rng.normal(0, 0.006, (count, 1, 2))
        coat.strands(lines, coat.locks(count, 104, 30), 0.011, 0.15)
        coat.sheen(lines, 0.42, 70)


def _swept(coat: _Coat, identity: Identity) -> None:
    volume = 0.13 * identity.hair_volume if identity.hair_style == "swept" else 0.05 * identity.hair_volume
    line, edge = _cap(coat, identity, volume)
    _sides(coat, identity, volume)
    count = 190
    u = _jittered(coat.rng, count)
    u = 0.16 + 0.68 * u
    row = (u * 80).astype(int)
    skew = np.clip(row + 6 * np.sign(identity.parting) * (1 - np.abs(2 * u - 1)), 0, 80).astype(int)
    root, tip = line[row], edge[skew] * (1, 1.0) + coat.rng.normal(0, 0.014, (count, 2))
    back = coat.rng.random(count) ** 1.3
    root = root + 0.75 * back[:, None] * (tip - root)
    middle = 0.5 * (root + tip) - (0, 0.06) * (1 - back[:, None])
    middle[:, 0] += 0.05 * np.sign(identity.parting)
    order = np.argsort(-back)
    lines = _arcs(root, middle, tip, 8)[order]
    coat.strands(lines, coat.locks(count, 100, 30) + 10 * (1 - back[order]), 0.011, 0.12)
    coat.sheen(lines[count // 2 :], 0.38, 70)


def _bangs(coat: _Coat, identity: Identity, volume: float, low: float) -> None:
    """Hair that falls over the forehead."""
    count = 150
    u = _jittered(coat.rng, count)
    x = 2 * u - 1
    top = -1.05 - volume
    root = np.column_stack([0.42 * x + 0.3 * identity.parting, np.full(count, 0.90 * top)])
    side = 0.05 * np.sign(identity.parting)
    tip = np.column_stack(
        [0.60 * x + side, low - 0.05 * np.abs(x) ** 2 + 0.025 * np.sin(19 * u + 3 * identity.parting)]
    )
    middle = np.column_stack([0.66 * x + 0.5 * side, np.full(count, low - 0.30)])
    edge = np.concatenate([root[::10], tip[::-10]])
    coat.body(edge, 84)
    lines = _arcs(root, middle, tip, 9)
    coat.strands(lines, coat.locks(count, 106, 28), 0.011, 0.16)
    coat.sheen(lines, 0.43, 70)


def _fringe(coat: _Coat, identity: Identity) -> None:
    volume = 0.10 * identity.hair_volume
    line, edge = _cap(coat, identity, volume)
    _sides(coat, identity, volume)
    count = 120
    u = _jittered(coat.rng, count)
    crown = np.column_stack([0.25 * (2 * u - 1), np.full(count, -1.06 - volume)])
    row = (80 * np.clip(0.10 + 0.80 * u, 0, 1)).astype(int)
    lines = _arcs(crown, 0.5 * (crown + edge[row]) + 0.06 * (edge[row] - line[row]), 0.5 * (line[row] + edge[row]), 8)
    coat.strands(lines, coat.locks(count, 96, 28), 0.011)
    _bangs(coat, identity, volume, -0.47)


def _hanging(coat: _Coat, identity: Identity, length: float, width: float, wave: float) -> None:
    """Long hair from a parting down both sides of the face."""
    volume = 0.10 * identity.hair_volume
    _cap(coat, identity, volume)
    p, top, wide = identity.parting, -1.075 - volume, identity.half_width
    for sign in (np.sign(p), -np.sign(p)):
        inner = np.array(
            [
                (p, -0.70),
                (p + 0.45 * (sign * (wide - 0.10) - p), -0.645),
                (sign * (wide - 0.075), -0.36),
                (sign * (wide - 0.015), 0.05),
                (sign * (wide + 0.01), 0.5 * length),
                (sign * (wide - 0.06 + 0.5 * (width - 0.75)), length),
            ]
        )
        outer = np.array(
            [
                (0.6 * p, top + 0.02),
                (sign * 0.55 * wide + 0.2 * p, top + 0.03),
                (sign * (wide + 0.05), -0.70),
                (sign * (width + 0.06), -0.05),
                (sign * (width + 0.10), 0.5 * length),
                (sign * (width + 0.03), length + 0.08),
            ]
        )
        coat.body(np.concatenate([spline(inner, 24), spline(outer, 24)[::-1]]), 78)
        count = 150
        s = _jittered(coat.rng, count)[::-1]
        lines = _sheet(inner, outer, s, 14) + coat.rng.normal(0, 0.005, (count, 1, 2))
        coat.strands(lines, coat.locks(count, 104, 30) - 22 * s, 0.011, 0.10, wave)
        coat.sheen(lines, 0.31, 70)


def _bun(coat: _Coat, identity: Identity) -> None:
    volume = 0.045
    line, edge = _cap(coat, identity, volume)
    count = 200
    row = (80 * (0.02 + 0.96 * _jittered(coat.rng, count))).astype(int)
    root = line[row] + coat.rng.normal(0, 0.006, (count, 2))
    tip = np.column_stack([0.28 * root[:, 0], np.full(count, -1.10 - volume)])
    middle = np.column_stack([1.30 * edge[row, 0], 0.30 * root[:, 1] + 0.70 * edge[row, 1] - 0.12])
    lines = _arcs(root, middle, tip, 10)
    coat.strands(lines, coat.locks(count, 100, 26), 0.010, 0.0)
    coat.sheen(lines, 0.43, 70)


def _buzz(coat: _Coat, identity: Identity, strength: float) -> None:
    """Hair of a few millimetres: a dark, grainy scalp with a soft edge."""
    line, edge = spline(_hairline(identity), 81), spline(_silhouette(identity, -0.006), 81)
    fill(coat.opacity, coat.frame, np.concatenate([line, edge[::-1]]))
    stubs = grain(3, coat.frame.height, coat.frame.width)
    # Soft towards the forehead, but not beyond the skull.
    solid = cv2.min(soften(coat.opacity, 0.022 * coat.frame.ppu), coat.opacity)
    cv2.multiply(solid, stubs, dst=coat.opacity, scale=strength / 128)
    cv2.addWeighted(stubs, 0.8, stubs, 0.0, -18, dst=coat.tone)


def _curly(coat: _Coat, identity: Identity, afro: bool) -> None:
    volume = (0.24 if afro else 0.17) * identity.hair_volume
    line, edge = _cap(coat, identity, volume, 34)
    count = 520 if afro else 300
    s = coat.rng.random(count)
    row = coat.rng.integers(4, 77, count)
    centres = line[row] + s[:, None] * (edge[row] - line[row])
    if not afro:
        hanging = coat.rng.random(count) < 0.30
        side = np.sign(coat.rng.standard_normal(count))
        wide = identity.half_width
        fall = np.column_stack(
            [side * (wide + coat.rng.uniform(0.0, 0.14, count)), coat.rng.uniform(-0.25, 0.42, count)]
        )
        centres = np.where(hanging[:, None], fall, centres)
    centres = centres[np.argsort(centres[:, 1] + 0.3 * coat.rng.random(count))][::-1]
    tones = 96 - 46 * (centres[:, 1] + 0.5) + 16 * coat.rng.standard_normal(count)
    coat.curls(centres, (0.022, 0.040) if afro else (0.040, 0.075), tones, 0.009 if afro else 0.011)


def _beanie(coat: _Coat, identity: Identity) -> None:
    wide = identity.half_width + 0.05
    brim = np.array([(-wide, -0.40), (-0.6 * wide, -0.50), (0.0, -0.535), (0.6 * wide, -0.50), (wide, -0.40)])
    dome = np.array(
        [
            (-wide - 0.01, -0.45),
            (-wide - 0.01, -0.75),
            (-0.72 * wide, -1.12),
            (0.0, -1.27),
            (0.72 * wide, -1.12),
            (wide + 0.01, -0.75),
            (wide + 0.01, -0.45),
        ]
    )
    edge = spline(dome, 61)
    coat.body(np.concatenate([edge, spline(brim, 31)[::-1]]), 96)
    u = np.linspace(0, 1, 44)
    foot = spline(brim, 44)
    tip = np.column_stack([0.25 * foot[:, 0], np.full(44, -1.25)])
    middle = np.column_stack([1.22 * foot[:, 0], np.full(44, -0.98)])
    ribs = _arcs(foot, middle, tip, 9)
    coat.strands_tone(ribs, np.where(np.arange(44) % 2, 128.0, 76.0) - 50 * (2 * u - 1) ** 4, 0.020)
    band = np.concatenate([np.add(spline(brim, 31), (0, 0.03)), (spline(brim, 31) * (1.03, 1) - (0, 0.17))[::-1]])
    coat.body(band, 118)
    lower, upper = np.add(spline(brim, 52), (0, 0.028)), spline(brim, 52) * (1.03, 1) - (0, 0.165)
    coat.strands_tone(np.stack([lower, upper], axis=1), np.where(np.arange(52) % 2, 146.0, 92.0), 0.016)
    coat.strands_tone((spline(brim, 31) * (1.03, 1) - (0, 0.178))[None], np.array([44.0]), 0.014)


def _scarf(coat: _Coat, identity: Identity) -> None:
    wide = identity.half_width
    inner = np.array(
        [
            (0.70 * wide, 0.86),
            (wide - 0.03, 0.44),
            (wide - 0.02, 0.0),
            (wide - 0.09, -0.36),
            (0.34, -0.60),
            (0.0, -0.645),
        ]
    )
    outer = np.array(
        [
            (0.80 * wide, 1.02),
            (wide + 0.13, 0.52),
            (wide + 0.14, -0.10),
            (wide + 0.09, -0.66),
            (0.50, -1.09),
            (0.0, -1.20),
        ]
    )
    inner = np.concatenate([inner * _MIRROR, inner[-2::-1]])
    outer = np.concatenate([outer * _MIRROR, outer[-2::-1]])
    coat.body(np.concatenate([spline(inner, 61), spline(outer, 61)[::-1]]), 112)
    s = np.sort(coat.rng.random(16))
    folds = _sheet(inner, outer, s, 40)
    swing = 0.012 * np.sin(np.linspace(0, 5, 40)[None] + 6 * coat.rng.random((16, 1)))
    folds = folds + swing[..., None]
    coat.strands_tone(folds, np.where(np.arange(16) % 2, 140.0, 84.0), 0.022)
    coat.tone[:] = soften(coat.tone, 0.022 * coat.frame.ppu)
    rim = spline(inner, 61)
    coat.strands_tone(rim[None], np.array([150.0]), 0.014)


def _ramp(colour: Colour, light: float) -> Bytes:
    """Colour of each brightness (256, 1, 3): dark, plain at 128, sheen."""
    sheen = mix(scaled(colour, 1.45), (255, 246, 232), light)
    low = np.linspace(0, 1, 128)[:, None] * (np.array(colour) * 0.86) + np.array(colour) * 0.14
    high = np.array(colour) + np.linspace(0, 1, 128)[:, None] * (np.array(sheen) - colour)
    ramp: Bytes = np.clip(np.concatenate([low, high]), 0, 255).astype(np.uint8)
    return ramp[:, None]


def _colours(identity: Identity, coat: _Coat) -> Bytes:
    """Painted colour (h, w, 3) of a finished coat."""
    worn = identity.hair_style in ("beanie", "scarf")
    ramp = _ramp(identity.cloth if worn else identity.hair, 0.04 if worn else 0.20)
    return cv2.applyColorMap(coat.tone, ramp)


def paint_hair(identity: Identity, frame: Frame) -> tuple[Bytes, Bytes]:
    """Colour (h, w, 3) and opacity (h, w) of the hair or headwear in front of the head."""
    rng = np.random.default_rng([identity.seed, identity.subject, 0, 3])
    coat = _Coat(frame, rng, np.full((frame.height, frame.width), 60, np.uint8), frame.mask())
    match identity.hair_style:
        case "bald":
            if identity.age > 0.35:
                _buzz(coat, identity, 0.42)
        case "buzz":
            _buzz(coat, identity, 0.72)
        case "receding" | "swept":
            _swept(coat, identity)
        case "side_part":
            _side_part(coat, identity)
        case "fringe":
            _fringe(coat, identity)
        case "bob":
            _hanging(coat, identity, 0.62, 0.78, 0.0)
            if identity.parting > 0:
                _bangs(coat, identity, 0.10 * identity.hair_volume, -0.46)
        case "long":
            _hanging(coat, identity, 1.10, 0.80, 0.004)
        case "wavy":
            _hanging(coat, identity, 1.10, 0.86, 0.045)
        case "curly" | "afro":
            _curly(coat, identity, identity.hair_style == "afro")
        case "bun":
            _bun(coat, identity)
        case "beanie":
            _beanie(coat, identity)
        case "scarf":
            _scarf(coat, identity)
    if identity.hair_style in ("long", "wavy"):
        # Lower down, the hair behind the shoulders takes over.
        _, y = frame.axes
        fade = np.clip((1.06 - y) / 0.22, 0, 1)
        cv2.multiply(coat.opacity, np.repeat(fade[:, None], frame.width, axis=1), dst=coat.opacity, dtype=cv2.CV_8U)
    return _colours(identity, coat), coat.opacity


def paint_back_hair(identity: Identity, frame: Frame, rng: np.random.Generator) -> tuple[Bytes, Bytes]:
    """Colour (h, w, 3) and opacity (h, w) of the hair behind the head."""
    coat = _Coat(frame, rng, np.full((frame.height, frame.width), 40, np.uint8), frame.mask())
    wide, volume = identity.half_width, identity.hair_volume

    def mass(half: list[tuple[float, float]], count: int, wave: float = 0.0) -> None:
        """A symmetric mass (its right edge from the top down) with strands that hang down."""
        edge = spline(np.array(half), 30)
        coat.body(np.concatenate([edge, (edge * _MIRROR)[::-1]]), 40)
        s = np.linspace(-1, 1, count)[:, None, None]
        lines = edge[None] * np.concatenate([np.sign(s) * np.abs(s) ** 0.8, np.ones_like(s)], axis=2)
        coat.strands(lines[:, ::2], coat.locks(count, 66, 20), 0.014, 0.10, wave)

    match identity.hair_style:
        case "bob":
            mass([(0.0, -1.10), (0.70, -0.95), (0.88, -0.40), (0.90, 0.20), (0.84, 0.60), (0.62, 0.72)], 90)
        case "long":
            mass([(0.0, -1.10), (0.72, -0.95), (0.92, -0.30), (0.92, 0.50), (0.88, 1.30), (0.80, 1.80)], 90)
        case "wavy":
            mass([(0.0, -1.12), (0.76, -0.98), (0.99, -0.30), (1.02, 0.50), (0.98, 1.30), (0.86, 1.75)], 90, 0.06)
        case "curly":
            count = 420
            angle, reach = rng.uniform(-0.35, np.pi + 0.35, count), np.sqrt(rng.random(count))
            x = (wide + 0.26 * volume) * np.cos(angle) * (0.45 + 0.55 * reach)
            y = -0.30 - np.where(np.sin(angle) > 0, 0.98 * volume**0.3, 1.9) * np.sin(angle) * (0.45 + 0.55 * reach)
            centres = np.column_stack([x, y])[np.argsort(-reach)]
            coat.curls(centres, (0.050, 0.090), 58 - 20 * centres[:, 1] + 18 * rng.standard_normal(count), 0.012)
        case "afro":
            count = 620
            angle, reach = rng.uniform(-0.30, np.pi + 0.30, count), np.sqrt(rng.random(count))
            size = np.array([wide + 0.30 * volume, 0.72 + 0.18 * volume])
            centres = np.column_stack([np.cos(angle), -np.sin(angle)]) * reach[:, None] * size - (0.0, 0.46)
            t = np.linspace(0, 2 * np.pi, 40)
            coat.body(np.column_stack([np.cos(t), np.sin(t)]) * size * 0.96 - (0.0, 0.46), 34)
            centres = centres[np.argsort(-reach)]
            coat.curls(centres, (0.026, 0.048), 66 - 30 * centres[:, 1] + 18 * rng.standard_normal(count), 0.010)
        case "bun":
            t = np.linspace(0, 2 * np.pi, 40)
            coat.body(np.column_stack([0.27 * np.cos(t), -1.26 + 0.21 * np.sin(t)]), 60)
            roots = np.column_stack([0.26 * np.cos(t), -1.26 + 0.20 * np.sin(t)])
            turn = np.column_stack([0.20 * np.cos(t + 0.9), -1.28 + 0.15 * np.sin(t + 0.9)])
            tips = np.column_stack([0.08 * np.cos(t + 1.8), -1.28 + 0.06 * np.sin(t + 1.8)])
            coat.strands(_arcs(roots, turn, tips, 7), coat.locks(40, 104, 30), 0.016, 0.2)
        case "scarf":
            half = np.array([(0.0, -1.0), (0.70, -0.80), (0.80, 0.20), (0.66, 1.00), (0.70, 1.40), (0.95, 1.80)])
            edge = spline(half, 30)
            coat.body(np.concatenate([edge, (edge * _MIRROR)[::-1]]), 84)
        case _:
            pass
    return _colours(identity, coat), coat.opacity


def paint_tresses(identity: Identity, frame: Frame, rng: np.random.Generator, colour: Bytes, cover: Bytes) -> None:
    """Draw, over neck and clothes, what falls in front of the shoulders: long hair, the ends of a scarf."""
    coat = _Coat(frame, rng, np.full((frame.height, frame.width), 56, np.uint8), frame.mask())
    wide = identity.half_width
    if identity.hair_style in ("long", "wavy"):
        wave = 0.05 if identity.hair_style == "wavy" else 0.004
        for sign in (-1.0, 1.0):
            inner = np.array([(wide - 0.02, 0.2), (wide - 0.06, 0.8), (wide - 0.12, 1.3), (wide - 0.06, 1.85)]) * (
                sign,
                1,
            )
            outer = np.array([(wide + 0.20, 0.2), (wide + 0.22, 0.8), (wide + 0.20, 1.3), (wide + 0.14, 1.85)]) * (
                sign,
                1,
            )
            coat.body(np.concatenate([spline(inner, 12), spline(outer, 12)[::-1]]), 56)
            lines = _sheet(inner, outer, _jittered(rng, 60), 12)
            coat.strands(lines, coat.locks(60, 92, 28), 0.013, 0.1, wave)
    elif identity.hair_style == "scarf":
        edge = spline(np.array([(0.72, 0.22), (0.60, 0.72), (0.34, 1.02), (0.0, 1.08)]), 24)
        edge = np.concatenate([edge, (edge * _MIRROR)[-2::-1]])
        foot = spline(np.array([(1.00, 1.0), (0.95, 1.5), (0.5, 1.75), (0.0, 1.82)]), 24)
        foot = np.concatenate([foot, (foot * _MIRROR)[-2::-1]])
        coat.body(np.concatenate([edge, foot[::-1]]), 100)
        s = np.linspace(0.04, 0.96, 12)[:, None, None]
        folds = (
            edge[None] + s * (foot - edge)[None] + (0.0, 1.0) * (0.02 * np.sin(np.linspace(0, 6, 47)))[None, :, None]
        )
        coat.strands_tone(folds, np.where(np.arange(12) % 2, 128.0, 76.0), 0.03)
        coat.tone[:] = soften(coat.tone, 0.03 * frame.ppu)
    else:
        return
    blend(colour, _colours(identity, coat), coat.opacity)
    np.maximum(cover, coat.opacity, out=cover)
