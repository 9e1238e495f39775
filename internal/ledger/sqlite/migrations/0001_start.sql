-- Evidence as received, and who claimed what of it.
CREATE TABLE evidence (
  id   INTEGER PRIMARY KEY,
  sha  BLOB NOT NULL UNIQUE CHECK (length(sha) = 32),
  size INTEGER NOT NULL              -- of the stored document, unpacked
) STRICT;
-- Bodies lie apart, so that the table above stays dense; retention deletes them.
CREATE TABLE body (
  evidence INTEGER PRIMARY KEY REFERENCES evidence (id),
  zstd     BLOB NOT NULL
) STRICT;
CREATE TABLE claim (
  id       INTEGER PRIMARY KEY,
  evidence INTEGER NOT NULL REFERENCES evidence (id),
  format   TEXT NOT NULL,
  source   TEXT NOT NULL,
  known    INTEGER NOT NULL UNIQUE,
  lane     TEXT NOT NULL,
  hash     BLOB NOT NULL,            -- of evidence and claim together
  claim    TEXT NOT NULL             -- JSON
) STRICT;
CREATE INDEX claim_hash ON claim (hash, known);
CREATE INDEX claim_lane ON claim (lane, known) WHERE lane <> '';
CREATE INDEX claim_evidence ON claim (evidence);

