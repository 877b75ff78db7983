/* Addresses of stores: what is understood, and that no message shows a password. */
#include "base/clock.h"
#include "store/url.h"
#include "tap.h"

#include "scratch.h"

#include "base/banned.h"

static void test_parts(void)
{
	struct url u;
	struct err err = {0};

	OK(url_parse("mysql://as:s%40c%3Aret@db.example:3307/autoscale?tls=off&ca=%2Fetc%2Fca.pem", &u, &err) == 0,
	   "a whole one");
	IS_STR(u.scheme, "mysql", "scheme");
	IS_STR(u.user, "as", "user");
	IS_STR(u.password, "s@c:ret", "password, decoded");
	IS_STR(u.host, "db.example", "host");
	IS(u.port, 3307, "port");
	IS_STR(u.database, "autoscale", "database");
	IS_STR(url_option(&u, "tls"), "off", "option");
	IS_STR(url_option(&u, "CA"), "/etc/ca.pem", "option names have no case");
	OK(!url_option(&u, "nosuch"), "an option that is not there");
	IS_STR(u.shown, "mysql://as:***@db.example:3307/autoscale?tls=off&ca=%2Fetc%2Fca.pem",
	       "shown without the password");
	url_release(&u);
	OK(url_parse("mysql://localhost/as?socket=/run/m.sock", &u, &err) == 0 && !u.user && !u.password && u.port == 0,
	   "no user, no port, a bare slash in an option");
	url_release(&u);
	OK(url_parse("mongodb://a:1,b:2/as", &u, &err) == 0 && strcmp(u.host, "a:1,b:2") == 0 && u.port == 0,
	   "several hosts");
	url_release(&u);
	OK(url_parse("mongodb://[::1]:27017/as", &u, &err) == 0 && strcmp(u.host, "::1") == 0 && u.port == 27017, "IPv6");
	url_release(&u);
}

static void test_local(void)
{
	static const struct {
		const char *url;
		bool local;
	} rows[] = {
		{"mysql://localhost/as", true},
		{"mysql://127.0.0.1:3306/as", true},
		{"mysql://[::1]/as", true},
		{"mysql:///as", true},
		{"mysql://127.evil.example/", false},
		{"mysql://10.0.0.1/as", false},
		{"mongodb://localhost,db/as", false},
		{"mongodb://localhost:1,127.0.0.2:2/as", true},
		{"mysql://localhost.example/", false},
		{"mongodb://%2Frun%2Fm.sock/as", true},
		{"mongodb://localhost:1,[::1]:2/", true},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct url u;
		struct err err = {0};
		const bool good = url_parse(rows[i].url, &u, &err) == 0;
		OK(good && url_is_local(&u) == rows[i].local, "%s is %s", rows[i].url,
		   rows[i].local ? "this machine" : "elsewhere");
		if (good)
			url_release(&u);
	}
}

static void test_bad(void)
{
	static const char *const rows[] = {"mysql:/x",
	                                   "mysql://as:canary@db:99999/as",
	                                   "mysql://as:canary@db/as?tls",
	                                   "mysql://as:can%zzary@db/",
	                                   "mysql://as:canary@db/as?password-file=/nonexistent",
	                                   "://x",
	                                   "",
	                                   "mysql://as:canary@db:/x",
	                                   "mysql://as:can%00ary@db/"};
	static const char *const known[] = {"tls", NULL};
	struct url u;
	struct err err;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		err = (struct err){0};
		OK(url_parse(rows[i], &u, &err) < 0 && !strstr(err.message, "canary") && !strstr(err.message, "ary"),
		   "refused, its password unsaid: %s", err.message);
	}
	OK(url_parse("mysql://as:ca/na@ry@db/as?tls=of&sslmode=x", &u, &err) == 0,
	   "an @ and a / in a password that was not escaped");
	IS_STR(u.password, "ca/na@ry", "all of it is the password");
	IS_STR(u.shown, "mysql://as:***@db/as?tls=of&sslmode=x", "none of it is shown");
	OK(url_check_options(&u, known, &err) < 0 && strstr(err.message, "\"sslmode\"; known are tls") &&
	       !strstr(err.message, "ary"),
	   "an unknown option is named: %s", err.message);
	url_release(&u);
}

static void test_password_file(void)
{
	const char *path = scratch_path("pw");
	char text[400];
	struct url u;
	struct err err = {0};
	FILE *f = fopen(path, "w");

	(void)fputs("from file\n", f);
	(void)fclose(f);
	(void)chmod(path, 0640);
	(void)snprintf(text, sizeof text, "mysql://as@db/as?password-file=%s", path);
	OK(url_parse(text, &u, &err) < 0 && err.code == ERR_DENIED && strstr(err.message, "chmod 600"),
	   "readable by others: refused");
	(void)chmod(path, 0600);
	OK(url_parse(text, &u, &err) == 0, "a file of our own");
	IS_STR(u.password, "from file", "its first line is the password");
	url_release(&u);
}

int main(void)
{
	scratch_make();
	test_parts();
	test_local();
	test_bad();
	test_password_file();
	scratch_remove();
	return DONE();
}
