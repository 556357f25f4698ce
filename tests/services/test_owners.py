"""Two owners on one studio: neither sees, changes or deletes what is the other's, by any service.

Every public method of every service stands in one of the tables below, so that
a new one has to say how it treats another owner's ids.
"""

from __future__ import annotations

import inspect
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest

import studio.studio as composition
from studio.domain.adapter import NewAdapter
from studio.domain.consent import Consent
from studio.domain.expression import ExpressionEdit
from studio.domain.training import RunSample, TrainingPlan
from studio.engines.base import Sound
from studio.engines.media.pictures import png_bytes
from studio.engines.media.sound import write_wav
from studio.errors import NotFoundError, StudioError
from studio.jobs.executor import work_off
from studio.jobs.kinds import Workplace
from studio.services.clips.animation import AnimationRequest
from studio.services.clips.dialogue import DialogueRequest, Talker
from studio.services.clips.dubbing import DubRequest
from studio.services.clips.live import SeenFrame
from studio.services.pictures.generation import AdapterUse, GenerationRequest
from studio.services.sources import MediaSource
from studio.services.video.request import VideoRequest
from tests.services.fakes import FakeEngines, at_home, picture

PLAN = TrainingPlan(base="preview", trigger="sks", class_word="person", steps=10)


@pytest.fixture(scope="module")
def tmp(tmp_path_factory):
    return tmp_path_factory.mktemp("owners")


