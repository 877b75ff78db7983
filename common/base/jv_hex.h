/* Four hexadecimal digits of a \u escape, as both halves of jv read them: 0 to 0xffff, or -1. */
#ifndef BASE_JV_HEX_H
#define BASE_JV_HEX_H

static inline int hex4(const unsigned char *p)
{
	int v = 0;

	for (int i = 0; i < 4; i++) {
		const int c = p[i];
		const int d = c >= '0' && c <= '9'   ? c - '0'
		              : c >= 'a' && c <= 'f' ? c - 'a' + 10
		              : c >= 'A' && c <= 'F' ? c - 'A' + 10
		                                     : -1;
		if (d < 0)
			return -1;
		v = v * 16 + d;
	}
	return v;
}

#endif
