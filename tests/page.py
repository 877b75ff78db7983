#!/usr/bin/env python3
"""Reads a page of as-report as strictly as XML is read and prints what it says, as JSON. It fails on what is not well
formed, is nested as HTML does not allow, refers to anything outside, or would run.

usage: page.py FILE
"""
import json, re, sys
import xml.etree.ElementTree as tree

INLINE = {'a', 'bdi', 'br', 'code', 'data', 'span', 'time'}
INSIDE = {'html': {'head', 'body'}, 'head': {'meta', 'title', 'style'}, 'title': set(), 'style': set(),
          'body': {'header', 'main', 'footer'}, 'header': {'h1', 'p'}, 'main': {'table', 'p', 'section'},
          'section': {'h2', 'p', 'div', 'table'}, 'footer': {'h2', 'dl'}, 'dl': {'dt', 'dd'}, 'dt': INLINE, 'dd': INLINE,
          'h1': INLINE, 'h2': INLINE, 'p': INLINE, 'table': {'caption', 'thead', 'tbody', 'tfoot'}, 'caption': INLINE,
          'thead': {'tr'}, 'tbody': {'tr'}, 'tfoot': {'tr'}, 'tr': {'th', 'td'}, 'th': INLINE, 'td': INLINE,
          'div': {'figure', 'svg', 'div', 'span'}, 'figure': {'figcaption', 'div'}, 'figcaption': INLINE, 'svg': {'path'},
          'path': set(), 'meta': set(), 'br': set(), **{name: INLINE for name in INLINE if name != 'br'}}
ATTRIBUTES = {'aria-hidden', 'aria-label', 'aria-labelledby', 'charset', 'class', 'content', 'd', 'datetime', 'dir', 'href',
              'http-equiv', 'id', 'lang', 'name', 'preserveAspectRatio', 'role', 'scope', 'style', 'value', 'viewBox'}


def check(e, ids):
    for name, value in e.attrib.items():
        assert name in ATTRIBUTES, f'<{e.tag} {name}="{value}">'
        assert name != 'href' or value.startswith('#'), value
        assert name != 'style' or re.fullmatch(r'(top|left):\d+(\.\d)?%', value), value
        if name == 'id':
            assert value not in ids, 'twice: ' + value
            ids.add(value)
    assert e.tag != 'style' or not re.search(r'url\(|@import|expression', e.text)
    for child in e:
        assert child.tag in INSIDE[e.tag], f'<{child.tag}> in <{e.tag}>'
        check(child, ids)


def words(e):
    return (e.text or '') + ''.join(('\n' if c.tag == 'br' else words(c)) + (c.tail or '') for c in e)


def text(e):
    return words(e).strip()


def rows(table):
    for r in table.iterfind('./tbody/tr'):
        yield [{'text': text(c), 'seconds': [float(d.get('value')) for d in c.iter('data')],
                'times': [t.get('datetime') for t in c.iter('time')]} for c in r]


def main(file):
    with open(file, encoding='utf-8') as f:
        whole = f.read()
    assert whole.startswith('<!DOCTYPE html>\n')
    page = tree.fromstring(whole[len('<!DOCTYPE html>\n'):])
    check(page, set())
    said = {'title': text(page.find('./head/title')), 'h1': text(page.find('./body/header/h1')),
            'header': [text(p) for p in page.iterfind('./body/header/p')],
            'notes': [text(p) for p in page.iterfind('.//p[@class="note"]')], 'services': [], 'sections': {}}
    for r in (r for t in page.iterfind('./body/main/table') for r in rows(t)):
        number = [int(c['text'].replace(',', '')) for c in r[3:7]]
        said['services'].append({'service': r[0]['text'], 'replicas': r[1]['text'], 'limits': r[2]['text'], 'out': number[0],
                                 'in': number[1], 'repairs': number[2], 'failures': number[3], 'hours': r[7]['text'],
                                 'replica_seconds': r[7]['seconds'][0], 'seconds_at_max': r[8]['seconds'][0],
                                 'seconds_over_target': r[9]['seconds'][0]})
    for s in page.iterfind('./body/main/section'):
        tables = {t.get('class'): list(rows(t)) for t in s.iterfind('table')}
        said['sections'][text(s.find('h2'))] = {
            'drawings': [{'label': d.get('aria-label'), **{p.get('class').split()[0]: p.get('d') for p in d}} for d in s.iter('svg')],
            'decisions': [{'at': r[0]['times'][0], 'time': r[0]['text'], 'decision': r[1]['text'], 'outcome': r[2]['text'],
                           'reason': r[3]['text'], 'policy': r[4]['text']} for r in tables['decisions']],
            'failures': [{'at': r[0]['times'][0], 'what': r[2]['text']} for r in tables.get('failures', [])]}
    json.dump(said, sys.stdout, ensure_ascii=False)
    print()


if __name__ == '__main__':
    main(*sys.argv[1:])
