# As much of the Elasticsearch API as ElastAlert2 needs, in memory: documents in, documents out by time, term and the
# two query strings it asks for its own. Listens on 127.0.0.1:PORT.
# usage: elasticsearch.py PORT
import json
import sys
from datetime import datetime
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from urllib.parse import unquote

indices, ids = {}, count(1)


def value(v):
    return datetime.fromisoformat(v.replace('Z', '+00:00')).timestamp() if isinstance(v, str) else v


def walk(query, key):
    """Every value of this key, however deep: all that ElastAlert2 asks at once must hold at once."""
    if isinstance(query, list):
        return [found for part in query for found in walk(part, key)]
    if not isinstance(query, dict):
        return []
    return [query[key]] if key in query else [found for part in query.values() for found in walk(part, key)]


def fits(doc, query):
    for field, span in (item for found in walk(query, 'range') for item in found.items()):
        if field not in doc:
            return False
        for name, bound in span.items():
            at, bound = value(doc[field]), bound if bound is None else value(bound)
            if bound is not None and not {'gt': at > bound, 'gte': at >= bound, 'from': at >= bound, 'lt': at < bound,
                                          'lte': at <= bound, 'to': at <= bound}.get(name, True):
                return False
    for field, wanted in (item for found in walk(query, 'term') for item in found.items()):
        if doc.get(field) != wanted:
            return False
    for text in (found['query'] for found in walk(query, 'query_string')):
        if text.startswith('aggregate_id:') or ('alert_sent:false' in text and doc.get('alert_sent') is not False):
            return False
    return True


class Api(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(data)

    def do_GET(self):
        body = json.loads(self.rfile.read(int(self.headers.get('Content-Length') or 0)) or '{}')
        path = unquote(self.path).split('?')[0].strip('/').split('/')
        if path[-1] == '_search':
            hits = [doc for name in list(indices) if fnmatch(name, path[0]) for doc in list(indices[name].values())
                    if fits(doc['_source'], body.get('query', {}))]
            for field, order in (item for s in walk(body, 'sort') for one in (s if isinstance(s, list) else [s])
                                 for item in one.items()):
                hits.sort(key=lambda doc: doc['_source'].get(field, ''), reverse=order.get('order') == 'desc')
            self.answer(200, {'timed_out': False, '_shards': {'total': 1, 'successful': 1, 'failed': 0},
                              'hits': {'total': {'value': len(hits), 'relation': 'eq'}, 'hits': hits}})
        elif path[-1] == '_doc':
            name = str(next(ids))
            indices.setdefault(path[0], {})[name] = {'_index': path[0], '_id': name, '_source': body}
            self.answer(201, {'_id': name, 'result': 'created'})
        elif self.command == 'DELETE':
            self.answer(200 if indices.get(path[0], {}).pop(path[-1], None) else 404, {'_id': path[-1]})
        else:
            self.answer(200, {'version': {'number': '7.10.2'}})

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET


ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Api).serve_forever()
