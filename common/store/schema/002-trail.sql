-- What an alert was before it was normalised, every version of a policy and which of them decided, and where a pruned
-- audit chain begins.

-- The notification as it came (at most 64 KiB, else NULL) and the hash of all its bytes.
ALTER TABLE alert ADD COLUMN raw MEDIUMTEXT NULL;
ALTER TABLE alert ADD COLUMN raw_sha256 VARCHAR(64) NULL;

-- One row per version; removed = 1: the policy was taken away with this version.
CREATE TABLE autoscale_policy_version (
	name VARCHAR(128) NOT NULL,
	version BIGINT NOT NULL,
	service VARCHAR(128) NOT NULL,
	type VARCHAR(32) NOT NULL,
	fields MEDIUMTEXT NOT NULL,
	priority BIGINT NOT NULL,
	enabled SMALLINT NOT NULL,
	removed SMALLINT NOT NULL,
	actor VARCHAR(128) NOT NULL,
	changed_at BIGINT NOT NULL,
	PRIMARY KEY (name, version)
);
INSERT INTO autoscale_policy_version (name, version, service, type, fields, priority, enabled, removed, actor, changed_at)
	SELECT name, version, service, type, fields, priority, enabled, 0, '', updated_at FROM autoscale_policy;

-- The audit rows of a service up to seq are pruned; hash is that of row seq, which the next row names as its prev_hash.
CREATE TABLE audit_start (
	service VARCHAR(64) NOT NULL PRIMARY KEY,
	seq BIGINT NOT NULL,
	hash VARCHAR(64) NOT NULL,
	pruned_at BIGINT NOT NULL
);

-- The policy versions that decided: a JSON array of texts such as web@4, NULL where they are not known.
ALTER TABLE operation ADD COLUMN policies MEDIUMTEXT NULL;
ALTER TABLE autoscale_history ADD COLUMN policies MEDIUMTEXT NULL;

-- What nobody has seen for long is found by time.
CREATE INDEX container_spec_seen ON container_spec (seen_at);
CREATE INDEX container_seen ON container (seen_at);
CREATE INDEX recommendation_time ON recommendation (noted_at);
