#!/usr/bin/env python3
"""Opens a page in headless Chromium and tells what a test wants to know of it.

usage: browser.py FILE OUT

Four times, 400 and 1400 pixels wide, light and dark: a screenshot OUT/WIDTH-SCHEME.png and a line of JSON with what the
page is like then; and OUT/page.pdf, as printed. It speaks the DevTools protocol over two pipes, which are descriptors 3
and 4 of the browser: https://chromedevtools.github.io/devtools-protocol/
"""
import base64, fcntl, json, os, pathlib, shutil, signal, subprocess, sys, tempfile

LOOK = r"""(() => {
  const number = text => text.match(/[\d.]+/g).map(Number);
  const light = c => { const [r, g, b] = c.slice(0, 3).map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  const ground = e => { for (; e; e = e.parentElement) { const c = number(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
  const seen = e => e.getClientRects().length > 0;
  const own = e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
  const text = [...document.body.querySelectorAll('*')].filter(e => own(e) && seen(e));
  const low = text.map(e => ({what: e.tagName + '.' + e.className, ratio: ratio(number(getComputedStyle(e).color), ground(e))}))
    .sort((a, b) => a.ratio - b.ratio)[0];
  const drawn = [...document.querySelectorAll('path')].filter(e => !['grid', 'band'].includes(e.getAttribute('class')))
    .map(e => ({what: e.getAttribute('class'), ratio: Math.min(...[ground(e), number(getComputedStyle(document.querySelector('.band')).fill)]
      .map(g => ratio(number(getComputedStyle(e).stroke), g)))})).sort((a, b) => a.ratio - b.ratio)[0];
  const wide = document.documentElement.clientWidth;
  const out = text.filter(e => { const r = e.getBoundingClientRect(); return r.width > 1 && (r.right > wide + 0.5 || r.left < -0.5); });
  const labels = [...document.querySelectorAll('.x')].flatMap(x => { const r = [...x.children].filter(seen)
    .map(e => e.getBoundingClientRect()).sort((a, b) => a.left - b.left); return r.slice(1).map((q, i) => q.left - r[i].right); });
  return {title: document.title, lang: document.documentElement.lang, h1: document.querySelectorAll('h1').length,
    scripts: document.scripts.length, handlers: [...document.querySelectorAll('*')].filter(e => [...e.attributes]
      .some(a => a.name.startsWith('on'))).length, bare_th: document.querySelectorAll('th:not([scope])').length,
    captions: [...document.querySelectorAll('table')].filter(t => !t.caption).length,
    unnamed: [...document.querySelectorAll('svg')].filter(s => !s.getAttribute('aria-label')).length,
    tables: document.querySelectorAll('table').length, drawings: document.querySelectorAll('svg').length,
    dead_links: [...document.querySelectorAll('a')].filter(a => !document.getElementById(a.hash.slice(1))).length,
    overflow: document.documentElement.scrollWidth - wide, outside: out.map(e => e.outerHTML.slice(0, 120)),
    contrast: low, line_contrast: drawn, label_gap: Math.min(...labels), smallest: Math.min(...text.map(e =>
      parseFloat(getComputedStyle(e).fontSize)))};
})()"""


class Browser:
    def __init__(self, home):
        there, self.to = os.pipe()
        self.back, here = os.pipe()
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (there, here)]
        self.process = subprocess.Popen(
            ['chromium', '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
             '--hide-scrollbars', '--remote-debugging-pipe', '--user-data-dir=' + home, 'about:blank'],
            preexec_fn=lambda: (os.dup2(high[0], 3), os.dup2(high[1], 4)), pass_fds=(3, 4),
            env={**os.environ, 'HOME': home, 'TMPDIR': home},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for fd in (there, here, *high):
            os.close(fd)
        self.rest, self.number, self.events, self.session = b'', 0, [], None

    def read(self):
        while b'\0' not in self.rest:
            piece = os.read(self.back, 1 << 20)
            if not piece:
                sys.exit('the browser ended')
            self.rest += piece
        one, self.rest = self.rest.split(b'\0', 1)
        return json.loads(one)

    def ask(self, method, **params):
        self.number += 1
        ask = {'id': self.number, 'method': method, 'params': params}
        if self.session:
            ask['sessionId'] = self.session
        os.write(self.to, json.dumps(ask).encode() + b'\0')
        while True:
            got = self.read()
            if got.get('id') == self.number:
                if 'error' in got:
                    sys.exit(f'{method}: {got["error"]["message"]}')
                return got['result']
            self.events.append(got)

    def until(self, method):
        while not any(e.get('method') == method for e in self.events):
            self.events.append(self.read())


def said(events):
    """What the console has, and every request but that for the page."""
    for e in events:
        p = e.get('params', {})
        if e.get('method') == 'Runtime.exceptionThrown':
            yield p['exceptionDetails'].get('text', 'exception')
        elif e.get('method') == 'Log.entryAdded':
            yield p['entry']['text']
        elif e.get('method') == 'Runtime.consoleAPICalled':
            yield str(p['args'])
        elif e.get('method') == 'Page.javascriptDialogOpening':
            yield 'dialog ' + p['message']
        elif e.get('method') == 'Network.requestWillBeSent' and p.get('type') != 'Document':
            yield 'request ' + p['request']['url']


def main(file, out):
    signal.alarm(120)
    url = pathlib.Path(file).resolve().as_uri()
    home = tempfile.mkdtemp(prefix='as-browser.')
    b = Browser(home)
    try:
        target = b.ask('Target.createTarget', url='about:blank')['targetId']
        b.session = b.ask('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            b.ask(domain + '.enable')
        for width in (400, 1400):
            for scheme in ('light', 'dark'):
                b.ask('Emulation.setDeviceMetricsOverride', width=width, height=900, deviceScaleFactor=1, mobile=False)
                b.ask('Emulation.setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': scheme}])
                b.events.clear()
                b.ask('Page.navigate', url=url)
                b.until('Page.loadEventFired')
                like = b.ask('Runtime.evaluate', expression=LOOK, returnByValue=True)
                if 'exceptionDetails' in like:
                    sys.exit(str(like['exceptionDetails']))
                shot = b.ask('Page.captureScreenshot', captureBeyondViewport=True, format='png')
                pathlib.Path(out, f'{width}-{scheme}.png').write_bytes(base64.b64decode(shot['data']))
                print(json.dumps({'width': width, 'scheme': scheme, **like['result']['value'], 'said': list(said(b.events))}))
        pdf = b.ask('Page.printToPDF', printBackground=False)
        pathlib.Path(out, 'page.pdf').write_bytes(base64.b64decode(pdf['data']))
        b.session = None
        b.ask('Browser.close')
        b.process.wait(20)
    finally:
        b.process.kill()
        b.process.wait()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == '__main__':
    main(*sys.argv[1:])
