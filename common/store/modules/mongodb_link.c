/* The connection below the alert store in MongoDB. See mongodb_link.h. */
#include "store/modules/mongodb_link.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

#define TRIES 3              /* of one call when its connection is cut, */
#define REPEAT_WITHIN_MS 400 /* as long as it took no longer than this so far */
#define CLOCK_EVERY_MS 30000
#define NAMESPACE_NOT_FOUND 26 /* the server's code: no such collection yet */
#define DATABASE "autoscale"
#define DATABASE_BYTES 63

/* --- the address --- */

static const char *const options[] = {"tls",        "ca",      "cert",          "authSource", "authMechanism",
                                      "replicaSet", "journal", "password-file", NULL};

static int bad(const struct link *l, struct err *err, const char *what)
{
	return err_set(err, ERR_CONFIG, "%s: %s", l->url.shown, what);
}

/* required or off; true and false are MongoDB's words for them. `otherwise` when it is not given. */
static int get_switch(const struct link *l, const char *name, bool otherwise, bool *on, struct err *err)
{
	const char *v = url_option(&l->url, name);

	*on = otherwise;
	if (!v)
		return 0;
	*on = strcmp(v, "required") == 0 || strcmp(v, "on") == 0 || strcmp(v, "true") == 0;
	if (*on || strcmp(v, "off") == 0 || strcmp(v, "false") == 0)
		return 0;
	return err_set(err, ERR_CONFIG, "%s: %s is required or off", l->url.shown, name);
}

/* The library would only say that there was an error. */
static int set_file(struct link *l, const char *option, const char *path, struct err *err)
{
	if (!path)
		return 0;
	if (access(path, R_OK) < 0)
		return err_set(err, ERR_CONFIG, "%s: cannot read %s: %s", l->url.shown, path, strerror(errno));
	return mongoc_uri_set_option_as_utf8(l->uri, option, path) ? 0 : bad(l, err, "a path is UTF-8");
}

/* Off only for this machine or when the address says so. */
static int set_tls(struct link *l, bool *on, struct err *err)
{
	const char *ca = url_option(&l->url, "ca"), *cert = url_option(&l->url, "cert");

	if (get_switch(l, "tls", !url_is_local(&l->url) || ca || cert, on, err) < 0)
		return -1;
	mongoc_uri_set_option_as_bool(l->uri, MONGOC_URI_TLS, *on);
	if (!*on)
		return ca || cert ? bad(l, err, "ca and cert mean nothing with tls=off") : 0;
	/* Asking a certificate's issuer over HTTP has no limit of ours; a stapled answer is still looked at. */
	mongoc_uri_set_option_as_bool(l->uri, MONGOC_URI_TLSDISABLEOCSPENDPOINTCHECK, true);
	if (set_file(l, MONGOC_URI_TLSCAFILE, ca, err) < 0)
		return -1;
	return set_file(l, MONGOC_URI_TLSCERTIFICATEKEYFILE, cert, err);
}

static int set_user(struct link *l, bool tls, struct err *err)
{
	static const char *const known[] = {"SCRAM-SHA-256", "SCRAM-SHA-1", "MONGODB-X509", "PLAIN", NULL};
	const struct url *u = &l->url;
	const char *mechanism = url_option(u, "authMechanism"), *source = url_option(u, "authSource");
	const bool x509 = mechanism && strcmp(mechanism, "MONGODB-X509") == 0;
	const bool plain = mechanism && strcmp(mechanism, "PLAIN") == 0;
	const char *const *k = known;

	while (mechanism && *k && strcmp(*k, mechanism) != 0)
		k++;
	if (!*k)
		return bad(l, err, "authMechanism is SCRAM-SHA-256, SCRAM-SHA-1, MONGODB-X509 or PLAIN");
	if (plain && !tls && !url_is_local(u))
		return bad(l, err, "PLAIN shows the password to the network: it needs tls=required");
	if (!u->user && !x509)
		return source || mechanism ? bad(l, err, "authSource and authMechanism need a USER") : 0;
	if (!x509 && (!u->password || !*u->password))
		return bad(l, err, "a user but no password: give USER:PASSWORD, or password-file=PATH (mode 0600)");
	/* As the address means everywhere: without authSource the user is one of its database, else of admin. */
	if (!source)
		source = x509 || plain ? "$external" : u->database ? u->database : "admin";
	if ((u->user && !mongoc_uri_set_username(l->uri, u->user)) ||
	    (!x509 && !mongoc_uri_set_password(l->uri, u->password)) || !mongoc_uri_set_auth_source(l->uri, source) ||
	    (mechanism && !mongoc_uri_set_auth_mechanism(l->uri, mechanism)))
		return bad(l, err, "user, password and authSource are UTF-8");
	return 0;
}

