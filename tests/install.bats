# What is installed, looked at where it lies: units, configuration, the package's own form. tests/package.bats runs it.

load lib

setup() { fresh; }

# The units as they are installed below a prefix that has the programs.
units() {
	P=$BATS_TEST_TMPDIR/p
	make -s -C "$TOP" install PREFIX="$P" B="${AS_BUILD:-build}" >/dev/null
}

@test "the units are what systemd understands, and name programs that are there" {
	units
	cd "$P/lib/systemd/system"
	cp autoscale@.service autoscale@availability.service
	is "$(systemd-analyze --man=no verify ./*.timer ./autoscale.service ./autoscale-upkeep.service ./as-listen.service \
		./autoscale@availability.service 2>&1 | grep -F "$P")" ''
	is "$(grep -l /usr/local ./* || true)" ''
	is "$(grep -L ^CapabilityBoundingSet= ./*.service || true)" ''
}

@test "each service has at most the exposure that autoscale(7) says" {
	units
	said=$(sed -n 's/^gives them \([0-9.]*\) of 10 points.*/\1/p' "$TOP/man/autoscale.7")
	has "$(cat "$TOP/README.md")" "$said of 10"
	for u in "$P"/lib/systemd/system/*.service; do
		systemd-analyze --no-pager security --offline=true --threshold="${said/./}" "$u" >/dev/null
	done
}

@test "the configuration that is installed can be read as it is, and with every example in it" {
	units
	is "$(stat -c %a "$P/etc/autoscale/autoscale.conf")" 640
	as-store -c "$P/etc/autoscale/autoscale.conf" status >/dev/null
	sed -E 's/^#(\[|[a-z_]+ +=)/\1/' "$P/etc/autoscale/autoscale.conf" >"$BATS_TEST_TMPDIR/all.conf"
	is "$(grep -c '^\[' "$BATS_TEST_TMPDIR/all.conf")" 8
	unset AUTOSCALE_STORE
	AUTOSCALE_ALERTS=sqlite:$BATS_TEST_TMPDIR/a.db AUTOSCALE_STORE=sqlite:$BATS_TEST_TMPDIR/a.db \
		as-store -c "$BATS_TEST_TMPDIR/all.conf" status >/dev/null
}

@test "installed again, it leaves the operator's configuration alone" {
	units
	echo '# mine' >>"$P/etc/autoscale/autoscale.conf"
	units
	is "$(tail -n 1 "$P/etc/autoscale/autoscale.conf")" '# mine'
}

@test "lintian has nothing to say about the package" {
	"$TOP/tests/deps.sh" build package
	deb=$("$TOP/debian/package")
	is "$(lintian --allow-root --pedantic --display-info "${deb%.deb}.changes")" ''
}
