#include "cmd/front/complete.h"

#include "base/exit.h"

#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/banned.h"

#define TAB_MS 900 /* somebody waits for it, with a finger on the key */
#define WORDS_MAX 64
#define OFFERED_MAX 2000

/* ---- the scripts ---- */

/* Each ^ is the command's name. The line `:files` says that a file is wanted; behind a tab comes what a word means. */
static const char bash_script[] = /* its words break at `=`; so do the answers */
	"_^() {\n"
	"\tlocal word\n"
	"\tCOMPREPLY=()\n"
	"\twhile IFS= read -r word; do\n"
	"\t\t[ \"$word\" != :files ] || { compopt -o default 2>/dev/null; return; }\n"
	"\t\tCOMPREPLY+=(\"${word%%$'\\t'*}\")\n"
	"\tdone < <(^ --completion words \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null </dev/null)\n"
	"\t[[ ${COMPREPLY[*]} != *= ]] || compopt -o nospace 2>/dev/null\n"
	"}\n"
	"complete -F _^ ^\n";
static const char zsh_script[] =
	"#compdef ^\n"
	"local -a lines words_ shown\n"
	"local line end=' '\n"
	"lines=(${(f)\"$(^ --completion words \"${(@Q)words[2,CURRENT-1]}\" \"$PREFIX\" 2>/dev/null </dev/null)\"})\n"
	"if [[ $lines[1] == :files ]]; then\n"
	"\tcompset -P '--*='\n"
	"\t_files\n"
	"\treturn\n"
	"fi\n"
	"for line in $lines; do\n"
	"\twords_+=(\"${line%%$'\\t'*}\")\n"
	"\tshown+=(\"${line/$'\\t'/  }\")\n"
	"\t[[ $words_[-1] != *= ]] || end=\n"
	"done\n"
	"compadd -Q -l -S \"$end\" -d shown -a words_\n";
static const char fish_script[] = "function __^_words\n"
								  "\tset -l words (commandline -opc)\n"
								  "\tset -e words[1]\n"
								  "\tset -l typed (commandline -ct)\n"
								  "\tset -l out (^ --completion words $words \"$typed\" 2>/dev/null </dev/null)\n"
								  "\tif test \"$out\" = :files\n"
								  "\t\tstring match -q -- '--*' \"$typed\"; or __fish_complete_path \"$typed\"\n"
								  "\telse if set -q out[1]\n"
								  "\t\tprintf '%s\\n' $out\n"
								  "\tend\n"
								  "end\n"
								  "complete -c ^ -f -a '(__^_words)'\n";

static void put_script(const char *script, const char *name, struct buf *out)
{
	for (const char *p = script; *p; p++)
		if (*p == '^')
			buf_puts(out, name);
		else
			buf_putc(out, *p);
}

static int print_script(struct front *f, const char *shell, struct err *err)
{
	static const struct {
		const char *shell, *script;
	} scripts[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};
	struct buf out = BUF_INIT(65536);
	int bad = err_set(err, ERR_USAGE, "completions are made for bash, zsh and fish, not for \"%s\"", shell);

	for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
		if (strcmp(shell, scripts[i].shell) == 0) {
			put_script(scripts[i].script, f->command->name, &out);
			bad = buf_ok(&out, err);
		}
	if (!bad && (fwrite(out.p, 1, out.n, stdout) != out.n || fflush(stdout) != 0))
		bad = err_set(err, ERR_OUTPUT, "cannot write standard output");
	buf_release(&out);
	return bad;
}

/* ---- words ---- */

/* What a name in the usage stands for: words that are always the same, or those that a command knows. */
static const struct kind {
	const char *arg, *name, *command, *fixed;
} kinds[] = {
	{"SERVICE", "services", "as-inspect", NULL},
	{"CONTAINER", "containers", "as-inspect", NULL},
	{"POLICY", "policies", "as-policy", NULL},
	{"FIELD=VALUE", "fields", "as-policy", NULL},
	{"HOST", "hosts", NULL, NULL},
	{"LB", "lbs", NULL, NULL},
	{"ACTION", NULL, NULL, "scale-up scale-down set start recreate attach reconcile"},
};

/* What was typed so far of the word at the cursor: `head` stays in front of each answer, and of an answer the first
 * `cut` bytes are there already for the shell. */
struct typed {
	const char *text;
	char head[128];
	size_t cut;
};
static struct typed typed;

