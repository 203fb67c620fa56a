// The documentation of problems as a page: no scripts, no other files.
import { createHash } from 'node:crypto'

interface Kind { type: string, code: string, status: number, title: string, description: string }

const STYLE = 'body{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem;color-scheme:light dark}code{font-size:.9em}h2{margin-bottom:0}'

/** Nothing but its own style, known by its hash. */
export const PAGE_CSP = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

/** The page of one kind of problem, or of several. */
export function problemPage (kinds: readonly Kind[]): string {
  const [only] = kinds
  const title = kinds.length === 1 && only ? only.title : 'Problems'
  const body = kinds.length === 1 && only
    ? `<h1>${escape(only.title)}</h1>${about(only)}<p><a href="/problems">All problems</a></p>`
    : `<h1>Problems</h1>${kinds.map(kind => `<h2><a href="${escape(kind.type)}">${escape(kind.title)}</a></h2>${about(kind)}`).join('\n')}`
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escape(title)}</title><style>${STYLE}</style></head>
<body>${body}</body></html>
`
}

function about ({ code, status, description }: Kind): string {
  return `<p><code>${status} ${escape(code)}</code></p><p>${escape(description)}</p>`
}

function escape (text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
  return text.replace(/[&<>"']/g, character => entities[character] ?? '')
}
