/* Every maximum of the toolkit, in one place. A buffer cannot be made without one (buf.h). Sizes are bytes. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#define LINE_MAX_BYTES (1024u * 1024u) /* one record; a longer line is skipped and reported */
#define DEPTH_MAX 128                  /* nesting of a record */
#define MEMBERS_MAX 1024               /* top-level members of a record */
#define INDEX_MAX 8192                 /* values of a record that are found without reading */
#define EDITS_MAX 8                    /* members one stage may set in one record */
#define OUT_BLOCK (64u * 1024u)        /* output is written in blocks of about this size */

#define CONFIG_MAX_BYTES (1024u * 1024u)
#define CONFIG_HOSTS_MAX 256
#define CONFIG_LBS_MAX 64

#define HTTP_BODY_MAX (8u * 1024u * 1024u)  /* one document, such as one inspect */
#define HTTP_LIST_MAX (64u * 1024u * 1024u) /* a list of containers */
#define HTTP_CONNECT_MS 2000
#define HTTP_CALL_MS 10000

#define LB_REPLY_MAX (8u * 1024u * 1024u)
#define DOCUMENT_MAX (16u * 1024u * 1024u) /* an alert payload or policy file read whole */

#define SERVICE_NAME_MAX 63 /* [A-Za-z0-9][A-Za-z0-9_.-]{0,62} */
#define REPLICAS_MAX 10000  /* no policy may ask for more */
#define TARGETS_MAX 32      /* metrics in one policy's `target` */

#endif
