"""People and their photos."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.cli_output import Output
from studio.commands.shared import OPTIONS, AsJson, DataDir, Face, opened
from studio.domain.clip_frames import MOST_FRAMES, USUAL_MOST
from studio.domain.consent import SCOPES, Consent
from studio.domain.days import end_of_day, last_day
from studio.domain.names import as_read
from studio.domain.variants import MOST_PER_PHOTO
from studio.errors import UserInputError

if TYPE_CHECKING:
    from studio.domain.curation import Review
    from studio.studio import OwnerServices

commands = typer.Typer(help="People and their photos.", **OPTIONS)

_UNTIL = "Last day on which it holds, as 2030-12-31."


@commands.command("add")
def identity_add(
    name: str,
    photos: Annotated[list[Path], typer.Argument(help="One or more pictures.")],
    face: Face = None,
    project: Annotated[str | None, typer.Option(help="Project id; default the first.", show_default=False)] = None,
    notes: str = "",
    consent_by: Annotated[str, typer.Option(help="Who agreed.", show_default=False)] = "",
    consent_scope: Annotated[list[str] | None, typer.Option(help="edit, animate, train, generate, publish.")] = None,
    consent_until: Annotated[str, typer.Option(help=_UNTIL, show_default=False)] = "",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Add a person from one or more photos."""
    consent = None
    if consent_by:
        consent = _consent(consent_by, consent_scope, consent_until)
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


