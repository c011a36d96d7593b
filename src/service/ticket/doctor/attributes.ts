import { join } from 'node:path'
import { runGitIn, type GitPlace } from '../../../host/git.ts'
import { unionLine } from '../attributes.ts'
import { maxTicketBytes } from '../files.ts'
import type { Diagnosis } from './finding.ts'
import { warning } from './finding.ts'
import { Window } from './window.ts'

const file = '.gitattributes'

/** Is Git told how to merge events? */
export function* attributeFaults(root: string, repository: GitPlace): Generator<Diagnosis> {
  const found = new Window().read(join(root, file), maxTicketBytes)
  // Usually our line is the last word on the matter; otherwise Git knows.
  if (typeof found !== 'string' && saysSo(found.toString('latin1'))) return
  if (found !== 'missing' && isUnion(repository)) return
  yield warning(
    'attributes-missing',
    { file, line: found === 'missing' ? null : 1 },
    'Git is not told to keep both sides when two branches add events: each merge will be a conflict',
    `lh ticket doctor --fix adds: ${unionLine}`,
    found === 'missing' || typeof found !== 'string' ? { kind: 'edit', edit: added } : undefined,
  )
}

/** Are events committed as the tickets are? A rule for another kind of files (`*.jsonl`) keeps them out, and they go with their worktree. */
export function* ignoreFaults(repository: GitPlace): Generator<Diagnosis> {
  const [ticket, events] = ['ticket.md', 'events.jsonl'].map(name => `.leasehold/tickets/x/${name}`)
  const { stdout } = runGitIn(repository, ['check-ignore', '-v', '--', ticket!, events!])
  const ruleOf = (path: string): RegExpExecArray | undefined =>
    stdout
      .split('\n')
      .filter(line => line.endsWith(`\t${path}`))
      .map(line => /^(.*?):([0-9]+):([^!].*)\t/.exec(line))
      .find(match => match !== null)
  const rule = ruleOf(events!)
  // Who has Git ignore all of it keeps tickets to themselves.
  if (rule === undefined || ruleOf(ticket!) !== undefined) return
  yield warning(
    'events-ignored',
    { file: rule[1]!, line: Number(rule[2]) },
    `Git ignores events.jsonl (${rule[3]}): what happens to a new ticket, comments too, is not committed, and is lost with its worktree`,
    "add to .gitignore, at its end: !/.leasehold/tickets/*/events.jsonl; then: git add .gitignore .leasehold && git commit -m 'Events'",
  )
}

const saysSo = (text: string): boolean => text.split(/\r?\n/).findLast(line => line.includes('events.jsonl')) === unionLine

function isUnion(repository: GitPlace): boolean {
  const { status, stdout } = runGitIn(repository, ['check-attr', 'merge', '--', '.leasehold/tickets/x/events.jsonl'])
  return status === 0 && stdout.trimEnd().endsWith(': merge: union')
}

function added(text: string): string {
  const eol = text.includes('\r\n') ? '\r\n' : '\n'
  return `${text}${text === '' || text.endsWith('\n') ? '' : eol}${unionLine}${eol}`
}
