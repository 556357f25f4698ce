"""The history of the schema, one short function per step, never edited once released.

sqlite-utils keeps the list of what was applied. It is imported only when there
is something to apply: importing it costs half a second where pandas is installed.

Every table has an owner. Times are text, UTC, of fixed width, so that they sort.
Bytes are in `media`, once per owner; everything that shows bytes refers to that
row, so that the database itself says which files are still needed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database

SET = "studio"
TABLE = "_sqlite_migrations"


def m001_projects(db: Database) -> None:
    """Projects."""
    db.execute("""
        CREATE TABLE projects (
            id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL COLLATE NOCASE,
            notes TEXT NOT NULL DEFAULT '', created TEXT NOT NULL,
            UNIQUE (owner, name))""")


def m002_media(db: Database) -> None:
    """Files named by their hash; the extension is data."""
    db.execute("""
        CREATE TABLE media (
            owner TEXT NOT NULL, sha256 TEXT NOT NULL, extension TEXT NOT NULL DEFAULT '',
            bytes INTEGER NOT NULL, created TEXT NOT NULL,
            PRIMARY KEY (owner, sha256)) WITHOUT ROWID""")
    db.execute("CREATE INDEX media_sha256 ON media (sha256)")
    # Files whose rows are gone and which must leave the disk, even if the process dies in between.
    db.execute("CREATE TABLE media_doomed (owner TEXT NOT NULL, file_name TEXT PRIMARY KEY) WITHOUT ROWID")


def m003_identities(db: Database) -> None:
    """People and what they agreed to."""
    db.execute("""
        CREATE TABLE identities (
            id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL COLLATE NOCASE,
            notes TEXT NOT NULL DEFAULT '', created TEXT NOT NULL,
            project_id TEXT REFERENCES projects (id) ON DELETE SET NULL,
            UNIQUE (owner, name))""")
    db.execute("CREATE INDEX identities_project ON identities (project_id)")
    db.execute("""
        CREATE TABLE consents (
            id TEXT PRIMARY KEY, owner TEXT NOT NULL,
            identity_id TEXT NOT NULL REFERENCES identities (id) ON DELETE CASCADE,
            agreed_by TEXT NOT NULL, scopes TEXT NOT NULL, granted_at TEXT NOT NULL, until TEXT,
            evidence TEXT NOT NULL DEFAULT '', revoked_at TEXT)""")
    db.execute("CREATE INDEX consents_identity ON consents (identity_id)")


def m004_photos(db: Database) -> None:
    """Photos, the faces chosen in them, their embeddings and rigs."""
    db.execute("""
        CREATE TABLE photos (
            id TEXT PRIMARY KEY, owner TEXT NOT NULL, sha256 TEXT NOT NULL, file_name TEXT NOT NULL DEFAULT '',
            width INTEGER NOT NULL, height INTEGER NOT NULL,
            identity_id TEXT REFERENCES identities (id) ON DELETE CASCADE,
            project_id TEXT REFERENCES projects (id) ON DELETE SET NULL,
            face_index INTEGER, face TEXT, landmarks BLOB, created TEXT NOT NULL,
            FOREIGN KEY (owner, sha256) REFERENCES media (owner, sha256))""")
    db.execute("CREATE INDEX photos_identity ON photos (owner, identity_id)")
    db.execute("CREATE INDEX photos_project ON photos (project_id)")
    db.execute("""
        CREATE UNIQUE INDEX photos_once ON photos
            (owner, sha256, coalesce(identity_id, ''), coalesce(face_index, -1))""")
    db.execute("""
        CREATE TABLE embeddings (
            owner TEXT NOT NULL, photo_id TEXT NOT NULL REFERENCES photos (id) ON DELETE CASCADE,
            embedder TEXT NOT NULL, vector BLOB NOT NULL, created TEXT NOT NULL,
            PRIMARY KEY (photo_id, embedder))""")
    db.execute("""
        CREATE TABLE rigs (
            id TEXT PRIMARY KEY, owner TEXT NOT NULL, photo_id TEXT NOT NULL REFERENCES photos (id) ON DELETE CASCADE,
            engine TEXT NOT NULL, engine_version TEXT NOT NULL, fit BLOB NOT NULL, summary TEXT NOT NULL,
            created TEXT NOT NULL, UNIQUE (photo_id, engine, engine_version))""")


def m005_jobs(db: Database) -> None:
    """The queue, the lines and preview of each job, and the one worker of the folder."""
    db.execute("""
        CREATE TABLE jobs (
            number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
            kind TEXT NOT NULL, title TEXT NOT NULL DEFAULT '', params TEXT NOT NULL, state TEXT NOT NULL,
            position REAL NOT NULL, fraction REAL NOT NULL DEFAULT 0, message TEXT NOT NULL DEFAULT '',
            seconds_left REAL, outputs TEXT NOT NULL DEFAULT '{}', checkpoint TEXT NOT NULL DEFAULT '{}', failure TEXT,
            attempt INTEGER NOT NULL DEFAULT 1,
            parent_id TEXT REFERENCES jobs (id) ON DELETE SET NULL,
            project_id TEXT REFERENCES projects (id) ON DELETE SET NULL,
            identity_id TEXT REFERENCES identities (id) ON DELETE CASCADE,
            cancel_requested INTEGER NOT NULL DEFAULT 0, claim TEXT, pid INTEGER, process_started REAL, host TEXT,
            created TEXT NOT NULL, started TEXT, finished TEXT, heartbeat TEXT)""")
    db.execute("CREATE INDEX jobs_owner ON jobs (owner, number)")
    db.execute("CREATE INDEX jobs_waiting ON jobs (position, number) WHERE state = 'queued'")
    db.execute("CREATE INDEX jobs_running ON jobs (number) WHERE state = 'running'")
    db.execute("CREATE INDEX jobs_parent ON jobs (parent_id)")
    db.execute("CREATE INDEX jobs_project ON jobs (project_id)")
    db.execute("CREATE INDEX jobs_identity ON jobs (identity_id)")
    db.execute("""
        CREATE TABLE job_lines (
            number INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL,
            job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, at TEXT NOT NULL, text TEXT NOT NULL)""")
    db.execute("CREATE INDEX job_lines_job ON job_lines (job_id, number)")
    db.execute("""
        CREATE TABLE job_previews (
            job_id TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE, owner TEXT NOT NULL,
            number INTEGER NOT NULL, png BLOB NOT NULL)""")
    db.execute("""
        CREATE TABLE workers (
            slot INTEGER PRIMARY KEY CHECK (slot = 1), owner TEXT NOT NULL, claim TEXT NOT NULL, pid INTEGER NOT NULL,
            process_started REAL NOT NULL, host TEXT NOT NULL, heartbeat TEXT NOT NULL)""")


def m006_renders(db: Database) -> None:
    """Renders in narrow rows; recipes beside them, so that paging never reads them."""
    db.execute("""
        CREATE TABLE renders (
            number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
            kind TEXT NOT NULL, title TEXT NOT NULL DEFAULT '', media_sha256 TEXT NOT NULL, thumbnail_sha256 TEXT,
            engine TEXT NOT NULL, engine_version TEXT NOT NULL, seconds REAL NOT NULL,
            project_id TEXT REFERENCES projects (id) ON DELETE SET NULL,
            identity_id TEXT REFERENCES identities (id) ON DELETE CASCADE,
            photo_id TEXT REFERENCES photos (id) ON DELETE SET NULL,
            parent_id TEXT REFERENCES renders (id) ON DELETE SET NULL,
            job_id TEXT REFERENCES jobs (id) ON DELETE SET NULL,
            width INTEGER, height INTEGER, duration_seconds REAL,
            starred INTEGER NOT NULL DEFAULT 0, created TEXT NOT NULL, deleted TEXT,
            FOREIGN KEY (owner, media_sha256) REFERENCES media (owner, sha256),
            FOREIGN KEY (owner, thumbnail_sha256) REFERENCES media (owner, sha256))""")
    live = "WHERE deleted IS NULL"
    db.execute(f"CREATE INDEX renders_owner ON renders (owner, number) {live}")
    for column in ("project_id", "identity_id", "kind", "starred"):
        db.execute(f"CREATE INDEX renders_{column} ON renders (owner, {column}, number) {live}")
    db.execute("CREATE INDEX renders_deleted ON renders (owner, deleted) WHERE deleted IS NOT NULL")
    # Foreign keys without an index turn each deletion into a scan of all renders.
    for column in ("media_sha256", "thumbnail_sha256", "photo_id", "parent_id", "job_id"):
        db.execute(f"CREATE INDEX renders_{column} ON renders ({column})")
    db.execute("CREATE INDEX renders_project_link ON renders (project_id)")
    db.execute("CREATE INDEX renders_identity_link ON renders (identity_id)")
    db.execute("""
        CREATE TABLE recipes (
            render_id TEXT PRIMARY KEY REFERENCES renders (id) ON DELETE CASCADE, owner TEXT NOT NULL,
            recipe TEXT NOT NULL)""")
    db.execute("""
        CREATE TABLE render_inputs (
            render_id TEXT NOT NULL REFERENCES renders (id) ON DELETE CASCADE, owner TEXT NOT NULL,
            role TEXT NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (render_id, role)) WITHOUT ROWID""")
    db.execute("CREATE INDEX render_inputs_sha256 ON render_inputs (owner, sha256)")
    db.execute("""
        CREATE VIRTUAL TABLE render_text USING fts5
            (title, search_text, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3')""")
    db.execute("""
        CREATE TRIGGER renders_text_gone AFTER DELETE ON renders BEGIN
            DELETE FROM render_text WHERE rowid = old.number; END""")


def m007_presets(db: Database) -> None:
    """A person's own presets."""
    db.execute("""
        CREATE TABLE presets (
            id TEXT PRIMARY KEY, owner TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL COLLATE NOCASE,
            "values" TEXT NOT NULL, thumbnail_sha256 TEXT, created TEXT NOT NULL,
            UNIQUE (owner, kind, name),
            FOREIGN KEY (owner, thumbnail_sha256) REFERENCES media (owner, sha256))""")
    db.execute("CREATE INDEX presets_thumbnail ON presets (thumbnail_sha256)")


def m008_adapters(db: Database) -> None:
    """A person's own base models; adapters, whose likeness is in them, and the files they were exported to."""
    db.execute("""
        CREATE TABLE bases (
            owner TEXT NOT NULL, name TEXT NOT NULL COLLATE NOCASE, title TEXT NOT NULL, family TEXT NOT NULL,
            path TEXT NOT NULL, is_file INTEGER NOT NULL, resolution INTEGER NOT NULL, prediction_type TEXT NOT NULL,
            sha256 TEXT NOT NULL, created TEXT NOT NULL, PRIMARY KEY (owner, name)) WITHOUT ROWID""")
    db.execute("""
        CREATE TABLE adapters (
            id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL COLLATE NOCASE, method TEXT NOT NULL,
            origin TEXT NOT NULL, family TEXT NOT NULL, media_sha256 TEXT NOT NULL, thumbnail_sha256 TEXT,
            sheet_sha256 TEXT, trigger_phrase TEXT NOT NULL DEFAULT '', rank INTEGER,
            base_name TEXT NOT NULL DEFAULT '', base_sha256 TEXT NOT NULL DEFAULT '',
            identity_id TEXT REFERENCES identities (id) ON DELETE CASCADE,
            run_id TEXT, checkpoint_id TEXT, parents TEXT NOT NULL DEFAULT '{}', measures TEXT NOT NULL DEFAULT '{}',
            notes TEXT NOT NULL DEFAULT '', created TEXT NOT NULL, UNIQUE (owner, name),
            FOREIGN KEY (owner, media_sha256) REFERENCES media (owner, sha256),
            FOREIGN KEY (owner, thumbnail_sha256) REFERENCES media (owner, sha256),
            FOREIGN KEY (owner, sheet_sha256) REFERENCES media (owner, sha256))""")
    for column in ("identity_id", "run_id", "media_sha256", "thumbnail_sha256", "sheet_sha256"):
        db.execute(f"CREATE INDEX adapters_{column} ON adapters ({column})")
    # A merged adapter holds several people's likeness; whoever leaves takes it along, also when a parent is gone.
    db.execute("""
        CREATE TABLE adapter_people (
            owner TEXT NOT NULL, adapter_id TEXT NOT NULL REFERENCES adapters (id) ON DELETE CASCADE,
            identity_id TEXT NOT NULL REFERENCES identities (id) ON DELETE CASCADE,
            PRIMARY KEY (adapter_id, identity_id))""")
    db.execute("CREATE INDEX adapter_people_identity ON adapter_people (identity_id)")
    db.execute("""
        CREATE TABLE adapter_exports (
            id TEXT PRIMARY KEY, owner TEXT NOT NULL,
            adapter_id TEXT NOT NULL REFERENCES adapters (id) ON DELETE CASCADE,
            format TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL,
            created TEXT NOT NULL)""")
    db.execute("CREATE INDEX adapter_exports_adapter ON adapter_exports (adapter_id)")


def m009_training(db: Database) -> None:
    """Training runs with their curves, checkpoints and samples, and the grid that is voted on."""
    db.execute("""
        CREATE TABLE runs (
            id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL DEFAULT '', plan TEXT NOT NULL,
            base_sha256 TEXT NOT NULL, photos TEXT NOT NULL,
            identity_id TEXT NOT NULL REFERENCES identities (id) ON DELETE CASCADE,
            project_id TEXT REFERENCES projects (id) ON DELETE SET NULL,
            job_id TEXT REFERENCES jobs (id) ON DELETE SET NULL,
            calibration TEXT, outcome TEXT NOT NULL DEFAULT '', created TEXT NOT NULL)""")
    db.execute("CREATE INDEX runs_owner ON runs (owner, created)")
    for column in ("identity_id", "project_id", "job_id"):
        db.execute(f"CREATE INDEX runs_{column} ON runs ({column})")
    db.execute("""
        CREATE TABLE run_metrics (
            run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, owner TEXT NOT NULL, name TEXT NOT NULL,
            step INTEGER NOT NULL, value REAL NOT NULL, PRIMARY KEY (run_id, name, step)) WITHOUT ROWID""")
    db.execute("""
        CREATE TABLE checkpoints (
            id TEXT PRIMARY KEY, owner TEXT NOT NULL, run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
            step INTEGER NOT NULL, media_sha256 TEXT NOT NULL, distance REAL, drift REAL, loss REAL,
            has_state INTEGER NOT NULL DEFAULT 0, created TEXT NOT NULL, UNIQUE (run_id, step),
            FOREIGN KEY (owner, media_sha256) REFERENCES media (owner, sha256))""")
    db.execute("""
        CREATE TABLE run_samples (
            number INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
            owner TEXT NOT NULL, step INTEGER NOT NULL, kind TEXT NOT NULL, prompt TEXT NOT NULL,
            seed INTEGER NOT NULL, media_sha256 TEXT NOT NULL, distance REAL,
            UNIQUE (run_id, step, kind, prompt, seed),
            FOREIGN KEY (owner, media_sha256) REFERENCES media (owner, sha256))""")
    db.execute("""
        CREATE TABLE grid_cells (
            id TEXT PRIMARY KEY, owner TEXT NOT NULL, run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
            checkpoint_id TEXT NOT NULL REFERENCES checkpoints (id) ON DELETE CASCADE, strength REAL NOT NULL,
            prompt TEXT NOT NULL, seed INTEGER NOT NULL, media_sha256 TEXT NOT NULL, distance REAL,
            vote INTEGER NOT NULL DEFAULT 0, created TEXT NOT NULL, UNIQUE (checkpoint_id, strength, prompt, seed),
            FOREIGN KEY (owner, media_sha256) REFERENCES media (owner, sha256))""")
    db.execute("CREATE INDEX grid_cells_run ON grid_cells (run_id)")
    for table in ("checkpoints", "run_samples", "grid_cells"):
        db.execute(f"CREATE INDEX {table}_media ON {table} (media_sha256)")


def m010_curation(db: Database) -> None:
    """What was measured in pictures, heaps of dropped files with the answers about them, and curated photos.

    Measurements belong to bytes and go with them. Every change that a person makes
    is a step with the rows as they were before, so that it can be taken back.
    """
    db.execute("""
        CREATE TABLE photo_analyses (
            owner TEXT NOT NULL, sha256 TEXT NOT NULL, version TEXT NOT NULL, width INTEGER NOT NULL,
            height INTEGER NOT NULL, fingerprint TEXT, problem TEXT NOT NULL DEFAULT '', hint TEXT NOT NULL DEFAULT '',
            mask_sha256 TEXT, created TEXT NOT NULL, PRIMARY KEY (owner, sha256),
            FOREIGN KEY (owner, sha256) REFERENCES media (owner, sha256) ON DELETE CASCADE,
            FOREIGN KEY (owner, mask_sha256) REFERENCES media (owner, sha256))""")
    db.execute("CREATE INDEX photo_analyses_mask ON photo_analyses (owner, mask_sha256)")
    db.execute("""
        CREATE TABLE photo_faces (
            owner TEXT NOT NULL, sha256 TEXT NOT NULL, face_index INTEGER NOT NULL, face TEXT NOT NULL,
            landmarks BLOB NOT NULL, embedder TEXT, vector BLOB, measures TEXT NOT NULL,
            PRIMARY KEY (owner, sha256, face_index),
            FOREIGN KEY (owner, sha256) REFERENCES photo_analyses (owner, sha256) ON DELETE CASCADE)""")
    # Small pictures for lists: number -1 is the whole photo, 0 and up its faces.
    db.execute("""
        CREATE TABLE photo_looks (
            owner TEXT NOT NULL, sha256 TEXT NOT NULL, number INTEGER NOT NULL, jpeg BLOB NOT NULL,
            PRIMARY KEY (owner, sha256, number),
            FOREIGN KEY (owner, sha256) REFERENCES photo_analyses (owner, sha256) ON DELETE CASCADE)""")
    db.execute("""
        CREATE TABLE intakes (
            id TEXT PRIMARY KEY, owner TEXT NOT NULL, title TEXT NOT NULL DEFAULT '',
            identity_id TEXT REFERENCES identities (id) ON DELETE CASCADE,
            job_id TEXT REFERENCES jobs (id) ON DELETE SET NULL,
            notes TEXT NOT NULL DEFAULT '{}', created TEXT NOT NULL, confirmed TEXT)""")
    db.execute("CREATE INDEX intakes_owner ON intakes (owner, created)")
    for column in ("identity_id", "job_id"):
        db.execute(f"CREATE INDEX intakes_{column} ON intakes ({column})")
    db.execute("""
        CREATE TABLE intake_photos (
            id TEXT PRIMARY KEY, owner TEXT NOT NULL, intake_id TEXT NOT NULL REFERENCES intakes (id) ON DELETE CASCADE,
            position INTEGER NOT NULL, file_name TEXT NOT NULL DEFAULT '', sha256 TEXT,
            problem TEXT NOT NULL DEFAULT '', hint TEXT NOT NULL DEFAULT '', decision TEXT,
            UNIQUE (intake_id, sha256), FOREIGN KEY (owner, sha256) REFERENCES media (owner, sha256))""")
    db.execute("CREATE INDEX intake_photos_media ON intake_photos (owner, sha256)")
    db.execute("""
        CREATE TABLE intake_names (
            owner TEXT NOT NULL, intake_id TEXT NOT NULL REFERENCES intakes (id) ON DELETE CASCADE,
            face TEXT NOT NULL, name TEXT NOT NULL, identity_id TEXT REFERENCES identities (id) ON DELETE SET NULL,
            PRIMARY KEY (intake_id, face))""")
    db.execute("CREATE INDEX intake_names_identity ON intake_names (identity_id)")
    db.execute("""
        CREATE TABLE intake_links (
            owner TEXT NOT NULL, intake_id TEXT NOT NULL REFERENCES intakes (id) ON DELETE CASCADE,
            first TEXT NOT NULL, second TEXT NOT NULL, same INTEGER NOT NULL,
            PRIMARY KEY (intake_id, first, second))""")
    db.execute("""
        CREATE TABLE curated_photos (
            photo_id TEXT PRIMARY KEY REFERENCES photos (id) ON DELETE CASCADE, owner TEXT NOT NULL,
            kept INTEGER, caption TEXT, crop TEXT)""")
    db.execute("""
        CREATE TABLE caption_policies (
            owner TEXT NOT NULL, identity_id TEXT NOT NULL REFERENCES identities (id) ON DELETE CASCADE,
            trait TEXT NOT NULL, policy TEXT NOT NULL, PRIMARY KEY (identity_id, trait))""")
    db.execute("""
        CREATE TABLE curation_steps (
            number INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL,
            intake_id TEXT REFERENCES intakes (id) ON DELETE CASCADE,
            identity_id TEXT REFERENCES identities (id) ON DELETE CASCADE,
            title TEXT NOT NULL, before TEXT NOT NULL, created TEXT NOT NULL)""")
    db.execute("CREATE INDEX curation_steps_intake ON curation_steps (intake_id, number)")
    db.execute("CREATE INDEX curation_steps_identity ON curation_steps (identity_id, number)")


def m011_lanes(db: Database) -> None:
    """One worker per lane; who works now is said anew at once."""
    db.execute("DROP TABLE workers")
    db.execute("""
        CREATE TABLE workers (
            lane TEXT PRIMARY KEY CHECK (lane IN ('main', 'long')), owner TEXT NOT NULL, claim TEXT NOT NULL,
            pid INTEGER NOT NULL, process_started REAL NOT NULL, host TEXT NOT NULL, heartbeat TEXT NOT NULL)""")


def m012_variants(db: Database) -> None:
    """Pictures that the rig drew of a person's photos, for training."""
    db.execute("""
        CREATE TABLE variants (
            id TEXT PRIMARY KEY, owner TEXT NOT NULL,
            photo_id TEXT NOT NULL REFERENCES photos (id) ON DELETE CASCADE,
            number INTEGER NOT NULL, seed INTEGER NOT NULL, recipe TEXT NOT NULL, traits TEXT NOT NULL,
            media_sha256 TEXT NOT NULL, mask_sha256 TEXT NOT NULL, kept INTEGER NOT NULL DEFAULT 1,
            engine TEXT NOT NULL, created TEXT NOT NULL, UNIQUE (photo_id, number),
            FOREIGN KEY (owner, media_sha256) REFERENCES media (owner, sha256),
            FOREIGN KEY (owner, mask_sha256) REFERENCES media (owner, sha256))""")
    db.execute("CREATE INDEX variants_media ON variants (owner, media_sha256)")
    db.execute("CREATE INDEX variants_mask ON variants (owner, mask_sha256)")


def m013_setup_seconds(db: Database) -> None:
    """How much of a render's seconds went by before its first frame; NULL is not known."""
    db.execute("ALTER TABLE renders ADD COLUMN setup_seconds REAL")


def m014_performances(db: Database) -> None:
    """Performances with layers: every state that can be gone back to, and the media that any of them needs."""
    db.execute("""
        CREATE TABLE performances (
            id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL COLLATE NOCASE,
            identity_id TEXT REFERENCES identities (id) ON DELETE CASCADE,
            step INTEGER NOT NULL, created TEXT NOT NULL, changed TEXT NOT NULL, UNIQUE (owner, name))""")
    db.execute("CREATE INDEX performances_identity ON performances (identity_id)")
    db.execute("""
        CREATE TABLE performance_steps (
            owner TEXT NOT NULL, performance_id TEXT NOT NULL REFERENCES performances (id) ON DELETE CASCADE,
            step INTEGER NOT NULL, title TEXT NOT NULL, document TEXT NOT NULL, created TEXT NOT NULL,
            PRIMARY KEY (performance_id, step)) WITHOUT ROWID""")
    db.execute("""
        CREATE TABLE performance_media (
            owner TEXT NOT NULL, performance_id TEXT NOT NULL REFERENCES performances (id) ON DELETE CASCADE,
            sha256 TEXT NOT NULL, PRIMARY KEY (performance_id, sha256),
            FOREIGN KEY (owner, sha256) REFERENCES media (owner, sha256)) WITHOUT ROWID""")
    db.execute("CREATE INDEX performance_media_sha256 ON performance_media (owner, sha256)")


def m015_marks(db: Database) -> None:
    """Renders by the number of their invisible mark, which stands in the recipe."""
    db.execute("CREATE INDEX recipes_mark ON recipes (owner, json_extract(recipe, '$.mark'))")


STEPS: tuple[Callable[[Database], None], ...] = (
    m001_projects,
    m002_media,
    m003_identities,
    m004_photos,
    m005_jobs,
    m006_renders,
    m007_presets,
    m008_adapters,
    m009_training,
    m010_curation,
    m011_lanes,
    m012_variants,
    m013_setup_seconds,
    m014_performances,
    m015_marks,
)
NAMES: tuple[str, ...] = tuple(step.__name__ for step in STEPS)


def apply(connection: sqlite3.Connection, *, stop_before: str | None = None) -> None:
    """Apply what is not applied yet; inside an open transaction, all of it or nothing.

    Args:
        stop_before: name of the first step to leave out (tests make older schemas with it).
    """
    from sqlite_utils import Database, Migrations

    known = Migrations(SET)
    for step in STEPS:
        known()(step)
    known.apply(Database(connection), stop_before=stop_before)