static int set_hosts(struct link *l, struct err *err)
{
	const struct url *u = &l->url;
	struct buf b = BUF_INIT(8192);
	const bool many = strchr(u->host, ',') != NULL, ipv6 = !many && strchr(u->host, ':') != NULL;

	buf_puts(&b, "mongodb://");
	if (*u->host == '/') {
		for (const char *p = u->host; *p; p++)
			buf_printf(&b, isalnum((unsigned char)*p) ? "%c" : "%%%02X", (unsigned char)*p);
	} else if (u->host[strspn(u->host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:,[]%")]) {
		buf_release(&b);
		return bad(l, err, "a host is a name, an IPv4 address, an IPv6 address in [], or a socket's path");
	} else {
		buf_printf(&b, ipv6 ? "[%s]" : "%s", *u->host ? u->host : "localhost");
	}
	if (u->port)
		buf_printf(&b, ":%ld", u->port);
	buf_putc(&b, '/');
	/* There is no password in this text, so none can come back in a message about it. */
	bson_error_t e = {0};
	l->uri = buf_ok(&b, err) == 0 ? mongoc_uri_new_with_error(b.p, &e) : NULL;
	buf_release(&b);
	return l->uri ? 0 : err_set(err, ERR_CONFIG, "%s: %s", u->shown, e.message);
}

static int set_limits(struct link *l, struct err *err)
{
	const char *set = url_option(&l->url, "replicaSet");
	mongoc_uri_t *u = l->uri;

	mongoc_uri_set_appname(u, "autoscale");
	mongoc_uri_set_option_as_int32(u, MONGOC_URI_CONNECTTIMEOUTMS, LINK_CONNECT_MS);
	mongoc_uri_set_option_as_int32(u, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, LINK_CONNECT_MS);
	mongoc_uri_set_option_as_int32(u, MONGOC_URI_SOCKETTIMEOUTMS, LINK_CALL_MS);
	/* Else a connection that was idle for 5 s is tried first, and a silent server costs twice. */
	mongoc_uri_set_option_as_int32(u, MONGOC_URI_SOCKETCHECKINTERVALMS, INT32_MAX);
	mongoc_uri_set_option_as_bool(u, MONGOC_URI_RETRYWRITES, false);
	mongoc_uri_set_option_as_bool(u, MONGOC_URI_RETRYREADS, false);
	if (set && !mongoc_uri_set_option_as_utf8(u, MONGOC_URI_REPLICASET, set))
		return bad(l, err, "replicaSet is the set's name");
	return 0;
}

static int read_url(struct link *l, const char *text, struct err *err)
{
	bool tls;

	if (url_parse(text, &l->url, err) < 0)
		return -1;
	if (strcmp(l->url.scheme, "mongodb") != 0)
		return bad(l, err,
		           "mongodb+srv:// asks the DNS at every start; name the hosts instead: "
		           "mongodb://USER@HOST1,HOST2/DATABASE?replicaSet=NAME (dig SRV _mongodb._tcp.HOST lists them)");
	const char *db = l->url.database;
	if (db && (strlen(db) > DATABASE_BYTES || db[strcspn(db, "/\\. \"$*<>:|?")]))
		return bad(l, err, "the database's name has at most 63 bytes and none of /\\. \"$*<>:|?");
	if (url_check_options(&l->url, options, err) < 0 || set_hosts(l, err) < 0 || set_limits(l, err) < 0 ||
	    set_tls(l, &tls, err) < 0)
		return -1;
	return set_user(l, tls, err);
}

/* --- errors --- */

/* Codes of the server: src/mongo/base/error_codes.yml of its source. */
static enum err_code code_of(const bson_error_t *e)
{
	static const struct {
		uint32_t code;
		enum err_code is;
	} codes[] = {
		{11000, ERR_CONFLICT},    {11001, ERR_CONFLICT},                              /* unique index */
		{13, ERR_DENIED},         {18, ERR_DENIED},         {8000, ERR_DENIED},       /* no right */
		{6, ERR_UNAVAILABLE},     {7, ERR_UNAVAILABLE},     {89, ERR_UNAVAILABLE},    /* its network */
		{91, ERR_UNAVAILABLE},    {11600, ERR_UNAVAILABLE}, {11602, ERR_UNAVAILABLE}, /* it stops */
		{189, ERR_UNAVAILABLE},   {10107, ERR_UNAVAILABLE}, {13435, ERR_UNAVAILABLE}, {13436, ERR_UNAVAILABLE},
		{64, ERR_UNAVAILABLE},    {100, ERR_UNAVAILABLE}, /* no majority */
		{14031, ERR_UNAVAILABLE},                         /* disk full */
		{50, ERR_TEMPORARY},      {112, ERR_TEMPORARY},     {24, ERR_TEMPORARY},      {262, ERR_TEMPORARY}, /* busy */
		{85, ERR_CONFIG},         {86, ERR_CONFIG},         {73, ERR_CONFIG}, /* index, name */
	};

	switch (e->domain) {
	case MONGOC_ERROR_STREAM:
	case MONGOC_ERROR_PROTOCOL:
	case MONGOC_ERROR_SERVER_SELECTION: return ERR_UNAVAILABLE;
	case MONGOC_ERROR_CLIENT: return e->code == MONGOC_ERROR_CLIENT_AUTHENTICATE ? ERR_DENIED : ERR_REMOTE;
	case MONGOC_ERROR_SCRAM:
	case MONGOC_ERROR_SASL: return ERR_DENIED;
	case MONGOC_ERROR_WRITE_CONCERN: return ERR_UNAVAILABLE;
	default: break;
	}
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
		if (codes[i].code == e->code)
			return codes[i].is;
	return ERR_REMOTE;
}

static int fail(const struct link *l, const bson_error_t *e, struct err *err)
{
	const char *p = l->url.password, *text = e->message;
	const bool network = e->domain == MONGOC_ERROR_STREAM || e->domain == MONGOC_ERROR_SERVER_SELECTION;
	const char *what = !network                     ? ""
	                   : mongoc_uri_get_tls(l->uri) ? "no answer from MongoDB over TLS: "
	                                                : "no answer from MongoDB: ";

	if (p && *p && strstr(text, p))
		text = "(a message that holds the password)";
	if (e->domain == MONGOC_ERROR_CLIENT && e->code == MONGOC_ERROR_CLIENT_AUTHENTICATE)
		return err_set(err, ERR_DENIED, "%s: the server refuses user and password: %s", l->url.shown, text);
	const char *set = e->domain == MONGOC_ERROR_SERVER_SELECTION ? url_option(&l->url, "replicaSet") : NULL;
	return err_set(err, code_of(e), "%s: %s%s%s%s", l->url.shown, what, text, set ? " in the replica set " : "",
	               set ? set : "");
}

/* Whether the command may or may not have been carried out, and the same server will not say. */
static bool is_cut(const bson_error_t *e)
{
	if (e->domain == MONGOC_ERROR_STREAM || e->domain == MONGOC_ERROR_PROTOCOL)
		return true;
	return e->domain != MONGOC_ERROR_SERVER_SELECTION && e->domain != MONGOC_ERROR_CLIENT &&
	       e->domain != MONGOC_ERROR_WRITE_CONCERN && code_of(e) == ERR_UNAVAILABLE && e->code != 14031 &&
	       e->code != 64;
}

/* --- connecting --- */

static void disconnect(struct link *l)
{
	l->lost = l->walks > 0; /* a cursor is still read from it */
	if (l->lost)
		return;
	if (l->alerts)
		mongoc_collection_destroy(l->alerts);
	if (l->client)
		mongoc_client_destroy(l->client);
	l->alerts = NULL;
	l->client = NULL;
}

/* One command to the database, outside of the collection's settings. */
static bool command(struct link *l, bson_t *cmd, bson_t *reply, bson_error_t *e)
{
	const char *db = l->url.database ? l->url.database : DATABASE;
	const bool ok = mongoc_client_command_simple(l->client, db, cmd, NULL, reply, e);

	bson_destroy(cmd);
	return ok;
}

/* The handshake's localTime, which every server sends; halfway is the best guess of when it was read. */
static int set_clock(struct link *l, struct err *err)
{
	int64_t asked = clock_monotonic_ms();
	bson_error_t e = {0};
	bson_iter_t it;
	bson_t reply;
	bool ok = command(l, BCON_NEW("hello", BCON_INT32(1)), &reply, &e);

	if (!ok && e.code == MONGOC_ERROR_QUERY_COMMAND_NOT_FOUND) { /* before MongoDB 5.0 */
		bson_destroy(&reply);
		asked = clock_monotonic_ms();
		ok = command(l, BCON_NEW("isMaster", BCON_INT32(1)), &reply, &e);
	}
	const int64_t answered = clock_monotonic_ms();
	int rc = ok ? 0 : fail(l, &e, err);
	if (ok && bson_iter_init_find(&it, &reply, "localTime") && BSON_ITER_HOLDS_DATE_TIME(&it)) {
		l->ahead = bson_iter_date_time(&it) - (asked + (answered - asked) / 2);
		l->set_at = answered;
	} else if (ok) {
		rc = err_set(err, ERR_REMOTE, "%s: the server does not tell its time (localTime of hello)", l->url.shown);
	}
	bson_destroy(&reply);
	return rc;
}

static void quiet(mongoc_log_level_t level, const char *domain, const char *message, void *data)
{
	(void)level;
	(void)domain;
	(void)message;
	(void)data;
}

/* From 2.0 on each client has a log of its own, which the environment may send to standard output. */
static void quiet_client(mongoc_client_t *client)
{
#if MONGOC_CHECK_VERSION(2, 0, 0)
	mongoc_structured_log_opts_t *none = mongoc_structured_log_opts_new();
	mongoc_structured_log_opts_set_handler(none, NULL, NULL);
	(void)mongoc_client_set_structured_log_opts(client, none);
	mongoc_structured_log_opts_destroy(none);
#else
	(void)client;
#endif
}

static int connect_client(struct link *l, struct err *err)
{
	bson_error_t e = {0};
	bool journal;

	if (get_switch(l, "journal", true, &journal, err) < 0)
		return -1;
	l->client = mongoc_client_new_from_uri_with_error(l->uri, &e);
	if (!l->client)
		return err_set(err, ERR_CONFIG, "%s: %s", l->url.shown, e.message);
	quiet_client(l->client);
	mongoc_client_set_error_api(l->client, MONGOC_ERROR_API_VERSION_2);
	l->alerts = mongoc_client_get_collection(l->client, l->url.database ? l->url.database : DATABASE, "alerts");
	mongoc_write_concern_t *wc = mongoc_write_concern_new();
	mongoc_write_concern_set_wmajority(wc, LINK_CALL_MS - 1000); /* an answer before the call's limit */
	if (journal)
		mongoc_write_concern_set_journal(wc, true);
	mongoc_collection_set_write_concern(l->alerts, wc);
	mongoc_write_concern_destroy(wc);
	if (set_clock(l, err) == 0)
		return 0;
	disconnect(l);
	return -1;
}

int link_ready(struct link *l, struct err *err)
{
	if (l->lost && l->walks == 0)
		disconnect(l);
	if (!l->client)
		return connect_client(l, err);
	if (clock_monotonic_ms() - l->set_at < CLOCK_EVERY_MS)
		return 0;
	if (set_clock(l, err) == 0)
		return 0;
	if (err->code == ERR_UNAVAILABLE)
		disconnect(l);
	return -1;
}

int64_t link_now(const struct link *l) { return clock_monotonic_ms() + l->ahead; }

/* How many of our indexes are among those of one answer. */
static int count_indexes(const bson_t *reply)
{
	bson_iter_t it, batch, index;
	int n = 0;

	if (!bson_iter_init(&it, reply) || !bson_iter_find_descendant(&it, "cursor.firstBatch", &batch) ||
	    !bson_iter_recurse(&batch, &it))
		return 0;
	while (bson_iter_next(&it)) {
		const char *name = "";
		bool unique = false;
		for (bool more = bson_iter_recurse(&it, &index) && bson_iter_next(&index); more;
		     more = bson_iter_next(&index)) {
			if (strcmp(bson_iter_key(&index), "name") == 0)
				name = bson_iter_utf8(&index, NULL);
			unique = unique || (strcmp(bson_iter_key(&index), "unique") == 0 && bson_iter_as_bool(&index));
		}
		n += strcmp(name, "alert_once") == 0 ? unique
		                                     : strcmp(name, "alert_due") == 0 || strcmp(name, "alert_state") == 0;
	}
	return n;
}

/* The unique one is what makes an alert stored once. They are made at the first use only: after that a user without
 * the right to make any will do, and FerretDB breaks when several ask for the same at once. */
static int make_indexes(struct link *l, struct err *err)
{
	bson_error_t e = {0};
	bson_t reply;
	const bool listed = command(l, BCON_NEW("listIndexes", BCON_UTF8("alerts")), &reply, &e);
	const int there = listed ? count_indexes(&reply) : 0;

	bson_destroy(&reply);
	if (!listed && e.code != NAMESPACE_NOT_FOUND)
		return fail(l, &e, err);
	if (there == 3)
		return 0;
	const bool ok = command(l,
	                        BCON_NEW("createIndexes", BCON_UTF8("alerts"), "indexes", "[",                 //
	                                 "{", "key", "{", "dedup", BCON_INT32(1), "rearm", BCON_INT32(1), "}", //
	                                 "name", "alert_once", "unique", BCON_BOOL(true), "}",                 //
	                                 "{", "key", "{", "due", BCON_INT32(1), "_id", BCON_INT32(1), "}",     //
	                                 "name", "alert_due", "}",                                             //
	                                 "{", "key", "{", "state", BCON_INT32(1), "received_at", BCON_INT32(1), "_id",
	                                 BCON_INT32(1), "}", //
	                                 "name", "alert_state", "}", "]"),
	                        &reply, &e);
	bson_destroy(&reply);
	return ok ? 0 : fail(l, &e, err);
}

int link_open(struct link *l, const char *url, struct err *err)
{
	/* Before anything else: the library says INFO on standard output, which is the records' place. */
	mongoc_log_set_handler(quiet, NULL);
	mongoc_init();
	*l = (struct link){0};
	if (read_url(l, url, err) == 0 && link_ready(l, err) == 0 && make_indexes(l, err) == 0)
		return 0;
	link_close(l);
	return -1;
}

void link_close(struct link *l)
{
	l->walks = 0;
	disconnect(l);
	if (l->uri)
		mongoc_uri_destroy(l->uri);
	url_release(&l->url);
	*l = (struct link){0};
}

/* --- calls --- */

struct call {
	int64_t began;
	int tries;
};

static int call_begin(struct link *l, struct call *c, struct err *err)
{
	if (c->tries++ == 0)
		c->began = clock_monotonic_ms();
	return link_ready(l, err);
}

/* After a failure: whether to go round once more. */
static bool call_again(struct link *l, const struct call *c, const bson_error_t *e)
{
	if (code_of(e) != ERR_UNAVAILABLE)
		return false;
	disconnect(l); /* a client that found no server looks again only after 5 s; a new one does at once */
	return is_cut(e) && c->tries < TRIES && l->walks == 0 && clock_monotonic_ms() - c->began < REPEAT_WITHIN_MS;
}

/* All documents of one cursor, which is destroyed. *any: fn was called. */
static int walk(struct link *l, mongoc_cursor_t *cursor, link_doc_fn fn, void *ctx, bool *any, bson_error_t *e,
                struct err *err)
{
	const bson_t *doc;
	int rc = 0;

	l->walks++;
	while (rc == 0 && mongoc_cursor_next(cursor, &doc)) {
		*any = true;
		rc = fn(ctx, doc, err);
	}
	if (rc == 0 && mongoc_cursor_error(cursor, e))
		rc = fail(l, e, err);
	mongoc_cursor_destroy(cursor);
	l->walks--;
	return rc;
}

int link_find(struct link *l, bson_t *filter, bson_t *opts, link_doc_fn fn, void *ctx, struct err *err)
{
	struct call call = {0};
	bool any = false;
	int rc;

	for (;;) {
		bson_error_t e = {0};
		rc = call_begin(l, &call, err);
		if (rc < 0)
			break;
		rc = walk(l, mongoc_collection_find_with_opts(l->alerts, filter, opts, NULL), fn, ctx, &any, &e, err);
		if (rc == 0 || e.domain == 0 || !call_again(l, &call, &e) || any)
			break;
	}
	bson_destroy(filter);
	if (opts)
		bson_destroy(opts);
	return rc;
}

/* One command. In `reply` the server's counts. */
typedef bool (*command_fn)(struct link *l, void *ctx, bson_t *reply, bson_error_t *e);

static int send_through(struct link *l, command_fn fn, void *ctx, const char *member, int64_t *n, bool *repeated,
                        struct err *err)
{
	struct call call = {0};

	*repeated = false;
	for (;;) {
		bson_error_t e = {0};
		bson_t reply = BSON_INITIALIZER;
		if (call_begin(l, &call, err) < 0)
			return -1;
		const bool ok = fn(l, ctx, &reply, &e);
		if (n)
			*n = link_int(&reply, member);
		bson_destroy(&reply);
		if (ok)
			return 0;
		if (!call_again(l, &call, &e))
			return fail(l, &e, err);
		*repeated = true;
	}
}

static bool insert_one(struct link *l, void *ctx, bson_t *reply, bson_error_t *e)
{
	bson_destroy(reply);
	return mongoc_collection_insert_one(l->alerts, ctx, NULL, reply, e);
}

int link_insert(struct link *l, bson_t *doc, bool *repeated, struct err *err)
{
	const int rc = send_through(l, insert_one, doc, NULL, NULL, repeated, err);

	bson_destroy(doc);
	return rc;
}

static bool update_one(struct link *l, void *ctx, bson_t *reply, bson_error_t *e)
{
	const struct link_update *u = ctx;

	bson_destroy(reply);
	return mongoc_collection_update_one(l->alerts, u->filter, u->change, NULL, reply, e);
}

static bool update_many(struct link *l, void *ctx, bson_t *reply, bson_error_t *e)
{
	const struct link_update *u = ctx;

	bson_destroy(reply);
	return mongoc_collection_update_many(l->alerts, u->filter, u->change, NULL, reply, e);
}

static int update(struct link *l, command_fn fn, bson_t *filter, bson_t *change, int64_t *matched, bool *repeated,
                  struct err *err)
{
	struct link_update u = {filter, change};
	const int rc = send_through(l, fn, &u, "matchedCount", matched, repeated, err);

	bson_destroy(filter);
	bson_destroy(change);
	return rc;
}

int link_update_one(struct link *l, bson_t *filter, bson_t *change, int64_t *matched, bool *repeated, struct err *err)
{
	return update(l, update_one, filter, change, matched, repeated, err);
}

int link_update_many(struct link *l, bson_t *filter, bson_t *change, int64_t *matched, bool *repeated, struct err *err)
{
	return update(l, update_many, filter, change, matched, repeated, err);
}

struct many {
	const struct link_update *updates;
	size_t n;
};

static bool update_each(struct link *l, void *ctx, bson_t *reply, bson_error_t *e)
{
	const struct many *m = ctx;
	bson_t opts = BSON_INITIALIZER;

	BSON_APPEND_BOOL(&opts, "ordered", false);
	mongoc_bulk_operation_t *bulk = mongoc_collection_create_bulk_operation_with_opts(l->alerts, &opts);
	bool ok = true;
	for (size_t i = 0; i < m->n && ok; i++)
		ok = mongoc_bulk_operation_update_many_with_opts(bulk, m->updates[i].filter, m->updates[i].change, NULL, e);
	if (ok) {
		bson_destroy(reply);
		ok = mongoc_bulk_operation_execute(bulk, reply, e) != 0;
	}
	mongoc_bulk_operation_destroy(bulk);
	bson_destroy(&opts);
	return ok;
}

int link_update_each(struct link *l, struct link_update *updates, size_t n, int64_t *matched, bool *repeated,
                     struct err *err)
{
	struct many m = {updates, n};
	const int rc = send_through(l, update_each, &m, "nMatched", matched, repeated, err);

	for (size_t i = 0; i < n; i++) {
		bson_destroy(updates[i].filter);
		bson_destroy(updates[i].change);
	}
	return rc;
}

static bool delete_many(struct link *l, void *ctx, bson_t *reply, bson_error_t *e)
{
	bson_destroy(reply);
	return mongoc_collection_delete_many(l->alerts, ctx, NULL, reply, e);
}

int link_delete_many(struct link *l, bson_t *filter, int64_t *n, bool *repeated, struct err *err)
{
	const int rc = send_through(l, delete_many, filter, "deletedCount", n, repeated, err);

	bson_destroy(filter);
	return rc;
}

static bool count_all(struct link *l, void *ctx, bson_t *reply, bson_error_t *e)
{
	bson_destroy(reply);
	return command(l, BCON_NEW("count", BCON_UTF8("alerts"), "query", BCON_DOCUMENT(ctx)), reply, e);
}

int link_count(struct link *l, bson_t *filter, int64_t *n, struct err *err)
{
	bool repeated;
	const int rc = send_through(l, count_all, filter, "n", n, &repeated, err);

	bson_destroy(filter);
	return rc;
}

/* --- documents --- */

int64_t link_int(const bson_t *doc, const char *name)
{
	bson_iter_t it;

	return bson_iter_init_find(&it, doc, name) && BSON_ITER_HOLDS_NUMBER(&it) ? bson_iter_as_int64(&it) : 0;
}

const char *link_text_or_null(const bson_t *doc, const char *name)
{
	bson_iter_t it;

	return bson_iter_init_find(&it, doc, name) && BSON_ITER_HOLDS_UTF8(&it) ? bson_iter_utf8(&it, NULL) : NULL;
}

const char *link_text(const bson_t *doc, const char *name)
{
	const char *text = link_text_or_null(doc, name);

	return text ? text : "";
}

void link_put_text(bson_t *doc, const char *name, const char *text)
{
	if (!text) {
		BSON_APPEND_NULL(doc, name);
		return;
	}
	if (bson_utf8_validate(text, strlen(text), false)) {
		BSON_APPEND_UTF8(doc, name, text);
		return;
	}
	/* Through JSON, where the replacing is done. */
	struct buf json = BUF_INIT(8 * LINE_MAX_BYTES), clean = BUF_INIT(8 * LINE_MAX_BYTES);
	buf_json_str(&json, text);
	(void)jv_str_buf((struct jv){json.p, json.n}, &clean);
	BSON_APPEND_UTF8(doc, name, clean.p ? clean.p : "");
	buf_release(&json);
	buf_release(&clean);
}
