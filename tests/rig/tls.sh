# shellcheck shell=bash
# Certificates for the engines that are started after it. Exports AS_RIG_CERTS, a folder with a folder for each kind of
# client, each with ca.pem, cert.pem and key.pem:
#   ok          works
#   expired     its certificate ended yesterday
#   notyet      its certificate begins in a year
#   foreign     its certificate is another authority's
#   serverauth  its certificate is good for servers only
#   otherca     believes in another authority only
#   none        has ca.pem only
# and old-server.pem and old-server.key, of a server at 127.0.0.1 whose certificate ended yesterday.

# tls_authority NAME: NAME.pem and NAME.key
tls_authority() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj "/CN=rig $1" \
		-keyout "$RIG/certs/$1.key" -out "$RIG/certs/$1.pem"
}

# tls_sign AUTHORITY NAME KEY CERTIFICATE EXTENSIONS FROM TO: by `openssl ca`, which alone takes both times.
tls_sign() {
	local authority=$1 dir=$RIG/certs
	: >"$dir/index"
	printf '%s\n' '[ca]' 'default_ca=c' '[c]' "database=$dir/index" "new_certs_dir=$dir" rand_serial=yes \
		default_md=sha256 policy=p unique_subject=no '[p]' commonName=supplied '[x]' "$5" >"$dir/ca.conf"
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$2" -keyout "$3" -out "$dir/csr" &&
		openssl ca -batch -notext -config "$dir/ca.conf" -extensions x -cert "$dir/$authority.pem" \
			-keyfile "$dir/$authority.key" -startdate "$(date -u -d "$6" +%Y%m%d%H%M%SZ)" \
			-enddate "$(date -u -d "$7" +%Y%m%d%H%M%SZ)" -in "$dir/csr" -out "$4"
}

# tls_server SERVER SAN [FROM TO]: certs/SERVER.pem and .key
tls_server() {
	tls_sign ca "$1" "$RIG/certs/$1.key" "$RIG/certs/$1.pem" "subjectAltName=$2"$'\n'extendedKeyUsage=serverAuth \
		"${3:--1 day}" "${4:-+30 days}"
}

# tls_client KIND AUTHORITY USAGE FROM TO
tls_client() {
	mkdir "$RIG/certs/$1" && cp "$RIG/certs/ca.pem" "$RIG/certs/$1/ca.pem" &&
		tls_sign "$2" "client $1" "$RIG/certs/$1/key.pem" "$RIG/certs/$1/cert.pem" "extendedKeyUsage=$3" "$4" "$5"
}

tls_up() {
	rig_need "$1" openssl
	mkdir "$RIG/certs"
	{
		tls_authority ca && tls_authority other &&
			tls_server old-server IP:127.0.0.1 '-9 days' '-1 day' &&
			tls_client ok ca clientAuth '-1 day' '+30 days' &&
			tls_client expired ca clientAuth '-9 days' '-1 day' &&
			tls_client notyet ca clientAuth '+365 days' '+400 days' &&
			tls_client foreign other clientAuth '-1 day' '+30 days' &&
			tls_client serverauth ca serverAuth '-1 day' '+30 days' &&
			cp -r "$RIG/certs/ok" "$RIG/certs/otherca" && cp "$RIG/certs/other.pem" "$RIG/certs/otherca/ca.pem" &&
			mkdir "$RIG/certs/none" && cp "$RIG/certs/ca.pem" "$RIG/certs/none"
	} >>"$RIG/$1.log" 2>&1 || rig_fail "$1" 1 'cannot make certificates'
	rig_export AS_RIG_CERTS "$RIG/certs"
}
