-- The first schema, one file for every SQL store (the portable subset: sql.h). Every *_at and `due` is milliseconds
-- UTC by the store's clock. A comment stands on a line of its own. An applied file is never changed: the next change
-- is 002-NAME.sql.

CREATE TABLE schema_version (
	version BIGINT NOT NULL PRIMARY KEY,
	name VARCHAR(64) NOT NULL,
	checksum VARCHAR(64) NOT NULL,
	applied_at BIGINT NOT NULL
);

-- The greatest time seen and what the host's clock said then: for a store whose clock is the host's.
CREATE TABLE host_clock (
	id SMALLINT NOT NULL PRIMARY KEY,
	seen_at BIGINT NOT NULL,
	host_at BIGINT NOT NULL
);
INSERT INTO host_clock (id, seen_at, host_at) VALUES (1, 0, 0);

-- Numbers given out in order.
CREATE TABLE counter (
	name VARCHAR(32) NOT NULL PRIMARY KEY,
	value BIGINT NOT NULL
);
INSERT INTO counter (name, value) VALUES ('history', 0);

-- service is a glob; is_glob says whether it has to be matched or only compared.
CREATE TABLE autoscale_policy (
	name VARCHAR(128) NOT NULL PRIMARY KEY,
	service VARCHAR(128) NOT NULL,
	is_glob SMALLINT NOT NULL,
	type VARCHAR(32) NOT NULL,
	fields MEDIUMTEXT NOT NULL,
	priority BIGINT NOT NULL,
	enabled SMALLINT NOT NULL,
	version BIGINT NOT NULL,
	updated_at BIGINT NOT NULL
);
CREATE INDEX autoscale_policy_service ON autoscale_policy (service);
CREATE INDEX autoscale_policy_glob ON autoscale_policy (is_glob);

-- The one row that every decision about a service locks, and the head of the service's audit chain.
CREATE TABLE service_state (
	service VARCHAR(64) NOT NULL PRIMARY KEY,
	generation BIGINT NOT NULL,
	last_out BIGINT NULL,
	last_in BIGINT NULL,
	audit_seq BIGINT NOT NULL,
	audit_hash VARCHAR(64) NOT NULL,
	updated_at BIGINT NOT NULL
);

-- The intents. alert_key is alert_id while the operation is planned or done, and NULL once it failed, so that an
-- alert that was given back may act again.
CREATE TABLE operation (
	op_id VARCHAR(64) NOT NULL PRIMARY KEY,
	service VARCHAR(64) NOT NULL,
	generation BIGINT NOT NULL,
	alert_id VARCHAR(128) NOT NULL,
	alert_key VARCHAR(128) NULL,
	action VARCHAR(32) NOT NULL,
	state VARCHAR(16) NOT NULL,
	plan MEDIUMTEXT NOT NULL,
	actor VARCHAR(128) NOT NULL,
	attempts BIGINT NOT NULL,
	error MEDIUMTEXT NULL,
	created_at BIGINT NOT NULL,
	finished_at BIGINT NULL,
	CONSTRAINT operation_once UNIQUE (service, generation),
	CONSTRAINT operation_alert UNIQUE (alert_key, action),
	CONSTRAINT operation_state CHECK (state IN ('planned', 'done', 'failed'))
);
CREATE INDEX operation_open ON operation (service, state);

-- One row per closed operation. audit_seq: the row of the service's audit chain that tells the same.
CREATE TABLE autoscale_history (
	history_id BIGINT NOT NULL PRIMARY KEY,
	op_id VARCHAR(64) NOT NULL,
	service VARCHAR(64) NOT NULL,
	generation BIGINT NOT NULL,
	alert_id VARCHAR(128) NOT NULL,
	action VARCHAR(32) NOT NULL,
	from_replicas BIGINT NOT NULL,
	to_replicas BIGINT NOT NULL,
	outcome VARCHAR(16) NOT NULL,
	reason MEDIUMTEXT NOT NULL,
	error MEDIUMTEXT NULL,
	duration_ms BIGINT NOT NULL,
	audit_seq BIGINT NOT NULL,
	finished_at BIGINT NOT NULL,
	CONSTRAINT autoscale_history_once UNIQUE (op_id)
);
CREATE INDEX autoscale_history_service ON autoscale_history (service, finished_at);
CREATE INDEX autoscale_history_time ON autoscale_history (finished_at);

-- Append only. hash covers the row and prev_hash: audit.c has the framing.
CREATE TABLE audit (
	service VARCHAR(64) NOT NULL,
	seq BIGINT NOT NULL,
	logged_at BIGINT NOT NULL,
	actor VARCHAR(128) NOT NULL,
	event VARCHAR(32) NOT NULL,
	op_id VARCHAR(64) NOT NULL,
	body MEDIUMTEXT NOT NULL,
	prev_hash VARCHAR(64) NOT NULL,
	hash VARCHAR(64) NOT NULL,
	PRIMARY KEY (service, seq)
);
CREATE INDEX audit_time ON audit (logged_at);

-- What ran under a name, to make it again. spec holds environment values: the file is 0600.
CREATE TABLE container_spec (
	service VARCHAR(64) NOT NULL,
	name VARCHAR(255) NOT NULL,
	host VARCHAR(255) NOT NULL,
	spec MEDIUMTEXT NOT NULL,
	seen_at BIGINT NOT NULL,
	PRIMARY KEY (service, name, host)
);

CREATE TABLE container (
	host VARCHAR(255) NOT NULL,
	id VARCHAR(128) NOT NULL,
	service VARCHAR(64) NOT NULL,
	name VARCHAR(255) NOT NULL,
	state VARCHAR(32) NOT NULL,
	copy_of VARCHAR(255) NOT NULL,
	seen_at BIGINT NOT NULL,
	PRIMARY KEY (host, id)
);
CREATE INDEX container_service ON container (service);

-- What each pass wanted before windows and limits.
CREATE TABLE recommendation (
	service VARCHAR(64) NOT NULL,
	noted_at BIGINT NOT NULL,
	want BIGINT NOT NULL,
	PRIMARY KEY (service, noted_at)
);

-- due: when anybody may next take the alert; received_at when new, the lease's end when claimed, the retry time when
-- given back, NULL when done or dead. rearm counts how often the same dedup became a new alert.
CREATE TABLE alert (
	alert_id VARCHAR(128) NOT NULL PRIMARY KEY,
	dedup VARCHAR(160) NOT NULL,
	rearm BIGINT NOT NULL,
	service VARCHAR(64) NOT NULL,
	source VARCHAR(64) NOT NULL,
	status VARCHAR(32) NOT NULL,
	state VARCHAR(16) NOT NULL,
	received_at BIGINT NOT NULL,
	due BIGINT NULL,
	lease_token VARCHAR(40) NULL,
	attempts BIGINT NOT NULL,
	seen BIGINT NOT NULL,
	result MEDIUMTEXT NULL,
	body MEDIUMTEXT NOT NULL,
	CONSTRAINT alert_once UNIQUE (dedup, rearm),
	CONSTRAINT alert_state CHECK (state IN ('new', 'claimed', 'done', 'dead'))
);
CREATE INDEX alert_due ON alert (due, alert_id);
CREATE INDEX alert_received ON alert (received_at, alert_id);
