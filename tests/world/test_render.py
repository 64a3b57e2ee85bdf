"""Pixels: what the captions state can be seen, when they state it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from vigil.errors import OutputError, ShapeError
from vigil.world.captions import read_captions
from vigil.world.chance import Draw, generator
from vigil.world.draw_camera import draw_camera
from vigil.world.draw_objects import cell_centre, draw_objects
from vigil.world.render import _compressed, degrade, render, render_folder, write_video
from vigil.world.scene import Scene, Split, WorldConfig, sample_scene
from vigil.world.stage import Stage
from vigil.world.words import LIGHTS

OBJECTS = WorldConfig(family="objects")
CAMERA = WorldConfig(family="camera")
Frames = NDArray[np.uint8]


def scenes(config: WorldConfig, count: int, split: Split = "train") -> list[Scene]:
    return [sample_scene(split, seed, config=config) for seed in range(count)]


def stage_of(scene: Scene) -> Stage:
    assert scene.stage is not None
    return scene.stage


def clean_objects(scene: Scene) -> Frames:
    return draw_objects(scene, Draw(generator(scene.split, scene.seed, purpose=1)))


def clean_camera(scene: Scene) -> tuple[Frames, NDArray[np.float32]]:
    rng = generator(scene.split, scene.seed, purpose=1)
    return draw_camera(scene, Draw(rng), rng)


def jumps(frames_FHWC: Frames) -> NDArray[np.float32]:
    """How much each pixel differs from the frame before, [F - 1, H, W]."""
    steps_FHW: NDArray[np.float32] = np.abs(np.diff(frames_FHWC.astype(np.float32), axis=0)).max(axis=3)
    return steps_FHW


@pytest.mark.parametrize("size_px", [64, 96])
@pytest.mark.parametrize("family", ["objects", "camera"])
def test_frames_have_the_size_of_the_config_and_come_out_the_same_twice(family: str, size_px: int) -> None:
    config = WorldConfig(family=family, size_px=size_px)  # type: ignore[arg-type]
    scene = sample_scene("train", 7, config=config)
    frames_FHWC = render(scene)
    assert frames_FHWC.shape == (scene.num_frames, size_px, size_px, 3)
    assert frames_FHWC.dtype == np.uint8
    assert np.array_equal(frames_FHWC, render(scene))


@pytest.mark.parametrize("config", [OBJECTS, CAMERA], ids=["objects", "camera"])
def test_no_first_frame_is_seen_in_two_splits(config: WorldConfig) -> None:
    splits: tuple[Split, ...] = ("train", "val", "test")
    firsts = [render(scene)[0].tobytes() for split in splits for scene in scenes(config, 20, split)]
    assert len(set(firsts)) == 60


def test_things_are_drawn_in_the_cells_that_hold_them_and_nowhere_else() -> None:
    """Against the same scene without things; what is behind the box leaves no trace."""
    for scene in scenes(OBJECTS, 60):
        stage = stage_of(scene)
        bare = clean_objects(replace(scene, stage=replace(stage, things=())))
        differs_FHW = (clean_objects(scene).astype(int) - bare != 0).any(axis=3)
        for frame, differs_HW in enumerate(differs_FHW):
            spots = [(thing.lane, spot) for thing in stage.things if (spot := thing.spot(frame)) is not None]
            rest_HW = differs_HW.copy()
            for lane, spot in spots:
                x, y = cell_centre(stage, lane, spot.column)
                x += 8 * spot.lean
                area = (slice(max(0, round(y) - 13), round(y) + 14), slice(max(0, round(x) - 13), round(x) + 14))
                if spot.is_seen:
                    assert differs_HW[area].sum() > 40
                    rest_HW[area] = False
            assert not rest_HW.any()


def test_a_thing_comes_into_sight_on_the_frame_of_its_caption() -> None:
    for scene in scenes(OBJECTS, 80):
        frames_FHWC = clean_objects(scene)
        bare = clean_objects(replace(scene, stage=replace(stage_of(scene), things=())))
        count_F = (frames_FHWC != bare).any(axis=3).sum(axis=(1, 2))
        for change in scene.changes:
            if change.kind in ("enter", "reappear"):
                assert count_F[change.frame] > count_F[change.frame - 1]
            elif change.kind in ("leave", "hide"):
                assert count_F[change.frame] < count_F[change.frame - 1]


def test_the_lamp_that_is_lit_is_the_one_of_the_truth_after_all_noise() -> None:
    """Found by template: the frames of the scene with each lamp lit, before noise."""
    checked = 0
    for scene in scenes(OBJECTS, 60):
        stage = stage_of(scene)
        if not stage.light_F:
            continue
        frames_FHWC = render(scene).astype(np.float32)
        candidates = []
        for lit in LIGHTS:
            all_lit = replace(scene, stage=replace(stage, light_F=(lit,) * scene.num_frames))
            candidates.append(render(all_lit).astype(np.float32))
        for frame, truth in enumerate(stage.light_F):
            errors = [np.abs(frames_FHWC[frame] - candidate[frame]).sum() for candidate in candidates]
            assert LIGHTS[int(np.argmin(errors))] == truth
            assert sorted(errors)[1] > 2000  # the other lamps differ by far
            checked += 1
    assert checked > 100


@pytest.mark.parametrize("kind", ["recolour", "light", "counter", "clock", "move", "cut"])
def test_a_change_on_the_stage_is_many_pixels_wide(kind: str) -> None:
    """Without shake and noise, the frame of a change differs from the frame before by far, in a clear area."""
    checked = 0
    for scene in scenes(replace(OBJECTS, num_nouns=9), 150):
        frames_FHWC = clean_objects(scene)
        steps_FHW = jumps(frames_FHWC)
        quiet = [f for f in range(1, scene.num_frames) if not steps_FHW[f - 1].any()]
        for change in scene.changes:
            if change.kind == kind and quiet:  # a scene without shake
                assert (steps_FHW[change.frame - 1] > 40).sum() > 10
                checked += 1
    assert checked > 5


def test_instruments_hang_where_the_layout_says() -> None:
    seen = set()
    for scene in scenes(OBJECTS, 60):
        stage = stage_of(scene)
        if len(stage.instruments) == 1:
            bare = clean_objects(replace(scene, stage=replace(stage, instruments=())))
            rows, columns = np.nonzero((clean_objects(scene)[0] != bare[0]).any(axis=2))
            assert ("top" if rows.max() < 14 else "bottom", "left" if columns.min() < 4 else "right") == stage.layout
            assert np.ptp(rows) < 13
            seen.add(stage.layout)
    assert len(seen) == 3


def test_a_dark_picture_still_shows_that_it_is_live() -> None:
    black_FHWC = np.zeros((2, 64, 64, 3), dtype=np.uint8)
    for seed in range(100):
        dark_FHWC = degrade(black_FHWC, np.full(2, 0.06, dtype=np.float32), Draw(np.random.default_rng(seed)))
        assert not np.array_equal(dark_FHWC[0], dark_FHWC[1])
        assert 6 < dark_FHWC.mean() < 80


def test_frames_are_equal_exactly_where_the_picture_is_frozen() -> None:
    frozen = 0
    for scene in scenes(CAMERA, 120):
        frames_FHWC = render(scene)
        assert scene.footage is not None
        for frame in range(1, scene.num_frames):
            is_equal = np.array_equal(frames_FHWC[frame], frames_FHWC[frame - 1])
            assert is_equal == scene.footage.moments[frame].is_frozen
            frozen += is_equal
    assert frozen > 20


def test_frames_of_the_stage_are_never_equal() -> None:
    for scene in scenes(OBJECTS, 60):
        assert jumps(render(scene)).any(axis=(1, 2)).all()


def test_dark_frames_are_much_darker_than_all_others_of_their_shot() -> None:
    dark = 0
    for scene in scenes(CAMERA, 150):
        assert scene.footage is not None
        means_F = render(scene).mean(axis=(1, 2, 3))
        moments = scene.footage.moments
        for shot in {moment.shot for moment in moments}:
            by_dark = [
                [mean for mean, now in zip(means_F, moments, strict=True) if (now.shot, now.is_dark) == (shot, is_dark)]
                for is_dark in (False, True)
            ]
            dark += len(by_dark[1])
            if by_dark[1]:
                assert max(by_dark[1]) < 0.62 * min(by_dark[0])
            assert max(by_dark[0]) < 1.3 * min(by_dark[0])  # flicker is no darkness
    assert dark > 50


def test_movement_is_seen_on_its_side() -> None:
    """Before noise, the frame of a movement differs most from the one before in the half that truth names."""
    right = wrong = 0
    for scene in scenes(CAMERA, 200):
        assert scene.footage is not None
        steps_FHW = jumps(clean_camera(scene)[0])
        half = steps_FHW.shape[2] // 2
        for frame, moment in enumerate(scene.footage.moments):
            if moment.side != "none":
                left, rest = ((steps_FHW[frame - 1][:, part] > 50).sum() for part in (slice(half), slice(half, None)))
                is_right = (left > rest) == (moment.side == "left")
                right, wrong = right + is_right, wrong + (not is_right)
    assert right > 200
    assert wrong < 0.06 * right  # the rest are busy pictures under a shaking camera


def test_nothing_of_a_later_frame_leaks_into_an_earlier_one() -> None:
    """Blur and compression treat each frame by itself: without its last frame a scene begins the same."""
    for scene in scenes(OBJECTS, 40):
        stage = stage_of(scene)
        late = [thing for thing in stage.things if thing.start > 0]
        if late:
            frame = late[0].start
            less = replace(stage, things=tuple(thing for thing in stage.things if thing.start < frame))
            without = render(replace(scene, stage=less))
            assert np.array_equal(render(scene)[:frame], without[:frame])
            assert not np.array_equal(render(scene)[frame], without[frame])


def decoded(path: Path) -> tuple[Frames, Fraction]:
    with av.open(str(path)) as container:
        rate = container.streams.video[0].average_rate
        assert rate is not None
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]), rate


def test_a_long_scene_is_compressed_frame_by_frame_as_a_short_one_is() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1100, 64, 64, 3), dtype=np.uint8)
    long = _compressed(noise, 50)
    assert np.array_equal(long[1020:1030], _compressed(noise[1020:1030], 50))


@pytest.mark.parametrize(("scale", "smooth"), [(1, False), (4, False), (4, True)])
def test_a_video_holds_the_frames_that_were_written(scale: int, smooth: bool, tmp_path: Path) -> None:
    frames_FHWC = render(sample_scene("train", 3, config=OBJECTS))[:6]
    write_video(frames_FHWC, 2.5, tmp_path / "a.mp4", scale=scale, smooth=smooth)
    read_FHWC, rate = decoded(tmp_path / "a.mp4")
    assert rate == Fraction(5, 2)
    assert read_FHWC.shape == (6, 64 * scale, 64 * scale, 3)
    small = read_FHWC.reshape(6, 64, scale, 64, scale, 3).mean(axis=(2, 4))
    assert np.abs(small - frames_FHWC).mean() < 8  # chroma is stored at half size
    others = frames_FHWC[::-1][:3]
    assert np.abs(small[:3] - others).mean() > np.abs(small[:3] - frames_FHWC[:3]).mean()


def test_frames_of_the_wrong_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"\[F, H, W, 3\] with even edges after scaling by 1, got \(2, 3, 4, 3\)"):
        write_video(np.zeros((2, 3, 4, 3), dtype=np.uint8), 1.0, tmp_path / "a.mp4", scale=1)


def test_a_video_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="Choose a folder that exists"):
        write_video(np.zeros((2, 4, 4, 3), dtype=np.uint8), 1.0, tmp_path / "no" / "a.mp4")


def test_a_rendered_folder_holds_a_video_for_each_line_of_captions(tmp_path: Path) -> None:
    drawn = scenes(WorldConfig(duration_s=(4.0, 4.0)), 3)
    written: list[Path] = []
    captions_file = render_folder(drawn, tmp_path / "out", scale=1, on_video=written.append)
    described = list(read_captions(captions_file))
    assert [dense.id for dense in described] == [scene.id for scene in drawn]
    assert [dense.video for dense in described] == [path.name for path in written]
    assert len(decoded(captions_file.parent / written[0].name)[0]) == 4


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="cannot make the folder"):
        render_folder([], tmp_path / "out")


def test_half_of_the_footage_without_a_display_is_wide_with_black_below() -> None:
    wide = 0
    for seed in range(24):
        scene = sample_scene("train", seed, config=WorldConfig(family="camera", duration_s=(3, 3)))
        assert scene.footage is not None
        is_wide = not render(scene)[:, 52:].any()
        assert not (is_wide and scene.footage.has_display), "the display would be too small to read"
        wide += is_wide
    assert 1 <= wide <= 12
