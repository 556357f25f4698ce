"""The adapter library: real files on a tiny random base; a drawing and measuring that can be foretold."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from studio.domain.adapter import AdapterMetadata, NewAdapter
from studio.domain.consent import Consent
from studio.domain.face import FaceEmbedding
from studio.domain.training import TrainingPlan
from studio.engines.diffusion.adapters.files import save_adapter
from studio.engines.diffusion.adapters.inspecting import inspect_adapter
from studio.engines.media.pictures import png_bytes
from studio.errors import ConflictError, ConsentMissingError, EngineError, NotFoundError, UserInputError
from studio.jobs.executor import work_off
from studio.jobs.kinds import Workplace
from studio.services.adapters.model_card import CONSENT_NOTE
from studio.studio import JOB_KINDS
from tests.engines.diffusion.tiny_base import write_tiny_base
from tests.services.fakes import picture

ME = "local"
QUERY = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """A base, and two adapters for it."""
    from peft import LoraConfig

    folder = tmp_path_factory.mktemp("adapters")
    made = {"base": write_tiny_base(folder / "base")}
    generator = torch.Generator().manual_seed(1)
    for name in ("ann", "bob"):
        tensors = {
            f"unet.{QUERY}.lora_A.weight": torch.randn((4, 32), generator=generator),
            f"unet.{QUERY}.lora_B.weight": torch.randn((32, 4), generator=generator),
        }
        made[name] = folder / f"{name}.safetensors"
        about = AdapterMetadata(family="sd15", title=name.title(), trigger=f"{name} person", base_name="tiny")
        save_adapter(made[name], tensors, configs={"unet": LoraConfig(r=4, lora_alpha=6)}, metadata=about)
    return made


@pytest.fixture
def adapters(studio, files):
    studio.bases.add(files["base"], "tiny")
    return studio.adapters


@pytest.fixture
def exchange(studio, adapters):
    return studio.adapter_exchange


def a_person(studio, tmp_path, name: str, *scopes: str):
    now = datetime.now(UTC) - timedelta(days=1)
    agreed = Consent(agreed_by=name, scopes=scopes, granted_at=now) if scopes else None
    shade = 100 + len(name)
    return studio.identities.add(name, [picture(tmp_path / f"{name}.png", shade=shade)], consent=agreed)


def kept(studio, file: Path, name: str, **values):
    sha256 = studio.store.media.put(file)
    about = {"family": "sd15", "base_name": "tiny", "trigger": "ann person", "rank": 4}
    return studio.store.adapters.add(NewAdapter(name=name, media_sha256=sha256, **(about | values)))


# -- which fit -----------------------------------------------------------------------------------


def test_a_base_wears_its_family_and_an_embedded_base_its_own_alone(studio, adapters, files) -> None:
    about = {"Ann": {}, "Drawn": {"base_name": "preview"}, "Large": {"family": "sdxl"}, "Bare": {"base_name": ""}}
    for name, values in about.items():
        kept(studio, files["ann"], name, **values)
    fitting = {base: {a.name for a in adapters.fitting(base)} for base in ("tiny", "preview", "sdxl")}
    assert fitting == {"tiny": {"Ann", "Bare"}, "preview": {"Drawn", "Bare"}, "sdxl": {"Large"}}
    with pytest.raises(NotFoundError):
        adapters.fitting("nowhere")


# -- names, notes, deleting ---------------------------------------------------------------------


def test_an_adapter_of_an_earlier_preview_base_is_offered_for_none_and_says_so(studio) -> None:
    adapters = studio.adapters
    now = studio.bases.resolve("preview").sha256
    kept = {}
    for name, sha256 in (("old", "0" * 64), ("new", now), ("foreign", "")):
        media = studio.store.media.put(name.encode(), ".safetensors")
        new = NewAdapter(name=name, family="sd15", media_sha256=media, base_name="preview", base_sha256=sha256)
        kept[name] = studio.store.adapters.add(new)
    assert {a.name for a in adapters.fitting("preview")} >= {"new", "foreign"}
    assert "old" not in {a.name for a in adapters.fitting("preview")}
    assert {name: adapters.is_older(a) for name, a in kept.items()} == {"old": True, "new": False, "foreign": False}
    with pytest.raises(UserInputError, match="old was trained on an earlier"):
        studio.adapter_exchange.merge([("new", 1.0), ("old", 1.0)], name="both")
    assert "old" in {a.name for a in adapters.list()}


def test_an_adapter_is_found_by_name_and_id_renamed_and_noted(studio, adapters, files) -> None:
    ann = kept(studio, files["ann"], "Ann")
    assert adapters.get("ann") == adapters.get(ann.id) == ann
    assert adapters.rename("Ann", " Ann at work ").name == "Ann at work"
    assert adapters.note(ann.id, "good at .8").notes == "good at .8"
    other = kept(studio, files["bob"], "Bob")
    assert [a.name for a in adapters.list()] == ["Bob", "Ann at work"]
    with pytest.raises(ConflictError):
        adapters.rename(other.id, "ANN AT WORK")
    for name in ("", "  ", "x" * 81):
        with pytest.raises(UserInputError):
            adapters.rename(other.id, name)
    with pytest.raises(NotFoundError):
        adapters.get("nobody")


def test_deleting_says_what_goes_and_what_stays(studio, adapters, files, tmp_path, exchange) -> None:
    ann, bob = kept(studio, files["ann"], "Ann"), kept(studio, files["bob"], "Bob")
    out = exchange.export(ann.id, tmp_path).path
    mixed, _ = exchange.merge([("Ann", 0.5), ("Bob", 0.5)], "Both")
    plan = adapters.delete_plan("Ann")
    assert (plan.bytes, plan.children, [Path(e.path) for e in plan.exports]) == (
        files["ann"].stat().st_size, ("Both",), [out.resolve()],
    )  # fmt: skip
    assert "1 exported file(s) elsewhere" in plan.sentence
    assert adapters.get("Ann") == ann
    adapters.delete("Ann")
    assert out.is_file()
    assert [a.id for a in adapters.list()] == [mixed.id, bob.id]
    assert ("parent", True) in [(s.what, s.gone) for s in adapters.lineage(mixed.id)]
    assert not studio.store.media.has(ann.media_sha256)
    assert studio.whole.store.files.verify().ok


# -- out and in -----------------------------------------------------------------------------------


def test_an_export_is_checked_noted_and_part_of_the_lineage(studio, adapters, files, tmp_path, exchange) -> None:
    person = a_person(studio, tmp_path, "Ann", "train")
    plan = TrainingPlan(base="tiny", steps=20)
    run = studio.store.runs.add(person.id, plan, name="Ann 1", base_sha256="b", photos=("a", "b", "c"))
    sha256 = studio.store.media.put(files["ann"])
    point = studio.store.runs.put_checkpoint(run.id, 20, sha256, loss=0.1, has_state=False)
    shown = studio.store.media.put(png_bytes(np.full((64, 64, 3), 90, np.uint8)), ".png")
    ann = kept(
        studio, files["ann"], "Ann", identity_id=person.id, run_id=run.id, checkpoint_id=point.id,
        thumbnail_sha256=shown, measures={"likeness": 0.8},
    )  # fmt: skip
    for format in ("kohya", "kohya32", "peft"):
        report = exchange.export(ann.id, tmp_path, format)
        assert report.path == tmp_path / f"ann-{format}.safetensors"
        assert report.unmatched == ()
        assert report.effect > report.max_difference
        header = inspect_adapter(report.path)
        assert (header.title, header.trigger, header.base_name) == ("Ann", "ann person", "tiny")
        assert "modelspec.thumbnail" in header.metadata
        assert "Likeness" in header.metadata["modelspec.description"]
    steps = adapters.lineage(ann.id)
    assert [s.what for s in steps] == ["photos", "run", "checkpoint", "adapter", "file", "file", "file"]
    assert "3 photos of Ann" in steps[0].text
    assert "step 20 of 20" in steps[2].text
    (tmp_path / "ann-kohya.safetensors").unlink()
    assert [s.gone for s in adapters.lineage(ann.id)][-3:] == [True, False, False]
    studio.store.runs.delete(run.id)
    assert [(s.what, s.gone) for s in adapters.lineage(ann.id)][:2] == [("run", True), ("adapter", False)]


def test_places_an_export_cannot_go_to(studio, adapters, files, tmp_path, exchange) -> None:
    kept(studio, files["ann"], "Ann")
    with pytest.raises(UserInputError, match=r"not \.ckpt"):
        exchange.export("Ann", tmp_path / "a.ckpt")
    with pytest.raises(NotFoundError):
        exchange.export("Ann", tmp_path / "no such folder" / "a.safetensors")
    with pytest.raises(NotFoundError):
        exchange.export("Ann", tmp_path, base="no-such-base")
    assert adapters.exports("Ann") == ()
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_person_who_takes_consent_back_is_carried_nowhere(studio, adapters, files, tmp_path, exchange) -> None:
    person = a_person(studio, tmp_path, "Ann", "train")
    kept(studio, files["ann"], "Ann", identity_id=person.id)
    other = kept(studio, files["bob"], "Bob")
    studio.withdrawals.take_back(person.id)
    for call in (
        lambda: exchange.export("Ann", tmp_path),
        lambda: exchange.merge([("Ann", 1.0), (other.id, 1.0)], "Both"),
        lambda: exchange.push("Ann", "me/ann", "token"),
        lambda: exchange.test_leak("Ann"),
        lambda: exchange.submit_test_leak("Ann"),
    ):
        with pytest.raises(ConsentMissingError, match="Ann"):
            call()


@pytest.mark.parametrize("format", ["kohya", "peft"])
def test_an_import_copies_and_leaves_the_original(studio, adapters, files, tmp_path, format, exchange) -> None:
    person = a_person(studio, tmp_path, "Ann", "generate")
    kept(studio, files["ann"], "Ann")
    theirs = exchange.export("Ann", tmp_path, format).path
    adapters.delete("Ann")
    before = theirs.read_bytes()
    got = exchange.import_file(theirs, identity_id="Ann")
    assert theirs.read_bytes() == before
    assert (got.format, got.kind, got.unmatched, got.base) == (format, "lora", (), "tiny")
    assert got.matched == (3 if format == "kohya" else 2)
    held = got.adapter
    assert (held.name, held.origin, held.trigger, held.rank) == ("Ann", "imported", "ann person", 4)
    assert (held.identity_id, adapters.people(held.id)) == (person.id, ("Ann",))
    assert inspect_adapter(adapters.path(held)).format == "peft"
    assert list((studio.store.data_dir / "scratch" / "local").iterdir()) == []
    again = exchange.import_file(theirs)  # a taken name that nobody chose makes way
    assert again.adapter.name.startswith("Ann ")
    with pytest.raises(ConflictError):
        exchange.import_file(theirs, "Ann")


def test_files_that_cannot_come_in(studio, adapters, files, tmp_path, exchange) -> None:
    pickled = tmp_path / "lora.ckpt"
    pickled.write_bytes(b"\x80")
    with pytest.raises(UserInputError, match="pickled"):
        exchange.import_file(pickled)
    with pytest.raises(NotFoundError):
        exchange.import_file(tmp_path / "none.safetensors")
    xl = tmp_path / "xl.safetensors"
    save_adapter(
        xl, {f"unet.{QUERY}.lora_A.weight": torch.zeros(2, 32), f"unet.{QUERY}.lora_B.weight": torch.zeros(32, 2)},
        configs={}, metadata=AdapterMetadata(family="sdxl", title="XL"),
    )  # fmt: skip
    with pytest.raises(NotFoundError, match="Stable Diffusion XL"):
        exchange.import_file(xl)
    with pytest.raises(UserInputError, match="for Stable Diffusion XL"):
        exchange.import_file(xl, base="tiny")
    with pytest.raises(NotFoundError):
        exchange.import_file(files["ann"], identity_id="nobody")
    assert adapters.list() == ()
    assert list((studio.store.data_dir / "scratch" / "local").glob("*")) == []


# -- merging -----------------------------------------------------------------------------------------


def test_a_merged_adapter_holds_everybody_and_leaves_with_each(studio, adapters, files, tmp_path, exchange) -> None:
    ann, bob = a_person(studio, tmp_path, "Ann", "train"), a_person(studio, tmp_path, "Bob", "train")
    first = kept(studio, files["ann"], "Ann", identity_id=ann.id)
    second = kept(studio, files["bob"], "Bob", identity_id=bob.id, trigger="bob person")
    mixed, report = exchange.merge([("Ann", 0.6), (second.id, 0.4)], "Both")
    assert report.max_difference <= 1e-4
    assert (mixed.origin, mixed.parents, mixed.rank) == ("merged", {first.id: 0.6, second.id: 0.4}, 8)
    assert (mixed.trigger, mixed.identity_id) == ("ann person, bob person", None)
    assert adapters.people(mixed.id) == ("Ann", "Bob")
    assert [s.text for s in adapters.lineage(mixed.id)][:2] == ["Ann at 0.6", "Bob at 0.4"]
    adapters.delete("Bob")  # the mix still holds Bob
    assert {a.name for a in adapters.list(bob.id)} == {"Both"}
    studio.identities.delete(bob.id)
    assert [a.name for a in adapters.list()] == ["Ann"]
    assert studio.whole.store.files.verify().unused == ()


def test_what_cannot_be_merged(studio, adapters, files, exchange) -> None:
    kept(studio, files["ann"], "Ann")
    kept(studio, files["bob"], "Bob")
    kept(studio, files["bob"], "XL", family="sdxl")
    for items, words in (
        ([("Ann", 1.0)], "two adapters"),
        ([("Ann", 1.0), ("ANN", 0.5)], "named twice"),
        ([("Ann", 1.0), ("XL", 1.0)], "one family"),
        ([("Ann", 1.0), ("Bob", 3.0)], "outside"),
        ([("Ann", 1.0), ("Bob", 0.0)], "two adapters"),
    ):
        with pytest.raises(UserInputError) as caught:
            exchange.merge(items, "Both")
        assert words in str(caught.value)
    with pytest.raises(ConflictError):
        exchange.merge([("Ann", 1.0), ("Bob", 1.0)], "ann")
    assert len(adapters.list()) == 3


# -- the leak test -----------------------------------------------------------------------------------


class Shades:
    """Strangers are dark, the person is bright; an adapter makes strangers brighter by a share of the way."""

    name, version = "shades", "1"
    DARK, BRIGHT = 60, 220

    def __init__(self, leak: float) -> None:
        self.leak = leak
        self.orders: list[tuple[str, int, float]] = []

    def generate(self, location, order, adapters=(), **options):
        strength = sum(a.strength for a in adapters)
        self.orders.append((order.prompt, order.seed, strength))
        shade = self.DARK + order.seed % 5
        if "ann person" in order.prompt:
            shade = round(self.DARK + strength * (self.BRIGHT - self.DARK))
        else:
            shade = round(shade + self.leak * strength * (self.BRIGHT - shade))
        image = np.full((order.height, order.width, 3), shade, np.uint8)
        image[:12, :12] = (1, 0, 0)
        yield image


@pytest.fixture
def shades(engines, monkeypatch):
    def make(leak: float) -> Shades:
        made = Shades(leak)
        monkeypatch.setattr(engines, "generator", lambda: made)
        return made

    def seen(image, face, *, rendered=False):
        return FaceEmbedding("shade", np.array([image[-9:, -9:].mean() / 255], np.float32))

    monkeypatch.setattr(engines.analyser, "embed", seen)
    return make


def bright_person(studio, tmp_path):
    photos = [picture(tmp_path / f"{i}.png", shade=Shades.BRIGHT + i) for i in (-1, 1)]
    agreed = Consent(agreed_by="Ann", scopes=("train",), granted_at=datetime.now(UTC) - timedelta(days=1))
    return studio.identities.add("Ann", photos, consent=agreed)


@pytest.mark.parametrize(
    ("leak", "advice", "strength"),
    [(0.0, "Fine", 1.0), (0.18, "Lower the strength to 0.7", 0.7), (0.9, "Train again with more prior", None)],
)
def test_the_leak_is_measured_advised_and_kept(
    studio, adapters, files, shades, tmp_path, leak, advice, strength, exchange
) -> None:
    person = bright_person(studio, tmp_path)
    ann = kept(studio, files["ann"], "Ann", identity_id=person.id)
    drawn = shades(leak)
    told: list[float] = []
    report = exchange.test_leak("Ann", lambda p: told.append(p.fraction))
    assert report.full.leak == pytest.approx(leak, abs=0.03)
    assert report.full.noise < 0.03
    assert report.full.likeness == pytest.approx(1.0, abs=0.05)
    assert report.results[1].leak == pytest.approx(0.7 * leak, abs=0.03)
    assert report.full.drift == pytest.approx(leak * 158 / 255, abs=0.03)
    assert (report.center, report.advised_strength) == ("photos", strength)
    assert report.advice.startswith(advice)
    assert told == sorted(told)
    assert told[-1] == 1.0
    plain = {(p, s) for p, s, worn in drawn.orders if worn == 0.0}
    assert plain == {(p, s) for p, s, worn in drawn.orders if worn == 1.0 and "ann person" not in p}
    tested = adapters.get(ann.id)
    assert tested.measures["leak"]["advice"] == report.advice
    sheet = adapters.leak_sheet(tested)
    assert sheet is not None
    exchange.test_leak("Ann", strengths=[1.0])
    assert studio.whole.store.files.verify().unused == ()


def test_without_photos_strangers_are_compared_with_what_the_adapter_draws(
    studio, adapters, files, shades, exchange
) -> None:
    kept(studio, files["ann"], "Ann")
    shades(0.5)
    report = exchange.test_leak("Ann", strengths=[1.0])
    assert report.center == "drawn"
    assert report.full.leak == pytest.approx(0.5, abs=0.05)
    with pytest.raises(UserInputError, match="above 0"):
        exchange.test_leak("Ann", strengths=[0.0])


def test_faces_that_nobody_finds_are_said_to_be_so(
    studio, adapters, files, shades, engines, monkeypatch, exchange
) -> None:
    kept(studio, files["ann"], "Ann")
    shades(0.5)
    monkeypatch.setattr(engines.analyser, "detect", lambda image: ())
    report = exchange.test_leak("Ann", strengths=[1.0])
    assert (report.full.leak, report.advised_strength) == (None, None)
    assert "Not measurable" in report.advice


def test_a_leak_test_is_a_job(studio, adapters, files, shades, tmp_path, exchange) -> None:
    person = bright_person(studio, tmp_path)
    ann = kept(studio, files["ann"], "Ann", identity_id=person.id)
    shades(0.0)
    job = exchange.submit_test_leak("Ann")
    assert (job.kind, job.identity_id, job.params) == ("leak_test", person.id, {"adapter_id": ann.id})
    (ended,) = work_off(Workplace(studio.whole.store, JOB_KINDS, services=lambda owner: studio))
    assert (ended.state, ended.fraction) == ("done", 1.0)
    assert ended.outputs["advice"].startswith("Fine")
    assert adapters.get(ann.id).measures["leak"]["advised_strength"] == 1.0


# -- the hub ------------------------------------------------------------------------------------------


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a push needs; `seen` keeps what came."""

    seen: list[tuple[str, str, bytes]]
    status = 200

    def log_message(self, *arguments) -> None:
        pass

    def do_PUT(self) -> None:
        self._note()
        self._answer({})

    def do_POST(self) -> None:
        body = self._note()
        here = f"http://127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]
        if self.path == "/api/repos/create":
            self._answer({"url": f"{here}/me/ann"})
        elif "/preupload/" in self.path:
            names = [f["path"] for f in json.loads(body)["files"]]
            mode = {True: "lfs", False: "regular"}
            files = [{"path": n, "uploadMode": mode[n.endswith(".safetensors")], "shouldIgnore": False} for n in names]
            self._answer({"files": files})
        elif self.path.endswith("/objects/batch"):
            wanted = json.loads(body)["objects"]
            put = [{**o, "actions": {"upload": {"href": f"{here}/put/{o['oid']}"}}} for o in wanted]
            self._answer({"transfer": "basic", "objects": put})
        elif "/commit/" in self.path:
            self._answer({"commitOid": "a" * 40, "commitUrl": f"{here}/me/ann/commit/{'a' * 40}", "success": True})
        else:
            self._answer({"errors": [], "warnings": []})

    def _note(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        type(self).seen.append((self.path, self.headers.get("Authorization", ""), body))
        return body

    def _answer(self, value) -> None:
        data = json.dumps(value).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def hub(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # the newer transport needs a service of its own
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    Hub.seen, Hub.status = [], 200
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_nothing_of_a_person_is_pushed_without_consent_to_publish(
    studio, adapters, files, tmp_path, hub, exchange
) -> None:
    before = len(Hub.seen)
    person = a_person(studio, tmp_path, "Ann", "train", "generate")
    kept(studio, files["ann"], "Ann", identity_id=person.id)
    with pytest.raises(ConsentMissingError, match="publish"):
        exchange.push("Ann", "me/ann", "hf_secret", endpoint=hub)
    assert len(Hub.seen) == before


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the hub library's own call of its HTTP client
def test_a_push_makes_a_private_repository_with_a_card(studio, adapters, files, hub, exchange) -> None:
    measured = {"likeness": 0.81, "drift": 0.04, "leak": {"advice": "Fine: nobody leaks."}}
    kept(studio, files["ann"], "Ann", measures=measured)
    url = exchange.push("Ann", "me/ann", "hf_secret", endpoint=hub)
    assert url == f"{hub}/me/ann"
    by_path = {path: body for path, _, body in Hub.seen}
    assert json.loads(by_path["/api/repos/create"])["visibility"] == "private"
    uploads = [body for path, _, body in Hub.seen if path.startswith("/put/")]
    assert len(uploads) == 2
    assert all(body[8:9] == b"{" for body in uploads)
    lines = [json.loads(line) for line in by_path["/api/models/me/ann/commit/main"].splitlines()]
    assert {x["value"]["path"] for x in lines if x["key"] != "header"} == {
        "README.md", "ann.safetensors", "ann-kohya.safetensors",
    }  # fmt: skip
    card = json.loads(by_path["/api/validate-yaml"])["content"]
    for words in ("ann person", ".81", "Fine: nobody leaks.", CONSENT_NOTE, "`ann-kohya.safetensors`", "tiny"):
        assert words in card
    assert not any(b"hf_secret" in body for _, _, body in Hub.seen)
    assert {a for path, a, _ in Hub.seen if path.startswith("/api")} == {"Bearer hf_secret"}
    assert "hf_secret" not in (studio.store.data_dir / "studio.db").read_bytes().decode("latin-1")
    from huggingface_hub import constants

    assert constants.HF_HUB_OFFLINE  # online for that one call only


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # as above
def test_a_push_of_what_one_format_cannot_hold_takes_the_other(
    studio, adapters, files, hub, exchange, tmp_path
) -> None:
    from safetensors.torch import save_file

    name = "lora_unet_" + QUERY.replace(".", "_")
    shapes = {"w1_a": (32, 2), "w1_b": (2, 32), "w2_a": (32, 2), "w2_b": (2, 32)}
    loha = {f"{name}.hada_{part}": torch.full(shape, 0.01) for part, shape in shapes.items()}
    save_file(loha | {f"{name}.alpha": torch.tensor(2.0)}, tmp_path / "loha.safetensors")
    kept(studio, tmp_path / "loha.safetensors", "Ann")
    exchange.push("Ann", "me/ann", "hf_secret", endpoint=hub)
    commit = next(body for path, _, body in Hub.seen if path.endswith("/commit/main"))
    lines = [json.loads(line) for line in commit.splitlines()]
    assert {x["value"]["path"] for x in lines if x["key"] != "header"} == {"README.md", "ann-kohya.safetensors"}


def test_a_push_that_the_hub_refuses(studio, adapters, files, hub, exchange) -> None:
    kept(studio, files["ann"], "Ann")
    Hub.status = 403
    with pytest.raises(UserInputError, match="refused to write"):
        exchange.push("Ann", "me/ann", "hf_x", endpoint=hub)
    Hub.status = 400
    with pytest.raises(EngineError, match="400"):
        exchange.push("Ann", "me/ann", "hf_x", endpoint=hub)
    with pytest.raises(UserInputError, match="token"):
        exchange.push("Ann", "me/ann", " ", endpoint=hub)
    for name in ("ann", "me/../x", "me/a b", ""):
        with pytest.raises(UserInputError, match="repository"):
            exchange.push("Ann", name, "hf_x", endpoint=hub)
    with pytest.raises(EngineError, match="cannot be reached"):
        exchange.push("Ann", "me/ann", "hf_x", endpoint="http://127.0.0.1:9")


def test_offline_nothing_is_pushed(studio, adapters, files, hub, monkeypatch, exchange) -> None:
    kept(studio, files["ann"], "Ann")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserInputError, match="offline"):
        exchange.push("Ann", "me/ann", "hf_x", endpoint=hub)
    assert Hub.seen == []
