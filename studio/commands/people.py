"""People and their photos."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from studio.cli_output import Output
from studio.commands.shared import OPTIONS, AsJson, DataDir, Face, opened
from studio.errors import UserInputError

commands = typer.Typer(help="People and their photos.", **OPTIONS)


@commands.command("add")
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
        lines += [f"  consent by {c.agreed_by} to {', '.join(c.scopes)}" for c in person.consents if not c.revoked_at]
        Output(as_json).result({"identity": person, "photos": photos}, "\n".join(lines))


@commands.command("delete")
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