@pytest.fixture(scope="module")
def studio(tmp):
    """One for all, since nothing may change in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(composition, "Engines", lambda assets: FakeEngines())
        with composition.Studio(tmp / "data") as opened:
            yield at_home(opened)


@pytest.fixture(scope="module")
def portrait(tmp):
    return picture(tmp / "ann.png")


@pytest.fixture(scope="module")
def speech(tmp):
    times = np.arange(16000) / 16000
    return write_wav(tmp / "speech.wav", Sound(np.sin(2 * np.pi * 220 * times).astype(np.float32) * 0.3, 16000))


@pytest.fixture(scope="module")
def ada(studio, portrait, speech, tmp):
    """All that Ada has: one of everything."""
    mine = studio.whole.for_owner("ada")
    agreed = Consent(agreed_by="Ada", scopes=("edit", "animate", "train", "generate"), granted_at=datetime.now(UTC))
    person = mine.identities.add("Ada", [portrait], consent=agreed)
    photo = mine.identities.photos(person.id)[0]
    handle = mine.expressions.open(MediaSource.photo(photo.id))
    render = mine.expressions.save(handle, ExpressionEdit({"smile": 0.5}))
    preset = mine.presets.save("Ada's grin", ExpressionEdit({"smile": 0.7}))
    intake = mine.curation.start([picture(tmp / "heap.png", shade=90)])
    weights = mine.store.media.put(b"weights", ".safetensors")
    adapter = mine.store.adapters.add(NewAdapter(name="ada's", media_sha256=weights, family="sd15", base_name="tiny"))
    run = mine.store.runs.add(person.id, PLAN, name="Ada 1", base_sha256="b", photos=(photo.sha256,))
    point = mine.store.runs.put_checkpoint(run.id, 10, weights, loss=0.1, has_state=False)
    shown = mine.store.media.put(png_bytes(np.full((64, 64, 3), 90, np.uint8)), ".png")
    mine.store.runs.add_sample(RunSample(run_id=run.id, step=10, kind="sample", prompt="p", seed=1, media_sha256=shown))
    mine.variants.multiply(person.id, 1)
    variant = mine.variants.list(person.id)[0]
    cell = mine.store.runs.put_cell(run.id, point.id, 1.0, "p", 1, shown, None)
    job = mine.animation.submit_render(
        AnimationRequest(portrait=MediaSource.photo(photo.id), sound=MediaSource.file(speech))
    )
    project = mine.projects.add("Ada's project")
    performance = mine.performances.create("Ada's take", seconds=1.0)
    live = mine.live.open(MediaSource.photo(photo.id))
    base = mine.bases.add(tiny_base(tmp), "adas-base")
    return SimpleNamespace(
        owner=mine, person=person, photo=photo, render=render, preset=preset, intake=intake, adapter=adapter, run=run,
        point=point, cell=cell, variant=variant, performance=performance, live=live,
        job=job, project=project, base=base, shown=shown, handle=handle,
    )  # fmt: skip


@pytest.fixture(scope="module")
def bob(studio):
    return studio.whole.for_owner("bob")


def tiny_base(folder):
    from tests.engines.diffusion.tiny_base import write_tiny_base

    return write_tiny_base(folder / "tiny")


def everything(studio) -> str:
    with closing(sqlite3.connect(studio.store.database.path)) as other:
        return "\n".join(line for line in other.iterdump() if "migrations" not in line)


def clip(a) -> AnimationRequest:
    return AnimationRequest(portrait=MediaSource.photo(a.photo.id), sound=MediaSource.file(a.photo.id))


def drawn(a) -> GenerationRequest:
    return GenerationRequest(base="preview", prompt="x", adapters=(AdapterUse(adapter_id=a.adapter.id, strength=1.0),))


def dubbed(a) -> DubRequest:
    return DubRequest(clip=MediaSource.media(a.shown), text="Hello")


def talking(a) -> DialogueRequest:
    people = tuple(Talker(portrait=MediaSource.photo(a.photo.id), sound=MediaSource.media(a.shown)) for _ in range(2))
    return DialogueRequest(people=people)


def spoken(a) -> VideoRequest:
    return VideoRequest(prompt="x", picture=MediaSource.photo(a.photo.id), sound=MediaSource.media(a.shown))


ASKED = {
    "projects.get": lambda s, a: s(a.project.id),
    "bundles.export": lambda s, a: s(a.owner.store.data_dir / "x.zip", project=a.project.id),
    "bundles.bring_in": lambda s, a: s(a.owner.identities.photo_path(a.photo.id), project=a.project.id),
    "identities.add_photo": lambda s, a: s(a.person.id, a.owner.identities.photo_path(a.photo.id)),
    "identities.delete": lambda s, a: s(a.person.id),
    "identities.delete_plan": lambda s, a: s(a.person.id),
    "identities.get": lambda s, a: s(a.person.id),
    "identities.photo_path": lambda s, a: s(a.photo.id),
    "identities.photos": lambda s, a: s(a.person.id),
    "identities.rename": lambda s, a: s(a.person.id, "Bob's now"),
    "reports.of": lambda s, a: s(a.person.id),
    "reports.write": lambda s, a: s(a.person.id, a.owner.store.data_dir / "x.html"),
    "withdrawals.take_back": lambda s, a: s(a.person.id),
    "withdrawals.made_of": lambda s, a: s(a.person.id),
    "withdrawals.erase": lambda s, a: s(a.person.id),
    "identities.set_consent": lambda s, a: s(a.person.id, a.person.consents[0]),
    "curation.analyse": lambda s, a: s(a.intake.id),
    "curation.answer": lambda s, a: s(a.intake.id, "a", "b", True),
    "training_sets.captions": lambda s, a: s(a.person.id, "sks", "person"),
    "curation.confirm": lambda s, a: s(a.intake.id, name="X"),
    "training_sets.coverage": lambda s, a: s(a.person.id),
    "curation.discard": lambda s, a: s(a.intake.id),
    "training_sets.examples": lambda s, a: s(a.person.id, 64, "sks", "person"),
    "curation.intake": lambda s, a: s(a.intake.id),
    "curation.look": lambda s, a: s(a.photo.sha256),
    "curation.name_cluster": lambda s, a: s(a.intake.id, "k", "X"),
    "curation.path": lambda s, a: s(a.photo.sha256),
    "training_sets.policies": lambda s, a: s(a.person.id),
    "curation.review": lambda s, a: s(a.intake.id),
    "training_sets.set_caption": lambda s, a: s(a.person.id, a.photo.id, "mine"),
    "training_sets.set_crop": lambda s, a: s(a.person.id, a.photo.id, None),
    "curation.set_decision": lambda s, a: s(a.intake.id, [a.photo.id], "drop"),
    "training_sets.set_kept": lambda s, a: s(a.person.id, [a.photo.id], False),
    "training_sets.set_policy": lambda s, a: s(a.person.id, "glasses", "describe"),
    "curation.start": lambda s, a: s([a.owner.identities.photo_path(a.photo.id)], identity_id=a.person.id),
    "curation.submit_analyse": lambda s, a: s([a.owner.identities.photo_path(a.photo.id)], identity_id=a.person.id),
    "training_sets.submit_write_captions": lambda s, a: s(a.person.id, "folder"),
    "training_sets.training_set": lambda s, a: s(a.person.id, 64),
    "training_sets.write_captions": lambda s, a: s(a.person.id, "folder"),
    "variants.clear": lambda s, a: s(a.person.id),
    "variants.examples": lambda s, a: s(a.person.id, 64, "sks", "person"),
    "variants.list": lambda s, a: s(a.person.id),
    "variants.multiply": lambda s, a: s(a.person.id),
    "variants.path": lambda s, a: s(a.variant.id),
    "variants.set_kept": lambda s, a: s(a.person.id, [a.variant.id], False),
    "variants.submit_multiply": lambda s, a: s(a.person.id),
    "likeness.calibrate": lambda s, a: s(a.person.id),
    "likeness.all_rendered": lambda s, a: s([a.photo.sha256]),
    "training_sets.rest": lambda s, a: s(a.person.id),
    "likeness.reference": lambda s, a: s(a.person.id),
    "likeness.score": lambda s, a: s(np.zeros((64, 64, 3), np.uint8), a.person.id),
    "bases.get": lambda s, a: s(a.base.location.name),
    "bases.remove": lambda s, a: s(a.base.location.name),
    "bases.resolve": lambda s, a: s(a.base.location.name),
    "bases.download": lambda s, a: s(a.base.location.name),
    "bases.submit_download": lambda s, a: s(a.base.location.name),
    "generation.canvas": lambda s, a: s(MediaSource.photo(a.photo.id), 64),
    "generation.generate": lambda s, a: s(drawn(a)),
    "generation.submit_generate": lambda s, a: s(drawn(a)),
    "generation.prepared": lambda s, a: s(drawn(a)),
    "dubbing.submit_dub": lambda s, a: s(dubbed(a)),
    "dubbing.dub": lambda s, a: s(dubbed(a)),
    "dubbing.dub_file": lambda s, a: s(dubbed(a), a.owner.store.data_dir / "x.mp4"),
    "dialogue.submit_dialogue": lambda s, a: s(talking(a)),
    "dialogue.dialogue": lambda s, a: s(talking(a)),
    "dialogue.dialogue_file": lambda s, a: s(talking(a), a.owner.store.data_dir / "x.mp4"),
    "video.cost": lambda s, a: s(spoken(a)),
    "video.submit_video": lambda s, a: s(spoken(a)),
    "video.video": lambda s, a: s(spoken(a)),
    "video.video_file": lambda s, a: s(spoken(a), a.owner.store.data_dir / "x.mp4"),
    "expressions.edit_file": lambda s, a: s(
        MediaSource.photo(a.photo.id), ExpressionEdit({}), a.owner.store.data_dir / "x.png"
    ),
    "expressions.open": lambda s, a: s(MediaSource.photo(a.photo.id)),
    "action_units.read": lambda s, a: s(MediaSource.photo(a.photo.id)),
    "library.action_units": lambda s, a: s(a.render.id),
    "templates.read": lambda s, a: s(MediaSource.photo(a.photo.id)),
    "head_models.write": lambda s, a: s(MediaSource.photo(a.photo.id), a.owner.store.data_dir / "x.glb"),
    "head_models.of_render": lambda s, a: s(a.render.id),
    "animation.animate_file": lambda s, a: s(clip(a), a.owner.store.data_dir / "x.mp4"),
    "animation.preview": lambda s, a: s(clip(a)),
    "animation.render": lambda s, a: s(clip(a)),
    "animation.submit_render": lambda s, a: s(clip(a)),
    "animation.frame": lambda s, a: s(clip(a).model_copy(update={"performance": MediaSource.media(a.shown)}), 0.0),
    "live.open": lambda s, a: s(MediaSource.photo(a.photo.id)),
    "live.see": lambda s, a: s(a.live.token, [SeenFrame(0.0, None)]),
    "live.hear": lambda s, a: s(a.live.token, np.zeros(160, np.float32)),
    "live.keep": lambda s, a: s(a.live.token),
    "performances.get": lambda s, a: s(a.performance.id),
    "performances.of_render": lambda s, a: s(a.render.id),
    "performances.create": lambda s, a: s("Bob's", motion=MediaSource.media(a.shown)),
    "performances.of_request": lambda s, a: s(clip(a)),
    "performances.copy": lambda s, a: s(a.performance.id),
    "performances.rename": lambda s, a: s(a.performance.id, "Bob's"),
    "performances.delete": lambda s, a: s(a.performance.id),
    "performances.set_layer": lambda s, a: s(a.performance.id, "idle", {"amount": 0.5}),
    "performances.add_layer": lambda s, a: s(a.performance.id, {"kind": "idle"}),
    "performances.remove_layer": lambda s, a: s(a.performance.id, "idle"),
    "performances.set_key": lambda s, a: s(a.performance.id, "smile", 1.0, 0.5),
    "performances.remove_key": lambda s, a: s(a.performance.id, "smile", 1.0),
    "performances.remove_emotion": lambda s, a: s(a.performance.id, "joy", 1.0),
    "performances.set_emotion": lambda s, a: s(a.performance.id, "joy", 1.0, 0.5),
    "performances.timeline": lambda s, a: s(a.performance.id),
    "performances.move_boundary": lambda s, a: s(a.performance.id, 1, 0.5),
    "performances.moment": lambda s, a: s(a.performance.id, MediaSource.photo(a.photo.id), 0.5),
    "performances.sound": lambda s, a: s(a.performance.id),
    "performances.curves": lambda s, a: s(a.performance.id, MediaSource.photo(a.photo.id), ["smile"]),
    "animation.motion": lambda s, a: s(clip(a).model_copy(update={"performance": MediaSource.media(a.shown)})),
    "performances.mend_word": lambda s, a: s(a.performance.id, 0, "hello"),
    "performances.undo": lambda s, a: s(a.performance.id),
    "performances.redo": lambda s, a: s(a.performance.id),
    "performances.request": lambda s, a: s(a.performance.id, MediaSource.photo(a.photo.id)),
    "performances.frame": lambda s, a: s(a.performance.id, MediaSource.photo(a.photo.id), 0.0),
    "performances.export": lambda s, a: s(a.performance.id, a.owner.store.data_dir / "x.performance.zip"),
    "takedowns.find": lambda s, a: s(a.owner.library.path(a.render)),
    "takedowns.take_down": lambda s, a: s(a.owner.library.path(a.render), erase=True),
    "library.rename": lambda s, a: s(a.render.id, "Bob's"),
    "library.timing": lambda s, a: s(a.render.id),
    "library.curves": lambda s, a: s(a.render.id),
    "library.delete": lambda s, a: s(a.render.id),
    "library.export": lambda s, a: s(a.render.id, a.owner.store.data_dir / "x.png"),
    "library.path": lambda s, a: s(a.render),
    "library.rerun": lambda s, a: s(a.render.id),
    "library.restore": lambda s, a: s(a.render.id),
    "library.show": lambda s, a: s(a.render.id),
    "library.star": lambda s, a: s(a.render.id),
    "library.submit_rerun": lambda s, a: s(a.render.id),
    "library.thumbnail": lambda s, a: s(a.render),
    "presets.delete": lambda s, a: s(a.preset.name),
    "presets.get": lambda s, a: s(a.preset.name),
    "presets.thumbnail": lambda s, a: s(a.preset.name),
    "training.advice": lambda s, a: s(a.person.id, PLAN),
    "runs.checkpoints": lambda s, a: s(a.run.id),
    "runs.delete": lambda s, a: s(a.run.id),
    "training.submit_go_on": lambda s, a: s(a.run.id, 20),
    "training.go_on": lambda s, a: s(a.run.id, 20),
    "training.submit_draw_grid": lambda s, a: s(a.run.id),
    "runs.grid_cells": lambda s, a: s(a.run.id),
    "training.draw_grid": lambda s, a: s(a.run.id),
    "runs.grid_summary": lambda s, a: s(a.run.id),
    "runs.adapter_of": lambda s, a: s(a.point.id),
    "runs.keep": lambda s, a: s(a.point.id, "bob's"),
    "runs.metrics": lambda s, a: s(a.run.id),
    "runs.picture": lambda s, a: s(a.shown),
    "training.preflight": lambda s, a: s(a.person.id, PLAN),
    "runs.get": lambda s, a: s(a.run.id),
    "training.train": lambda s, a: s(a.person.id, PLAN),
    "runs.samples": lambda s, a: s(a.run.id),
    "runs.save_grid": lambda s, a: s(a.run.id, a.owner.store.data_dir / "x.png"),
    "training.schedule_note": lambda s, a: s(a.run.id, 5),
    "training.smaller_plan": lambda s, a: s(a.run.id),
    "runs.state": lambda s, a: s(a.run.id),
    "runs.stop": lambda s, a: s(a.run.id),
    "training.submit_train": lambda s, a: s(a.person.id, PLAN),
    "runs.suggestion": lambda s, a: s(a.run.id),
    "runs.vote": lambda s, a: s(a.cell.id, 1),
    "adapters.delete": lambda s, a: s(a.adapter.id),
    "adapters.delete_plan": lambda s, a: s(a.adapter.id),
    "adapter_exchange.export": lambda s, a: s(a.adapter.id, a.owner.store.data_dir),
    "adapters.exports": lambda s, a: s(a.adapter.id),
    "adapters.get": lambda s, a: s(a.adapter.id),
    "adapters.lineage": lambda s, a: s(a.adapter.id),
    "adapter_exchange.merge": lambda s, a: s([(a.adapter.id, 1.0)], "bob's"),
    "adapters.note": lambda s, a: s(a.adapter.id, "x"),
    "adapters.path": lambda s, a: s(a.adapter),
    "adapters.people": lambda s, a: s(a.adapter.id),
    "adapter_exchange.push": lambda s, a: s(a.adapter.id, "bob/x", "token"),
    "adapters.rename": lambda s, a: s(a.adapter.id, "bob's"),
    "adapters.fitting": lambda s, a: s(a.base.location.name),
    "adapter_exchange.submit_test_leak": lambda s, a: s(a.adapter.id),
    "adapter_exchange.test_leak": lambda s, a: s(a.adapter.id),
    "jobs.cancel": lambda s, a: s(a.job.id),
    "jobs.forget": lambda s, a: s(a.job.id),
    "jobs.get": lambda s, a: s(a.job.id),
    "jobs.preview": lambda s, a: s(a.job.id),
    "jobs.log_tail": lambda s, a: s(a.job.id),
    "jobs.resume": lambda s, a: s(a.job.id),
    "jobs.retry": lambda s, a: s(a.job.id),
    "sample.add_clip": lambda s, a: s(a.person.id, a.project.id),
}
"""Asked for another owner's things: there is no such thing."""