static void end_quietly(int sig)
{
	(void)sig;
	_exit(EX_DONE);
}

/* Only what no shell reads anything into. */
static bool is_safe(const char *word)
{
	return *word &&
	       word[strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._=@+,/-")] == '\0';
}

static bool is_new(const char *word)
{
	static char *offered[OFFERED_MAX];
	static size_t n;

	for (size_t i = 0; i < n; i++)
		if (strcmp(offered[i], word) == 0)
			return false;
	return n < OFFERED_MAX && (offered[n] = strdup(word)) && ++n;
}

void front_word(const char *word, const char *what)
{
	if (strncmp(word, typed.text, strlen(typed.text)) != 0 || !is_safe(word) || !is_new(word))
		return;
	(void)printf("%s%s%s%s\n", typed.head, word + typed.cut, *what ? "\t" : "", what);
}

const char *front_typed(void) { return typed.text; }

/* What every command knows: the configuration. */
static bool configured(struct front *f, const char *kind)
{
	const bool hosts = strcmp(kind, "hosts") == 0, lbs = strcmp(kind, "lbs") == 0;

	if ((!hosts && !lbs) || front_conf(f) >= 0)
		return hosts || lbs;
	for (size_t i = 0; hosts && i < f->conf.nhosts; i++)
		front_word(f->conf.hosts[i].name, ""); /* its URL may hold a password */
	for (size_t i = 0; lbs && i < f->conf.nlbs; i++)
		front_word(f->conf.lbs[i].name, f->conf.lbs[i].driver);
	conf_release(&f->conf);
	return true;
}

/* The words that `arg` of the usage stands for. Those that this command does not know are another's to print. */
static void offer(struct front *f, const char *arg)
{
	const struct kind *k = kinds, *const end = kinds + sizeof kinds / sizeof *kinds;

	while (k < end && strcmp(k->arg, arg) != 0)
		k++;
	if (strcmp(arg, "FILE") == 0) {
		(void)puts(":files");
	} else if (k < end && k->fixed) {
		char word[64];
		for (const char *p = k->fixed; *p; p += strspn(p, " ")) {
			(void)snprintf(word, sizeof word, "%.*s", (int)strcspn(p, " "), p);
			front_word(word, "");
			p += strlen(word);
		}
	} else if (k < end && !configured(f, k->name) && !(f->words && f->words(f, k->name)) && k->command) {
		char *const argv[] = {(char *)k->command,
		                      (char *)"--completion",
		                      (char *)k->name,
		                      typed.head,
		                      (char *)typed.text,
		                      (char *)f->config,
		                      NULL};
		(void)fflush(stdout);
		(void)execvp(k->command, argv);
	}
}

/* ---- where the cursor stands ---- */

/* The row of "--name", "--name=...", "-x" or "-vx"; *value: what follows in the same word, NULL: nothing does. */
static const struct option_row *row_of(const struct front *f, const char *word, const char **value)
{
	const char *name = word + 2, *equal = strchr(word, '=');
	const size_t n = equal ? (size_t)(equal - name) : strlen(word) - 2;

	*value = NULL;
	for (const struct option_row *row = f->rows; word[1] == '-' && row->name; row++)
		if (strlen(row->name) == n && strncmp(row->name, name, n) == 0) {
			*value = equal ? equal + 1 : NULL;
			return row;
		}
	for (const char *p = word + 1; word[1] != '-' && *p; p++)
		for (const struct option_row *row = f->rows; row->name; row++)
			if (row->letter == *p && row->arg && row->kind != OPTION_MAYBE) {
				*value = p[1] ? p + 1 : NULL;
				return row;
			}
	return NULL;
}

/* The place-th word of one form of the usage, "set POLICY FIELD=VALUE ...", without its brackets; "" where none may
 * follow. */
static void usage_word(const char *form, size_t n, size_t place, char *out, size_t size)
{
	size_t at = 0;

	*out = '\0';
	for (const char *p = form; p < form + n; at++) {
		p += strspn(p, " [");
		const size_t word = strcspn(p, " ");
		if (p >= form + n)
			break;
		if (strncmp(p, "...", 3) == 0 && at <= place)
			return; /* what stands before it, again */
		(void)snprintf(out, size, "%.*s", (int)strcspn(p, " [@]."), p);
		if (at == place)
			return;
		p += word;
	}
	if (at <= place)
		*out = '\0';
}

/* An operand: a verb of the usage, or what stands at this place of the verb's form. */
static void offer_operand(struct front *f, const char *first, size_t place)
{
	char word[64];
	size_t n;

	for (const char *form = f->command->operands; *form; form += n, form += strspn(form, " |")) {
		n = strcspn(form, "|");
		usage_word(form, n, 0, word, sizeof word);
		const bool verb = islower((unsigned char)*word);
		if (verb && place == 0)
			front_word(word, "");
		else if (!verb || (first && strcmp(word, first) == 0)) {
			usage_word(form, n, place, word, sizeof word);
			offer(f, word);
		}
	}
}

/* bash gives "--service=web" as three words. */
static size_t join_words(char **argv, size_t n, const char *words[WORDS_MAX], bool *broken)
{
	static char joined[WORDS_MAX][256];
	size_t out = 0;

	*broken = false;
	for (size_t i = 0; i < n && out < WORDS_MAX; i++) {
		if (strcmp(argv[i], "=") != 0 || !out) {
			words[out++] = argv[i];
			continue;
		}
		const char *after = i + 1 < n ? argv[i + 1] : "";
		(void)snprintf(joined[out], sizeof joined[out], "%s=%s", words[out - 1], after);
		words[out - 1] = joined[out];
		i++;
		*broken = i + 1 >= n;
	}
	return out;
}

static void offer_words(struct front *f, char **argv, size_t argc)
{
	const char *words[WORDS_MAX], *first = NULL, *value;
	const struct option_row *wants = NULL;
	bool broken, only_operands = false;
	size_t place = 0;
	const size_t n = join_words(argv, argc, words, &broken);
	const char *last = n ? words[n - 1] : "";

	for (size_t i = 0; i + 1 < n; i++) {
		const struct option_row *row = NULL;
		wants = NULL;
		if (only_operands || *words[i] != '-' || !words[i][1]) {
			first = place++ ? first : words[i];
		} else if (strcmp(words[i], "--") == 0) {
			only_operands = true;
		} else if ((row = row_of(f, words[i], &value)) && row->arg && row->kind != OPTION_MAYBE) {
			if (!value && i + 2 == n)
				wants = row;
			else if (!value)
				value = words[++i];
			if (strcmp(row->name, "config") == 0)
				f->config = value;
		}
	}
	typed.text = last;
	if (wants) {
		offer(f, wants->arg);
	} else if (only_operands || *last != '-') {
		const char *equal = strchr(last, '=');
		typed.cut = broken && equal ? (size_t)(equal - last) + 1 : 0;
		offer_operand(f, first, place);
	} else if ((wants = row_of(f, last, &value)) && value && last[1] == '-') {
		typed.text = value;
		if (!broken)
			(void)snprintf(typed.head, sizeof typed.head, "%.*s", (int)(value - last), last);
		offer(f, wants->arg ? wants->arg : "");
	} else {
		char option[64];
		for (const struct option_row *row = f->rows; row->name; row++) {
			(void)snprintf(option, sizeof option, "--%s", row->name);
			front_word(option, row->help);
		}
	}
}

/* Silent whatever happens: the answer comes in time or not at all, and nobody reads messages between two keys. */
static void be_quick_and_quiet(void)
{
	const struct itimerval t = {.it_value = {0, TAB_MS * 1000}};
	const struct sigaction act = {.sa_handler = end_quietly};
	const int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)dup2(fd, STDERR_FILENO);
	(void)sigaction(SIGALRM, &act, NULL);
	(void)setitimer(ITIMER_REAL, &t, NULL);
}

int complete(struct front *f, int argc, char **argv)
{
	struct err err = {0};
	const char *what = argv[2];
	bool known = false;

	if (strcmp(what, "words") == 0) {
		be_quick_and_quiet();
		offer_words(f, argv + 3, (size_t)(argc - 3));
		known = true;
	} else if (argc >= 5) { /* asked by another command, with what was typed there */
		be_quick_and_quiet();
		(void)snprintf(typed.head, sizeof typed.head, "%s", argv[3]);
		typed.text = argv[4];
		f->config = argc > 5 ? argv[5] : NULL;
		known = configured(f, what) || (f->words && f->words(f, what));
	}
	if (known)
		return fflush(stdout) == 0 ? EX_DONE : EX_NO_OUTPUT;
	return print_script(f, what, &err) < 0 ? front_fail(f, &err) : EX_DONE;
}
