package sqlite

// Every statement of the ledger is here, so that a test can ask SQLite for the
// plan of each. The writer prepares the first list, each reading connection
// the second.

const (
	wClaimByHash = iota
	wClaimInLane
	wEvidenceBySHA
	wBodyOf
	wAddEvidence
	wAddBody
	wAddClaim
	wAddPackage
	wAddUsed
	wSubject
	wAddSubject
	wAddBill
	wAddShape
	wAddEvent
	wAddArtifact
	wAddVerdict
	wAddDescription
	wExploited
	wAddExploited
	wLikelihood
	wAddLikelihood
	wAdvisory
	wAddAdvisory
	wSetAdvisory
	wAddRevision
	wNewestRevision
	wAddCite
	wAdvisoryNames
	wAddAdvisoryName
	wCountEcosystem
	wModifyEcosystem
	wAppVersion
	wAppNumber
	wAddAppVersion
	wPutValue
	wDeleteValue
	wAddChange
	wDropBodies
	wDropRevisions
)

var writing = []string{
	wClaimByHash:     `SELECT known FROM claim WHERE hash = ? ORDER BY known DESC LIMIT 1`,
	wClaimInLane:     `SELECT 1 FROM claim WHERE lane = ? AND lane <> '' AND known > ? LIMIT 1`,
	wEvidenceBySHA:   `SELECT id FROM evidence WHERE sha = ?`,
	wBodyOf:          `SELECT 1 FROM body WHERE evidence = ?`,
	wAddEvidence:     `INSERT INTO evidence (id, sha, size) VALUES (?, ?, ?)`,
	wAddBody:         `INSERT INTO body (evidence, zstd) VALUES (?, ?)`,
	wAddClaim:        `INSERT INTO claim (id, evidence, format, source, known, lane, hash, claim) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
	wAddPackage:      `INSERT INTO package (id, key, name, version, ecosystem, match1, version1, match2, version2, unmatched) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
	wAddUsed:         `INSERT INTO used (ecosystem, name, known) VALUES (?, ?, ?)`,
	wSubject:         `SELECT id FROM subject WHERE name = ? AND version = ? AND namespace = ? AND digest = ? AND derived = ?`,
	wAddSubject:      `INSERT INTO subject (id, namespace, name, version, digest, derived) VALUES (?, ?, ?, ?, ?, ?)`,
	wAddBill:         `INSERT INTO bill (id, claim, subject, format, generator, serial, made, at, partial, listed, reported, notes, packages) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
	wAddShape:        `INSERT INTO shape (bill, body) VALUES (?, ?)`,
	wAddEvent:        `INSERT INTO event (id, claim, subject, environment, removed, alongside, config, replicas, at, batch, complete) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
	wAddArtifact:     `INSERT INTO artifact (id, claim, subject, purl, at) VALUES (?, ?, ?, ?, ?)`,
	wAddVerdict:      `INSERT INTO verdict (id, claim, body) VALUES (?, ?, ?)`,
	wAddDescription:  `INSERT INTO description (id, claim, body) VALUES (?, ?, ?)`,
	wExploited:       `SELECT added, due, ransomware, note FROM exploited WHERE cve = ? AND list = ? ORDER BY id DESC LIMIT 1`,
	wAddExploited:    `INSERT INTO exploited (id, claim, list, cve, added, due, ransomware, note) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
	wLikelihood:      `SELECT score FROM likelihood WHERE cve = ? ORDER BY id DESC LIMIT 1`,
	wAddLikelihood:   `INSERT INTO likelihood (id, claim, cve, score, percentile, at) VALUES (?, ?, ?, ?, ?, ?)`,
	wAdvisory:        `SELECT id, revisions, hash FROM advisory WHERE name = ?`,
	wAddAdvisory:     `INSERT INTO advisory (id, name, revisions, hash) VALUES (?, ?, 1, ?)`,
	wSetAdvisory:     `UPDATE advisory SET revisions = ?, hash = ? WHERE id = ?`,
	wAddRevision:     `INSERT INTO advisory_revision (id, advisory, revision, known, since, source, row, raw) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
	wNewestRevision:  `SELECT since, row FROM advisory_revision WHERE advisory = ? AND revision = ?`,
	wAddCite:         `INSERT INTO advisory_cites (id, advisory) VALUES (?, ?) ON CONFLICT DO NOTHING`,
	wAdvisoryNames:   `SELECT ecosystem, name FROM advisory_package WHERE advisory = ?`,
	wAddAdvisoryName: `INSERT INTO advisory_package (ecosystem, name, advisory) VALUES (?, ?, ?)`,
	wCountEcosystem:  `INSERT INTO ecosystem (name, records, modified) VALUES (?, 1, ?) ON CONFLICT (name) DO UPDATE SET records = records + 1, modified = max(modified, excluded.modified)`,
	wModifyEcosystem: `UPDATE ecosystem SET modified = max(modified, ?2) WHERE name = ?1`,
	wAppVersion:      `SELECT 1 FROM appversion WHERE application = ? AND hash = ?`,
	wAppNumber:       `SELECT 1 FROM appversion WHERE application = ? AND number = ?`,
	wAddAppVersion:   `INSERT INTO appversion (id, application, number, hash, environment, at, known, members) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
	wPutValue:        `INSERT INTO value (bucket, key, value) VALUES (?, ?, ?) ON CONFLICT (bucket, key) DO UPDATE SET value = excluded.value`,
	wDeleteValue:     `DELETE FROM value WHERE bucket = ? AND key = ?`,
	wAddChange:       `INSERT INTO change (seq, known, kind, first, last) VALUES (?, ?, ?, ?, ?)`,
	// A body goes when every claim of it was a bill's and was replaced in its lane before the given time.
	wDropBodies: `DELETE FROM body WHERE EXISTS (SELECT 1 FROM claim c WHERE c.evidence = body.evidence)
		AND NOT EXISTS (SELECT 1 FROM claim c WHERE c.evidence = body.evidence AND NOT (
			c.lane <> '' AND EXISTS (SELECT 1 FROM bill b WHERE b.claim = c.id)
			AND EXISTS (SELECT 1 FROM claim n WHERE n.lane = c.lane AND n.lane <> '' AND n.known > c.known AND n.known < ?)))`,
	wDropRevisions: `DELETE FROM advisory_revision WHERE EXISTS (
		SELECT 1 FROM advisory_revision n WHERE n.advisory = advisory_revision.advisory
		AND n.revision > advisory_revision.revision AND n.known < ?)`,
}

const (
	rTop = iota
	rChanges
	rPackages
	rSubjects
	rBills
	rEvents
	rArtifacts
	rVerdicts
	rDescriptions
	rExploited
	rLikelihoods
	rAppVersions
	rUsedRevisions
	rRevision
	rAdvisoriesOf
	rRevisionAt
	rRecordAt
	rCiting
	rRecordsOf
	rRaw
	rAdvisoryHash
	rScores
	rEvidence
	rHasBody
	rShape
	rValue
	rValues
	rEcosystems
	rClaims
	rClaimBody
	rChangesOf
	rOtherChanges
	rAllRevisions
)

const (
	billColumns = `SELECT b.id, b.subject, e.sha, c.source, b.format, b.generator, b.serial, b.made, b.at, c.known,
		b.partial, b.packages, b.listed, b.reported, b.notes
		FROM bill b JOIN claim c ON c.id = b.claim JOIN evidence e ON e.id = c.evidence `
	advisoryColumns = `SELECT r.id, r.row, r.known, r.since, r.revision, r.source`
)

var reading = []string{
	rTop:     `SELECT seq FROM change WHERE known <= ? ORDER BY known DESC, seq DESC LIMIT 1`,
	rChanges: `SELECT seq, known, kind, first, last FROM change WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?`,
	rPackages: `SELECT id, key, name, version, ecosystem, match1, version1, match2, version2, unmatched
		FROM package WHERE id BETWEEN ? AND ? ORDER BY id`,
	rSubjects: `SELECT id, namespace, name, version, digest, derived FROM subject WHERE id BETWEEN ? AND ? ORDER BY id`,
	rBills:    billColumns + `WHERE b.id BETWEEN ? AND ? ORDER BY b.id`,
	rEvents: `SELECT v.id, v.subject, v.environment, c.source, v.removed, v.alongside, v.config, v.replicas, v.at, c.known,
		e.sha, v.batch, v.complete
		FROM event v JOIN claim c ON c.id = v.claim JOIN evidence e ON e.id = c.evidence WHERE v.id BETWEEN ? AND ? ORDER BY v.id`,
	rArtifacts: `SELECT v.id, v.subject, c.source, v.purl, v.at, c.known, e.sha
		FROM artifact v JOIN claim c ON c.id = v.claim JOIN evidence e ON e.id = c.evidence WHERE v.id BETWEEN ? AND ? ORDER BY v.id`,
	rVerdicts: `SELECT v.id, c.known, c.source, e.sha, v.body
		FROM verdict v JOIN claim c ON c.id = v.claim JOIN evidence e ON e.id = c.evidence WHERE v.id BETWEEN ? AND ? ORDER BY v.id`,
	rDescriptions: `SELECT v.id, c.known, c.source, e.sha, v.body
		FROM description v JOIN claim c ON c.id = v.claim JOIN evidence e ON e.id = c.evidence WHERE v.id BETWEEN ? AND ? ORDER BY v.id`,
	rExploited:   `SELECT cve, list, added, due, ransomware, note FROM exploited WHERE id BETWEEN ? AND ? ORDER BY id`,
	rLikelihoods: `SELECT cve, score, percentile, at FROM likelihood WHERE id BETWEEN ? AND ? ORDER BY id`,
	rAppVersions: `SELECT application, number, hash, environment, at, known, members FROM appversion WHERE id BETWEEN ? AND ? ORDER BY id`,
	// Walks the names in use, never the advisories of the world.
	rUsedRevisions: `SELECT max(r.id) FROM (
			SELECT DISTINCT p.advisory AS id FROM used u CROSS JOIN advisory_package p ON p.ecosystem = u.ecosystem AND p.name = u.name
			WHERE u.known <= ?1) a
		CROSS JOIN advisory_revision r ON r.advisory = a.id WHERE r.known <= ?1 GROUP BY a.id`,
	rRevision:     advisoryColumns + ` FROM advisory_revision r JOIN advisory a ON a.id = r.advisory WHERE r.id = ?`,
	rAdvisoriesOf: `SELECT advisory FROM advisory_package WHERE ecosystem = ? AND name = ?`,
	rRevisionAt: advisoryColumns + ` FROM advisory_revision r JOIN advisory a ON a.id = r.advisory
		WHERE r.advisory = ? AND r.known <= ? ORDER BY r.revision DESC LIMIT 1`,
	rRecordAt: advisoryColumns + `, r.raw FROM advisory a JOIN advisory_revision r ON r.advisory = a.id
		WHERE a.name = ? AND r.known <= ? ORDER BY r.revision DESC LIMIT 1`,
	rCiting:       `SELECT advisory FROM advisory_cites WHERE id = ?`,
	rRecordsOf:    `SELECT DISTINCT advisory FROM advisory_package WHERE ecosystem = ?`,
	rRaw:          `SELECT raw FROM advisory_revision WHERE advisory = ? ORDER BY revision DESC LIMIT 1`,
	rAdvisoryHash: `SELECT hash FROM advisory WHERE name = ?`,
	rScores:       `SELECT cve, score FROM likelihood ORDER BY id`,
	rEvidence: `SELECT c.format, b.zstd FROM evidence e JOIN claim c ON c.evidence = e.id LEFT JOIN body b ON b.evidence = e.id
		WHERE e.sha = ? ORDER BY c.id DESC LIMIT 1`,
	rHasBody:      `SELECT 1 FROM evidence e JOIN body b ON b.evidence = e.id WHERE e.sha = ?`,
	rShape:        `SELECT b.packages, s.body FROM bill b JOIN shape s ON s.bill = b.id WHERE b.id = ?`,
	rValue:        `SELECT value FROM value WHERE bucket = ? AND key = ?`,
	rValues:       `SELECT key, value FROM value WHERE bucket = ?`,
	rEcosystems:   `SELECT name, records, modified FROM ecosystem`,
	rClaims:       `SELECT id, known FROM claim ORDER BY id`,
	rClaimBody:    `SELECT e.id, e.sha, c.format, c.source, c.claim, b.zstd FROM claim c JOIN evidence e ON e.id = c.evidence LEFT JOIN body b ON b.evidence = e.id WHERE c.id = ?`,
	rChangesOf:    `SELECT kind, first, last FROM change WHERE known = ? ORDER BY seq`,
	rOtherChanges: `SELECT known, kind, first, last FROM change WHERE NOT EXISTS (SELECT 1 FROM claim WHERE claim.known = change.known) ORDER BY seq`,
	rAllRevisions: `SELECT advisory, row FROM advisory_revision ORDER BY id`,
}