EMPTY = {
    "projects.list": lambda s, a: s(),
    "identities.list": lambda s, a: s(),
    "curation.intakes": lambda s, a: s(),
    "curation.last_step": lambda s, a: s(intake_id=a.intake.id) or s(identity_id=a.person.id),
    "curation.undo": lambda s, a: s(intake_id=a.intake.id) or s(identity_id=a.person.id),
    "animation.made_by": lambda s, a: s(a.job.id),
    "generation.made_by": lambda s, a: s(a.job.id),
    "video.made_by": lambda s, a: s(a.job.id),
    "dubbing.made_by": lambda s, a: s(a.job.id),
    "dialogue.made_by": lambda s, a: s(a.job.id),
    "live.close": lambda s, a: s(a.live.token),
    "library.inputs": lambda s, a: s(a.render),
    "identities.strangers": lambda s, a: s(a.person.id),
    "library.made_by": lambda s, a: s(a.job.id),
    "library.page": lambda s, a: s().renders,
    "performances.list": lambda s, a: s(),
    "presets.list": lambda s, a: [p for p in s() if not p.builtin],
    "bases.list": lambda s, a: [b for b in s() if b.location and b.location.name == a.base.location.name],
    "runs.list": lambda s, a: s(),
    "runs.current": lambda s, a: s(a.run.id),
    "adapters.list": lambda s, a: s(),
    "adapters.leak_sheet": lambda s, a: s(a.adapter),
    "adapters.thumbnail": lambda s, a: s(a.adapter),
    "jobs.list": lambda s, a: s(),
    "jobs.newest_active": lambda s, a: s(a.job.kind),
    "training.presets_for": lambda s, a: s(a.base.location.name),
}
"""Lists: another owner's things are not in them."""

