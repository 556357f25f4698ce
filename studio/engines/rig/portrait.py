"""One photo that can move: a state of the face goes in, a picture comes out.

Drawing a frame: bend the head mesh by the weights, bring the lips into contact,
turn it about the neck, draw card and face into one map that says where in the
photo every pixel comes from, edit the eyes in the photo, look the colors up,
lay the person over the plate, draw the mouth's inside.
The photo's own state gives back the photo itself, byte for byte.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.domain.expression import ARKIT_NAMES, INDEX, FaceState, Weights
from studio.domain.face import DetectedFace
from studio.domain.performance import MouthResponse
from studio.domain.pose import LIMIT_DEGREES, SAFE_DEGREES, HeadPose
from studio.engines.base import HeadModel, Image, Matte
from studio.engines.rig import kernels, layers
from studio.engines.rig.asset import FACE_OVAL, INNER_LIP_PAIRS, INNER_LIP_RING, HeadAsset
from studio.engines.rig.condition import HeadMaps
from studio.engines.rig.eyes import EyePatch, LidMotion, eye_patches
from studio.engines.rig.fit import HeadFit, rotation_of
from studio.engines.rig.lips import CornerSink, LipContact, SeamPull
from studio.engines.rig.model import head_model
from studio.engines.rig.mouth import Mouth
from studio.engines.rig.outline import even_depth
from studio.engines.rig.spectacles import Spectacles
from studio.engines.rig.teeth import rounding_of
from studio.engines.rig.turning import PoseMeasure, TurnGauge

Array = NDArray[Any]
FloatArray = NDArray[np.float32]

PIVOT = np.array([0.0, -1.2, -0.85])  # decimetres: the top of the neck, behind and below the eyes
FACING = 0.26  # what turns further away is left to the card, which cannot fold over
FEATHER = 0.07  # of the eye distance: how far inside its outline the face passes over into the card
FOLD = 0.04  # of the eye distance: neighbors from further apart in the photo are two sides of a fold
LIP_FOLD, LEAST_FOLD = 0.014, 2.4  # likewise between the lips, and in pixels at least: skin drawn in is no fold
LIP_MARGIN = 0.06  # of the eye distance, around the inner lips and the nose
NOSE_BASE = (2, 98, 327, 129, 358, 94)  # landmarks: under its tip, the nostrils, the wings
MOUTH_CORNER = 0.07  # of the eye distance: around a corner of the mouth, where lips fold into slivers
STRAY = 0.006  # of the eye distance: a pixel that comes from further away than its neighbors is a sliver's
SETTLED = 3.0  # degrees of head turn over which the photo's own ground gives way to the completed one
TONGUE_PARTS = 0.2  # jawOpen that a tongue put out all the way asks for
LAUGHING_TONGUE = 0.6  # of that beyond the jaw of a photo that shows teeth ...
WHOLE_TONGUE = (0.35, 0.8)  # ... once more of it is put out than speech asks for
LEFT_OF_LAUGH = 0.4  # of more laughing where the photo laughs with its teeth already
SEALED_BY = 0.25  # mouthClose that seals a mouth that laughs; over a jaw that opens further, as much as it opens
UNDONE_BY_RING = 0.6  # of a laugh, wide corners and own open jaw: nobody laughs with lips pushed out into a ring
SHOULDERS_TO_HEAD = (-1.75, -0.95)  # decimetres: over these heights the neck passes the head's turn on
AMBIENT = 0.55
# The mesh bulges more than skin does, and its folds are coarser: a hint of them is a fold, all of them is a streak of
# yellow beside a patch of gray. How far they darken or lighten the skin is approached, for a cut would have an edge.
RELIEF = 0.55
RATIO_RANGE = (0.91, 1.03)
_LAUGHING = [
    INDEX[f"mouth{part}{side}"]
    for part in ("Smile", "Dimple", "Stretch", "UpperUp", "LowerDown")
    for side in ("Left", "Right")
]
_RAISING = [INDEX[f"mouth{part}{side}"] for part in ("Smile", "UpperUp") for side in ("Left", "Right")]
_LID_WEIGHTS = tuple(
    INDEX[f"eye{part}{side}"] for part in ("Blink", "Squint", "Wide", "LookDown", "LookUp", "LookIn", "LookOut")
    for side in ("Left", "Right")
)  # fmt: skip


class RigPortrait:
    """A prepared photo (the Portrait of engines/base.py).

    Args:
        asset: the parametric head.
        image: RGB.  # (H, W, 3) uint8
        face: the face to move.
        fit: its fit.
        matte: person matte.  # (H, W) uint8
        measure: finds the rotation of the head in a rendered picture, for calibration.
    """

    def __init__(
        self, asset: HeadAsset, image: Image, face: DetectedFace, fit: HeadFit, matte: Array, measure: PoseMeasure
    ) -> None:
        self._asset, self._image, self._fit = asset, image, fit
        self._face, self._person_matte = face, matte
        self._gauge = TurnGauge(self._draw_turned, measure, fit.camera.rotation)
        self.own_weights: Weights = fit.weights
        self._actions = asset.actions.reshape(len(ARKIT_NAMES), -1)
        self._skin = asset.triangles_of("skin")
        self._own_vertices = self._bend(fit.weights)
        self._mesh = fit.camera.project(self._own_vertices)  # (V, 3) the photo's own
        self._drawn, face_mask = self._drawable(image.shape[:2])
        self._stiff, self._lift_of_frame = self._worn(face.landmarks)
        self._lifted = self._lift_of_frame + even_depth(asset, self._mesh, self._drawn, self._inside, fit.eye_distance)
        self._mesh[:, 2] += self._lifted
        photo = image.astype(np.float32)
        self._layers = self._taken_apart(image, matte, face_mask)
        self._source = self._layers.person.copy()
        person = cv2.dilate((self._layers.alpha > 0).astype(np.uint8), np.ones((3, 3))) > 0
        self._card = layers.build_card(asset, fit, self._mesh, self._drawn, person, self._layers.pad)
        self._box = self._region(person)
        self._eyes = self._eye_patches(photo)
        self._mouth = self._mouth_of(photo)
        self._contact = LipContact(asset, self._own_vertices)
        self._sink = CornerSink(asset, fit.weights)
        self._seam = SeamPull(asset, self._mesh, fit.eye_distance)
        self._lid_calm = self._calm_lids()
        self._own_normals = kernels.vertex_normals(self._unturned(self._own_vertices), self._skin)
        self._light = np.array([0.0, 0.42, 0.91], np.float32)
        self._contact_weight = self._mesh_contact()
        self.mouth = self._response()
        self._buffers()

    # -- set-up ----------------------------------------------------------

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of rendered pictures."""
        return self._image.shape[1], self._image.shape[0]

    def _bend(self, weights: Array) -> FloatArray:
        """Return the person's head with the weights applied.  # (V, 3)"""
        bend = (weights.astype(np.float32) @ self._actions).reshape(-1, 3)
        return np.asarray(self._fit.neutral + bend, np.float32)

    def _unturned(self, vertices: Array) -> FloatArray:
        """Camera axes with y up, without the frame's head turn; for shading."""
        return (vertices @ self._fit.camera.rotation.T).astype(np.float32)

    def _taken_apart(self, image: Image, matte: Array, face: Array) -> layers.Layers:
        """Cut the person out of the picture; `face` is True where it surely shows the face."""
        return layers.split(image, matte, face, self._lobes(), self._fit.eye_distance)

    def _eye_patches(self, photo: FloatArray) -> tuple[EyePatch, ...]:
        return eye_patches(photo, self._face.landmarks)

    def _mouth_of(self, photo: FloatArray) -> Mouth:
        return Mouth(self._asset, photo, self._fit, self._own_vertices, self._face.landmarks)

    def _drawable(self, shape: tuple[int, ...]) -> tuple[NDArray[np.int32], Array]:
        """Return the skin triangles whose pixels the photo shows, and the head's mask."""
        a, mesh = self._asset, self._mesh
        height, width = shape
        everything = a.triangles_of("skin", "mouth_interior", "socket", "ear", "neck", "eye_left", "eye_right")
        depth = np.full((height, width), -1e30, np.float32)
        tag = np.zeros((height, width), np.uint8)
        scratch = np.zeros((height, width, 1), np.float32)
        kernels.rasterize(mesh, everything, np.ones(len(everything), np.uint8), mesh[:, 2:], depth, tag, scratch, 0)
        normals = kernels.vertex_normals(mesh * np.array([1, -1, 1], np.float32), a.triangles)
        skin = self._skin
        centre = mesh[skin].mean(1)
        column = np.clip(np.round(centre[:, 0]).astype(int), 0, width - 1)
        row = np.clip(np.round(centre[:, 1]).astype(int), 0, height - 1)
        seen = centre[:, 2] > depth[row, column] - 0.06 * self._fit.eye_distance
        facing = normals[skin][..., 2].mean(1) > FACING
        # Rims of the lips are hidden in a closed photo but must be there when it opens.
        rim = np.linalg.norm(a.mean - a.mean_at_landmarks[[13, 14]].mean(0), axis=1) < 0.42
        lips = (a.lips > 0.05) & rim
        # Around depth jumps of the outline the fit and the photo disagree by a few pixels.
        drawn = (seen & facing) | lips[skin].any(1)
        chosen = np.ascontiguousarray(skin[drawn])
        self._cover, face = self._feathered(chosen, (height, width))
        return chosen, face

    def _feathered(self, drawn: NDArray[np.int32], shape: tuple[int, int]) -> tuple[FloatArray, Array]:
        """Return how much each vertex covers the card, 0 on the face's outline, and the face's mask.  # (V,), (H, W)"""
        mesh, (height, width) = self._mesh, shape
        mask = np.zeros(shape, np.uint8)
        kernels.rasterize(
            mesh, drawn, np.ones(len(drawn), np.uint8), mesh[:, 2:], np.full(shape, -1e30, np.float32), mask,
            np.zeros((*shape, 1), np.float32), 0,
        )  # fmt: skip
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        mask[:] = 0
        cv2.drawContours(mask, [max(outlines, key=len)], -1, 1, -1)
        inside = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
        at = np.clip(np.round(mesh[:, :2]).astype(int), 0, [width - 1, height - 1])
        depth = (inside[at[:, 1], at[:, 0]] - 1.5) / self._fit.eye_distance
        # The scalp of the mesh is a guess: only inside the oval of the landmarks is face for sure.
        oval = np.zeros(shape, np.uint8)
        outline = cv2.convexHull(self._asset.landmarks(mesh)[list(FACE_OVAL), :2].round().astype(np.int32))
        cv2.fillConvexPoly(oval, outline, 1)
        self._inside = depth
        return layers.smoothstep(depth, 0, FEATHER).astype(np.float32), (mask & oval) > 0

    def _worn(self, landmarks: Array) -> tuple[FloatArray, FloatArray]:
        """Return how stiff glasses make each vertex, and how far they lift it.  # (V, 1), (V,) pixels"""
        glasses = Spectacles(self._image, landmarks, self._fit.eye_distance)
        drawn = np.unique(self._drawn)
        stiff = np.zeros(len(self._mesh), np.float32)
        stiff[drawn] = glasses.stiffness(self._mesh[drawn, :2])
        return stiff[:, None], glasses.depth_change(self._mesh, stiff)

    def _lobes(self) -> Array:
        """Return the lowest points of both ears in the picture, pixels.  # (2, 2)"""
        rows = self._asset.vertices_of("ear")
        sides = (rows[self._asset.mean[rows, 0] < 0], rows[self._asset.mean[rows, 0] > 0])
        return np.array([self._mesh[side[self._mesh[side, 1].argmax()], :2] for side in sides])

    def _region(self, person: Array) -> tuple[int, int, int, int]:
        """Pixels that can change: the person and as far as it can move."""
        h, w = person.shape
        ys, xs = np.where(person)
        margin = int(0.5 * self._fit.eye_distance) + 4
        return (
            max(xs.min() - margin, 0),
            max(ys.min() - margin, 0),
            min(xs.max() + margin, w),
            min(ys.max() + margin, h),
        )

    def _calm_lids(self) -> FloatArray:
        """Share of the lid shapes that the mesh itself keeps: none on the lids, all beyond.  # (V, 1)"""
        keep = np.ones(len(self._mesh), np.float32)
        for eye in self._eyes:
            centre = np.array([(eye.x0 + eye.x1) / 2, (eye.y0 + eye.y1) / 2])
            away = np.linalg.norm(self._mesh[:, :2] - centre, axis=1) / eye.length
            keep = np.minimum(keep, layers.smoothstep(away, 0.75, 1.25).astype(np.float32))
        return keep[:, None]

    def _response(self) -> MouthResponse:
        """Measure the fitted head's mouth in millimetres."""
        a, mm = self._asset, self._asset.millimetres_per_unit
        marks = a.landmarks(self._fit.neutral)
        basis = a.actions_at_landmarks
        return MouthResponse(
            gap_mm=float(marks[13, 1] - marks[14, 1]) * mm,
            gap_per_weight_mm=((basis[:, 13, 1] - basis[:, 14, 1]) * mm).astype(np.float32),
            width_mm=float(marks[291, 0] - marks[61, 0]) * mm,
            width_per_weight_mm=((basis[:, 291, 0] - basis[:, 61, 0]) * mm).astype(np.float32),
            lower_lip_mm=(float(marks[14, 1]) - self._mouth.teeth.edge_y) * mm,
            lower_lip_per_weight_mm=(basis[:, 14, 1] * mm).astype(np.float32),
            protrusion_per_weight_mm=((basis[:, 13, 2] + basis[:, 14, 2]) / 2 * mm).astype(np.float32),
            own=self.own_weights,
        )

    def _mesh_contact(self) -> dict[str, float]:
        """Return the weight at which the lids of the mesh meet, of each side: most people's long before 1."""
        marks, basis, contact = self._asset.landmarks(self._fit.neutral), self._asset.actions_at_landmarks, {}
        for side, upper, lower in (("Left", 386, 374), ("Right", 159, 145)):
            blink = basis[INDEX[f"eyeBlink{side}"], :, 1]
            apart = float(marks[upper, 1] - marks[lower, 1])
            contact[side] = float(np.clip(apart / max(float(blink[lower] - blink[upper]), 1e-3), 0.3, 1.0))
        return contact

    def _shut(self, weights: Weights, side: str) -> float:
        """Return how far a weight shuts one eye: 0 as in the photo, 1 at weight 1; below 0 it opens.

        Half of a weight is half of what the photo leaves open, whatever the lids of the mesh need to meet. A droop of
        the photo's own is caught up with at the end.
        """
        own, blink = (float(w[INDEX[f"eyeBlink{side}"]]) for w in (self.own_weights, weights))
        if blink >= own:
            more = blink - own
            return min(more + max(own, 0.0) * (more / max(1 - own, 0.15)) ** 3, 1.0)
        return (blink - own) / max(self._contact_weight[side] - own, 0.15)

    def _buffers(self) -> None:
        x0, y0, x1, y1 = self._box
        shape = (y1 - y0, x1 - x0)
        self._depth = np.empty(shape, np.float32)
        self._tag = np.empty(shape, np.uint8)
        self._maps = np.zeros((*shape, 3), np.float32)  # read everywhere, though only used where something was drawn
        self._rgba = np.empty((*shape, 4), np.float32)
        self._card_tags = np.ones(len(self._card.triangles), np.uint8)

    # -- drawing ---------------------------------------------------------

    def render(self, state: FaceState, *, lip_seal: float = 0.0, breath: float = 0.0) -> Image:
        """Draw the photo in a state; its own state returns the photo byte for byte."""
        if self._is_own(state, lip_seal, breath):
            return self._image.copy()
        out = self._image.copy()
        x0, y0, x1, y1 = self._box
        rgba = self._compose(state, lip_seal, breath, self._layers.plate[y0:y1, x0:x1])
        still = 1 - float(layers.smoothstep(np.abs(state.head.as_array()).max(), 0.0, SETTLED))
        if still > 0:
            rest, loose = (part[y0:y1, x0:x1] for part in (self._layers.rest, self._layers.loose))
            kernels.write_bytes_near(rgba, rest, loose, still, self._maps, self._tag, (x0, y0), out[y0:y1, x0:x1])
        else:
            kernels.write_bytes(rgba, out[y0:y1, x0:x1])
        return out

    def render_with_alpha(self, state: FaceState, *, lip_seal: float = 0.0, breath: float = 0.0) -> NDArray[np.uint8]:
        """Draw the person cut out of the background.  # (H, W, 4) straight alpha"""
        x0, y0, x1, y1 = self._box
        plate = np.zeros((y1 - y0, x1 - x0, 3), np.float32)
        rgba = self._compose(state, lip_seal, breath, plate)
        alpha = np.clip(rgba[..., 3:], 0, 1)
        out = np.zeros((*self._image.shape[:2], 4), np.uint8)
        color = np.clip(rgba[..., :3] / np.maximum(alpha, 1e-3) + 0.5, 0, 255) * (alpha > 0)
        out[y0:y1, x0:x1] = np.concatenate([color, alpha * 255 + 0.5], 2).astype(np.uint8)
        return out

    def model(self) -> HeadModel:
        """Return the fitted head with the photo as its texture; see `model`."""
        return head_model(self._asset, self._fit, self._image, self._person_matte, self._face, self.own_weights, PIVOT)

    def shaded_maps(self, state: FaceState, *, lip_seal: float = 0.0, breath: float = 0.0) -> NDArray[np.uint8]:
        """Draw the fitted head in a state as control maps; see `condition`.  # (H, W, 2)"""
        points = self._whole_head(state, lip_seal, breath)
        return self._maps_of_head.shaded(points, self._held(state.weights), self.size)

    def soft_parts(self, state: FaceState, *, lip_seal: float = 0.0, breath: float = 0.0) -> Matte:
        """Return where mouth and eyes are in a state: 255 inside, soft at the edges.  # (H, W)"""
        return self._maps_of_head.soft_parts(self._whole_head(state, lip_seal, breath), self.size)

    @cached_property
    def _maps_of_head(self) -> HeadMaps:
        return HeadMaps(self._asset)

    def _whole_head(self, state: FaceState, lip_seal: float, breath: float) -> FloatArray:
        """Return the head with its lids in the picture.  # (V, 3)"""
        weights = self._held(state.weights)
        bent = self._bend(weights)
        self._sink.apply(bent, weights)
        vertices = self._contact.apply(bent, max(lip_seal, self._seal_of(weights)))
        points = self._fit.camera.project(vertices)
        share = layers.smoothstep(self._asset.mean[:, 1:2], *SHOULDERS_TO_HEAD)
        turned = self._turn(points, share, self._gauge.mesh_turn(state.head.clamped()))
        turned[:, 1] -= self._lift(breath) * (1 - 0.75 * share[:, 0])
        return turned

    def _is_own(self, state: FaceState, lip_seal: float, breath: float) -> bool:
        still = np.abs(state.head.as_array()).max() < 1e-4 and lip_seal < 1e-4 and abs(breath) < 1e-4
        return bool(still and np.abs(state.weights - self.own_weights).max() < 1e-5)

    def _compose(self, state: FaceState, lip_seal: float, breath: float, plate: Array) -> FloatArray:
        head = self._gauge.mesh_turn(state.head.clamped())
        return self._compose_at(state, head, lip_seal, breath, plate)

    def _draw_turned(self, head: HeadPose) -> Image:
        """Draw the photo's own expression on a mesh turned by exactly `head`; for the gauge."""
        x0, y0, x1, y1 = self._box
        picture = self._image.copy()
        state = FaceState(self.own_weights, head)
        rgba = self._compose_at(state, head, 0.0, 0.0, self._layers.plate[y0:y1, x0:x1])
        kernels.write_bytes(rgba, picture[y0:y1, x0:x1])
        return picture

    def _compose_at(self, state: FaceState, head: HeadPose, lip_seal: float, breath: float, plate: Array) -> FloatArray:
        x0, y0, _, _ = self._box
        vertices = self._contact.apply(self._shape(state.weights), max(lip_seal, self._seal_of(state.weights)))
        if self._stiff.any():
            vertices = vertices + (self._own_vertices - vertices) * self._stiff
        mesh = self._place(vertices, head, breath, self._lifted)
        card = self._place_card(vertices, head, breath)
        self._draw_maps(vertices, mesh, card)
        self._edit_eyes(state.weights)
        kernels.look_up(self._maps, self._tag, self._source, self._layers.pad, np.ascontiguousarray(plate), self._rgba)
        kernels.soften_folds(self._maps, self._tag, FOLD * self._fit.eye_distance, self._rgba)
        self._soften_lips_and_nose(mesh[:, :2] - [x0, y0])
        self._mouth.draw(
            vertices, mesh, state.weights, lambda points: self._place(points, head, breath), self._rgba[..., :3],
            (x0, y0),
        )  # fmt: skip
        return self._rgba

    def _shape(self, weights: Weights) -> FloatArray:
        """Bend the head; lid shapes are left to the eye patches."""
        lids = np.zeros_like(weights)
        weights = self._held(weights)
        lids[list(_LID_WEIGHTS)] = (weights - self.own_weights)[list(_LID_WEIGHTS)]
        bent = self._bend(weights - lids)
        if np.any(lids):
            bent += (lids @ self._actions).reshape(-1, 3) * self._lid_calm
        self._sink.apply(bent, weights)
        return bent

    def _held(self, weights: Weights) -> Weights:
        """Return the weights as far as a face can follow them."""
        held = weights.copy()
        for side, contact in self._contact_weight.items():
            blink = INDEX[f"eyeBlink{side}"]
            if (shut := self._shut(weights, side)) > 0:  # the lids of the mesh stop where they meet
                own = float(self.own_weights[blink])
                held[blink] = own + shut * max(contact - own, 0.0)
        jaw, tongue = INDEX["jawOpen"], INDEX["tongueOut"]
        room = TONGUE_PARTS * held[tongue]  # a tongue needs room between the teeth; a laugh may show them shut
        if self._mouth.photo_is_open:
            apart = max(float(self.own_weights[jaw]), 0.0) + LAUGHING_TONGUE * room
            share = float(layers.smoothstep(held[tongue], *WHOLE_TONGUE))
            room = max(room, held[jaw] + (apart - held[jaw]) * share)
        held[jaw] = max(held[jaw], room)
        self._go_on_laughing(held)
        self._round_off_laugh(held)
        return self._closed_to_contact(held)

    def _go_on_laughing(self, weights: Weights) -> None:
        """Raise the lips of a photo that laughs already by less, in place: there is only gum above its teeth."""
        if not self._mouth.shows_own_teeth:
            return
        own = self.own_weights[_RAISING]
        laughs = (self.own_weights[INDEX["mouthSmileLeft"]] + self.own_weights[INDEX["mouthSmileRight"]]) / 2
        more = np.maximum(weights[_RAISING] - own, 0)
        weights[_RAISING] -= (1 - LEFT_OF_LAUGH) * float(layers.smoothstep(laughs, 0.1, 0.4)) * more

    def _round_off_laugh(self, weights: Weights) -> None:
        """Take back a laugh as far as the lips are pushed out into a ring, in place."""
        undone = UNDONE_BY_RING * max(rounding_of(weights) - rounding_of(self.own_weights), 0.0)
        weights[_LAUGHING] *= 1 - undone
        jaw = INDEX["jawOpen"]
        weights[jaw] -= undone * min(max(float(self.own_weights[jaw]), 0.0), max(float(weights[jaw]), 0.0))

    def _closed_to_contact(self, weights: Weights) -> Weights:
        """Let mouthClose take no more than there is of a gap: lips that met do not go on to the nose."""
        close = INDEX["mouthClose"]
        wanted = float(weights[close])
        if wanted <= 0:
            return weights
        power = -float(self.mouth.gap_per_weight_mm[close])
        left = self.mouth.gap_mm + float(weights @ self.mouth.gap_per_weight_mm) + wanted * power
        held = weights.copy()
        held[close] = min(wanted, max(left, 0.0) / power)
        return held

    def _seal_of(self, weights: Weights) -> float:
        """Return how tightly mouthClose holds lips together that are apart in the photo, 0 free .. 1 sealed.

        What it takes of the jaw's gap leaves the gap of a laugh, which raises one lip and lowers the other.
        """
        if not self._mouth.photo_is_open:
            return 0.0
        more = weights - self.own_weights
        share = float(more[INDEX["mouthClose"]]) / max(float(more[INDEX["jawOpen"]]), SEALED_BY)
        return float(layers.smoothstep(np.array(share), 0.0, 1.0))

    def _turn(self, points: Array, share: Array | float, head: HeadPose) -> Array:
        """Rotate picture-space points about the neck by their share.  # (N, 3)"""
        camera = self._fit.camera
        rotation = rotation_of(head) * np.outer([1, -1, 1], [1, -1, 1])  # picture space has y down
        pivot = camera.project(PIVOT)
        turned = (points - pivot) @ rotation.T.astype(np.float32) + pivot
        return np.asarray(points + (turned - points) * share, np.float32)

    def _place(self, vertices: Array, head: HeadPose, breath: float, lift: Array | float = 0.0) -> FloatArray:
        """Turn points of the head into the picture; `lift` brings them nearer to the viewer, in pixels."""
        points = self._fit.camera.project(vertices)
        points[:, 2] += lift
        turned = self._turn(points, 1.0, head)
        turned[:, 1] -= 0.25 * self._lift(breath)
        return np.ascontiguousarray(turned, np.float32)

    def _place_card(self, vertices: Array, head: HeadPose, breath: float) -> FloatArray:
        card = self._card
        moved = self._fit.camera.direction(vertices - self._own_vertices)
        points = card.points.copy()
        kernels.add_followed(moved, card.neighbours, card.weights, points)
        turned = self._turn(points, card.share[:, None], head)
        turned[:, 1] -= self._lift(breath) * (1 - 0.75 * card.share)
        turned[:, :2] = card.points[:, :2] + (turned[:, :2] - card.points[:, :2]) * card.free
        return np.ascontiguousarray(turned, np.float32)

    def _lift(self, breath: float) -> float:
        return 0.022 * self._fit.eye_distance * breath

    def _draw_maps(self, vertices: Array, mesh: FloatArray, card: FloatArray) -> None:
        x0, y0, _, _ = self._box
        corner = np.array([x0, y0, 0], np.float32)
        self._depth.fill(-1e30)
        self._tag.fill(0)
        flat = np.ones((len(card), 3), np.float32)
        flat[:, :2] = self._card.points[:, :2]
        kernels.rasterize(
            card - corner, self._card.triangles, self._card_tags, flat, self._depth, self._tag, self._maps, 0
        )
        source = np.empty((len(mesh), 3), np.float32)
        source[:, :2] = self._mesh[:, :2]
        source[:, 2] = self._shading(vertices)
        pull = self._seam_pull(vertices)
        if pull > 0:
            source[self._seam.rows, :2] += self._seam.shift(pull)
            if self._mouth.photo_is_open:
                source[self._seam.rows, 2] *= self._seam.shadow(pull)
        self._depth.fill(-1e30)
        kernels.rasterize_over(mesh - corner, self._drawn, 2, source, self._cover, self._depth, self._tag, self._maps)
        self._calm_corners(mesh[:, :2] - corner[:2])

    def _soften_lips_and_nose(self, points: Array) -> None:
        """Smooth where one lip lies before the other, or the nose before it: folds that are short, but light on dark.

        Args:
            points: the mesh in the maps, pixels.  # (V, 2)
        """
        marks = self._asset.landmarks(points)
        for ring in (INNER_LIP_RING, NOSE_BASE):
            self._soften_near(marks[list(ring)])

    def _soften_near(self, points: Array) -> None:
        """Smooth short folds around points of the maps.  # (N, 2) pixels"""
        margin = LIP_MARGIN * self._fit.eye_distance
        x0, y0 = np.clip(np.floor(points.min(0) - margin).astype(int), 0, None)
        x1, y1 = np.clip(np.ceil(points.max(0) + margin).astype(int), 0, None)
        parts = (self._maps, self._tag, self._rgba)
        maps, tag, rgba = (np.ascontiguousarray(part[y0:y1, x0:x1]) for part in parts)
        if min(tag.shape) < 5:
            return
        kernels.soften_folds(maps, tag, max(LIP_FOLD * self._fit.eye_distance, LEAST_FOLD), rgba)
        self._rgba[y0:y1, x0:x1] = rgba

    def _calm_corners(self, points: Array) -> None:
        """Take single pixels out of the maps that point elsewhere than all around them, at the corners of the mouth.

        There the lips' triangles fold into slivers that lie over each other, and which one is nearer changes from pixel
        to pixel.

        Args:
            points: the mesh in the maps, pixels.  # (V, 2)
        """
        reach = max(round(MOUTH_CORNER * self._fit.eye_distance), 3)
        for x, y in self._asset.landmarks(points)[[61, 291]].round().astype(int):
            rows, columns = (
                slice(max(y - reach, 0), max(y + reach + 1, 0)),
                slice(max(x - reach, 0), max(x + reach + 1, 0)),
            )
            maps, drawn = self._maps[rows, columns], self._tag[rows, columns] > 0
            if min(drawn.shape) < 5 or not drawn.all():
                continue
            for axis, usual in enumerate((STRAY * self._fit.eye_distance, STRAY * self._fit.eye_distance, 0.02)):
                there = np.ascontiguousarray(maps[..., axis])
                middle = cv2.medianBlur(there, 5)
                odd = np.abs(there - middle) > usual
                maps[..., axis][odd] = middle[odd]

    def _seam_pull(self, vertices: Array) -> float:
        """How far the lips are from where the photo has them, 0..1.

        Parting lips must not stretch a closed photo's dark seam, closing ones must not
        bring the edge of a laughing photo's teeth along.
        """
        upper, lower = INNER_LIP_PAIRS[4]
        a = self._asset

        def height(x: Array, k: int) -> float:
            return float((x[a.landmark_vertices[k], 1] * a.landmark_weights[k]).sum())

        gap = height(vertices, upper) - height(vertices, lower)
        own = height(self._own_vertices, upper) - height(self._own_vertices, lower)
        change = own - gap if self._mouth.photo_is_open else gap - own
        return float(layers.smoothstep(np.array(change), 0.0, 0.06))

    def _shading(self, vertices: Array) -> FloatArray:
        """Ratio of new to old light on the skin: folds darken, bulges lighten.  # (V,)"""
        normals = kernels.vertex_normals(self._unturned(vertices), self._skin)
        new = AMBIENT + np.maximum(normals @ self._light, 0)
        old = AMBIENT + np.maximum(self._own_normals @ self._light, 0)
        change = RELIEF * np.log(new / old)
        most = np.where(change < 0, -np.log(RATIO_RANGE[0]), np.log(RATIO_RANGE[1]))
        return np.asarray(np.exp(most * np.tanh(change / most)), np.float32)

    def _edit_eyes(self, weights: Weights) -> None:
        """Write both eyes, moved as asked, into the photo that the maps read from."""
        pad = self._layers.pad
        places = [np.s_[eye.y0 + pad : eye.y1 + pad, eye.x0 + pad : eye.x1 + pad] for eye in self._eyes]
        for place in places:
            self._source[place] = self._layers.person[place]
        for side, eye, place in zip(("Right", "Left"), self._eyes, places, strict=True):  # patches may overlap
            motion = self._lid_motion(weights, side)
            if not motion.is_still():
                kernels.add_change(eye.draw(motion), eye.photo, self._layers.person[place], self._source[place])

    def _lid_motion(self, weights: Weights, side: str) -> LidMotion:
        """Translate eye weights into the motion of one eye; side is the subject's."""

        def change(name: str) -> float:
            i = INDEX[f"eye{name}{side}"]
            return float(weights[i] - self.own_weights[i])

        blink = self._shut(weights, side)
        outward = 1.0 if side == "Left" else -1.0  # the subject's left is the picture's right
        x = outward * (change("LookOut") - change("LookIn"))
        y = change("LookDown") - change("LookUp")
        # 20 degrees sideways and 14 up or down of a 12 mm eyeball, in iris radii (5.9 mm).
        gaze_x, gaze_y = 0.70 * x, 0.50 * y
        # Lids follow the eye by themselves; looking down, the upper one also hangs lower.
        follow = 0.16 * max(change("LookDown"), 0.0)
        return LidMotion(
            close=float(np.clip(blink + follow, 0, 1)), squint=change("Squint"),
            widen=float(np.clip(change("Wide") - min(blink, 0.0), -0.5, 1)), gaze_x=gaze_x, gaze_y=gaze_y,
        )  # fmt: skip

    def hints(self, state: FaceState) -> tuple[str, ...]:
        """Say where one photo no longer carries what is asked."""
        found = []
        angles = dict(zip(("yaw", "pitch", "roll"), np.abs(state.head.as_array()), strict=True))
        for name, angle in angles.items():
            if angle > LIMIT_DEGREES[name] + 1e-6:
                found.append(
                    f"Head {name} is held at {LIMIT_DEGREES[name]:g}°: beyond it the photo shows nothing to draw."
                )
            elif angle > SAFE_DEGREES and name != "roll":
                found.append(f"Head {name} beyond {SAFE_DEGREES:g}° stretches the side that the photo does not show.")
        weights = state.weights - self.own_weights
        if weights[INDEX["jawOpen"]] > 0.6 and not self._mouth.photo_is_open:
            found.append("The photo's mouth is closed: teeth and tongue of a wide open mouth are invented.")
        return tuple(found)
