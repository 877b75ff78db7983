#!/bin/sh
# Prints the mapping files named on the command line as the C file build/gen/sources.c. Comments and empty lines become
# empty lines, so that a message still names the line of the file.
set -eu

[ $# -gt 0 ] || { echo "usage: embed.sh sources/NAME.ini..." >&2; exit 64; }

awk '
BEGIN {
	print "/* Made by common/alert/sources/embed.sh; edit the .ini files. */"
	print "#include \"alert/sources.h\"\n\n#include \"base/banned.h\"\n"
	print "const struct source_file source_files[] = {"
}
FNR == 1 {
	if (files++) print "\t },"
	print "\t{\"" FILENAME "\","
}
{
	sub(/^[#;].*$/, "")
	gsub(/\\/, "\\\\")
	gsub(/"/, "\\\"")
	gsub(/\t/, " ")
	print "\t \"" $0 "\\n\""
}
END { print "\t },\n};\n\nconst size_t source_files_count = sizeof source_files / sizeof *source_files;" }' "$@"
