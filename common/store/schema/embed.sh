#!/bin/sh
# Prints the schema files named on the command line, in order, as the C file build/schema.c. Comments and empty
# lines are left out, so that a comment may be edited without making an applied file another one.
set -eu

[ $# -gt 0 ] || { echo "usage: embed.sh schema/NNN-NAME.sql..." >&2; exit 64; }

awk '
function fail(why) { print "embed.sh: " FILENAME ": " why > "/dev/stderr"; failed = 1; exit 65 }
BEGIN {
	print "/* Made by common/store/schema/embed.sh; edit the .sql files. */"
	print "#include \"store/sql.h\"\n\n#include \"base/banned.h\"\n"
	print "const struct sql_migration sql_migrations[] = {"
}
FNR == 1 {
	if (files++) print "\t },"
	name = FILENAME
	sub(/^.*\//, "", name)
	sub(/\.sql$/, "", name)
	if (name !~ /^[0-9][0-9][0-9]-[a-z0-9-]+$/) fail("the name must be NNN-NAME.sql")
	if (name + 0 != files) fail("number " files " is missing or out of order")
	printf "\t{%d, \"%s\",\n", files, name
}
{
	sub(/^[ \t]*--.*$/, "")
	sub(/[ \t]+$/, "")
	if ($0 == "") next
	if (/["\\]/) fail("line " FNR ": a double quote or backslash does not mean the same to every server")
	gsub(/\t/, " ")
	print "\t \"" $0 "\\n\""
}
END {
	if (failed) exit 65
	print "\t },\n};\n\nconst size_t sql_migrations_count = sizeof sql_migrations / sizeof *sql_migrations;"
}' "$@"
