/* The client option file that a mysql:// URL may name: what is taken from it, and what is refused. */
#include "store/option_file.h"
#include "tap.h"

#include "scratch.h"

#include "base/banned.h"

static const char *file_of(const char *text, mode_t mode)
{
	const char *path = scratch_path("my.cnf");
	FILE *f = fopen(path, "we");

	if (!f || fputs(text, f) < 0 || fclose(f) != 0 || chmod(path, mode) < 0)
		abort();
	return path;
}

static void test_groups(void)
{
	static const char text[] = "# a comment\n"
							   "; another\n"
							   "user = nobody\n"
							   "[as-tools]\n"
							   "user=as\n"
							   "password = \"p#=w \\\"x\\\\\"\n"
							   "init-command = DROP TABLE alert\n"
							   "skip-ssl\n"
							   "ssl_ca = /etc/ca.pem\r\n"
							   "[other]\n"
							   "user=other\n"
							   "[client]\n"
							   "  host = db.example  \n"
							   "user = client\n"
							   "port=3307\n";
	struct option_file f;
	struct err err = {0};
	const char *path = file_of(text, 0600);

	OK(option_file_read(path, "as-tools", &f, &err) == 0, "a file with a group");
	IS_STR(f.user, "as", "the named group goes over [client], wherever it stands");
	IS_STR(f.host, "db.example", "what it leaves is [client]'s");
	IS(f.port, 3307, "a number");
	IS_STR(f.password, "p#=w \"x\\", "quotes and escapes as the clients know them");
	IS_STR(f.ca, "/etc/ca.pem", "a dash or an underscore");
	OK(!f.socket && !f.cert && !f.key && !f.database, "what is not there is not there");
	option_file_release(&f);
	OK(option_file_read(path, NULL, &f, &err) == 0 && strcmp(f.user, "client") == 0 && !f.password, "[client] alone");
	option_file_release(&f);
	OK(option_file_read(path, "nosuch", &f, &err) < 0 && err.code == ERR_CONFIG && strstr(err.message, "[nosuch]"),
	   "a group that is not there is named: %s", err.message);
}

static void test_refused(void)
{
	static const struct {
		const char *text;
		mode_t mode;
		enum err_code code;
		const char *says;
	} rows[] = {
		{"[client]\npassword=canary\n", 0640, ERR_DENIED, "chmod 600"},
		{"[client]\npassword=canary\n", 0604, ERR_DENIED, "chmod 600"},
		{"[client]\nport=canary\n", 0600, ERR_CONFIG, "my.cnf:2: the port"},
		{"\n!include /etc/mysql/my.cnf\n", 0600, ERR_CONFIG, "my.cnf:2: another file"},
		{"[client\n", 0600, ERR_CONFIG, "my.cnf:1: a group"},
	};
	struct option_file f;
	struct err err;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		err = (struct err){0};
		OK(option_file_read(file_of(rows[i].text, rows[i].mode), NULL, &f, &err) < 0 && err.code == rows[i].code &&
		       strstr(err.message, rows[i].says) && !strstr(err.message, "canary"),
		   "refused: %s", err.message);
	}
	OK(option_file_read(file_of("[client]\nuser=as\n", 0644), NULL, &f, &err) == 0,
	   "without a password others may read it");
	option_file_release(&f);
	OK(option_file_read(scratch_path("nosuch"), NULL, &f, &err) < 0 && err.code == ERR_DENIED, "a missing file");
	OK(option_file_read(scratch, NULL, &f, &err) < 0 && err.code == ERR_DENIED, "a folder");
}

int main(void)
{
	scratch_make();
	test_groups();
	test_refused();
	scratch_remove();
	return DONE();
}
