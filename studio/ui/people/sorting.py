"""What a heap of dropped photos looks like: the question, the people, the photos with their reasons.

Pure functions from a review to HTML, in the manner of text.py. Buttons carry
`data-act` and `data-id`; name boxes carry `data-name`, and PEOPLE_CLICKS tells
their words. A photo is one button: a click keeps what was left out and leaves
out what was kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape

from studio.domain.curation import Cluster, Intake, IntakePhoto, Question, Review, State, Verdict
from studio.ui.kit import text
from studio.ui.kit.controls import CARD_CLICKS

Picture = Callable[[str, int], str]
"""Address of the small picture of a photo (its id, -1) or of one of its faces (0 and up)."""

PEOPLE_CLICKS = (
    CARD_CLICKS
    + """
element.addEventListener('change', (event) => {
  const box = event.target.closest('[data-name]');
  if (box) trigger('click', { act: 'name', id: box.dataset.name, words: box.value });
});
element.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && event.target.matches('[data-name]')) event.target.blur();
});
"""
)
FACES_SHOWN = 6
_STATES: tuple[tuple[State, str, str], ...] = (
    ("unsure", "Unsure", "Look at these yourself: click a photo to keep it."),
    ("keep", "Kept", "Click a photo to leave it out."),
    ("drop", "Left out", "Click a photo to keep it after all."),
)


def tally(intake: Intake, review: Review) -> str:
    """Return the heap in four numbers."""
    cells = (
        ("kept", review.count("keep"), "good"),
        ("unsure", review.count("unsure"), "warn" if review.count("unsure") else ""),
        ("left out", review.count("drop"), ""),
        ("questions", len(review.questions), "warn" if review.questions else ""),
    )
    inside = "".join(f'<div class="{tone}"><b>{count}</b><span>{word}</span></div>' for word, count, tone in cells)
    return f'<div class="tally" role="status">{inside}</div>' + text.hints(review.notes)


def question(review: Review, picture: Picture, names: Mapping[str, str]) -> str:
    """Return the closest call as two faces and two buttons; empty when there is none.

    Args:
        names: photo id -> file name.
    """
    if not review.questions:
        return ""
    ask = review.questions[0]
    left = f" · {len(review.questions)} questions in all" if len(review.questions) > 1 else ""
    faces = "".join(_portrait(key, picture, names) for key in (ask.first, ask.second))
    return (
        f'<section class="ask" aria-label="Question"><div class="pair">{faces}</div>'
        f'<div class="words"><strong>{escape(_asked(ask))}</strong><p>{escape(_how_far(ask))}{left}</p>'
        f'<div class="acts">{_answer("same", ask, "The same person")}{_answer("different", ask, "Two people")}'
        f"</div></div></section>"
    )


def _asked(ask: Question) -> str:
    return ask.sentence.partition("? ")[0] + "?"


def _how_far(ask: Question) -> str:
    return ask.sentence.partition("? ")[2]


def discard_question(intake: Intake) -> str:
    """Return what is asked before a heap goes: its photos and every answer about them are given up."""
    count = f"{len(intake.photos)} photo{'s' if len(intake.photos) != 1 else ''}"
    stays = "Photos that were taken over stay." if intake.confirmed else "None of them has been taken over yet."
    return (
        f'<div class="notice bad" role="alert"><strong>Discard this heap of {count}, with your answers?</strong>'
        f"<span>{stays} Your own files are not touched.</span>"
        f"{text.button('discard-now', intake.id, 'Discard for good', f'Discard {intake.title} for good')}"
        f"{text.button('leave', intake.id, 'Keep it', f'Do not discard {intake.title}')}</div>"
    )


def _answer(act: str, ask: Question, label: str) -> str:
    return (
        f'<button type="button" class="mini" data-act="{act}" data-id="{escape(ask.first)} {escape(ask.second)}" '
        f'data-key="{act}-{escape(ask.first)}-{escape(ask.second)}">{label}</button>'
    )


def _portrait(key: str, picture: Picture, names: Mapping[str, str]) -> str:
    photo, _, number = key.rpartition(":")
    name = "a photo of the person" if photo == "known" else names.get(photo, "")
    address = picture(number, -2) if photo == "known" else picture(photo, int(number))
    said = escape(name)
    return f'<figure><img src="{escape(address)}" alt="Face in {said}"><figcaption>{said}</figcaption></figure>'


def people(review: Review, picture: Picture, *, fixed: str = "") -> str:
    """Return the people as columns with name boxes; those seen once share the last column.

    Args:
        fixed: name of the person whose photos these are; then no names are asked for.
    """
    columns = [c for c in review.clusters if c.wanted or c.name or len(c.faces) > 1]
    once = [c for c in review.clusters if c not in columns]
    inside = "".join(_person(c, picture, fixed) for c in columns)
    if once:
        faces = [c.faces[0] for c in once]
        inside += (
            f'<article class="who"><strong class="name">Seen once</strong>{_tiles(faces, picture)}'
            f'<p class="line">{len(faces)} other face{"s" if len(faces) != 1 else ""}</p></article>'
        )
    return f'<div class="whos" role="list" aria-label="People in these photos">{inside}</div>' if inside else ""


def _person(cluster: Cluster, picture: Picture, fixed: str) -> str:
    count = f"{len(cluster.faces)} photo{'s' if len(cluster.faces) != 1 else ''}"
    inside = "" if cluster.own_distance is None else f" · {cluster.own_distance:.2f} apart"
    if fixed:
        name = f'<strong class="name">{escape(cluster.name or "Somebody else")}</strong>'
    else:
        hint = "Name this person" if cluster.wanted else "Name, if wanted"
        name = (
            f'<input type="text" maxlength="80" data-name="{escape(cluster.key)}" value="{escape(cluster.name)}" '
            f'placeholder="{hint}" aria-label="Name of the person with {count}">'
        )
    state = '<span class="chip good">proposed</span>' if cluster.wanted else ""
    return (
        f'<article class="who{" wanted" if cluster.wanted else ""}" role="listitem">{name}'
        f'{_tiles(cluster.faces, picture)}<p class="line">{count}{inside}{state}</p></article>'
    )


def _tiles(faces: Sequence[str], picture: Picture) -> str:
    shown = faces if len(faces) <= FACES_SHOWN else faces[: FACES_SHOWN - 1]
    inside = ""
    for key in shown:
        photo, _, number = key.rpartition(":")
        inside += f'<img src="{escape(picture(photo, int(number)))}" alt="" loading="lazy" decoding="async">'
    if len(shown) < len(faces):
        inside += f"<b>+{len(faces) - len(shown)}</b>"
    return f'<div class="tiles">{inside}</div>'


def photos(intake: Intake, review: Review, picture: Picture) -> str:
    """Return all photos by verdict, near-duplicates beneath the best of them, unusable files as a list."""
    by_id = {p.id: p for p in intake.photos}
    verdicts = {v.photo_id: v for v in review.verdicts}
    heads = {g: _head_of(group, verdicts) for g, group in enumerate(review.groups)}
    twins = {heads[g]: [i for i in group if i != heads[g]] for g, group in enumerate(review.groups)}
    under = {i for members in twins.values() for i in members if verdicts[i].state == "drop"}
    out = ""
    for state, title, help_ in _STATES:
        rows = [
            v
            for v in review.verdicts
            if v.state == state and v.photo_id not in under and not by_id[v.photo_id].trouble[0]
        ]
        if rows:
            cells = "".join(
                _shot(by_id[v.photo_id], v, [by_id[t] for t in twins.get(v.photo_id, ()) if t in under], picture)
                for v in rows
            )
            out += (
                f'<details class="pile" open><summary><strong>{title}</strong> <span>{len(rows)}</span>'
                f'<em>{help_}</em></summary><div class="shots" role="list">{cells}</div></details>'
            )
    return out + unusable([p for p in intake.photos if p.trouble[0]])


def _head_of(group: Sequence[str], verdicts: Mapping[str, Verdict]) -> str:
    return next((i for i in group if verdicts[i].best), group[0])


def _shot(photo: IntakePhoto, verdict: Verdict, twins: Sequence[IntakePhoto], picture: Picture) -> str:
    act = "drop" if verdict.state == "keep" else "keep"
    does = "Leave out" if act == "drop" else "Keep"
    chips = "".join(
        f'<span class="chip warn" title="{escape(f.sentence)}">{escape(f.word)}</span>' for f in verdict.flags
    )
    chosen = '<span class="chip">your choice</span>' if verdict.decided else ""
    tone = {"keep": "", "unsure": "warn", "drop": ""}[verdict.state]
    row = ""
    if twins:
        faces = "".join(
            f'<button type="button" data-act="instead" data-id="{escape(t.id)}" data-key="instead-{escape(t.id)}" '
            f'aria-label="Use {escape(t.file_name)} instead" title="Use {escape(t.file_name)} instead">'
            f'<img src="{escape(picture(t.id, -1))}" alt="" loading="lazy"></button>'
            for t in twins
        )
        row = f'<div class="twins"><span>nearly the same</span>{faces}</div>'
    return (
        f'<div class="shot {verdict.state}" role="listitem"><button type="button" class="card" data-act="{act}" '
        f'data-id="{escape(photo.id)}" data-key="shot-{escape(photo.id)}" '
        f'aria-label="{does} {escape(photo.file_name)}: {escape(verdict.reason)}">'
        f'<span class="picture"><img src="{escape(picture(photo.id, -1))}" alt="" loading="lazy" decoding="async">'
        f'<span class="does">{does}</span></span><span class="title">{escape(photo.file_name)}</span>'
        f'<span class="line {tone}">{escape(verdict.reason)}</span></button>'
        f'<div class="chips">{chips}{chosen}</div>{row}</div>'
    )


def unusable(found: Sequence[IntakePhoto]) -> str:
    """Return files that cannot be used, one sentence and a hint each; empty when there are none."""
    if not found:
        return ""
    rows = "".join(
        f"<li><strong>{escape(p.file_name)}</strong><span>{escape(p.trouble[0])} {escape(p.trouble[1])}</span></li>"
        for p in found
    )
    return (
        f'<details class="pile" open><summary><strong>Could not be used</strong> <span>{len(found)}</span></summary>'
        f'<ul class="unusable">{rows}</ul></details>'
    )