NO_IDS = {
    "projects.add", "projects.default", "identities.add", "identities.inspect", "presets.save", "bases.add",
    "adapter_exchange.import_file",
    "performances.import_file", "adapters.refuse_taken", "library.recipe_of_file", "training.plan",
    "training.preset",
    "training.presets", "animation.voices", "likeness.distance", "likeness.measure",
    "likeness.reference_of_pictures", "jobs.icon", "jobs.keeps_its_work", "animation.languages",
    "generation.wording", "identities.strangers_among",
    "curation.pictures_among", "sample.ensure", "sample.add_person",
    "provenance.verify", "provenance.sign", "provenance.signing",
}  # fmt: skip
"""These get no id of anything stored."""

HANDED_VALUES = {
    "adapters.is_older",
    "training_sets.example", "runs.job", "runs.listed_job", "expressions.original", "expressions.render",
    "expressions.save",
    "expressions.prepared", "expressions.edit_opened", "templates.copy", "templates.copied_from",
    "action_units.write", "action_units.of_portrait", "templates.shown",
    "expressions.write", "expressions.redraw", "expressions.stamp", "generation.redraw",
    "generation.brought_back", "video.redraw", "dubbing.redraw", "dialogue.redraw", "adapters.require_consent",
    "provenance.hand_out",
}  # fmt: skip
"""These get a value that another method of the same owner's services handed out, or a whole recipe."""