@commands.command("list")
def identity_list(project: str | None = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List people."""
    with opened(data_dir) as studio:
        people = studio.identities.list(project)
        text = "\n".join(f"{p.id}  {p.name}" for p in people) or "No people yet: `studio identity add NAME PHOTO`."
        Output(as_json).result(people, text)


@commands.command("show")
def identity_show(identity: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show one person by id or name."""
    with opened(data_dir) as studio:
        person = studio.identities.get(identity)
        photos = studio.identities.photos(person.id)
        lines = [f"{person.name}  {person.id}", *([person.notes] if person.notes else [])]
        lines += [f"  photo {p.id}  {p.width}x{p.height}  {p.file_name}" for p in photos]
        lines += [f"  {_said(c)}" for c in person.consents if not c.revoked_at]
        Output(as_json).result({"identity": person, "photos": photos}, "\n".join(lines))


@commands.command("curate")
def identity_curate(
    photos: Annotated[list[Path], typer.Argument(help="A folder, pictures or clips; 1 to 500.")],
    name: Annotated[str, typer.Option("--name", help="Whose photos; a person of the studio, or a new one.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Take over what is proposed.")] = False,
    ask: Annotated[bool, typer.Option("--ask", help="Ask whether unsure faces are one person (y or n).")] = False,
    report: Annotated[bool, typer.Option("--report", help="Only report, and forget the photos again.")] = False,
    frames: Annotated[
        int, typer.Option(min=1, max=MOST_FRAMES, help="So many photos of each clip at most.")
    ] = USUAL_MOST,
    hide_others: Annotated[
        bool, typer.Option("--hide-others", help="Make other people in clips unrecognisable.")
    ] = False,
    trigger: Annotated[str, typer.Option(help="Trigger word for the captions that are printed.")] = "sks",
    class_word: Annotated[str, typer.Option("--class", help="Class word for the captions.")] = "person",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Look at many photos or at clips: find the person, near-duplicates, other people and poor pictures; say why."""
    if yes and report:
        raise UserInputError("--yes and --report exclude each other.", "Give one of them.")
    if yes and not as_read(name):
        raise UserInputError("It is not said whose photos these are.", "Add --name NAME.")
    output = Output(as_json)
    with opened(data_dir) as studio:
        known = next((p for p in studio.identities.list() if as_read(p.name) == as_read(name)), None)
        intake = studio.curation.start(photos, identity_id=known.id if known else None)
        intake = studio.curation.analyse(
            intake.id,
            lambda progress: output.progress(progress.fraction, progress.stage),
            frames=frames,
            hide_others=hide_others,
        )
        names = {p.id: p.file_name for p in intake.photos}
        review = _asked(studio, intake.id, names) if ask else studio.curation.review(intake.id)
        values = {"intake_id": intake.id, **_reported(review, names), "confirmed": None}
        lines = _report_lines(review, names)
        if yes:
            done = studio.curation.confirm(intake.id, name=name)
            person = done.people[0]
            captions = studio.training_sets.captions(person.id, trigger, class_word)
            coverage = studio.training_sets.coverage(person.id)
            values |= {"confirmed": done, "captions": list(captions.values()), "coverage": coverage}
            lines += [
                done.sentence,
                *(f"  {a}" for a in coverage.advice),
                *(f"  caption: {c}" for c in captions.values()),
            ]
        elif report:
            studio.curation.discard(intake.id)
            values["intake_id"] = None
        else:
            lines.append("Nothing was taken over: add --yes and --name NAME, or decide on the Identities tab.")
        output.result(values, "\n".join(lines))


def _reported(review: Review, names: Mapping[str, str]) -> dict[str, Any]:
    """Return a review as JSON values that name files instead of ids."""
    return {
        "kept": review.count("keep"),
        "unsure": review.count("unsure"),
        "left_out": review.count("drop"),
        "photos": [
            {
                "file": names[v.photo_id], "state": v.state, "reason": v.reason, "distance": v.distance,
                "flags": [f.word for f in v.flags], "group": v.group,
            }
            for v in review.verdicts
        ],
        "people": [
            {"files": [names[k.partition(":")[0]] for k in c.faces], "name": c.name, "proposed": c.wanted}
            for c in review.clusters
        ],
        "groups": [[names[i] for i in group] for group in review.groups],
        "questions": [q.sentence for q in review.questions],
        "notes": review.notes,
    }  # fmt: skip


def _asked(studio: OwnerServices, intake_id: str, names: Mapping[str, str]) -> Review:
    """Put the open questions one by one; anything but y or n ends the asking."""
    review = studio.curation.review(intake_id)
    while review.questions:
        ask = review.questions[0]
        for key in (ask.first, ask.second):
            print(f"  {names.get(key.rpartition(':')[0], 'a photo of the person')}", file=sys.stderr)
        reply = typer.prompt(f"{ask.sentence} [y/n, Enter to end]", default="", show_default=False, err=True)
        if reply.strip().lower() not in ("y", "yes", "n", "no"):
            break
        review = studio.curation.answer(intake_id, ask.first, ask.second, reply.strip().lower().startswith("y"))
    return review


def _report_lines(review: Review, names: Mapping[str, str]) -> list[str]:
    words = {"keep": "keep    ", "drop": "left out", "unsure": "unsure  "}
    lines = [f"{words[v.state]}  {names[v.photo_id]}: {v.reason}" for v in review.verdicts]
    lines += [f"note: {n}" for n in review.notes]
    if review.questions:
        open_ones = "1 question is" if len(review.questions) == 1 else f"{len(review.questions)} questions are"
        lines.append(f"{open_ones} open: answer with --ask, or on the Identities tab.")
    lines.append(f"{review.count('keep')} kept, {review.count('unsure')} unsure, {review.count('drop')} left out.")
    return lines


@commands.command("variants")
def identity_variants(
    identity: Annotated[str, typer.Argument(help="A person's name or id.")],
    per_photo: Annotated[int, typer.Option(min=1, max=MOST_PER_PHOTO, help="How many of each photo.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same variants.")] = 0,
    drop: Annotated[list[str] | None, typer.Option(help="Id of one that training shall not use; repeat.")] = None,
    show: Annotated[bool, typer.Option("--list", help="Only list what there is.")] = False,
    clear: Annotated[bool, typer.Option("--clear", help="Delete all; they can be drawn again.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Let the rig draw variants of a person's photos for training: other expressions, gazes, turns, crops, light."""
    if sum((bool(drop), show, clear)) > 1:
        raise UserInputError("--drop, --list and --clear exclude each other.", "Give one of them.")
    output = Output(as_json)
    with opened(data_dir) as studio:
        person, variants = studio.identities.get(identity), studio.variants
        values: dict[str, Any] = {"drawn": 0, "skipped": (), "deleted": 0}
        if clear:
            values["deleted"] = variants.clear(person.id)
        elif drop:
            variants.set_kept(person.id, drop, False)
        elif not show:
            done = variants.multiply(
                person.id, per_photo, seed, on_progress=lambda p: output.progress(p.fraction, p.stage)
            )
            values |= {"drawn": done.drawn, "skipped": done.skipped}
        found = variants.list(person.id)
        values["variants"] = found
        lines = [f"{v.id}  {v.recipe.mood}{'' if v.kept else '  (thrown out)'}" for v in found] if show or drop else []
        lines += [f"{values['drawn']} drawn now, {len(found)} in all."] if not (show or drop or clear) else []
        lines += [f"{values['deleted']} deleted."] if clear else []
        output.result(values, "\n".join([*lines, *values["skipped"]]) or "There are no variants.")


@commands.command("consent")
def identity_consent(
    identity: Annotated[str, typer.Argument(help="A person's name or id.")],
    by: Annotated[str, typer.Option("--by", help="Who agreed.", show_default=False)] = "",
    scope: Annotated[list[str] | None, typer.Option(help="edit, animate, train, generate, publish; repeat.")] = None,
    until: Annotated[str, typer.Option(help=_UNTIL, show_default=False)] = "",
    evidence: Annotated[str, typer.Option(help="Where the agreement can be found.", show_default=False)] = "",
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Take every consent back now: jobs stop, what was made leaves no more.")
    ] = False,
    erase: Annotated[
        bool, typer.Option("--erase", help="With --revoke: erase for good what was made of the person.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Record what a person agreed to, or that it was taken back; without options show what holds."""
    with opened(data_dir) as studio:
        person = studio.identities.get(identity)
        if revoke and (by or scope or until):
            raise UserInputError("--revoke takes consent back and records none.", "Give it alone.")
        if erase and not revoke:
            raise UserInputError("What was made is erased when consent is taken back.", "Add --revoke.")
        did = ""
        if revoke:
            taken = studio.withdrawals.take_back(person.id)
            person, did = taken.person, taken.sentence
            if erase:
                did += " " + studio.withdrawals.erase(person.id).sentence
        elif by:
            person = studio.identities.set_consent(person.id, _consent(by, scope, until, evidence))
        elif scope or until:
            raise UserInputError("The consent does not say who agreed.", "Add --by NAME.")
        now = datetime.now(UTC)
        allowed = [s for s in SCOPES if person.allows(s, now)]
        text = (
            f"{person.name} agreed to: {', '.join(allowed)}." if allowed else f"No consent of {person.name} holds now."
        )
        Output(as_json).result({"identity": person, "allowed": allowed, "done": did}, did or text)


def _said(consent: Consent) -> str:
    end = f", until {last_day(consent.until)}" if consent.until else ""
    return f"consent by {consent.agreed_by} to {', '.join(consent.scopes)}{end}"


def _consent(by: str, scope: list[str] | None, until: str, evidence: str = "") -> Consent:
    end = end_of_day(until) if until else None
    scopes: Any = tuple(scope or SCOPES[:2])
    return Consent(agreed_by=by, scopes=scopes, granted_at=datetime.now(UTC), until=end, evidence=evidence)


@commands.command("report")
def identity_report(
    identity: str,
    out: Annotated[Path, typer.Option(help="File to write, .html or .json.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write down all that is held of a person and was made of them, to be handed to that person."""
    with opened(data_dir) as studio:
        report = studio.reports.write(identity, out)
    counts = {s.title: len(s.rows) for s in report.sections}
    text = "\n".join([f"{out}", *(f"  {title}: {count}" for title, count in counts.items())])
    Output(as_json).result({"path": out.absolute(), "identity_id": report.identity_id, "counts": counts}, text)


@commands.command("delete")
def identity_delete(
    identity: str,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it only the plan is printed.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Delete a person with photos, embeddings and renders; says first what will go."""
    with opened(data_dir) as studio:
        person = studio.identities.get(identity)
        plan = studio.identities.delete(person.id) if yes else studio.identities.delete_plan(person.id)
        text = plan.done if yes else f"{plan.sentence}\nNothing was deleted; add --yes to do it."
        Output(as_json).result({"deleted": yes, "plan": plan}, text)