-- What is interned.
CREATE TABLE package (
  id        INTEGER PRIMARY KEY,
  key       TEXT NOT NULL UNIQUE,
  name      TEXT NOT NULL,
  version   TEXT NOT NULL,
  ecosystem TEXT NOT NULL,
  match1    TEXT NOT NULL,
  version1  TEXT NOT NULL,
  match2    TEXT NOT NULL,
  version2  TEXT NOT NULL,
  unmatched TEXT NOT NULL
) STRICT;
-- Names by which advisories may know the packages above, and since when.
CREATE TABLE used (
  ecosystem TEXT NOT NULL,           -- without suffix
  name      TEXT NOT NULL,           -- folded
  known     INTEGER NOT NULL,
  PRIMARY KEY (ecosystem, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE subject (
  id        INTEGER PRIMARY KEY,
  namespace TEXT NOT NULL,
  name      TEXT NOT NULL,
  version   TEXT NOT NULL,
  digest    TEXT NOT NULL,
  derived   INTEGER NOT NULL,
  UNIQUE (name, version, namespace, digest, derived)
) STRICT;

-- Facts read from evidence.
CREATE TABLE bill (
  id        INTEGER PRIMARY KEY,
  claim     INTEGER NOT NULL REFERENCES claim (id),
  subject   INTEGER NOT NULL REFERENCES subject (id),
  format    TEXT NOT NULL,
  generator TEXT NOT NULL,
  serial    TEXT NOT NULL,
  made      INTEGER NOT NULL,
  at        INTEGER NOT NULL,
  partial   INTEGER NOT NULL,
  listed    INTEGER NOT NULL,
  reported  INTEGER NOT NULL,
  notes     TEXT NOT NULL,           -- JSON array, or blank
  packages  BLOB NOT NULL            -- sorted package ids, delta varints
) STRICT;
CREATE INDEX bill_claim ON bill (claim);
CREATE TABLE shape (
  bill INTEGER PRIMARY KEY REFERENCES bill (id),
  body BLOB NOT NULL
) STRICT;
CREATE TABLE event (
  id          INTEGER PRIMARY KEY,
  claim       INTEGER NOT NULL REFERENCES claim (id),
  subject     INTEGER NOT NULL REFERENCES subject (id),
  environment TEXT NOT NULL,
  removed     INTEGER NOT NULL,
  alongside   INTEGER NOT NULL,
  config      TEXT NOT NULL,
  replicas    INTEGER NOT NULL,
  at          INTEGER NOT NULL,
  batch       INTEGER NOT NULL,      -- id of the batch's first event
  complete    INTEGER NOT NULL
) STRICT;
CREATE INDEX event_claim ON event (claim);
CREATE TABLE artifact (
  id      INTEGER PRIMARY KEY,
  claim   INTEGER NOT NULL REFERENCES claim (id),
  subject INTEGER NOT NULL REFERENCES subject (id),
  purl    TEXT NOT NULL,
  at      INTEGER NOT NULL
) STRICT;
CREATE INDEX artifact_claim ON artifact (claim);
CREATE TABLE verdict (
  id    INTEGER PRIMARY KEY,
  claim INTEGER NOT NULL REFERENCES claim (id),
  body  TEXT NOT NULL                -- JSON
) STRICT;
CREATE INDEX verdict_claim ON verdict (claim);
CREATE TABLE description (
  id    INTEGER PRIMARY KEY,
  claim INTEGER NOT NULL REFERENCES claim (id),
  body  TEXT NOT NULL                -- JSON
) STRICT;
CREATE INDEX description_claim ON description (claim);

-- Signals; those without a claim came from a feed and are kept by a rebuild.
CREATE TABLE exploited (
  id         INTEGER PRIMARY KEY,
  claim      INTEGER REFERENCES claim (id),
  list       TEXT NOT NULL,
  cve        TEXT NOT NULL,
  added      INTEGER NOT NULL,
  due        INTEGER NOT NULL,
  ransomware INTEGER NOT NULL,
  note       TEXT NOT NULL
) STRICT;
CREATE INDEX exploited_cve ON exploited (cve, list, id);
CREATE INDEX exploited_claim ON exploited (claim) WHERE claim IS NOT NULL;
CREATE TABLE likelihood (
  id         INTEGER PRIMARY KEY,
  claim      INTEGER REFERENCES claim (id),
  cve        TEXT NOT NULL,
  score      REAL NOT NULL,
  percentile REAL NOT NULL,
  at         INTEGER NOT NULL
) STRICT;
CREATE INDEX likelihood_cve ON likelihood (cve, id);
CREATE INDEX likelihood_claim ON likelihood (claim) WHERE claim IS NOT NULL;

-- Advisory records with every revision.
CREATE TABLE advisory (
  id        INTEGER PRIMARY KEY,
  name      TEXT NOT NULL UNIQUE,    -- the record's own id
  revisions INTEGER NOT NULL,        -- number of the newest revision
  hash      BLOB NOT NULL            -- of the newest revision
) STRICT;
CREATE TABLE advisory_revision (
  id       INTEGER PRIMARY KEY,
  advisory INTEGER NOT NULL REFERENCES advisory (id),
  revision INTEGER NOT NULL,
  known    INTEGER NOT NULL,
  since    INTEGER NOT NULL,         -- when what it says is affected became known
  source   TEXT NOT NULL,
  row      TEXT NOT NULL,            -- JSON, without the record as received
  raw      BLOB NOT NULL,            -- the record as received, zstd
  UNIQUE (advisory, revision)
) STRICT;
-- The names of all revisions of a record: one that left a package is found too.
CREATE TABLE advisory_package (
  ecosystem TEXT NOT NULL,           -- without suffix
  name      TEXT NOT NULL,           -- folded
  advisory  INTEGER NOT NULL REFERENCES advisory (id),
  PRIMARY KEY (ecosystem, name, advisory)
) STRICT, WITHOUT ROWID;
CREATE INDEX advisory_package_advisory ON advisory_package (advisory);
-- Every id that a revision of a record carries: its aliases, related and upstream.
CREATE TABLE advisory_cites (
  id       TEXT NOT NULL,
  advisory INTEGER NOT NULL REFERENCES advisory (id),
  PRIMARY KEY (id, advisory)
) STRICT, WITHOUT ROWID;
-- Counters, so that coverage never scans.
CREATE TABLE ecosystem (
  name     TEXT PRIMARY KEY,
  records  INTEGER NOT NULL,
  modified INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Decisions and settings.
CREATE TABLE appversion (
  id          INTEGER PRIMARY KEY,
  application TEXT NOT NULL,
  number      INTEGER NOT NULL,
  hash        TEXT NOT NULL,
  environment TEXT NOT NULL,
  at          INTEGER NOT NULL,
  known       INTEGER NOT NULL,
  members     TEXT NOT NULL,         -- JSON
  UNIQUE (application, hash),
  UNIQUE (application, number)
) STRICT;
CREATE TABLE value (
  bucket TEXT NOT NULL,
  key    TEXT NOT NULL,
  value  BLOB NOT NULL,
  PRIMARY KEY (bucket, key)
) STRICT, WITHOUT ROWID;

-- The change feed: rows first..last of one kind became known. Rows of a kind
-- are numbered in this order, so a stretch of the feed is an id range of each kind.
CREATE TABLE change (
  seq   INTEGER PRIMARY KEY,
  known INTEGER NOT NULL,
  kind  INTEGER NOT NULL,
  first INTEGER NOT NULL,
  last  INTEGER NOT NULL
) STRICT;
CREATE INDEX change_known ON change (known);