def test_every_method_of_every_service_is_asked_here(bob) -> None:
    services = {name: service for name, service in vars(bob).items() if name not in ("owner", "store")}
    methods = {
        f"{name}.{method}"
        for name, service in services.items()
        for method, _ in inspect.getmembers(type(service), inspect.isfunction)
        if not method.startswith("_")
    }
    assert methods == {*ASKED, *EMPTY, *NO_IDS, *HANDED_VALUES}


@pytest.mark.parametrize("name", ASKED)
def test_another_owners_things_are_not_there(name, studio, ada, bob) -> None:
    service, method = name.split(".")
    before = everything(studio)
    with pytest.raises(NotFoundError):
        ASKED[name](getattr(getattr(bob, service), method), ada)
    assert everything(studio) == before


@pytest.mark.parametrize("name", EMPTY)
def test_another_owners_things_are_in_no_list(name, studio, ada, bob) -> None:
    service, method = name.split(".")
    before = everything(studio)
    assert not EMPTY[name](getattr(getattr(bob, service), method), ada)
    assert everything(studio) == before


def test_a_value_of_another_owner_gives_nothing_away(studio, ada, bob, tmp_path) -> None:
    before = everything(studio)
    for act in (
        lambda: bob.expressions.save(ada.handle, ExpressionEdit({"smile": 1.0})),
        lambda: bob.expressions.render(ada.handle, ExpressionEdit({"smile": 1.0})),
        lambda: bob.expressions.write(ada.handle, ExpressionEdit({"smile": 1.0}), tmp_path / "out.png"),
        lambda: bob.expressions.redraw(ada.render.recipe),
        lambda: bob.library.recipe_of_file(tmp_path / "none.png"),
    ):
        with pytest.raises(StudioError):
            act()
    assert everything(studio) == before


def test_names_and_bytes_may_be_the_same(studio, ada, portrait) -> None:
    cem = studio.whole.for_owner("cem")
    again = cem.identities.add("Ada", [portrait])
    assert again.id != ada.person.id
    assert cem.identities.photos(again.id)[0].sha256 == ada.photo.sha256, "the same bytes are one file"
    cem.identities.delete(again.id)
    assert ada.owner.identities.photo_path(ada.photo.id).is_file(), "and stay as long as one owner has them"
    assert [p.name for p in ada.owner.identities.list()] == ["Ada"]


def test_a_worker_runs_each_job_under_its_own_owner(studio, portrait, speech) -> None:
    one, two = studio.whole.for_owner("one"), studio.whole.for_owner("two")
    ask = AnimationRequest(portrait=MediaSource.file(portrait), sound=MediaSource.file(speech), seconds=0.2)
    jobs = {who.owner: who.animation.submit_render(ask).id for who in (one, two)}
    work_off(Workplace(studio.whole.store, composition.JOB_KINDS, services=studio.whole.for_owner))
    for who in (one, two):
        assert who.jobs.get(jobs[who.owner]).state == "done"
        assert [(r.owner, r.job_id) for r in who.library.page().renders] == [(who.owner, jobs[who.owner])]
