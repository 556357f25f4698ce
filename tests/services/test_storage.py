"""What takes how much room: every file counts, and none of them twice."""

from __future__ import annotations

from studio.domain.expression import ExpressionEdit
from studio.services.sources import MediaSource
from tests.services.fakes import picture


def test_each_file_counts_once_under_what_it_is(studio, tmp_path) -> None:
    whole = studio.whole
    person = studio.identities.add("Ann", [picture(tmp_path / "ann.png")])
    photo = studio.identities.photos(person.id)[0]
    opened = studio.expressions.open(MediaSource.photo(photo.id))
    kept = studio.expressions.save(opened, ExpressionEdit({"smile": 0.5}))
    gone = studio.expressions.save(opened, ExpressionEdit({"smile": 0.2}))
    studio.library.delete(gone.id)
    studio.store.media.put(b"sound" * 100, ".wav")
    another = whole.for_owner("bob").identities.add("Ann", [picture(tmp_path / "again.png")])
    assert whole.for_owner("bob").identities.photos(another.id)[0].sha256 == photo.sha256
    (whole.data_dir / "models" / "one").mkdir(parents=True)
    (whole.data_dir / "models" / "one" / "weights").write_bytes(b"w" * 5000)
    uses = {u.title: u for u in whole.upkeep.storage()}
    assert uses["Photos"].files == 1, "the same bytes of two owners are one file"
    assert uses["Photos"].bytes == photo_bytes(studio, photo)
    assert uses["Pictures"].bytes == studio.library.path(kept).stat().st_size
    assert uses["Pictures and clips in the trash"].files == 1
    assert uses["Base models"].bytes == 5000
    media = sum(p.stat().st_size for p in (whole.data_dir / "media").rglob("*") if p.is_file())
    titles = {
        "Photos",
        "Pictures",
        "Pictures and clips in the trash",
        "Sounds, videos and what else things are made of",
    }
    assert sum(u.bytes for title, u in uses.items() if title in titles) == media
    assert "Clips" not in uses, "what takes no room is left out"
    sizes = [u.bytes for u in whole.upkeep.storage()]
    assert sizes == sorted(sizes, reverse=True)


def photo_bytes(studio, photo) -> int:
    return studio.identities.photo_path(photo.id).stat().st_size
